//! From what an agent needs to a [`Confinement`].
//!
//! Owns one promise: nothing that is to stay outside (the gateway's home above all) is beneath a path of the
//! rules, nor the other way round. Looks at the file system, because links count; changes nothing.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use super::{Confinement, PrivateTemp, ResourceLimits, programs, system};

/// What the process of an agent needs. Every path is absolute and must be there.
#[derive(Clone, Debug, Default)]
pub struct Needs {
    /// Read, run and written.
    pub working_directory: PathBuf,
    /// The program's own state, read and written: files or directories.
    pub state: Vec<PathBuf>,
    /// Programs that are started by the gateway; what they are made of is found out.
    pub programs: Vec<PathBuf>,
    /// The agent's `PATH`: where the interpreter of a script is looked for.
    pub search_path: Option<OsString>,
    /// More that is read and run: the configuration's `confine_read`, and state that is not written.
    pub read: Vec<PathBuf>,
    /// More that is written: the configuration's `confine_write`.
    pub write: Vec<PathBuf>,
    /// Where the private directory for temporary files is made; `None`: the agent gets none, and no place for
    /// temporary files.
    pub temp: Option<PathBuf>,
    /// Variables of the environment that name it, beside `TMPDIR`.
    pub temp_variables: Vec<OsString>,
    /// What stays outside: the gateway's home, its configuration file, and what else is not for the agent. Need
    /// not be there.
    pub outside: Vec<PathBuf>,
    /// Limits of each process.
    pub limits: ResourceLimits,
}

/// Why there is no confinement that keeps its promise.
#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    /// Landlock cannot take a part out of a directory that it opens.
    #[error(
        "{what} {} holds {}, which no confined agent may reach; move one of them elsewhere",
        .path.display(), .outside.display()
    )]
    Holds {
        /// Whose path.
        what: &'static str,
        /// The path, links resolved.
        path: PathBuf,
        /// What must stay outside.
        outside: PathBuf,
    },
    /// The agent is asked to work in what is not for it.
    #[error("{what} {} is in {}, which no confined agent may reach; name another one", .path.display(), .outside.display())]
    IsIn {
        /// Whose path.
        what: &'static str,
        /// The path, links resolved.
        path: PathBuf,
        /// What must stay outside.
        outside: PathBuf,
    },
    /// The agent itself could have put the link there.
    #[error(
        "{what} {} is beneath {}, which the agent can write, and leads out of it to {}; name that path itself",
        .path.display(), .writable.display(), .target.display()
    )]
    LeadsOut {
        /// Whose path.
        what: &'static str,
        /// The path as it was given.
        path: PathBuf,
        /// The directory that the agent can write.
        writable: PathBuf,
        /// Where the path leads.
        target: PathBuf,
    },
    /// A path cannot be looked at.
    #[error("{what} {} cannot be used: {source}", .path.display())]
    Path {
        /// Whose path.
        what: &'static str,
        /// The path as it was given.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// The confinement of an agent's process: the system's files, the program, and what `needs` names; the links in
/// each path are resolved now. Looks at the disk: call it where blocking is allowed.
pub fn for_agent(needs: &Needs) -> Result<Confinement, ConfineError> {
    let outside: Vec<PathBuf> = needs.outside.iter().map(|path| real(path)).collect();
    let check = Check { outside: &outside, working_directory: &needs.working_directory };
    let mut write = vec![check.given("the working directory", &needs.working_directory)?];
    for path in &needs.state {
        write.push(check.given("the agent's own directory", path)?);
    }
    for path in &needs.write {
        write.push(check.given("the path of `confine_write`", path)?);
    }
    write.extend(system::devices());
    let mut read = system::readable(&outside).map_err(|source| ConfineError::Path {
        what: "a directory of the system",
        path: PathBuf::from("/"),
        source,
    })?;
    for path in &needs.read {
        read.push(check.given("the path of `confine_read`", path)?);
    }
    for program in &needs.programs {
        let what = "the program";
        let parts = programs::parts(program, needs.search_path.as_deref()).map_err(failed(what, program))?;
        for part in parts {
            read.push(check.given(what, &part)?);
        }
    }
    let temp = match &needs.temp {
        None => None,
        Some(parent) => {
            let what = "the directory for temporary files";
            let parent = parent.canonicalize().map_err(failed(what, parent))?;
            // It may hold what stays outside: only a new directory in it is opened.
            check.is_not_in(what, &parent)?;
            let variables =
                [OsString::from("TMPDIR")].into_iter().chain(needs.temp_variables.clone()).collect();
            Some(PrivateTemp { parent, variables })
        }
    };
    Ok(Confinement {
        read: without_repetition(read),
        write: without_repetition(write),
        temp,
        limits: needs.limits,
    })
}

struct Check<'a> {
    outside: &'a [PathBuf],
    working_directory: &'a Path,
}

