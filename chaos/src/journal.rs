//! The agent's own record: what it was asked, which tools it ran, what it answered.
//!
//! Owns the shape of a line. Each line is one write in append mode, so that it is whole or not there, whoever dies
//! when, and several processes can write to one file.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The file's name, in the agent's working directory.
pub const FILE: &str = "journal.jsonl";

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The process.
    pub pid: u32,
    /// The session it serves.
    pub session: String,
    /// Whose process it is: `owner`, `guest`, …
    pub role: String,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum What {
    /// The process has begun.
    Started {
        /// With `--resume`.
        resumed: bool,
    },
    /// A prompt came.
    Prompt {
        /// The whole of it.
        text: String,
    },
    /// A tool is about to be used; the gateway is asked.
    Asked {
        /// The call's id.
        call: String,
        /// The mark of the request that wants it.
        mark: String,
    },
    /// The tool was run.
    Ran {
        /// The call's id.
        call: String,
        /// The mark of the request that wants it.
        mark: String,
    },
    /// The gateway said no.
    Refused {
        /// The call's id.
        call: String,
        /// The mark of the request that wants it.
        mark: String,
        /// The reason that the model was told.
        reason: String,
    },
    /// The gateway said that it cannot decide now; the turn ends with the call open.
    Deferred {
        /// The call's id.
        call: String,
        /// The mark of the request that wants it.
        mark: String,
    },
    /// A turn's answer is about to be told whole.
    Answered {
        /// The marks that it answers.
        marks: Vec<String>,
    },
}

/// Adds a line.
pub fn append(folder: &Path, entry: &Entry) -> io::Result<()> {
    let mut line = serde_json::to_string(entry)?;
    line.push('\n');
    let mut file = OpenOptions::new().create(true).append(true).open(folder.join(FILE))?;
    file.write_all(line.as_bytes())
}

/// Every line so far. A line that cannot be read is an error: the record would not be one.
pub fn read(folder: &Path) -> io::Result<Vec<Entry>> {
    let text = match std::fs::read_to_string(folder.join(FILE)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    text.lines().map(|line| serde_json::from_str(line).map_err(io::Error::from)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()).unwrap(), []);
        let entry = |what| Entry { pid: 1, session: "s".into(), role: "owner".into(), what };
        let entries = [
            entry(What::Started { resumed: true }),
            entry(What::Prompt { text: "a\n\"b\"".into() }),
            entry(What::Ran { call: "c".into(), mark: "m1".into() }),
            entry(What::Answered { marks: vec!["m1".into()] }),
        ];
        for entry in &entries {
            append(folder.path(), entry).unwrap();
        }
        assert_eq!(read(folder.path()).unwrap(), entries);
        std::fs::OpenOptions::new()
            .append(true)
            .open(folder.path().join(FILE))
            .unwrap()
            .write_all(b"{}\n")
            .unwrap();
        assert!(read(folder.path()).is_err());
    }
}
