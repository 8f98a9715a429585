//! Programs whose words hold a little program: `sed` and `awk`.
//!
//! Owns the part of these languages that neither runs commands nor writes files. Must never accept a script because
//! it fails to see what it does: it lists what is harmless.

use super::guard::Danger;
use super::word::Word;

const OPTION: &str = "an option of a program that can run others";
const SCRIPT: &str = "a script that may run commands or write files";

fn is_sed(name: &str) -> bool {
    matches!(name, "sed" | "gsed" | "ssed")
}

fn is_awk(name: &str) -> bool {
    matches!(name, "awk" | "gawk" | "mawk" | "nawk" | "bwk" | "original-awk" | "igawk" | "goawk")
}

/// The words that a rule must name; `None` if the program is none of these.
pub(crate) fn dangers(name: &str, words: &[Word]) -> Option<Vec<Danger>> {
    if is_sed(name) {
        Some(sed(words))
    } else if is_awk(name) {
        Some(awk(words))
    } else {
        None
    }
}

fn sed(words: &[Word]) -> Vec<Danger> {
    const FLAGS: &[&str] = &[
        "-n",
        "-E",
        "-r",
        "-s",
        "-u",
        "-z",
        "-nE",
        "-En",
        "-nr",
        "-rn",
        "--quiet",
        "--silent",
        "--regexp-extended",
    ];
    let mut dangers = Vec::new();
    let mut scripts = Vec::new();
    let mut operands = Vec::new();
    let mut at = 1;
    while let Some(word) = words.get(at) {
        match word.value() {
            None if word.may_become_option() => dangers.push(Danger { exact: false, index: at, why: OPTION }),
            Some(value) if value == "-e" || value == "--expression" || value == "-ne" => {
                at += 1;
                scripts.push(at);
            }
            Some(value) if FLAGS.contains(&value.as_str()) => {}
            Some(value) if value.starts_with('-') && value.len() > 1 => {
                dangers.push(Danger { exact: false, index: at, why: OPTION });
            }
            None | Some(_) => operands.push(at),
        }
        at += 1;
    }
    if scripts.is_empty() {
        scripts.extend(operands.first());
    }
    for index in scripts {
        let script = words.get(index).and_then(Word::value);
        if !script.is_some_and(|script| is_harmless_sed(&script)) {
            dangers.push(Danger { exact: true, index: index.min(words.len() - 1), why: SCRIPT });
        }
    }
    dangers
}

/// Addresses with `p`, `d`, `q` or `=`, and substitutions without the flags `e` and `w`.
fn is_harmless_sed(script: &str) -> bool {
    let mut rest = script.trim_matches(' ');
    if rest.is_empty() {
        return false;
    }
    loop {
        let Some(after) = sed_command(rest.trim_start_matches(' ')) else { return false };
        let after = after.trim_start_matches(' ');
        match after.strip_prefix(';') {
            None => return after.is_empty(),
            Some(next) => rest = next,
        }
        if rest.trim_matches(' ').is_empty() {
            return true;
        }
    }
}

/// Takes one command from the start.
fn sed_command(text: &str) -> Option<&str> {
    let mut rest = sed_address(text)?;
    if let Some(after) = rest.strip_prefix(',') {
        let end = sed_address(after)?;
        if end.len() == after.len() {
            return None;
        }
        rest = end;
    }
    rest = rest.strip_prefix('!').unwrap_or(rest);
    if let Some(rest) = rest.strip_prefix(['p', 'd', 'q', '=']) {
        return Some(rest);
    }
    let rest = rest.strip_prefix('s')?;
    let mark = rest.chars().next().filter(|mark| "/|#,:@%!".contains(*mark))?;
    let rest = sed_until(&rest[1..], mark)?;
    let rest = sed_until(rest, mark)?;
    Some(rest.trim_start_matches(|flag: char| flag.is_ascii_digit() || matches!(flag, 'g' | 'p' | 'i' | 'I')))
}

/// Takes an address, if there is one: a number, `$`, or a pattern between slashes.
fn sed_address(text: &str) -> Option<&str> {
    if let Some(rest) = text.strip_prefix('$') {
        return Some(rest);
    }
    if let Some(rest) = text.strip_prefix('/') {
        return sed_until(rest, '/');
    }
    Some(text.trim_start_matches(|digit: char| digit.is_ascii_digit()))
}

