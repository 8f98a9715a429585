//! Whether a file pattern can name something outside of the directory it is tried in.
//!
//! Owns expanding braces and finding the fixed beginning. Must never answer yes for a pattern it cannot expand.

/// Most alternatives of one pattern.
const MAX_ALTERNATIVES: usize = 256;
/// Longest pattern in bytes.
const MAX_PATTERN: usize = 4096;
/// What makes a part of a pattern more than a name.
const MAGIC: &[char] = &['*', '?', '[', ']', '{', '}', '(', ')', '!', '+', '@', '|'];

/// The fixed beginnings (directories or files) of every alternative; or why the pattern is refused.
pub(crate) fn fixed_parts(pattern: &str) -> Result<Vec<String>, &'static str> {
    if pattern.len() > MAX_PATTERN {
        return Err("the pattern is too long");
    }
    if pattern.chars().any(char::is_control) {
        return Err("the pattern has a control character in it");
    }
    if pattern.trim() != pattern {
        return Err("the pattern starts or ends with a blank");
    }
    let mut alternatives = Vec::new();
    expand(pattern, &mut alternatives)?;
    let mut fixed = Vec::new();
    for alternative in alternatives {
        let alternative = alternative.trim_start_matches('!');
        // A backslash only hides a character from the matcher: the path has it all the same.
        let plain: String = alternative.chars().filter(|character| *character != '\\').collect();
        if plain.starts_with('/') || plain.starts_with('~') {
            return Err("the pattern is absolute");
        }
        if plain.split('/').any(|part| part == "..") {
            return Err("the pattern has '..' in it");
        }
        let parts: Vec<&str> = plain.split('/').take_while(|part| !part.contains(MAGIC)).collect();
        let beginning = parts.join("/");
        if !beginning.is_empty() && !fixed.contains(&beginning) {
            fixed.push(beginning);
        }
    }
    Ok(fixed)
}

/// Expands `{a,b}` (nested too) as shells do. A brace without a comma stays as it is.
fn expand(pattern: &str, out: &mut Vec<String>) -> Result<(), &'static str> {
    let mut waiting = vec![pattern.to_owned()];
    let mut steps = 0_usize;
    while let Some(text) = waiting.pop() {
        steps += 1;
        if steps > 4 * MAX_ALTERNATIVES || waiting.len() + out.len() > MAX_ALTERNATIVES {
            return Err("the pattern has too many alternatives");
        }
        match first_choice(&text) {
            None => out.push(text),
            Some((before, choices, after)) => {
                waiting.extend(choices.iter().map(|choice| format!("{before}{choice}{after}")));
            }
        }
    }
    Ok(())
}

/// The first brace with a comma at its own level: what is before it, its choices, and what follows.
fn first_choice(text: &str) -> Option<(&str, Vec<&str>, &str)> {
    for (open, _) in text.match_indices('{') {
        let mut depth = 0_usize;
        let mut cuts = vec![open];
        for (at, character) in text[open..].char_indices() {
            match character {
                '{' => depth += 1,
                ',' if depth == 1 => cuts.push(open + at),
                '}' => {
                    depth -= 1;
                    if depth == 0 {
                        cuts.push(open + at);
                        break;
                    }
                }
                _ => {}
            }
        }
        if depth == 0 && cuts.len() > 2 {
            let choices = cuts.windows(2).map(|pair| &text[pair[0] + 1..pair[1]]).collect();
            let end = cuts[cuts.len() - 1];
            return Some((&text[..open], choices, &text[end + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_that_can_lead_out_are_refused() {
        for pattern in [
            "/etc/*",
            "~/x",
            "../x",
            "a/../../x",
            "{/etc,a}/*",
            "{..,a}/*",
            "{a,.}{.,b}/x",
            ".{.,x}/y",
            "{a,{b,..}}/c",
            r"\.\./x",
            r".\./x",
            r"\/etc/passwd",
            "!/etc/*",
            "{,/}etc/x",
            " /etc/*",
            "a\0b",
            "{a/../..,b}/c",
        ] {
            assert!(fixed_parts(pattern).is_err(), "{pattern}");
        }
        let bomb = "{a,b}".repeat(20);
        assert_eq!(fixed_parts(&bomb), Err("the pattern has too many alternatives"));
    }

    #[test]
    fn ordinary_patterns_are_not() {
        for (pattern, expected) in [
            ("**/*.rs", vec![]),
            ("src/**/*.{ts,tsx}", vec!["src"]),
            ("{*.ts,*.test.tsx}", vec![]),
            ("{1..3}.txt", vec![]),
            ("a..b/c", vec!["a..b/c"]),
            ("{b/x,a}/*", vec!["a", "b/x"]),
            ("!*.md", vec![]),
        ] {
            assert_eq!(fixed_parts(pattern).unwrap(), expected, "{pattern}");
        }
    }
}
