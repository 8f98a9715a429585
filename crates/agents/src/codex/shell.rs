//! From the command line that Codex shows to the script that a shell will run.
//!
//! Codex runs `SHELL -lc SCRIPT` and shows the three words as one line, quoted for a POSIX shell. Must never guess: a
//! line that is not exactly that gives nothing.

/// The shells whose language the rules for commands know.
const SHELLS: &[&str] = &["/bin/bash", "/usr/bin/bash", "/bin/sh", "/usr/bin/sh"];

/// The script in the line, if it surely is one.
pub(crate) fn unwrap(line: &str) -> Option<String> {
    let [shell, how, script] = <[String; 3]>::try_from(words(line)?).ok()?;
    (SHELLS.contains(&shell.as_str()) && matches!(how.as_str(), "-lc" | "-c")).then_some(script)
}

/// The words of a line in which nothing but quoting has a meaning. `None` for anything that a shell would read otherwise.
fn words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            ' ' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next()? {
                        '\'' => break,
                        quoted => word.push(quoted),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next()? {
                        '"' => break,
                        '\\' => match letters.next()? {
                            escaped @ ('"' | '\\' | '$' | '`') => word.push(escaped),
                            _ => return None,
                        },
                        '$' | '`' | '!' => return None,
                        quoted => word.push(quoted),
                    }
                }
            }
            plain if is_plain(plain) => word.get_or_insert_default().push(plain),
            _ => return None,
        }
    }
    words.extend(word.take());
    Some(words)
}

/// What is written without quotes.
fn is_plain(letter: char) -> bool {
    letter.is_ascii_alphanumeric()
        || matches!(letter, '+' | '-' | '.' | '/' | ':' | '@' | ']' | '_' | '=' | ',' | '%')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_script_is_found_only_where_it_surely_is_one() {
        for (line, script) in [
            ("/bin/bash -lc ls", Some("ls")),
            ("/bin/bash -lc 'touch cxa'", Some("touch cxa")),
            ("/usr/bin/sh -c 'a; b'", Some("a; b")),
            // As recorded.
            ("/bin/bash -c \"it's \"'$HOME \"x\"\n`id`'", Some("it's $HOME \"x\"\n`id`")),
            (r#"/bin/bash -lc "a \$b \\ \" c""#, Some(r#"a $b \ " c"#)),
            ("/bin/bash -lc ''", Some("")),
            ("/bin/zsh -lc ls", None),
            ("/srv/bash -lc ls", None),
            ("bash -lc ls", None),
            ("/bin/bash -ic ls", None),
            ("/bin/bash -lc ls x", None),
            ("/bin/bash -lc", None),
            ("ls", None),
            ("", None),
            ("/bin/bash -lc 'half", None),
            ("/bin/bash -lc \"$(id)\"", None),
            ("/bin/bash -lc ls;id", None),
            ("/bin/bash -lc $(id)", None),
            ("/bin/bash -lc a\\b", None),
            ("/bin/bash\t-lc ls", None),
            ("<command included NUL byte>", None),
        ] {
            assert_eq!(unwrap(line).as_deref(), script, "{line}");
        }
    }

    proptest! {
        #[test]
        fn what_is_quoted_comes_back(script in "\\PC{0,40}") {
            let quoted = script.replace('\'', "'\"'\"'");
            prop_assert_eq!(unwrap(&format!("/bin/bash -lc '{quoted}'")), Some(script));
        }

        #[test]
        fn no_line_is_too_odd(line in "\\PC*") {
            drop(unwrap(&line));
        }
    }
}
