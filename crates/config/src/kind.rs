//! What a `type:` brings: its keys as a table, and the parser of its own subtree.
//!
//! Schema, starter configuration and the search for unknown keys are all made from the tables.

use std::fmt;

use crate::model::{AgentConfig, Settings};
use crate::section::Section;

/// The form of a value.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// `true` or `false`.
    Bool,
    /// A whole number within bounds, both included.
    Int {
        /// Least.
        min: u64,
        /// Most.
        max: u64,
    },
    /// Any number not below 0.
    Number,
    /// Seconds as a number, or a text such as `90s`, `5m`, `2h`.
    Duration,
    /// A number of bytes with its unit: `500MB`, `2GB`.
    Size,
    /// Any text.
    Text,
    /// A text that nobody may see. Also as `KEY_env`, `KEY_file` or `KEY_credential`.
    Secret,
    /// A path; relative ones start at the configuration's directory, `~` is the home directory.
    Path,
    /// One of a few words.
    OneOf(&'static [&'static str]),
    /// A list of texts.
    TextList,
    /// A list of paths.
    PathList,
    /// A mapping of any names to texts.
    TextMap,
    /// A list of tool rules.
    Rules,
    /// A mapping of roles to lists of tool rules.
    RulesByRole,
    /// A mapping of roles to lists of login names. The table has rows for those that are always there.
    People(&'static [Key]),
    /// A mapping with keys of its own.
    Section(&'static [Key]),
    /// Anything: somebody else looks at it.
    Any,
}

/// One row of a table of keys. Made by [`Key::new`] and the methods after it, all usable in a `const` or `static`:
/// `Key::new("port", Shape::Int { min: 1, max: 65535 }, "Port to listen on.").default("8765")`.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// The form of its value.
    pub shape: Shape,
    /// What it does: one or two sentences.
    pub doc: &'static str,
    /// The default, as YAML.
    pub default: Option<&'static str>,
    /// A value for the starter configuration, as YAML (one line). A key with one is written out there.
    pub example: Option<&'static str>,
    /// Whether it must be there. Only told to the schema: the parser says what is missing.
    pub required: bool,
    /// Whether it is understood but not carried out yet: a file that uses it gets a line in `not_yet`.
    pub not_yet: bool,
}

impl Key {
    /// A key that may be left out and has no default.
    pub const fn new(name: &'static str, shape: Shape, doc: &'static str) -> Self {
        Self { name, shape, doc, default: None, example: None, required: false, not_yet: false }
    }

    /// With this default (YAML).
    #[must_use]
    pub const fn default(mut self, yaml: &'static str) -> Self {
        self.default = Some(yaml);
        self
    }

    /// Written out in the starter configuration with this value (YAML, one line).
    #[must_use]
    pub const fn example(mut self, yaml: &'static str) -> Self {
        self.example = Some(yaml);
        self
    }

    /// Must be there.
    #[must_use]
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Understood but not carried out yet.
    #[must_use]
    pub const fn not_yet(mut self) -> Self {
        self.not_yet = true;
        self
    }
}

/// One `type:` of connectors or agents. Implemented beside the connector or backend that it configures.
pub trait Kind: Sync {
    /// The word after `type:`.
    fn name(&self) -> &'static str;

    /// The type's own keys. Those that every connector (or agent) has are known already; a row with the name of
    /// such a key takes its place.
    fn keys(&self) -> &'static [Key];

    /// Reads the type's own keys from one entry, templates and `$NAME` already worked in. What is wrong is said
    /// through `section`; then the answer is dropped, so `None` need only be given where nothing can be made.
    fn parse(&self, section: &mut Section<'_>) -> Option<Settings>;

    /// What is wrong with an agent's entry as a whole: who may use it, and how it is held. Asked once all of it was read.
    fn faults(&self, agent: &AgentConfig) -> Vec<Fault> {
        let _ = agent;
        Vec::new()
    }
}

/// What is wrong with an entry as a whole: an error of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The key that it is told at.
    pub key: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: String,
}

impl fmt::Debug for dyn Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kind({})", self.name())
    }
}

/// Every type there is a factory for.
#[derive(Clone, Debug, Default)]
pub struct Kinds {
    /// Of connectors.
    pub connectors: Vec<&'static dyn Kind>,
    /// Of agents.
    pub agents: Vec<&'static dyn Kind>,
}
