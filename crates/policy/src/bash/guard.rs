//! What a command would do beyond its name: run another program, write a file, change what later commands mean.
//!
//! Owns the reading of a command's words. Its answer is a refusal, or a list of words that a rule has to name. Must
//! never make anything allowed.

use super::programs::{
    CALCULATING, CAREFUL, Careful, GIT_COMMANDS, GIT_GLOBAL, GIT_LONG, INTERPRETERS, NEVER, OPAQUE, RUNNERS,
};
use super::word::{Piece, Word};
use super::{scripts, wrappers};

/// A word that a rule must name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Danger {
    /// Its place among the words; 0 is the program.
    pub(crate) index: usize,
    /// A part of a sentence.
    pub(crate) why: &'static str,
    /// Whether the rule must fix every character of it.
    pub(crate) exact: bool,
}

/// What is known of a command that is not refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    pub(crate) dangers: Vec<Danger>,
    /// The command that it runs, which is judged too.
    pub(crate) inner: Option<Vec<Word>>,
    /// Whether an approval may not be remembered, as the same words may do something else the next time.
    pub(crate) is_once_only: bool,
}

/// Where a command stands.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place {
    /// It reads what another command, or a file that the command names, gives it.
    pub(crate) is_fed: bool,
    /// The source changes the working directory somewhere.
    pub(crate) moves: bool,
}

const OPTION: &str = "an option of a program that can run others";
const OPEN: &str = "a word known only when it runs, which may turn out to be an option";
const RUNS: &str = "a program that runs others";

/// The program's name by which tables know it: without folders, in small letters.
pub(crate) fn name_of(word: &Word) -> String {
    let name = word.raw.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    if name.is_empty() { word.raw.clone() } else { name }
}

/// Without a version: `python3.11` is `python`.
fn unversioned(name: &str) -> &str {
    name.trim_end_matches(|last: char| last.is_ascii_digit() || matches!(last, '.' | '-'))
}

fn listed(list: &[&str], name: &str) -> bool {
    list.contains(&name) || list.contains(&unversioned(name))
}

/// Looks at a command. The refusal is a part of a sentence.
pub(crate) fn examine(words: &[Word], place: Place) -> Result<Findings, String> {
    let Some(program) = words.first() else { return Err("it has no name".into()) };
    let name = name_of(program);
    // A path leads to a file, never to a command of the shell.
    let is_of_shell = !program.raw.contains('/');
    if let Some((_, why)) = NEVER.iter().find(|(never, _)| is_of_shell && *never == name) {
        return Err(format!("'{}' is never allowed: {why}", program.raw));
    }
    if is_of_shell
        && name == "command"
        && words.get(1).is_none_or(|word| !matches!(word.raw.as_str(), "-v" | "-V"))
    {
        return Err("'command' is never allowed but as 'command -v': it runs another command".into());
    }
    if is_of_shell && CALCULATING.contains(&name.as_str()) {
        calculates(&name, words)?;
    }
    if place.moves && program.raw.contains('/') && !program.raw.starts_with('/') {
        return Err(format!("'{}' would be looked for in a folder that the command changes to", program.raw));
    }
    // GNU programs are called gsort, gtar, … where others have the plain names.
    let plain = name.strip_prefix('g').unwrap_or(&name);
    let is_careful = CAREFUL.iter().find(|entry| {
        entry.name == name
            || entry.name == unversioned(&name)
            || entry.name == plain
            || (entry.name == "tar" && name == "bsdtar")
    });
    let is_loader = name.starts_with("ld-") || name.starts_with("ld.so") || name.starts_with("ld64");
    let runs = Danger { exact: false, index: 0, why: RUNS };
    let mut findings = Findings::default();
    let mut acts_on_folder = false;
    if let Some(wrapped) = wrappers::unwrap(&name, words) {
        let wrapped = wrapped?;
        findings.dangers.push(runs);
        findings.dangers.extend(wrapped.dangers);
        findings.inner = wrapped.inner;
        findings.is_once_only = true;
    } else if listed(RUNNERS, &name) || is_loader {
        if place.is_fed {
            return Err(format!("'{}' may run what it is fed", program.raw));
        }
        findings.dangers = (0..words.len()).map(|index| Danger { exact: false, index, why: RUNS }).collect();
        findings.is_once_only = true;
        acts_on_folder = true;
    } else if listed(INTERPRETERS, &name) || listed(OPAQUE, &name) {
        let is_interpreter = listed(INTERPRETERS, &name);
        if place.is_fed && !(is_interpreter && has_script(words)) {
            return Err(format!("'{}' may run what it is fed", program.raw));
        }
        findings.dangers.push(runs);
        findings.dangers.extend(every_option(words));
        findings.is_once_only = true;
        acts_on_folder = true;
    } else if let Some(dangers) = scripts::dangers(&name, words) {
        findings.is_once_only = true;
        findings.dangers = dangers;
    } else if name == "git" {
        findings.dangers = git(words);
        acts_on_folder = true;
    } else if let Some(entry) = is_careful {
        findings.dangers = careful(entry, words);
        findings.is_once_only = entry.has_subcommand;
        acts_on_folder = entry.has_subcommand;
    } else if name == "uniq" {
        findings.dangers = second_operand(words);
    }
    if place.moves && acts_on_folder {
        return Err(format!(
            "'{}' acts on what it finds in the working directory, and the command changes that: leave out the cd",
            program.raw
        ));
    }
    Ok(findings)
}

