//! Splits Markdown into posts that a platform takes: at a paragraph, else a line, else a word.
//!
//! Owns the cutting and nothing else: a pure function of text and limit. Must never lose a visible character,
//! make an empty part, or leave a code fence open across a cut: the fence is closed, and opened again in the
//! next part with the same marker and info string.

/// An open code fence.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fence {
    /// The opening line, indentation and info string included, as it is repeated in the next part.
    opener: String,
    /// Indentation and marker: the line that closes it.
    closer: String,
    /// The marker's character and how often it stands there.
    mark: char,
    run: usize,
    indent: usize,
}

/// Where a part may end.
#[derive(Clone, Debug)]
struct Cut {
    /// Byte offset into what is left.
    at: usize,
    /// UTF-16 units up to there, trailing white space included.
    units: usize,
    /// The fence that is open there.
    fence: Option<Fence>,
    /// Inside a line: the white space around the cut may go.
    inside_line: bool,
}

/// Splits `text` into parts of at most `max_utf16` UTF-16 code units each, in order.
///
/// Nothing is lost but white space at the cuts and at both ends; a text of white space only gives no part. A
/// limit too small for one character (or for a fence and its content) gives parts of one character (or cuts
/// through the fence) rather than none.
pub(crate) fn split(text: &str, max_utf16: usize) -> Vec<String> {
    let max = max_utf16.max(1);
    let mut parts = Vec::new();
    let mut rest = skip_blank_lines(text).trim_end();
    let mut fence: Option<Fence> = None;
    while !rest.is_empty() {
        let prefix = fence.as_ref().map_or(0, |fence| units(&fence.opener) + 1);
        if fits(rest, max.saturating_sub(prefix)) {
            push(&mut parts, fence.as_ref(), rest, None);
            break;
        }
        let cut = best_cut(rest, max.saturating_sub(prefix), max, fence.as_ref());
        let (head, tail) = rest.split_at(cut.at);
        if cut.fence.is_some() {
            // White space is part of the code: only the line's own end goes, as the closing line brings one.
            push(&mut parts, fence.as_ref(), strip_line_end(head), cut.fence.as_ref());
            rest = tail;
        } else {
            push(&mut parts, fence.as_ref(), head.trim_end(), None);
            rest = if cut.inside_line { tail.trim_start() } else { skip_blank_lines(tail) };
        }
        fence = cut.fence;
    }
    parts
}

fn push(parts: &mut Vec<String>, opened: Option<&Fence>, content: &str, closing: Option<&Fence>) {
    if content.trim().is_empty() {
        return;
    }
    let mut part = String::with_capacity(content.len() + 16);
    if let Some(fence) = opened {
        part.push_str(&fence.opener);
        part.push('\n');
    }
    part.push_str(content);
    if let Some(fence) = closing {
        part.push('\n');
        part.push_str(&fence.closer);
    }
    parts.push(part);
}

/// The best place to end a part of at most `budget` units; always after at least one character.
fn best_cut(rest: &str, budget: usize, max: usize, open: Option<&Fence>) -> Cut {
    let mut paragraph: Option<Cut> = None;
    let mut line_end: Option<Cut> = None;
    let mut last_resort: Option<Cut> = None;
    let mut fence = open.cloned();
    let mut offset = 0;
    let mut used = 0;
    let mut after_blank = false;
    let mut after_opener = open.is_some();
    for line in rest.split_inclusive('\n') {
        let closes = fence.as_ref().is_some_and(|fence| is_closer(line, fence));
        if offset > 0 {
            let trimmed = trimmed_units(&rest[..offset], used, fence.is_some());
            if trimmed + closing_units(fence.as_ref()) > budget {
                break;
            }
            let cut = Cut { at: offset, units: used, fence: fence.clone(), inside_line: false };
            if fence.is_some() && (after_opener || closes) {
                // Would leave an empty code block on one side.
                last_resort = Some(cut);
            } else {
                if fence.is_none() && (after_blank || line.trim().is_empty()) {
                    paragraph = Some(cut.clone());
                }
                line_end = Some(cut);
            }
        }
        let opens = if fence.is_none() { parse_opener(line, max) } else { None };
        after_opener = opens.is_some();
        after_blank = line.trim().is_empty();
        let next = if closes { None } else { opens.clone().or_else(|| fence.clone()) };
        let content_units = units_up_to(strip_line_end(line), budget);
        if used + content_units + closing_units(next.as_ref()) > budget {
            let enough_line = line_end
                .as_ref()
                .is_some_and(|cut| cut.fence.is_some() || cut.units.saturating_mul(4) >= budget);
            if !enough_line
                && opens.is_none()
                && !closes
                && let Some(cut) = cut_inside(offset, used, line, budget, max, fence.as_ref())
            {
                return prefer(paragraph, budget, cut);
            }
            break;
        }
        fence = next;
        offset += line.len();
        used += units(line);
    }
    match line_end.or(last_resort) {
        Some(cut) => prefer(paragraph, budget, cut),
        None => forced_cut(rest, budget),
    }
}

