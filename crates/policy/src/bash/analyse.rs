//! From a source text to questions for rules: what exactly a rule must match, and what it must not match, for each
//! command to be allowed.
//!
//! Owns putting the two readings and the guard together. Must never drop a command: each that a reading finds ends
//! as a question or as a refusal of the whole.

use std::collections::BTreeSet;

use super::guard::{self, Findings, Place};
use super::script::{Bound, Command, Script};
use super::word::{Piece, Word, show_value};
use super::{BashRefusal, Form, Named, SimpleCommand, grammar, screen, tree};

/// Most forms of one command that loops make.
const MAX_FORMS: usize = 64;
/// Most forms of all commands together.
const MAX_ALL_FORMS: usize = 600;
/// Longest form in bytes, which a loop's values may make longer than the source.
const MAX_FORM_BYTES: usize = 32 * 1024;
/// Deepest nesting of wrappers.
const MAX_WRAPPERS: usize = 4;
/// Stands where a rule must name a word: a rule that matches these instead does not.
const DECOYS: &[&str] = &["acg-decoy", "/acg/decoy.x", "ACGDECOY"];
const OPTION_DECOYS: &[&str] = &["acg-decoy", "-Q", "-acgdecoy", "--acg-decoy", "--acg-decoy=x"];
/// Places at which a word that must be fixed is changed to see that the rule minds.
const MAX_CHANGES: usize = 48;
/// Stand for what is known only when a command runs: a rule must allow the command with each of them.
const GUESSES: &[&str] = &[
    "",
    "/etc/x",
    "../x",
    "-x",
    "-delete",
    "--output=x",
    "x",
    "7",
    "a b",
    "a\n'\"$;|&<>`\\*",
    "LD_PRELOAD=x",
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 !#%()+,-./:=?@[]^_{}~é",
];

/// A command that was found: its text, and what to ask of rules or why it is refused.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) text: String,
    pub(crate) question: Result<SimpleCommand, String>,
}

/// Everything in a source.
#[derive(Debug)]
pub(crate) struct Analysis {
    pub(crate) found: Vec<Found>,
    /// Whether there is more than one simple command: operators, substitutions, loops, …
    pub(crate) is_compound: bool,
}

/// Reads a source twice and compares.
pub(crate) fn analyse(source: &str) -> Result<Analysis, BashRefusal> {
    let refused = |reason: String, found: Vec<String>| Err(BashRefusal { reason, found });
    if let Some(reason) = screen::fault(source) {
        return refused(reason, Vec::new());
    }
    let (script, read) = grammar::read(source);
    let texts = || script.commands.iter().map(|command| text_of(command, &command.words)).collect();
    if let Err(reason) = read {
        return refused(reason, texts());
    }
    match tree::marks(source) {
        Err(reason) => return refused(reason, texts()),
        Ok(marks) if marks != script.marks => {
            return refused(
                "two readings of it differ, so that it may hide something: write it more simply".into(),
                texts(),
            );
        }
        Ok(_) => {}
    }
    if script.commands.is_empty() {
        return refused("there is no command in it".into(), Vec::new());
    }
    let moves = script.commands.iter().any(|command| {
        matches!(guard::name_of(&command.words[0]).as_str(), "cd" | "pushd" | "popd" | "chdir")
    });
    let mut found = Vec::new();
    for command in &script.commands {
        examine(&script, command, moves, &mut found);
    }
    Ok(Analysis { found, is_compound: script.is_compound })
}

/// A command as rules see it.
fn text_of(command: &Command, words: &[Word]) -> String {
    line(command, words, |word| Some(word.shown()))
}

fn line(command: &Command, words: &[Word], show: impl Fn(&Word) -> Option<String>) -> String {
    let mut parts: Vec<String> = command.assignments.iter().map(Word::shown).collect();
    parts.extend(words.iter().filter_map(show).filter(|text| !text.is_empty()));
    for redirect in &command.redirects {
        parts.push(redirect.operator.clone());
        parts.push(redirect.target.shown());
    }
    parts.join(" ")
}