fn is_option(word: &Word) -> bool {
    word.value().is_some_and(|value| value.starts_with(['-', '+']))
}

/// Whether an interpreter is given a file to run, so that what it is fed is only data.
fn has_script(words: &[Word]) -> bool {
    words.get(1).and_then(Word::value).is_some_and(|value| {
        !value.starts_with(['-', '+']) && !value.starts_with("/dev/") && !value.starts_with("/proc/")
    })
}

fn open_words(words: &[Word]) -> impl Iterator<Item = Danger> {
    let open = |(index, word): (usize, &Word)| {
        word.may_become_option().then_some(Danger { exact: false, index, why: OPEN })
    };
    words.iter().enumerate().skip(1).filter_map(open)
}

fn every_option(words: &[Word]) -> Vec<Danger> {
    let mut dangers: Vec<Danger> = open_words(words).collect();
    for (index, word) in words.iter().enumerate().skip(1) {
        let value = word.value().unwrap_or_default();
        // `.shell` and the like are commands of what reads them.
        let is_command = value.strip_prefix('.').is_some_and(|rest| rest.starts_with(char::is_alphabetic));
        if is_option(word) || is_command || value.starts_with('!') || value.contains('=') {
            dangers.push(Danger { exact: false, index, why: OPTION });
        }
    }
    dangers
}

/// Whether a word is one of these options, or a beginning of one.
pub(crate) fn has_option(value: &str, long: &[&str], short: &str) -> bool {
    if let Some(written) = value.strip_prefix("--") {
        let written = written.split('=').next().unwrap_or_default();
        return !written.is_empty()
            && long.iter().any(|option| option.starts_with(written) || written == *option);
    }
    value.strip_prefix('-').is_some_and(|letters| letters.chars().any(|letter| short.contains(letter)))
}

fn careful(entry: &Careful, words: &[Word]) -> Vec<Danger> {
    let mut dangers: Vec<Danger> = open_words(words).collect();
    if entry.has_subcommand {
        dangers.push(Danger { exact: false, index: 0, why: RUNS });
    }
    let mut subcommand = false;
    for (index, word) in words.iter().enumerate().skip(1) {
        let Some(value) = word.value() else { continue };
        let small = value.to_ascii_lowercase();
        // Some programs take their options with one dash or with two.
        let single = if small.starts_with("--") { &small[1..] } else { small.as_str() };
        let named = entry.words.iter().any(|listed| {
            let is_it = |value: &str| {
                value.strip_prefix(listed).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
            };
            is_it(&value) || is_it(&small) || is_it(single)
        });
        // tar takes letters without a dash as its first word.
        let old =
            entry.name == "tar" && index == 1 && value.chars().any(|letter| entry.short.contains(letter));
        if named || old || has_option(&value, entry.long, entry.short) {
            dangers.push(Danger { exact: false, index, why: OPTION });
        } else if entry.has_subcommand && value.contains('=') && !value.starts_with('-') {
            dangers.push(Danger { exact: false, index, why: "a setting for a program that runs others" });
        } else if entry.has_subcommand && !subcommand && !value.starts_with(['-', '+']) {
            subcommand = true;
            dangers.push(Danger { exact: false, index, why: "what a program is to run" });
        }
    }
    dangers
}

/// `uniq` writes its second operand.
fn second_operand(words: &[Word]) -> Vec<Danger> {
    let mut operands = 0;
    let mut dangers: Vec<Danger> = open_words(words).collect();
    for (index, word) in words.iter().enumerate().skip(1) {
        operands += usize::from(!is_option(word));
        if operands > 1 {
            dangers.push(Danger { exact: false, index, why: "a file that is written" });
        }
    }
    dangers
}