/// What follows the closing mark. Line ends, and brackets in which programs read marks differently, are not
/// understood.
fn sed_until(text: &str, mark: char) -> Option<&str> {
    let mut escaped = false;
    let mut bracket = None;
    for (at, character) in text.char_indices() {
        match character {
            '\n' => return None,
            ']' if bracket.is_some() => {
                let inside = text.get(bracket.unwrap_or_default()..at).unwrap_or_default();
                if inside.is_empty() || inside == "^" {
                    return None;
                }
                bracket = None;
            }
            '[' | '\\' if bracket.is_some() => return None,
            _ if character == mark && bracket.is_some() => return None,
            _ if bracket.is_some() => {}
            _ if escaped => escaped = false,
            '[' => bracket = Some(at + 1),
            '\\' => escaped = true,
            _ if character == mark => return text.get(at + 1..),
            _ => {}
        }
    }
    None
}

fn awk(words: &[Word]) -> Vec<Danger> {
    let mut dangers = Vec::new();
    let mut script = None;
    let mut at = 1;
    while let Some(word) = words.get(at) {
        match word.value() {
            None if script.is_none() || word.may_become_option() => {
                dangers.push(Danger { exact: false, index: at, why: OPTION });
            }
            Some(value) if script.is_none() && (value == "-F" || value == "-v") => {
                at += 1;
                let sound = words.get(at).and_then(Word::value).is_some_and(|value| !value.starts_with('-'));
                if !sound {
                    dangers.push(Danger { exact: false, index: at.min(words.len() - 1), why: OPTION });
                }
            }
            Some(value) if script.is_none() && value.starts_with("-F") => {}
            Some(value) if value.starts_with('-') && value.len() > 1 => {
                dangers.push(Danger { exact: false, index: at, why: OPTION });
            }
            Some(value) if script.is_none() => {
                script = Some(at);
                if !is_harmless_awk(&value) {
                    dangers.push(Danger { exact: true, index: at, why: SCRIPT });
                }
            }
            _ => {}
        }
        at += 1;
    }
    dangers
}

/// No call of commands, no files, nothing that takes a name from a text.
fn is_harmless_awk(script: &str) -> bool {
    let small = script.to_ascii_lowercase();
    !small.contains(['|', '>', '<', '@', '`', '\\'])
        && ![
            "system", "getline", "close", "fflush", "argv", "environ", "procinfo", "include", "load",
            "printf -",
        ]
        .iter()
        .any(|word| small.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn harmless_scripts_of_sed() {
        for script in [
            "5p",
            "1,20p",
            "$d",
            "s/a/b/",
            "s|a|b|g",
            "1,5s/a/b/gi;3d",
            "/foo/p",
            "/a/,/b/p",
            "/x/!d",
            "10q",
            "s/a\\/b/c/2",
            "s/[0-9]*//g",
        ] {
            assert!(is_harmless_sed(script), "{script}");
        }
        for script in [
            "",
            "e",
            "1e touch x",
            "s/x/touch y/e",
            "s/a/b/w f",
            "w f",
            "r f",
            "R f",
            "1w f",
            "s/a/b/ge",
            "s/a/b/;e",
            "a\\x",
            "s/[/]e/b/",
            "s/[]/]e/x/e",
            "s/[^]/]e/x/e",
            "s/a\nb/c/",
            "p\ne",
            "p}",
            "y/a/b/",
            "s/a/b",
            "5,p",
            "W f",
            "s/a/b/e;p",
            "{p}",
            "1~2p",
        ] {
            assert!(!is_harmless_sed(script), "{script}");
        }
    }

    #[test]
    fn harmless_scripts_of_awk() {
        for script in ["{print $1}", "NR==3", "{s+=$2} END {print s}", "/foo/ {print $NF}", "length($0)"] {
            assert!(is_harmless_awk(script), "{script}");
        }
        for script in [
            "BEGIN{system(\"x\")}",
            "{print | \"sh\"}",
            "{print > \"f\"}",
            "\"x\" | getline",
            "@load \"x\"",
            "{print $1 < 3}",
        ] {
            assert!(!is_harmless_awk(script), "{script}");
        }
    }
}
