//! What a starting daemon tells the `start` that waits for it: lines on its stdout, closed when it is ready.
//!
//! `info:…` and `error:…` any number of times, then `ok`; without `ok` the start failed, and `failed:…` or
//! `held:…` says why.

use std::fs::File;
use std::io::{self, Write};

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// Worth knowing.
    Info(String),
    /// Runs, but not as it should.
    Error(String),
    /// Does not run.
    Failed(String),
    /// Does not run, because another gateway does.
    Held(String),
    /// Ready.
    Ok,
}

impl Word {
    /// Reads a line; `None` for anything else.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let line = line.trim_end();
        if line == "ok" {
            return Some(Self::Ok);
        }
        let (kind, text) = line.split_once(':')?;
        let text = text.trim().to_owned();
        match kind {
            "info" => Some(Self::Info(text)),
            "error" => Some(Self::Error(text)),
            "failed" => Some(Self::Failed(text)),
            "held" => Some(Self::Held(text)),
            _ => None,
        }
    }

    fn line(&self) -> String {
        let flat = |text: &str| text.replace(char::is_control, " ");
        match self {
            Self::Info(text) => format!("info:{}\n", flat(text)),
            Self::Error(text) => format!("error:{}\n", flat(text)),
            Self::Failed(text) => format!("failed:{}\n", flat(text)),
            Self::Held(text) => format!("held:{}\n", flat(text)),
            Self::Ok => "ok\n".to_owned(),
        }
    }
}

/// The daemon's side. Says nothing in the foreground.
#[derive(Clone, Debug)]
pub(crate) struct Handshake {
    speaks: bool,
}

impl Handshake {
    /// Nobody waits.
    pub(super) fn none() -> Self {
        Self { speaks: false }
    }

    /// A parent reads our stdout.
    pub(super) fn stdout() -> Self {
        Self { speaks: true }
    }

    pub(super) fn speaks(&self) -> bool {
        self.speaks
    }

    pub(super) fn info(&self, text: &str) {
        self.say(&Word::Info(text.to_owned()));
    }

    pub(super) fn failed(&self, text: &str) {
        self.say(&Word::Failed(text.to_owned()));
    }

    pub(super) fn held(&self, label: &str) {
        self.say(&Word::Held(label.to_owned()));
    }

    /// Ready; `troubles` are what is not as it should be. Lets the parent go.
    pub(super) fn ready(self, troubles: &[String]) {
        if self.speaks {
            for trouble in troubles {
                self.say(&Word::Error(trouble.clone()));
            }
            self.say(&Word::Ok);
            close_stdout();
        }
    }

    fn say(&self, word: &Word) {
        if self.speaks {
            let mut stdout = io::stdout().lock();
            // A parent that went away has nothing to hear.
            drop(stdout.write_all(word.line().as_bytes()).and_then(|()| stdout.flush()));
        }
    }
}

/// Ends the parent's wait. The descriptor stays taken, so that no file gets the number of stdout.
fn close_stdout() {
    let closed =
        File::options().write(true).open("/dev/null").and_then(|null| Ok(rustix::stdio::dup2_stdout(null)?));
    if let Err(error) = closed {
        tracing::warn!(%error, "The daemon could not let go of its parent.");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_they_were_written() {
        for word in [
            Word::Info("one".to_owned()),
            Word::Error("rc: refused".to_owned()),
            Word::Failed("no".to_owned()),
            Word::Held("pid=4".to_owned()),
            Word::Ok,
        ] {
            assert_eq!(Word::parse(&word.line()), Some(word));
        }
        assert_eq!(Word::Error("two\nlines\r".to_owned()).line(), "error:two lines \n");
        assert_eq!(Word::parse("hello"), None);
        assert_eq!(Word::parse("other:hello"), None);
    }
}