/// The paragraph's end if that fills at least half of the part, else the other cut.
fn prefer(paragraph: Option<Cut>, budget: usize, other: Cut) -> Cut {
    paragraph.filter(|cut| cut.units.saturating_mul(2) >= budget).unwrap_or(other)
}

/// The last place inside `line` (which begins at `offset`) that fits: between words, else between characters.
fn cut_inside(
    offset: usize,
    used: usize,
    line: &str,
    budget: usize,
    max: usize,
    fence: Option<&Fence>,
) -> Option<Cut> {
    let content = strip_line_end(line);
    let first_visible = content.len() - content.trim_start().len();
    let begins_with_mark = content[first_visible..].starts_with(['`', '~']);
    let reserve = closing_units(fence);
    let mut word = None;
    let mut anywhere = None;
    let mut count = used;
    let mut previous: Option<char> = None;
    for (index, character) in content.char_indices() {
        if count + reserve > budget && index > 0 {
            break;
        }
        // Only a half that begins with a marker can be taken for a fence: the others need no closer look.
        let suspicious = begins_with_mark || character.is_whitespace() || matches!(character, '`' | '~');
        if previous.is_some_and(|before| may_part(before, character))
            && (!suspicious || is_safe(&content[..index], &content[index..], max, fence))
        {
            let cut = Cut { at: offset + index, units: count, fence: fence.cloned(), inside_line: true };
            let after_space = previous.is_some_and(char::is_whitespace);
            // In code the blank stays at the end of the line; in text it goes, wherever it stands.
            let at_space = after_space != character.is_whitespace() && (fence.is_none() || after_space);
            if at_space && index > first_visible {
                word = Some(cut.clone());
            }
            anywhere = Some(cut);
        }
        count += character.len_utf16();
        previous = Some(character);
    }
    // A long word in code is rather cut than left to waste most of a part.
    word.filter(|cut| fence.is_none() || cut.units.saturating_mul(2) >= budget).or(anywhere)
}

/// Whether cutting a line in two makes no line that would be read as a fence.
fn is_safe(left: &str, right: &str, max: usize, fence: Option<&Fence>) -> bool {
    // Enough to know a fence by; a line can be a megabyte long.
    let right = &right[..right.floor_char_boundary(1024)];
    match fence {
        Some(fence) => !is_closer(left, fence) && !is_closer(right, fence),
        None => parse_opener(left, max).is_none() && parse_opener(right, max).is_none(),
    }
}

/// Nothing else is possible: as many characters as fit, at least one, fences left alone.
fn forced_cut(rest: &str, budget: usize) -> Cut {
    let mut at = 0;
    let mut count = 0;
    for character in rest.chars() {
        if at > 0 && count + character.len_utf16() > budget {
            break;
        }
        at += character.len_utf8();
        count += character.len_utf16();
    }
    Cut { at, units: count, fence: None, inside_line: true }
}

/// Whether two characters may stand in different parts: not within what is drawn as one.
fn may_part(before: char, after: char) -> bool {
    const JOINER: char = '\u{200d}';
    let joins = matches!(
        after,
        JOINER | '\u{300}'..='\u{36f}' | '\u{fe00}'..='\u{fe0f}' | '\u{20d0}'..='\u{20ff}'
            | '\u{1f3fb}'..='\u{1f3ff}' | '\u{e0020}'..='\u{e007f}'
    );
    before != JOINER && !joins && !(before == '\r' && after == '\n')
}

