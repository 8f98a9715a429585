//! The files that the Python program left in the home directory.
//!
//! Owns finding and reading them. Must never change one: somebody may want to go back.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use acg_types::Timestamp;
use data_encoding::HEXLOWER;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Largest file that is read.
const LARGEST: u64 = 16 * 1024 * 1024;
/// Most state files that are looked at.
const MOST: usize = 256;

/// Where scheduled jobs are kept: by 0.2.0, and by everything later.
const JOBS: [&str; 2] = ["data/jobs.json", "jobs.json"];

/// One `state.<connector>.json`.
#[derive(Debug)]
pub(crate) struct StateOnDisk {
    /// Its name in the home directory.
    pub(crate) name: String,
    /// The connector it belongs to.
    pub(crate) connector: String,
    /// What is in it, or why that is not known.
    pub(crate) content: Result<Vec<u8>, String>,
    /// When it was last written, our clock.
    pub(crate) written: Option<Timestamp>,
}

impl StateOnDisk {
    /// To tell later whether it changed; empty if it could not be read.
    pub(crate) fn digest(&self) -> String {
        self.content.as_ref().map(|content| HEXLOWER.encode(&Sha256::digest(content))).unwrap_or_default()
    }
}

/// The scheduled jobs of the Python program.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Jobs {
    /// So many that are not completed, in this file.
    Count(&'static str, usize),
    /// The file cannot be read; why.
    Unreadable(&'static str, String),
}

/// Every state file of a home directory, by name. None if there is no such directory.
pub(crate) fn states(home: &Path) -> io::Result<Vec<StateOnDisk>> {
    let entries = match std::fs::read_dir(home) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        if let Some(name) = name.to_str()
            && let Some(connector) = name.strip_prefix("state.").and_then(|rest| rest.strip_suffix(".json"))
            && !connector.is_empty()
        {
            names.push((name.to_owned(), connector.to_owned()));
        }
    }
    names.sort();
    names.truncate(MOST);
    let read = names.into_iter().map(|(name, connector)| {
        let path = home.join(&name);
        let written = std::fs::metadata(&path).and_then(|metadata| metadata.modified()).ok().map(at);
        StateOnDisk { content: read(&path), name, connector, written }
    });
    Ok(read.collect())
}

/// The scheduled jobs of a home directory, if it has any.
pub(crate) fn jobs(home: &Path) -> Option<Jobs> {
    let name = JOBS.into_iter().find(|name| home.join(name).exists())?;
    let counted = read(&home.join(name)).and_then(|content| {
        let value: Value =
            serde_json::from_slice(&content).map_err(|error| format!("it is not valid JSON: {error}"))?;
        let jobs = value.get("jobs").and_then(Value::as_array).ok_or("it does not hold a list of jobs")?;
        let open = |job: &&Value| job.get("status").and_then(Value::as_str) != Some("completed");
        Ok(jobs.iter().filter(open).count())
    });
    match counted {
        Ok(0) => None,
        Ok(count) => Some(Jobs::Count(name, count)),
        Err(why) => Some(Jobs::Unreadable(name, why)),
    }
}

/// A whole file, if it is one and not too large: a pipe would never end.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, String> {
    let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is not a file".to_owned());
    }
    let mut content = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LARGEST + 1).read_to_end(&mut content))
        .map_err(|error| error.to_string())?;
    if content.len() as u64 > LARGEST {
        return Err(format!("it is larger than {} MB", LARGEST / 1024 / 1024));
    }
    Ok(content)
}

fn at(time: std::time::SystemTime) -> Timestamp {
    let since = time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use acg_types::fs::write_private;

    use super::*;

    #[test]
    fn only_state_files_are_found_and_what_is_no_file_is_not_opened() {
        let home = tempfile::tempdir().unwrap();
        assert!(states(&home.path().join("missing")).unwrap().is_empty());
        for name in [
            "state.rc.json",
            "state.a b.json",
            "state.json",
            "state.rc.json.77.tmp",
            "xstate.rc.json",
            "state..json",
        ] {
            write_private(&home.path().join(name), b"{}").unwrap();
        }
        let _socket = std::os::unix::net::UnixListener::bind(home.path().join("state.socket.json")).unwrap();
        let found = states(home.path()).unwrap();
        let names: Vec<_> =
            found.iter().map(|state| (state.connector.as_str(), state.content.is_ok())).collect();
        assert_eq!(names, [("a b", true), ("rc", true), ("socket", false)]);
        assert!(found[1].written.is_some());
        assert_eq!(found[1].digest().len(), 64);
        assert_eq!(found[2].digest(), "");
    }

    #[test]
    fn jobs_are_counted_where_each_version_kept_them() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(jobs(home.path()), None);
        let write = |name: &str, text: &str| write_private(&home.path().join(name), text.as_bytes()).unwrap();
        write("jobs.json", r#"{"version": 1, "jobs": [{"status": "active"}]}"#);
        assert_eq!(jobs(home.path()), Some(Jobs::Count("jobs.json", 1)));
        std::fs::create_dir(home.path().join("data")).unwrap();
        write("data/jobs.json", r#"{"jobs": [{"status": "completed"}, {"status": "paused"}, {}]}"#);
        assert_eq!(jobs(home.path()), Some(Jobs::Count("data/jobs.json", 2)));
        write("data/jobs.json", r#"{"jobs": []}"#);
        assert_eq!(jobs(home.path()), None);
        write("data/jobs.json", "[");
        assert!(matches!(jobs(home.path()), Some(Jobs::Unreadable("data/jobs.json", _))));
    }
}