fn git(words: &[Word]) -> Vec<Danger> {
    let mut dangers: Vec<Danger> = open_words(words).collect();
    let mut command = None;
    for (index, word) in words.iter().enumerate().skip(1) {
        let Some(value) = word.value() else { continue };
        match &command {
            None if GIT_GLOBAL.contains(&value.as_str()) => {}
            None if value.starts_with('-') => {
                dangers.push(Danger { exact: false, index, why: "an option before git's command" });
            }
            None => {
                if !GIT_COMMANDS.contains(&value.as_str()) {
                    dangers.push(Danger { exact: false, index, why: "a command of git that can run others" });
                }
                command = Some(value);
            }
            Some(command) => {
                let short = match command.as_str() {
                    "grep" => "O",
                    "clone" => "cu",
                    _ => "",
                };
                if has_option(&value, GIT_LONG, short) {
                    dangers.push(Danger {
                        exact: false,
                        index,
                        why: "an option that makes git run or write something",
                    });
                }
                if value.contains("::") && !value.starts_with('-') && reaches_out(command) {
                    dangers.push(Danger {
                        exact: false,
                        index,
                        why: "an address that makes git run a helper",
                    });
                }
            }
        }
    }
    dangers
}

fn reaches_out(command: &str) -> bool {
    matches!(command, "fetch" | "pull" | "push" | "ls-remote" | "remote" | "clone" | "submodule")
}

/// Refuses what a calculating command would run. `[ 'a[$(ls)]' -eq 1 ]` does, in some shells.
fn calculates(name: &str, words: &[Word]) -> Result<(), String> {
    for word in &words[1..] {
        let text = word.value().unwrap_or_else(|| word.raw.clone());
        if text.contains('[') && (text.contains("$(") || text.contains('`') || text.contains("${")) {
            return Err(format!("'{name}' may run the text inside of brackets in its words"));
        }
    }
    match name {
        "[" | "test" => test(name, &words[1..]),
        "printf" => printf(&words[1..]),
        "exit" | "return" | "break" | "continue" | "shift" | "ulimit" | "umask" => {
            let sound = words[1..].iter().all(|word| is_number(word) || word.value().is_some());
            if sound {
                Ok(())
            } else {
                Err(format!("'{name}' calculates with what is known only when it runs"))
            }
        }
        _ => Ok(()),
    }
}

/// With an option, or with numbers that are known only when it runs, `printf` may calculate.
fn printf(words: &[Word]) -> Result<(), String> {
    let Some((format, rest)) = words.split_first() else { return Ok(()) };
    let Some(text) = format.value() else {
        return Err("the format of 'printf' is known only when it runs".into());
    };
    if text.starts_with('-') {
        return Err("'printf' with an option may run commands".into());
    }
    let has_numbers = text.replace("%%", "").split('%').skip(1).any(|part| {
        let end = part.trim_start_matches(|flag: char| flag.is_ascii_digit() || "-+ #.".contains(flag));
        !end.starts_with(['s', 'b', 'q'])
    });
    if has_numbers && !rest.iter().all(|word| word.value().is_some() || is_number(word)) {
        return Err("'printf' calculates with what is known only when it runs: use %s".into());
    }
    Ok(())
}

/// Only the forms of a test whose operators are written out; others may calculate.
fn test(name: &str, words: &[Word]) -> Result<(), String> {
    const UNARY: &[&str] =
        &["-e", "-f", "-d", "-r", "-w", "-x", "-s", "-z", "-n", "-L", "-h", "-p", "-S", "-b", "-c"];
    const BINARY: &[&str] = &["=", "==", "!=", "-nt", "-ot", "-ef"];
    const NUMBERS: &[&str] = &["-eq", "-ne", "-lt", "-le", "-gt", "-ge"];
    let words = match (name, words.split_last()) {
        ("[", Some((last, rest))) if last.raw == "]" => rest,
        ("[", _) => return Err("a '[' is never closed".into()),
        _ => words,
    };
    let words = match words.split_first() {
        Some((first, rest)) if first.raw == "!" => rest,
        _ => words,
    };
    let operator = |word: &Word, list: &[&str]| list.contains(&word.raw.as_str());
    let sound = match words {
        [word] => !splits(word),
        [unary, word] => operator(unary, UNARY) && !splits(word),
        [left, binary, right] if operator(binary, NUMBERS) => is_number(left) && is_number(right),
        [left, binary, right] => operator(binary, BINARY) && !splits(left) && !splits(right),
        _ => false,
    };
    if sound { Ok(()) } else { Err(format!("this form of '{name}' may run commands: write a simple one")) }
}

/// Whether it is a number, written out or set by the shell itself.
fn is_number(word: &Word) -> bool {
    if let [Piece::Variable { name, .. }] = &word.pieces[..] {
        return matches!(name.as_str(), "?" | "#" | "$");
    }
    word.value().is_some_and(|text| {
        let digits = text.strip_prefix('-').unwrap_or(&text);
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// Whether it may turn out to be several words, or none.
fn splits(word: &Word) -> bool {
    word.pieces.iter().any(|piece| match piece {
        Piece::Variable { quoted, .. } | Piece::Substitution { quoted } => !quoted,
        Piece::Unknown | Piece::Glob(_) => true,
        Piece::Text(_) | Piece::Home => false,
    })
}