/// Reads a line that opens a fence. Indentation does not matter: agents put fences into lists. A fence whose
/// opening would take more than a quarter of a part cannot be repeated, and is treated as text.
fn parse_opener(line: &str, max: usize) -> Option<Fence> {
    let line = line.trim_end();
    let body = line.trim_start();
    let mark = body.chars().next().filter(|mark| matches!(mark, '`' | '~'))?;
    let run = body.chars().take_while(|character| *character == mark).count();
    let info = body.get(run..)?;
    if run < 3 || (mark == '`' && info.contains('`')) {
        return None;
    }
    let indentation = line.get(..line.len() - body.len())?;
    let closer = format!("{indentation}{}", body.get(..run)?);
    if units(&closer).saturating_mul(4) > max {
        return None;
    }
    let opener = if units(line).saturating_mul(4) > max { closer.clone() } else { line.to_owned() };
    Some(Fence { opener, closer, mark, run, indent: indentation.len() })
}

/// Whether a line closes the fence: the marker at least as long, nothing behind it, and not indented by a code
/// block more than the opening was.
fn is_closer(line: &str, fence: &Fence) -> bool {
    let line = first_line(line).trim_end();
    let body = line.trim_start();
    let run = body.chars().take_while(|character| *character == fence.mark).count();
    run >= fence.run && run == body.len() && line.len() - body.len() <= fence.indent + 3
}

fn closing_units(fence: Option<&Fence>) -> usize {
    fence.map_or(0, |fence| units(&fence.closer) + 1)
}

fn trimmed_units(head: &str, used: usize, fenced: bool) -> usize {
    let kept = if fenced { strip_line_end(head) } else { head.trim_end() };
    used - units(&head[kept.len()..])
}

