//! Programs that run the rest of their words, where it is known which words those are.
//!
//! Owns the options of these programs. Must never take a word for an option's value that the program would run.

use super::guard::Danger;
use super::word::{Piece, Word};

/// What is behind a wrapper.
#[derive(Debug)]
pub(crate) struct Wrapped {
    pub(crate) dangers: Vec<Danger>,
    pub(crate) inner: Option<Vec<Word>>,
}

/// How a wrapper's options are read.
struct Wrapper {
    name: &'static str,
    /// Options that stand alone.
    flags: &'static [&'static str],
    /// Options whose value is the next word.
    values: &'static [&'static str],
    /// Beginnings of options that hold their value.
    joined: &'static [&'static str],
    /// Words between the options and the command.
    operands: usize,
}

const WRAPPERS: &[Wrapper] = &[
    Wrapper {
        name: "env",
        flags: &["-i", "-", "--ignore-environment"],
        values: &["-u"],
        joined: &["--unset="],
        operands: 0,
    },
    Wrapper { name: "nohup", flags: &[], values: &[], joined: &[], operands: 0 },
    Wrapper { name: "setsid", flags: &["-w", "--wait"], values: &[], joined: &[], operands: 0 },
    Wrapper { name: "nice", flags: &[], values: &["-n"], joined: &["--adjustment=", "-n"], operands: 0 },
    Wrapper { name: "ionice", flags: &["-t"], values: &["-c", "-n"], joined: &["-c", "-n"], operands: 0 },
    Wrapper {
        name: "stdbuf",
        flags: &[],
        values: &["-i", "-o", "-e"],
        joined: &["-i", "-o", "-e"],
        operands: 0,
    },
    Wrapper {
        name: "timeout",
        flags: &["--preserve-status", "--foreground", "-v", "--verbose"],
        values: &["-k", "-s"],
        joined: &["--kill-after=", "--signal="],
        operands: 1,
    },
    Wrapper {
        name: "xargs",
        flags: &["-0", "-r", "-t", "--null", "--no-run-if-empty", "--verbose", "-0r", "-r0"],
        values: &["-n", "-P", "-L", "-I", "-d", "-s"],
        joined: &["--max-args=", "--max-procs=", "--max-lines=", "--delimiter=", "-n", "-P", "-L", "-d"],
        operands: 0,
    },
];

/// Reads a wrapper; `None` if the program is none.
pub(crate) fn unwrap(name: &str, words: &[Word]) -> Option<Result<Wrapped, String>> {
    let name = match name {
        "gtimeout" => "timeout",
        "genv" => "env",
        "gxargs" => "xargs",
        "gnice" => "nice",
        "gstdbuf" => "stdbuf",
        "gnohup" => "nohup",
        other => other,
    };
    WRAPPERS.iter().find(|wrapper| wrapper.name == name).map(|wrapper| read(wrapper, words))
}

fn read(wrapper: &Wrapper, words: &[Word]) -> Result<Wrapped, String> {
    let unclear = || format!("'{}' is given options that are not understood", wrapper.name);
    let mut dangers = Vec::new();
    let mut replaced = None;
    let mut at = 1;
    while let Some(word) = words.get(at) {
        let value = word.value().filter(|value| *value == word.raw).ok_or_else(unclear)?;
        if wrapper.values.contains(&value.as_str()) {
            let taken = words
                .get(at + 1)
                .and_then(Word::value)
                .filter(|taken| !taken.starts_with('-') || taken.len() > 1);
            let taken = taken.filter(|taken| !taken.is_empty()).ok_or_else(unclear)?;
            if value == "-I" {
                replaced = Some(taken);
            }
            at += 2;
        } else if wrapper.name == "xargs" && value.starts_with("-I") {
            replaced = Some(value["-I".len()..].to_owned());
            at += 1;
        } else if wrapper.flags.contains(&value.as_str())
            || wrapper.joined.iter().any(|start| value.strip_prefix(start).is_some_and(is_number_or_word))
        {
            at += 1;
        } else if value.starts_with('-') {
            return Err(unclear());
        } else if wrapper.name == "env" && value.contains('=') {
            dangers.push(Danger { exact: false, index: at, why: "a variable that is set" });
            at += 1;
        } else {
            break;
        }
    }
    for _ in 0..wrapper.operands {
        words.get(at).and_then(Word::value).filter(|value| !value.starts_with('-')).ok_or_else(unclear)?;
        at += 1;
    }
    let rest = words.get(at..).unwrap_or_default();
    let Some(first) = rest.first() else {
        return if wrapper.name == "env" || wrapper.name == "nice" {
            Ok(Wrapped { dangers, inner: None })
        } else {
            // xargs alone runs echo, the others say how they are used.
            Err(format!("'{}' is given nothing to run", wrapper.name))
        };
    };
    let is_plain = first.is_bare()
        && first.raw.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_./+-".contains(&byte))
        && !first.raw.starts_with(['-', '+']);
    if !is_plain {
        return Err(format!("what '{}' runs is not written plainly", wrapper.name));
    }
    let mut inner = rest.to_vec();
    if wrapper.name == "xargs" {
        match replaced {
            None => inner.push(Word::unknown()),
            Some(mark) => {
                if first.raw.contains(&mark) {
                    return Err("what 'xargs' runs is known only when it runs".into());
                }
                for word in inner.iter_mut().filter(|word| word.raw.contains(&mark)) {
                    *word = filled(word, &mark);
                }
            }
        }
    }
    Ok(Wrapped { dangers, inner: Some(inner) })
}

/// A word in which `xargs` puts a text in place of the mark. The text stays within the word.
fn filled(word: &Word, mark: &str) -> Word {
    let mut pieces = Vec::new();
    let value = word.value().unwrap_or_default();
    for (index, part) in value.split(mark).enumerate() {
        if index > 0 {
            pieces.push(Piece::Substitution { quoted: true });
        }
        if !part.is_empty() {
            pieces.push(Piece::Text(part.to_owned()));
        }
    }
    let pieces = if word.value().is_some() { pieces } else { vec![Piece::Unknown] };
    Word { pieces, ..word.clone() }
}

fn is_number_or_word(rest: &str) -> bool {
    !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b",.".contains(&byte))
}
