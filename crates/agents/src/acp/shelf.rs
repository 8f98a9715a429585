//! Where a backend's machines, which are pure, and its sessions, which are not, leave things for each other.
//!
//! Must never keep anything of a question that is closed.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use acg_types::PermissionId;
use serde_json::Value;

use super::files::FileCall;
use super::prompt::Loaded;
use super::terminals::Terminals;

/// What a program asks the gateway to do for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    File(FileCall),
    /// Runs this line in this terminal.
    Command {
        terminal: String,
        line: String,
    },
}

#[derive(Debug, Default)]
pub(crate) struct Shelf {
    things: Mutex<Things>,
    pub(crate) terminals: Terminals,
}

#[derive(Debug, Default)]
struct Things {
    /// What is being asked about.
    wanted: HashMap<PermissionId, Deed>,
    /// What came of what was allowed.
    done: HashMap<PermissionId, Result<Value, String>>,
    /// The files of a prompt that is on its way.
    given: HashMap<PathBuf, Loaded>,
    /// Machines whose program keeps no session.
    unkept: HashSet<String>,
}

impl Shelf {
    fn things(&self) -> MutexGuard<'_, Things> {
        self.things.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn want(&self, id: &PermissionId, deed: Deed) {
        self.things().wanted.insert(id.clone(), deed);
    }

    /// What is behind a question, if that is done here.
    pub(crate) fn wanted(&self, id: &PermissionId) -> Option<Deed> {
        self.things().wanted.remove(id)
    }

    pub(crate) fn put(&self, id: &PermissionId, result: Result<Value, String>) {
        self.things().done.insert(id.clone(), result);
    }

    pub(crate) fn take(&self, id: &PermissionId) -> Option<Result<Value, String>> {
        self.things().done.remove(id)
    }

    /// Forgets all about a question.
    pub(crate) fn forget(&self, id: &PermissionId) {
        let mut things = self.things();
        things.wanted.remove(id);
        things.done.remove(id);
    }

    /// The machine's program keeps a session only for as long as it runs.
    pub(crate) fn note_unkept(&self, machine: &str) {
        self.things().unkept.insert(machine.to_owned());
    }

    pub(crate) fn is_unkept(&self, machine: &str) -> bool {
        self.things().unkept.remove(machine)
    }

    pub(crate) fn give(&self, files: HashMap<PathBuf, Loaded>) {
        self.things().given.extend(files);
    }

    /// Takes the files that are given for these paths.
    pub(crate) fn given<'a>(&self, paths: impl Iterator<Item = &'a PathBuf>) -> HashMap<PathBuf, Loaded> {
        let mut things = self.things();
        paths.filter_map(|path| things.given.remove(path).map(|file| (path.clone(), file))).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_shelf_gives_each_thing_once() {
        let shelf = Shelf::default();
        let id = "p/1".to_owned();
        shelf.want(&id, Deed::Command { terminal: "t".into(), line: "ls".into() });
        assert!(shelf.wanted(&id).is_some() && shelf.wanted(&id).is_none());
        shelf.put(&id, Ok(json!(1)));
        assert_eq!((shelf.take(&id), shelf.take(&id)), (Some(Ok(json!(1))), None));
        shelf.give([(PathBuf::from("/x"), Loaded::Text("t".into()))].into());
        let paths = [PathBuf::from("/x"), PathBuf::from("/y")];
        assert_eq!(shelf.given(paths.iter()).len(), 1);
        assert_eq!(shelf.given(paths.iter()).len(), 0);
    }
}
