//! Where a path that an agent names really leads.
//!
//! Owns joining, normalising and resolving. Must never touch the disk itself, and never trust one reading of
//! `..` where the agent program may use another.

use std::io;
use std::path::{Component, Path, PathBuf};

/// Longest path an agent may name, in bytes.
const MAX_PATH: usize = 4096;

/// Resolves one existing path through all symbolic links, as `std::fs::canonicalize`.
pub(crate) type Resolve<'a> = &'a dyn Fn(&Path) -> io::Result<PathBuf>;

/// Why a path is refused, for the agent and people to read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) String);

/// A working directory as configured and as it really is.
pub(crate) struct Workspace<'a> {
    configured: PathBuf,
    real: PathBuf,
    resolve: Resolve<'a>,
}

/// One place: the texts that rules are tried on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The normalised path as it was named.
    pub(crate) named: String,
    /// Where it really leads; if inside, told from the configured working directory.
    pub(crate) real: String,
    /// Where it really leads.
    pub(crate) resolved: PathBuf,
    /// Whether all of that is inside the working directory.
    pub(crate) is_inside: bool,
}

impl<'a> Workspace<'a> {
    pub(crate) fn new(workspace: &Path, resolve: Resolve<'a>) -> Result<Self, Refused> {
        let real = Some(workspace)
            .filter(|workspace| workspace.is_absolute())
            .and_then(|workspace| resolve(workspace).ok())
            .filter(|real| real.is_absolute())
            .ok_or_else(|| Refused("the working directory cannot be resolved".into()))?;
        Ok(Self { configured: normalised(workspace), real, resolve })
    }

    /// The working directory itself.
    pub(crate) fn root(&self) -> &Path {
        &self.real
    }

    /// Whether a text of a [`Place`] is the working directory or something in it.
    pub(crate) fn holds(&self, text: &str) -> bool {
        Path::new(text).starts_with(&self.configured)
    }

    /// Follows `text` from the directory `base`, which must lead to a place inside.
    pub(crate) fn locate(&self, base: &Path, text: &str) -> Result<Place, Refused> {
        let place = self.find(base, text)?;
        if !place.is_inside {
            return Err(Refused("the path leads out of the working directory".into()));
        }
        Ok(place)
    }

    /// Follows `text` from the directory `base`, wherever it leads.
    pub(crate) fn find(&self, base: &Path, text: &str) -> Result<Place, Refused> {
        if text.is_empty() {
            return Err(Refused("the path is empty".into()));
        }
        if text.len() > MAX_PATH {
            return Err(Refused("the path is too long".into()));
        }
        // Some disks do not tell names with such characters from those without.
        if text.chars().any(acg_types::text::is_hidden) {
            return Err(Refused("the path has a hidden or control character in it".into()));
        }
        // Agent programs expand `~` and cut blanks off: what they open is not what was asked about.
        if text.starts_with('~') {
            return Err(Refused("the path starts with '~'; name it from the working directory".into()));
        }
        if text.trim() != text {
            return Err(Refused("the path starts or ends with a blank".into()));
        }
        let joined = base.join(text);
        // The kernel follows links before `..`; agent programs cut `..` off the text first. Both must lead to one
        // place.
        let lexical = normalised(&joined);
        let resolved = self.follow(&joined)?;
        let other = self.follow(&lexical)?;
        if resolved != other {
            return Err(Refused("the path has '..' after a symbolic link, and so no single meaning".into()));
        }
        let named = match lexical.strip_prefix(&self.real) {
            Ok(below) => self.configured_path(below),
            Err(_) => lexical,
        };
        let (real, is_inside) = match resolved.strip_prefix(&self.real) {
            Ok(below) => (self.configured_path(below), true),
            Err(_) => (resolved.clone(), false),
        };
        let text_of = |path: PathBuf| {
            path.into_os_string().into_string().map_err(|_| Refused("the path is not valid UTF-8".into()))
        };
        Ok(Place { named: text_of(named)?, real: text_of(real)?, resolved, is_inside })
    }

    fn configured_path(&self, below: &Path) -> PathBuf {
        if below.as_os_str().is_empty() { self.configured.clone() } else { self.configured.join(below) }
    }

    /// Resolves component by component, so that `..` goes up from where a link has led. What does not exist is
    /// taken as it stands.
    fn follow(&self, path: &Path) -> Result<PathBuf, Refused> {
        let mut real = PathBuf::new();
        let mut exists = true;
        for component in path.components() {
            match component {
                Component::Prefix(_) | Component::RootDir => real.push(component),
                Component::CurDir => {}
                Component::ParentDir => {
                    real.pop();
                    // What is above may exist again.
                    exists = true;
                }
                Component::Normal(name) => {
                    real.push(name);
                    if !exists {
                        continue;
                    }
                    match (self.resolve)(&real) {
                        Ok(resolved) if resolved.is_absolute() => real = resolved,
                        Ok(_) => return Err(Refused("the path cannot be resolved".into())),
                        Err(error) if error.kind() == io::ErrorKind::NotFound => exists = false,
                        Err(error) => {
                            return Err(Refused(format!("the path cannot be resolved: {}", error.kind())));
                        }
                    }
                }
            }
        }
        Ok(real)
    }
}

/// Python's `os.path.normpath`: `.` and `..` removed by text alone.
pub(crate) fn normalised(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}
