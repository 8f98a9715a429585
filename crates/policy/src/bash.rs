//! What a bash command would run, and whether rules allow all of it.
//!
//! Owns reading a command without running it. What is guaranteed:
//!
//! * A command is allowed only if two readings of it agree to the byte: a strict parser of our own, which knows a
//!   small part of the language, and tree-sitter's grammar, walked with a list of known node kinds. What either does
//!   not know by name is refused: errors, process substitutions, functions, arrays, arithmetic, `[[ ]]`,
//!   here-documents, backticks, brace expansion, `${x:-…}`, `$'…'`, background jobs, assignments to the shell itself.
//! * Characters that shells, parsers or people read differently are refused before anything is parsed.
//! * Every simple command anywhere must be allowed by a rule on its own, those in `$(…)` too.
//! * Rules see words by their value: quoting that is not needed is taken away. What is known only when the command
//!   runs (variables, substitutions) must be allowed whatever it turns out to be.
//! * Words that make a program run another, write a file, or read what runs as input (`find -exec`, `git -c`,
//!   `python3 -c`, `env`, redirections, assignments) must be *named*: the rule must match them, and must not match
//!   the same command with another word in their place. So `find .*` does not allow `find . -delete`, and
//!   `find . -name x -delete` as a rule does. What `xargs`, `env`, `timeout` and their like run must be allowed too.
//! * `eval`, `source`, `exec`, `trap`, `alias`, `export` and their like are refused whatever rules say.
//!
//! What it cannot know: what an allowed program does with plain words (`python3 x.py`, `make test`, a program of
//! one's own), and what files hold. Must never do I/O, look at a clock, or allow what it does not understand.
//!
//! `docs/bash-rules.md` tells people how to write rules.

mod analyse;
mod grammar;
mod guard;
mod programs;
mod screen;
mod script;
mod scripts;
mod tree;
mod word;
mod words;
mod wrappers;

use analyse::{Analysis, Found, analyse};

use crate::rule::Rule;

/// A simple command, as rules see it.
#[derive(Clone, Debug)]
pub struct SimpleCommand {
    /// What rules are matched against: assignments, words by their value with one blank between them, and
    /// redirections to files. Harmless redirections (`2>&1`, `>/dev/null`) are left out.
    pub text: String,
    /// The words in the form in which they stand in the text; the first is the program.
    pub words: Vec<String>,
    forms: Vec<Form>,
    is_once_only: bool,
    is_open: bool,
    behind: Option<String>,
}

/// One way in which a command may run: with one value of each loop around it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Form {
    /// Some rule must match this, and none of the decoys of what it must name.
    text: String,
    /// Some rule must match each of these.
    guesses: Vec<String>,
    named: Vec<Named>,
}

/// A part that a rule must name.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    what: String,
    why: String,
    decoys: Vec<String>,
}

/// Why nothing of a source is allowed, whatever the rules.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the command cannot be judged: {reason}")]
pub struct BashRefusal {
    /// What is not understood, as a part of a sentence.
    pub reason: String,
    /// The commands found up to there, as rules would see them.
    pub found: Vec<String>,
}

/// The answer for a whole source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BashReport {
    /// Every simple command, in the order of the source; what a wrapper runs comes after it.
    pub commands: Vec<BashCommand>,
    /// Why nothing is allowed whatever the rules, if so.
    pub refusal: Option<String>,
}

/// The answer for one simple command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BashCommand {
    /// As rules see it.
    pub text: String,
    /// Whether a rule allows it.
    pub allowed: bool,
    /// Why not, or behind which wrapper it stands.
    pub note: Option<String>,
}

impl BashReport {
    /// Whether all of it is allowed.
    pub fn is_allowed(&self) -> bool {
        self.refusal.is_none()
            && !self.commands.is_empty()
            && self.commands.iter().all(|command| command.allowed)
    }

    /// Why it is not allowed, in one sentence; `None` if it is.
    pub fn reason(&self) -> Option<String> {
        if let Some(refusal) = &self.refusal {
            return Some(format!("the command cannot be judged: {refusal}"));
        }
        let failed = self.commands.iter().find(|command| !command.allowed);
        match failed {
            Some(failed) => {
                Some(format!("`{}`: {}", failed.text, failed.note.as_deref().unwrap_or("not allowed")))
            }
            None if self.commands.is_empty() => Some("there is no command in it".into()),
            None => None,
        }
    }
}

/// Every simple command in a source. An error means that nothing in it may run, whatever the rules.
///
/// The texts are for showing. To decide, use [`judge_by_rules`]: a match of the text is needed, but not
/// enough, for commands with redirections, wrappers, variables and the like.
pub fn commands(source: &str) -> Result<Vec<SimpleCommand>, BashRefusal> {
    let analysis = analyse(source)?;
    let texts = || analysis.found.iter().map(|found| found.text.clone()).collect();
    if let Some(reason) = analysis.found.iter().find_map(|found| found.question.as_ref().err()) {
        return Err(BashRefusal { reason: reason.clone(), found: texts() });
    }
    Ok(analysis.found.into_iter().filter_map(|found| found.question.ok()).collect())
}

