//! What every reader needs at hand during one load: the file, the environment, and where findings go.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use crate::diagnostic::{Diagnostic, DiagnosticKind};
use crate::model::Dialect;
use crate::node::Mark;

/// Most findings of each sort; a file with more is hostile, or not a configuration.
const MAX_FINDINGS: usize = 500;

pub(crate) struct Context<'a> {
    /// As the caller named it.
    pub(crate) file: PathBuf,
    /// The file's directory: where relative paths start.
    pub(crate) base: PathBuf,
    pub(crate) home: Option<PathBuf>,
    pub(crate) dialect: Cell<Dialect>,
    env: &'a dyn Fn(&str) -> Option<String>,
    /// From `.env`; the environment wins.
    pub(crate) dotenv: RefCell<BTreeMap<String, String>>,
    found: RefCell<Found>,
}

#[derive(Default)]
pub(crate) struct Found {
    pub(crate) errors: Vec<Diagnostic>,
    pub(crate) warnings: Vec<Diagnostic>,
    pub(crate) secrets: Vec<SecretString>,
    pub(crate) not_yet: Vec<String>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(
        file: &Path,
        base: PathBuf,
        home: Option<&Path>,
        env: &'a dyn Fn(&str) -> Option<String>,
    ) -> Self {
        Self {
            file: file.to_owned(),
            base,
            home: home.map(Path::to_owned),
            dialect: Cell::new(Dialect::V05),
            env,
            dotenv: RefCell::default(),
            found: RefCell::default(),
        }
    }

    pub(crate) fn is_v01(&self) -> bool {
        self.dialect.get() == Dialect::V01
    }

    /// A variable of the environment, or else of `.env`.
    pub(crate) fn env(&self, name: &str) -> Option<String> {
        (self.env)(name).or_else(|| self.dotenv.borrow().get(name).cloned())
    }

    /// A variable of the process alone.
    pub(crate) fn process_env(&self, name: &str) -> Option<String> {
        (self.env)(name)
    }

    pub(crate) fn error(&self, at: Mark, key: &str, kind: DiagnosticKind, message: impl Into<String>) {
        self.error_help(at, key, kind, message, None);
    }

    pub(crate) fn error_help(
        &self,
        at: Mark,
        key: &str,
        kind: DiagnosticKind,
        message: impl Into<String>,
        help: Option<String>,
    ) {
        let diagnostic = self.diagnostic(at, key, kind, message.into(), help);
        push(&mut self.found.borrow_mut().errors, diagnostic);
    }

    pub(crate) fn warn(
        &self,
        at: Mark,
        key: &str,
        kind: DiagnosticKind,
        message: impl Into<String>,
        help: Option<String>,
    ) {
        let diagnostic = self.diagnostic(at, key, kind, message.into(), help);
        push(&mut self.found.borrow_mut().warnings, diagnostic);
    }

    /// A warning about another file than the configuration.
    pub(crate) fn warn_in(&self, file: PathBuf, line: u32, kind: DiagnosticKind, message: impl Into<String>) {
        let diagnostic = Diagnostic {
            file,
            line,
            column: 0,
            key: String::new(),
            message: message.into(),
            help: None,
            kind,
        };
        push(&mut self.found.borrow_mut().warnings, diagnostic);
    }

    pub(crate) fn not_yet(&self, line: String) {
        let mut found = self.found.borrow_mut();
        if !found.not_yet.contains(&line) && found.not_yet.len() < MAX_FINDINGS {
            found.not_yet.push(line);
        }
    }

    pub(crate) fn secret(&self, value: &SecretString) {
        self.found.borrow_mut().secrets.push(value.clone());
    }

    /// Whether further warnings would be dropped.
    pub(crate) fn is_full(&self) -> bool {
        self.found.borrow().warnings.len() >= MAX_FINDINGS
    }

    pub(crate) fn has_errors(&self) -> bool {
        !self.found.borrow().errors.is_empty()
    }

    pub(crate) fn into_found(self) -> Found {
        let mut found = self.found.into_inner();
        for list in [&mut found.errors, &mut found.warnings] {
            list.sort_by_key(|diagnostic| (diagnostic.line, diagnostic.column));
        }
        found
    }

    fn diagnostic(
        &self,
        at: Mark,
        key: &str,
        kind: DiagnosticKind,
        message: String,
        help: Option<String>,
    ) -> Diagnostic {
        let Mark { line, column } = at;
        Diagnostic { file: self.file.clone(), line, column, key: key.to_owned(), message, help, kind }
    }
}

/// The same place may be read twice: once by the table of keys, once by its owner; and a template's value once by
/// each entry that inherits it. It is told once.
fn push(list: &mut Vec<Diagnostic>, diagnostic: Diagnostic) {
    let told = |known: &Diagnostic| {
        known.line == diagnostic.line
            && known.column == diagnostic.column
            && known.kind == diagnostic.kind
            && known.message == diagnostic.message
            && (known.key == diagnostic.key || known.line > 0)
    };
    if list.len() < MAX_FINDINGS && !list.iter().any(told) {
        list.push(diagnostic);
    }
}
