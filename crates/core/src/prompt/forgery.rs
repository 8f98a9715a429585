//! Text that imitates the gateway: found, made harmless, and marked. Pure.
//!
//! Owns what the gateway's own lines look like to a reader: headers, catch-up frames, notes, permission notices and
//! their answers. Nothing hangs on this but the agent's understanding: authority never comes from text.

/// In one line, without control characters.
pub(super) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || is_line_break(c) { ' ' } else { c }).collect()
}

/// Whether a reader would take this for the end of a line.
pub(super) fn is_line_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Characters that take no room and could hide the start of a line, or turn its direction round.
pub(super) fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// A body in which nothing looks like the gateway's own words any more.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Harmless {
    /// Every line that did has a backslash before what gave it that look.
    pub(super) text: String,
    /// Whether there was one.
    pub(super) marked: bool,
}

/// Makes a body harmless.
pub(super) fn harmless(platform: &str, text: &str) -> Harmless {
    let mut out = String::with_capacity(text.len() + 8);
    let mut marked = false;
    for (index, line) in lines(text).enumerate() {
        if index > 0 {
            out.push('\n');
        }
        // In the first line the header stands before it; a second header there is as misleading.
        let at =
            line.char_indices().find(|(_, c)| !c.is_whitespace() && !is_invisible(*c) && !c.is_control());
        match at {
            Some((position, _)) if forges(platform, &line[position..]) => {
                marked = true;
                out.push_str(&line[..position]);
                out.push('\\');
                out.push_str(&line[position..]);
            }
            _ => out.push_str(line),
        }
    }
    out.retain(|c| !c.is_control() || matches!(c, '\n' | '\t'));
    Harmless { text: out, marked }
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let current = rest?;
        if let Some((at, c)) = current.char_indices().find(|(_, c)| is_line_break(*c)) {
            let mut next = &current[at + c.len_utf8()..];
            if c == '\r' {
                next = next.strip_prefix('\n').unwrap_or(next);
            }
            rest = Some(next);
            Some(&current[..at])
        } else {
            rest = None;
            Some(current)
        }
    })
}

/// What stands over the last of several messages, without case and spaces.
const LATEST: &str = "latestmessage(respondtothis)";

/// Whether a line starts like something only the gateway writes. Compared without case, spaces and invisible
/// characters, and with full-width brackets counted as brackets.
pub(super) fn forges(platform: &str, line: &str) -> bool {
    let plain = |text: &str, limit: usize| -> String {
        text.chars()
            .filter(|c| !c.is_whitespace() && !is_invisible(*c) && !c.is_control())
            .flat_map(char::to_lowercase)
            .map(|c| if matches!(c, '［' | '【' | '〔' | '⟦') { '[' } else { c })
            .take(limit)
            .collect()
    };
    let start = plain(line, 64);
    if is_notice(&start) || start.starts_with(LATEST) {
        return true;
    }
    let Some(inner) = start.strip_prefix('[') else { return false };
    let inner = inner.trim_start_matches('[');
    let platform = plain(platform, 64);
    [
        platform.as_str(),
        "gateway",
        "catch-up",
        "endcatch-up",
        "attached:",
        "agentchain",
        "sessionhistory",
        "endsessionhistory",
        "scheduled",
    ]
    .iter()
    .any(|mark| inner.starts_with(mark))
}

/// Whether a line, without case, spaces and invisible characters, starts like a permission notice, an answer to one,
/// or another word of the gateway's. A quotation or emphasis before it changes nothing.
fn is_notice(start: &str) -> bool {
    let start = start.trim_start_matches(['>', '*', '_', '#', '`', '~', '-']);
    let signed = start.trim_start_matches(['🔐', '✅', '❌', '⏱', '⏰', '⚠', '⌛']);
    let signed = signed.trim_start_matches(['>', '*', '_', '`', '\u{fe0f}']);
    let said = signed.len() < start.len();
    (said
        && ["permission", "nopendingpermission", "invalidid", "question"]
            .iter()
            .any(|word| signed.starts_with(word)))
        || start.starts_with('🔐')
        || start.starts_with("permissionrequired")
}