impl Check<'_> {
    /// The real path of one that must be there, and must not touch what stays outside.
    fn given(&self, what: &'static str, path: &Path) -> Result<PathBuf, ConfineError> {
        let target = path.canonicalize().map_err(failed(what, path))?;
        self.is_not_in(what, &target)?;
        if let Some(outside) = self.outside.iter().find(|outside| outside.starts_with(&target)) {
            return Err(ConfineError::Holds { what, path: target, outside: outside.clone() });
        }
        let writable = self.working_directory;
        let leads_out = path.starts_with(writable)
            && writable.canonicalize().is_ok_and(|writable| !target.starts_with(writable));
        if leads_out {
            let (path, writable) = (path.to_owned(), writable.to_owned());
            return Err(ConfineError::LeadsOut { what, path, writable, target });
        }
        Ok(target)
    }

    fn is_not_in(&self, what: &'static str, path: &Path) -> Result<(), ConfineError> {
        match self.outside.iter().find(|outside| path.starts_with(outside)) {
            Some(outside) => {
                Err(ConfineError::IsIn { what, path: path.to_owned(), outside: outside.clone() })
            }
            None => Ok(()),
        }
    }
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ConfineError {
    let path = path.to_owned();
    move |source| ConfineError::Path { what, path, source }
}

/// The real path of one that need not be there: that of the nearest directory that is, and the rest of it.
fn real(path: &Path) -> PathBuf {
    let mut rest = PathBuf::new();
    for parent in path.ancestors() {
        if let Ok(parent) = parent.canonicalize() {
            return if rest.as_os_str().is_empty() { parent } else { parent.join(rest) };
        }
        if let Some(name) = parent.file_name() {
            rest = if rest.as_os_str().is_empty() { name.into() } else { Path::new(name).join(rest) };
        }
    }
    path.to_owned()
}