fn units(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

/// [`units`], but counts no further than just above `limit`.
fn units_up_to(text: &str, limit: usize) -> usize {
    let mut count = 0;
    for character in text.chars() {
        count += character.len_utf16();
        if count > limit {
            break;
        }
    }
    count
}

fn fits(text: &str, max: usize) -> bool {
    // No character has fewer UTF-8 bytes than UTF-16 units, nor more than three times as many.
    text.len() <= max || (text.len() <= max.saturating_mul(3) && units(text) <= max)
}

fn strip_line_end(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

fn first_line(text: &str) -> &str {
    text.split('\n').next().unwrap_or(text)
}

/// Leaves out leading lines of white space; the first other line keeps its indentation.
fn skip_blank_lines(text: &str) -> &str {
    let blank: usize =
        text.split_inclusive('\n').take_while(|line| line.trim().is_empty()).map(str::len).sum();
    &text[blank..]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a reader sees: each visible character, with the info string of the code block it stands in. Fence
    /// lines themselves are left out.
    fn seen<'a>(texts: impl IntoIterator<Item = &'a str>, max: usize) -> (Vec<(char, Option<String>)>, bool) {
        let mut all = Vec::new();
        let mut balanced = true;
        let mut texts = texts.into_iter().peekable();
        while let Some(text) = texts.next() {
            let mut fence: Option<Fence> = None;
            for line in text.split('\n') {
                if fence.as_ref().is_some_and(|fence| is_closer(line, fence)) {
                    fence = None;
                } else if let (None, Some(opened)) = (&fence, parse_opener(line, max)) {
                    fence = Some(opened);
                } else {
                    let info = fence.as_ref().map(|fence| fence.opener.trim().to_owned());
                    all.extend(line.chars().filter(|c| !c.is_whitespace()).map(|c| (c, info.clone())));
                }
            }
            balanced &= fence.is_none() || texts.peek().is_none();
        }
        (all, balanced)
    }

    fn check(text: &str, max: usize, expected: &[&str]) {
        assert_eq!(split(text, max), expected, "{text:?} at {max}");
    }

    #[test]
    fn cuts_where_a_reader_would() {
        check("", 10, &[]);
        check(" \n\t\n", 10, &[]);
        check("short", 10, &["short"]);
        check("one two three", 8, &["one two", "three"]);
        check("one two\nthree", 8, &["one two", "three"]);
        check("para one.\n\npara two is here\nand more", 20, &["para one.", "para two is here", "and more"]);
        check("first para\n\nsecond", 17, &["first para", "second"]);
        check("  indented\n    list item", 14, &["  indented", "    list item"]);
        check("abcdefghij", 4, &["abcd", "efgh", "ij"]);
        check("tail blank lines\n\n\n\nnext", 16, &["tail blank lines", "next"]);
    }

    #[test]
    fn counts_utf16_units_and_keeps_what_is_drawn_as_one() {
        check("😀😀😀", 4, &["😀😀", "😀"]);
        check("aé\u{301}bc", 2, &["a", "é\u{301}", "bc"]);
        check("😀", 1, &["😀"]);
        check("👩\u{200d}💻👩\u{200d}💻", 6, &["👩\u{200d}💻", "👩\u{200d}💻"]);
    }

    #[test]
    fn a_fence_is_closed_and_opened_again() {
        let text = "intro\n```rust\nlet a = 1;\nlet b = 2;\n    let c = 3;\n```\nend";
        check(
            text,
            36,
            &[
                "intro\n```rust\nlet a = 1;\n```",
                "```rust\nlet b = 2;\n```",
                "```rust\n    let c = 3;\n```\nend",
            ],
        );
        // As a list item, with a longer marker.
        let text = "- x\n  ~~~~text here\n  aaaa bbbb\n  ~~~\n  cccc\n  ~~~~\n";
        let parts = split(text, 80);
        assert_eq!(parts.len(), 1);
        let parts = split(&text.replace("aaaa", &"a".repeat(60)), 80);
        assert!(
            parts[0].starts_with("- x\n  ~~~~text here\n") && parts[0].ends_with("\n  ~~~~"),
            "{parts:?}"
        );
        assert!(parts[1].starts_with("  ~~~~text here\n"), "{parts:?}");
    }

    #[test]
    fn no_empty_block_is_left_by_a_cut() {
        let text = format!("{}\n```sh\nls\n```\n", "word ".repeat(7).trim_end());
        for max in 30..80 {
            for part in split(&text, max) {
                assert!(!part.contains("```sh\n```"), "{max}: {part:?}");
            }
        }
    }

    #[test]
    fn a_run_of_marks_in_a_line_does_not_become_a_fence() {
        let text = format!("{} ``` b ``` {}", "a".repeat(30), "c".repeat(30));
        for max in 16..70 {
            let parts = split(&text, max);
            assert!(
                parts.iter().all(|part| parse_opener(first_line(part), max).is_none()),
                "{max} {parts:?}"
            );
        }
    }

    #[test]
    fn a_huge_text_is_split_in_linear_time() {
        let text = "x".repeat(1_000_000);
        let parts = split(&text, 4000);
        assert_eq!(parts.len(), 250);
        assert!(parts.iter().all(|part| part.len() == 4000));
    }

    fn markdown() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            4 => "[a-zé😀 `~]{0,30}",
            1 => Just(String::new()),
            1 => Just("```".to_owned()),
            1 => Just("```rust".to_owned()),
            1 => Just("  ~~~~ x".to_owned()),
            1 => Just("~~~~".to_owned()),
            1 => "[a-z]{60,90}",
        ];
        prop::collection::vec(piece, 0..20).prop_map(|lines| lines.join("\n"))
    }

    proptest! {
        #[test]
        fn nothing_visible_is_lost_and_every_part_stands_alone(text in markdown(), max in 48_usize..200) {
            let parts = split(&text, max);
            for part in &parts {
                prop_assert!(!part.trim().is_empty());
                prop_assert!(units(part) <= max, "{} > {max}: {part:?}", units(part));
            }
            let (before, _) = seen([text.as_str()], max);
            let (after, balanced) = seen(parts.iter().map(String::as_str), max);
            prop_assert_eq!(before, after, "{:?}", parts);
            prop_assert!(balanced, "{parts:?}");
        }

        #[test]
        fn any_text_and_any_limit_come_to_an_end(text in any::<String>(), max in 0_usize..60) {
            let joined: String = split(&text, max).concat();
            prop_assert!(joined.chars().count() >= text.chars().filter(|c| !c.is_whitespace() && !matches!(c, '`' | '~')).count());
        }
    }
}
