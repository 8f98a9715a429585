//! Where a chat's lines come from: a terminal with editing and history, or whatever is piped in.
//!
//! Owns reading. Must never print but the prompt.

use std::path::Path;

use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{Config, Editor};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Stdin};

use crate::failure::Failure;

/// Longest line that is read from a pipe, in bytes.
const LONGEST: u64 = 1024 * 1024;
/// Most lines of history that are kept.
const HISTORY: usize = 1000;

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Typed {
    /// A line, without its end.
    Line(String),
    /// Ctrl-C.
    Interrupted,
    /// Ctrl-D, or the end of the pipe.
    End,
}

/// A source of lines.
#[derive(Debug)]
pub(crate) enum Lines {
    /// A person at a terminal.
    Terminal(Box<Terminal>),
    /// A pipe.
    Pipe(Pipe),
}

/// What is piped in.
#[derive(Debug)]
pub(crate) struct Pipe {
    reader: BufReader<Stdin>,
    /// The beginning of a line whose end has not come: whoever stops waiting for it loses nothing.
    pending: Vec<u8>,
}

/// The editor, and where its history is kept.
pub(crate) struct Terminal {
    /// Away while a line is read.
    editor: Option<Editor<(), FileHistory>>,
    history: std::path::PathBuf,
}

impl std::fmt::Debug for Terminal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Terminal").field("history", &self.history).finish_non_exhaustive()
    }
}

impl Lines {
    /// Opens standard input; `terminal` if a person sits at it.
    pub(crate) fn open(terminal: bool, history: &Path) -> Result<Self, Failure> {
        if !terminal {
            return Ok(Self::Pipe(Pipe { reader: BufReader::new(tokio::io::stdin()), pending: Vec::new() }));
        }
        let refuse = |error: ReadlineError| Failure::new("the terminal cannot be read from").because(&error);
        let config = Config::builder()
            .max_history_size(HISTORY)
            .map_err(refuse)?
            .history_ignore_space(true)
            .auto_add_history(false)
            .build();
        let mut editor = Editor::with_config(config).map_err(refuse)?;
        // None the first time.
        drop(editor.load_history(history));
        let history = history.to_owned();
        Ok(Self::Terminal(Box::new(Terminal { editor: Some(editor), history })))
    }

    /// Reads a line. `keep`: whether it belongs into the history.
    pub(crate) async fn read(&mut self, prompt: &str, keep: bool) -> Result<Typed, Failure> {
        match self {
            Self::Terminal(terminal) => terminal.read(prompt.to_owned(), keep).await,
            Self::Pipe(pipe) => pipe.read().await,
        }
    }
}

impl Terminal {
    async fn read(&mut self, prompt: String, keep: bool) -> Result<Typed, Failure> {
        let Some(mut editor) = self.editor.take() else { return Ok(Typed::End) };
        let history = self.history.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let line = editor.readline(&prompt);
            if let (true, Ok(text)) = (keep, &line)
                && !text.trim().is_empty()
                && editor.add_history_entry(text.as_str()).is_ok()
            {
                // A history that cannot be kept is no reason to stop.
                drop(editor.append_history(&history));
            }
            (editor, line)
        });
        let (editor, line) = reading
            .await
            .map_err(|error| Failure::new("the terminal cannot be read from").because(&error))?;
        self.editor = Some(editor);
        match line {
            Ok(text) => Ok(Typed::Line(text)),
            Err(ReadlineError::Interrupted) => Ok(Typed::Interrupted),
            Err(ReadlineError::Eof) => Ok(Typed::End),
            Err(error) => Err(Failure::new("the terminal cannot be read from").because(&error)),
        }
    }
}

impl Pipe {
    async fn read(&mut self) -> Result<Typed, Failure> {
        let failed = |error: std::io::Error| Failure::new("standard input cannot be read").because(&error);
        let room = LONGEST.saturating_sub(self.pending.len() as u64);
        (&mut self.reader).take(room).read_until(b'\n', &mut self.pending).await.map_err(failed)?;
        if self.pending.len() as u64 >= LONGEST && self.pending.last() != Some(&b'\n') {
            return Err(
                Failure::new(format!("a line is longer than {LONGEST} bytes")).next("send it as a file")
            );
        }
        let mut line = std::mem::take(&mut self.pending);
        if line.is_empty() {
            return Ok(Typed::End);
        }
        while line.last().is_some_and(|last| matches!(last, b'\n' | b'\r')) {
            line.pop();
        }
        String::from_utf8(line)
            .map(Typed::Line)
            .map_err(|error| Failure::new("standard input is not UTF-8").because(&error))
    }
}
