//! The only place that prints.
//!
//! Owns colours, JSON or text, and what happens when nobody reads any more (nothing). Must never decide what a
//! command does.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use acg_types::text::is_hidden;
use serde::Serialize;
use serde_json::json;

use crate::failure::Failure;

/// Where a command's words go.
#[derive(Debug)]
pub(crate) struct Output {
    /// One JSON object on stdout instead of text.
    pub(crate) json: bool,
    colours: bool,
}

/// What a word means, for its colour.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tone {
    Good,
    Doubtful,
    Bad,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, colours: !json && wants_colours(&io::stdout()) }
    }

    /// A line on stdout; nothing with `--json`.
    pub(crate) fn line(&self, text: impl Display) {
        if !self.json {
            to_stdout(format!("{text}\n").as_bytes());
        }
    }

    /// A line on stderr; nothing with `--json`.
    pub(crate) fn warn(&self, text: impl Display) {
        if !self.json {
            to_stderr(&format!("{text}\n"));
        }
    }

    /// A line on a terminal's stderr that the next one replaces; nothing elsewhere.
    pub(crate) fn progress(&self, text: impl Display) {
        if !self.json && io::stderr().is_terminal() {
            to_stderr(&format!("\r\u{1b}[K{text}"));
        }
    }

    /// Takes the last such line away.
    pub(crate) fn progress_done(&self) {
        self.progress("");
    }

    /// The one object of `--json`; nothing without it.
    pub(crate) fn object(&self, object: &impl Serialize) {
        if self.json
            && let Ok(mut text) = serde_json::to_vec(object)
        {
            text.push(b'\n');
            to_stdout(&text);
        }
    }

    /// Bytes on stdout, whatever the form. The error says that nobody reads any more.
    pub(crate) fn raw(bytes: &[u8]) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes)?;
        stdout.flush()
    }

    /// A word in its colour, on a terminal.
    pub(crate) fn tone(&self, tone: Tone, text: impl Display) -> String {
        let code = match tone {
            Tone::Good => 32,
            Tone::Doubtful => 33,
            Tone::Bad => 31,
        };
        if self.colours { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_string() }
    }

    /// Says what failed and gives the exit code for it.
    pub(crate) fn failure(&self, failure: &Failure) -> ExitCode {
        if failure.told {
            return ExitCode::FAILURE;
        }
        if self.json {
            self.object(&json!({
                "ok": false, "error": failure.what, "reasons": failure.why, "next": failure.next,
            }));
            return ExitCode::FAILURE;
        }
        let mut text = format!("Error: {}\n", printable(&failure.what));
        for why in &failure.why {
            text.extend(["  reason: ", &printable(why), "\n"]);
        }
        if let Some(next) = &failure.next {
            text.extend(["  next: ", &printable(next), "\n"]);
        }
        to_stderr(&text);
        ExitCode::FAILURE
    }
}

/// Answers a command line that clap did not take (exit 2), or `--help` and `--version` (exit 0).
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    let rendered = error.render();
    if error.use_stderr() {
        let text =
            if wants_colours(&io::stderr()) { rendered.ansi().to_string() } else { rendered.to_string() };
        to_stderr(&text);
    } else {
        let text =
            if wants_colours(&io::stdout()) { rendered.ansi().to_string() } else { rendered.to_string() };
        to_stdout(text.as_bytes());
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

/// Prints help because no command was given: exit 1, as in the Python program.
pub(crate) fn help(command: &mut clap::Command) -> ExitCode {
    let rendered = command.render_help();
    let text = if wants_colours(&io::stdout()) { rendered.ansi().to_string() } else { rendered.to_string() };
    to_stdout(text.as_bytes());
    ExitCode::FAILURE
}

/// Prints the help of a command that needs another word after it.
pub(crate) fn help_of(name: &str) -> ExitCode {
    let mut whole = crate::args::command();
    whole.build();
    match whole.find_subcommand_mut(name) {
        Some(command) => help(command),
        None => help(&mut whole),
    }
}

/// Text from elsewhere, made fit for one line on a terminal.
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    out
}

/// As [`printable`], and without what turns the direction of text or cannot be seen.
pub(crate) fn harmless(text: &str) -> String {
    let mut out = String::new();
    for character in printable(text).chars() {
        if is_hidden(character) {
            out.extend(character.escape_unicode());
        } else {
            out.push(character);
        }
    }
    out
}

fn wants_colours(stream: &impl IsTerminal) -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    stream.is_terminal() && !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// A closed pipe is no error: whoever asked has seen enough.
fn to_stdout(bytes: &[u8]) {
    drop(Output::raw(bytes));
}

fn to_stderr(text: &str) {
    drop(io::stderr().lock().write_all(text.as_bytes()));
}