fn examine(script: &Script, command: &Command, moves: bool, found: &mut Vec<Found>) {
    let text = text_of(command, &command.words);
    let place = Place { is_fed: command.is_fed, moves };
    let mut inner = Vec::new();
    let question = forms_of(script, command).and_then(|variants| {
        let mut forms = Vec::new();
        let mut is_once_only = false;
        let all: usize =
            found.iter().filter_map(|found| found.question.as_ref().ok()).map(|one| one.forms.len()).sum();
        if all + variants.len() > MAX_ALL_FORMS {
            return Err(format!("loops make more than {MAX_ALL_FORMS} forms of its commands"));
        }
        for words in variants {
            let findings = guard::examine(&words, place)?;
            is_once_only |= findings.is_once_only;
            forms.push(form(command, &words, &findings));
            inner.extend(findings.inner);
        }
        forms.dedup();
        Ok(SimpleCommand {
            text: text.clone(),
            words: command.words.iter().map(Word::shown).collect(),
            forms,
            is_once_only,
            is_open: command.words.iter().any(|word| word.value().is_none() && word.raw != "["),
            behind: None,
        })
    });
    found.push(Found { text: text.clone(), question });
    let mut seen = BTreeSet::new();
    for words in inner {
        unwrapped(&text, words, place, 1, &mut seen, found);
    }
}

/// The command that a wrapper runs.
fn unwrapped(
    behind: &str,
    words: Vec<Word>,
    place: Place,
    depth: usize,
    seen: &mut BTreeSet<String>,
    found: &mut Vec<Found>,
) {
    let command = Command {
        range: 0..0,
        assignments: Vec::new(),
        words,
        redirects: Vec::new(),
        is_fed: place.is_fed,
        loops: Vec::new(),
    };
    let text = text_of(&command, &command.words);
    if !seen.insert(text.clone()) {
        return;
    }
    if depth > MAX_WRAPPERS {
        found.push(Found { text, question: Err("too many programs run each other".into()) });
        return;
    }
    let findings = guard::examine(&command.words, place);
    let question = findings.as_ref().map_err(Clone::clone).map(|findings| SimpleCommand {
        text: text.clone(),
        words: command.words.iter().map(Word::shown).collect(),
        forms: vec![form(&command, &command.words, findings)],
        is_once_only: true,
        is_open: true,
        behind: Some(behind.to_owned()),
    });
    found.push(Found { text: text.clone(), question });
    if let Some(inner) = findings.ok().and_then(|findings| findings.inner) {
        unwrapped(&text, inner, place, depth + 1, seen, found);
    }
}

/// What is asked about one form of a command.
fn form(command: &Command, words: &[Word], findings: &Findings) -> Form {
    let text = text_of(command, words);
    let mut guesses: Vec<String> = Vec::new();
    if words.iter().any(Word::is_open) {
        for guess in GUESSES {
            let guess = line(command, words, |word| word.shown_as(guess));
            if guess != text && !guesses.contains(&guess) {
                guesses.push(guess);
            }
        }
    }
    let mut named: Vec<Named> = Vec::new();
    for danger in &findings.dangers {
        let decoys = decoys(&words[danger.index], danger.exact)
            .into_iter()
            .map(|decoy| {
                let mut words = words.to_vec();
                words[danger.index] = Word::of(&decoy);
                text_of(command, &words)
            })
            .collect();
        named.push(Named { what: words[danger.index].shown(), why: danger.why.to_owned(), decoys });
    }
    for (index, assignment) in command.assignments.iter().enumerate() {
        let value = assignment.raw.split_once('=').map_or("", |(_, value)| value);
        let decoys = [format!("ACG_DECOY={value}"), "acg-decoy".to_owned()]
            .into_iter()
            .map(|decoy| {
                let mut command = command.clone();
                command.assignments[index] = Word { raw: decoy, ..Word::of("") };
                command.assignments[index].is_written = true;
                text_of(&command, words)
            })
            .collect();
        named.push(Named {
            what: assignment.shown(),
            why: "a variable that is set for a command".into(),
            decoys,
        });
    }
    for (index, redirect) in command.redirects.iter().enumerate() {
        let decoys = ["acg-decoy", "-Q"]
            .into_iter()
            .map(|decoy| {
                let mut command = command.clone();
                decoy.clone_into(&mut command.redirects[index].operator);
                text_of(&command, words)
            })
            .collect();
        let what = format!("{} {}", redirect.operator, redirect.target.shown());
        named.push(Named { what, why: "a redirection to or from a file".into(), decoys });
    }
    Form { text, guesses, named }
}

