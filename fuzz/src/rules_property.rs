//! What must hold for every pattern of a rule, on every text.
//!
//! Owns the properties: a rule matches the whole text or not at all, a quoted text matches itself alone, and either
//! of two patterns is what one or the other allows.

#![allow(unreachable_pub, reason = "a module of a library here, and of a test binary elsewhere")]

use acg_policy::Rule;

fn rule(pattern: &str) -> Option<Rule> {
    Rule::new("T", Some(pattern)).ok()
}

/// Whether putting a pattern into a longer one keeps its meaning.
fn is_self_contained(pattern: &str) -> bool {
    !pattern.contains("(?") && !pattern.contains('\\') && !pattern.contains('#')
}

/// Asserts all of it; the first line is the pattern, the rest is the text. Returns whether the pattern is valid and
/// matches.
pub fn check(data: &str) -> bool {
    let (pattern, text) = data.split_once('\n').unwrap_or((data, ""));
    if pattern.len() > 200 || text.len() > 200 {
        return false;
    }
    // A text of its own matches itself, and nothing longer.
    let quoted: String = text
        .chars()
        .map(|c| if c.is_ascii_punctuation() { format!("\\{c}") } else { c.to_string() })
        .collect();
    if let Some(itself) = rule(&quoted) {
        assert!(itself.matches("T", text), "{quoted:?} does not match {text:?}");
        for longer in [format!("{text}x"), format!("x{text}"), format!("{text}\n"), format!("\n{text}")] {
            assert!(!itself.matches("T", &longer), "{quoted:?} matches {longer:?}");
        }
    }
    let Some(found) = rule(pattern) else { return false };
    let matches = found.matches("T", text);
    assert!(!found.matches("U", text) && !found.matches("TT", text), "another tool");
    if matches {
        // The same pattern with more demanded at an end cannot match the text itself, unless it is more.
        if let Some(never) =
            is_self_contained(pattern).then(|| rule(&format!("(?:{pattern})\u{e000}"))).flatten()
        {
            assert!(!never.matches("T", text), "{pattern:?} is not anchored on {text:?}");
        }
    }
    if is_self_contained(pattern) {
        for same in [format!("(?:{pattern})"), format!("(?:{pattern}|\u{e000})")] {
            if let Some(same) = rule(&same) {
                assert_eq!(same.matches("T", text), matches, "{pattern:?} on {text:?}");
            }
        }
        // An anchor inside holds at the ends of the longer text only.
        let longer = (!pattern.contains(['^', '$']))
            .then(|| rule(&format!("\u{e000}(?:{pattern})\u{e001}")))
            .flatten();
        if let Some(longer) = longer {
            assert_eq!(
                longer.matches("T", &format!("\u{e000}{text}\u{e001}")),
                matches,
                "{pattern:?} on {text:?}"
            );
        }
    }
    matches
}