/// In the order of the names, and without what is beneath another one.
fn without_repetition(mut paths: Vec<PathBuf>) -> Vec<PathBuf> {
    paths.sort();
    let mut kept: Vec<PathBuf> = Vec::new();
    for path in paths {
        if !kept.last().is_some_and(|last| path.starts_with(last)) {
            kept.push(path);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Place(tempfile::TempDir);

    impl Place {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            for name in ["home/.gateway", "work/inner", "state", "extra", "bin"] {
                std::fs::create_dir_all(dir.path().join(name)).unwrap();
            }
            acg_types::fs::write_private(&dir.path().join("bin/agent"), b"\x7fELF").unwrap();
            Self(dir)
        }

        fn at(&self, name: &str) -> PathBuf {
            self.0.path().canonicalize().unwrap().join(name)
        }

        fn needs(&self) -> Needs {
            Needs {
                working_directory: self.at("work"),
                state: vec![self.at("state")],
                programs: vec![self.at("bin/agent")],
                temp: Some(std::env::temp_dir()),
                outside: vec![self.at("home/.gateway")],
                ..Needs::default()
            }
        }
    }

    #[test]
    fn what_is_needed_is_in_and_nothing_beside_it() {
        let place = Place::new();
        let found = for_agent(&Needs { read: vec![place.at("extra")], ..place.needs() }).unwrap();
        for name in ["work", "state"] {
            assert!(found.write.contains(&place.at(name)), "{name}: {found:?}");
            assert!(!found.read.contains(&place.at(name)));
        }
        assert!(found.read.contains(&place.at("bin/agent")) && found.read.contains(&place.at("extra")));
        let all = found.read.iter().chain(&found.write);
        let ours: Vec<&PathBuf> = all.filter(|path| path.starts_with(place.at(""))).collect();
        assert_eq!(ours.len(), 4, "{ours:?}");
        assert_eq!(found.temp.unwrap().variables, ["TMPDIR"]);
        assert_eq!(found.limits.core, Some(0));
    }

    #[test]
    fn the_gateways_home_is_never_in() {
        let place = Place::new();
        std::os::unix::fs::symlink(place.at("home"), place.at("link")).unwrap();
        std::os::unix::fs::symlink(place.at("home/.gateway"), place.at("work/inner/link")).unwrap();
        let needs = || place.needs();
        let cases: Vec<(Needs, &str)> = vec![
            (Needs { working_directory: place.at("home"), ..needs() }, "the working directory"),
            (Needs { working_directory: place.at("home/.gateway"), ..needs() }, "the working directory"),
            (Needs { working_directory: place.at("link"), ..needs() }, "the working directory"),
            (Needs { working_directory: place.at("work/inner/link"), ..needs() }, "the working directory"),
            (Needs { working_directory: PathBuf::from("/"), ..needs() }, "the working directory"),
            (Needs { state: vec![place.at("home")], ..needs() }, "the agent's own directory"),
            (Needs { read: vec![place.at("")], ..needs() }, "the path of `confine_read`"),
            (Needs { write: vec![place.at("home")], ..needs() }, "the path of `confine_write`"),
            (Needs { temp: Some(place.at("home/.gateway")), ..needs() }, "the directory for temporary files"),
            // Not there yet, behind a link.
            (
                Needs {
                    working_directory: place.at("home"),
                    outside: vec![place.at("link/new/home")],
                    ..needs()
                },
                "the working directory",
            ),
        ];
        for (needs, what) in cases {
            let said = for_agent(&needs).unwrap_err().to_string();
            assert!(said.starts_with(what) && said.contains("no confined agent may reach"), "{said}");
        }
        let ok = Needs { working_directory: place.at("work"), ..needs() };
        assert!(for_agent(&ok).is_ok(), "a link in it leads nowhere: the rules are on what it leads to");
    }

    #[test]
    fn a_link_that_the_agent_could_have_made_is_not_followed() {
        let place = Place::new();
        std::os::unix::fs::symlink(place.at("extra"), place.at("work/data")).unwrap();
        let needs = Needs { read: vec![place.at("work/data")], ..place.needs() };
        let said = for_agent(&needs).unwrap_err().to_string();
        assert!(said.contains("leads out of it") && said.ends_with("name that path itself"), "{said}");
        let within = Needs { read: vec![place.at("work/inner")], ..place.needs() };
        assert!(for_agent(&within).is_ok());
    }

    #[test]
    fn what_is_not_there_is_named() {
        let place = Place::new();
        let said =
            for_agent(&Needs { write: vec![place.at("none")], ..place.needs() }).unwrap_err().to_string();
        assert!(
            said.starts_with("the path of `confine_write` ") && said.contains("none cannot be used"),
            "{said}"
        );
    }

    #[test]
    fn a_path_beneath_another_is_not_named_twice() {
        let paths = ["/b/c", "/a", "/b", "/a/b", "/ab"].map(PathBuf::from);
        assert_eq!(without_repetition(paths.into()), ["/a", "/ab", "/b"].map(PathBuf::from));
    }
}