fn decoys(word: &Word, exact: bool) -> Vec<String> {
    let value = word.value().unwrap_or_default();
    let list = if value.starts_with(['-', '+']) { OPTION_DECOYS } else { DECOYS };
    let mut decoys: Vec<String> = list.iter().map(|decoy| (*decoy).to_owned()).collect();
    if exact {
        let places: Vec<usize> = value.char_indices().map(|(at, _)| at).chain([value.len()]).collect();
        let step = places.len().div_ceil(MAX_CHANGES).max(1);
        decoys
            .extend(places.into_iter().step_by(step).map(|at| format!("{}Q{}", &value[..at], &value[at..])));
    }
    decoys
}

/// The words of a command with the values of the loops around it in place of their variables.
fn forms_of(script: &Script, command: &Command) -> Result<Vec<Vec<Word>>, String> {
    let mut forms = vec![command.words.clone()];
    let names: BTreeSet<&String> = command.loops.iter().collect();
    for name in names {
        let uses = |piece: &Piece| matches!(piece, Piece::Variable { name: used, .. } if used == name);
        let count = command.words.iter().flat_map(|word| &word.pieces).filter(|piece| uses(piece)).count();
        if count == 0 {
            continue;
        }
        let Some(Bound::Values(values)) = script.bound.get(name) else { continue };
        // Before anything is put together: a long value that is used often would take much memory.
        if values.iter().any(|value| value.len() * count > MAX_FORM_BYTES) {
            return Err(format!("loops make it longer than {} KiB", MAX_FORM_BYTES / 1024));
        }
        if forms.len() * values.len() > MAX_FORMS {
            return Err(format!("loops make more than {MAX_FORMS} forms of it"));
        }
        forms = forms
            .iter()
            .flat_map(|words| {
                values.iter().map(move |value| words.iter().map(|word| put(word, name, value)).collect())
            })
            .collect();
    }
    for name in command.words.iter().flat_map(|word| &word.pieces).filter_map(|piece| match piece {
        Piece::Variable { name, .. } => Some(name),
        _ => None,
    }) {
        if name.starts_with(|first: char| first.is_ascii_lowercase()) && !script.bound.contains_key(name) {
            return Err(format!("it uses the variable '{name}', which nothing in it sets"));
        }
    }
    Ok(forms)
}

/// The word with a variable's value in its place, where that leaves it one word.
fn put(word: &Word, name: &str, value: &str) -> Word {
    let mut changed = false;
    let mut pieces: Vec<Piece> = Vec::new();
    for piece in &word.pieces {
        let piece = match piece {
            Piece::Variable { name: used, quoted }
                if used == name && (*quoted || show_value(value) == value) =>
            {
                changed = true;
                Piece::Text(value.to_owned())
            }
            other => other.clone(),
        };
        match (pieces.last_mut(), piece) {
            (Some(Piece::Text(before)), Piece::Text(text)) => before.push_str(&text),
            (_, piece) => pieces.push(piece),
        }
    }
    if changed { Word { pieces, is_written: false, ..word.clone() } } else { word.clone() }
}