/// Judges a source by the rules of a role for this tool. The function to decide with.
///
/// A rule that forbids with a negative look-around cannot see what is known only when a command runs: it allows
/// nothing that has such parts.
pub fn judge_by_rules(source: &str, tool: &str, rules: &[&Rule]) -> BashReport {
    let rules: Vec<&Rule> = rules.iter().copied().filter(|rule| rule.matches_tool(tool)).collect();
    let forbids =
        |rule: &Rule| rule.params().is_some_and(|params| params.contains("(?!") || params.contains("(?<!"));
    judge_each(source, rules.len(), &|rule, text, is_open| {
        rules.get(rule).is_some_and(|rule| !(is_open && forbids(rule)) && rule.matches(tool, text))
    })
}

/// Judges a source by one predicate: whether some rule allows a text. Prefer [`judge_by_rules`], which can tell
/// that one rule names a redirection although another, broader one matches the text too.
pub fn judge(source: &str, allowed: &dyn Fn(&str) -> bool) -> BashReport {
    judge_rules(source, 1, &|_, text| allowed(text))
}

/// Judges a source by `count` rules, where `matches(rule, text)` tells whether a rule matches the whole text.
pub fn judge_rules(source: &str, count: usize, matches: &dyn Fn(usize, &str) -> bool) -> BashReport {
    judge_each(source, count, &|rule, text, _| matches(rule, text))
}

/// Whether a rule matches a text, and may do so although parts of the command are known only when it runs.
type Matches<'a> = dyn Fn(usize, &str, bool) -> bool + 'a;

fn judge_each(source: &str, count: usize, matches: &Matches<'_>) -> BashReport {
    let analysis = match analyse(source) {
        Ok(analysis) => analysis,
        Err(refusal) => {
            let commands = refusal
                .found
                .into_iter()
                .map(|text| BashCommand { text, allowed: false, note: None })
                .collect();
            return BashReport { commands, refusal: Some(refusal.reason) };
        }
    };
    let mut refusal = None;
    let commands = analysis
        .found
        .into_iter()
        .map(|Found { text, question }| match question {
            Ok(command) => match command.fault(count, matches) {
                None => {
                    let note = command.behind.map(|behind| format!("run by `{behind}`"));
                    BashCommand { text, allowed: true, note }
                }
                Some(fault) => BashCommand { text, allowed: false, note: Some(fault) },
            },
            Err(reason) => {
                refusal.get_or_insert(reason.clone());
                BashCommand { text, allowed: false, note: Some(reason) }
            }
        })
        .collect();
    BashReport { commands, refusal }
}

/// The command, if the source is exactly one simple command of which everything is known: no operators, nothing that
/// is expanded, no redirections to files.
pub fn is_simple(source: &str) -> Option<SimpleCommand> {
    let Analysis { mut found, is_compound } = analyse(source).ok()?;
    let command = found.pop()?.question.ok()?;
    (!is_compound
        && found.is_empty()
        && !command.is_open
        && command.forms.iter().all(|form| form.named.is_empty()))
    .then_some(command)
}

/// Whether an approval of this very command may be remembered: it is one simple command, it does the same the next
/// time, and it is no program that runs others. The error is a sentence for a person.
pub fn may_be_remembered(source: &str) -> Result<(), String> {
    let Analysis { found, is_compound } = analyse(source).map_err(|refusal| refusal.to_string())?;
    if is_compound || found.len() != 1 {
        return Err("it is more than one simple command".into());
    }
    for Found { text, question } in found {
        let command = question?;
        if command.is_once_only {
            return Err(format!("`{text}` runs other programs or scripts, which may change"));
        }
        if command.is_open {
            return Err(format!("`{text}` has parts that are known only when it runs"));
        }
        if let Some(named) = command.forms.iter().flat_map(|form| &form.named).next() {
            return Err(format!("`{}` is {}", named.what, named.why));
        }
    }
    Ok(())
}

impl SimpleCommand {
    /// Why the rules do not allow it, as a part of a sentence.
    fn fault(&self, count: usize, matches: &Matches<'_>) -> Option<String> {
        for form in &self.forms {
            let is_open = !form.guesses.is_empty();
            let matches = |rule: usize, text: &str| matches(rule, text, is_open);
            let any = |text: &str| (0..count).any(|rule| matches(rule, text));
            let loops = if form.text == self.text { String::new() } else { format!(" as `{}`", form.text) };
            let matching: Vec<usize> = (0..count).filter(|rule| matches(*rule, &form.text)).collect();
            if matching.is_empty() {
                return Some(format!("no rule allows it{loops}"));
            }
            let unnamed = |rule: usize| {
                form.named.iter().find(|named| named.decoys.iter().any(|decoy| matches(rule, decoy)))
            };
            let mut first = None;
            if !matching.iter().any(|rule| match unnamed(*rule) {
                None => true,
                Some(named) => {
                    first.get_or_insert(named);
                    false
                }
            }) {
                return first.map(|named| {
                    format!("no rule names `{}`, which is {}; a wildcard does not", named.what, named.why)
                });
            }
            if let Some(guess) = form.guesses.iter().find(|guess| !any(guess)) {
                return Some(format!(
                    "a part of it is known only when it runs, and no rule allows it whatever that is: `{}`",
                    guess.escape_debug()
                ));
            }
        }
        self.forms.is_empty().then(|| "nothing is known of it".to_owned())
    }
}
