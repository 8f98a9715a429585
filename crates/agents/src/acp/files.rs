//! Text files that a program reads and writes through us.
//!
//! Owns staying inside the working directory: every path is resolved through all links first, and then opened from the
//! directory downwards, part by part, with no link followed, so that nothing that is put in its way meanwhile leads out.
//! Must never act before the call was allowed. Blocks on the disk: not for a runtime's thread.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat, renameat, unlinkat};
use serde_json::{Value, json};

/// Largest file that is read or written.
const MAX_FILE: u64 = 8 * 1024 * 1024;

/// A call that is carried out here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FileCall {
    /// `line` counts from 1.
    Read {
        path: String,
        line: Option<u32>,
        limit: Option<u32>,
    },
    Write {
        path: String,
        content: String,
    },
}

/// Where calls may be carried out.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) root: PathBuf,
    /// Never, although it may lie in there.
    pub(crate) outside: Vec<PathBuf>,
}

impl Place {
    /// Carries a call out; gives the result for the program, or why not, in words for it.
    pub(crate) fn carry_out(&self, call: &FileCall) -> Result<Value, String> {
        match call {
            FileCall::Read { path, line, limit } => {
                let text = self.read(Path::new(path))?;
                Ok(json!({"content": cut(&text, *line, *limit)}))
            }
            FileCall::Write { path, content } => self.write(Path::new(path), content).map(|()| json!({})),
        }
    }

    /// The directory of a path, opened without following a link, and the name in it.
    fn locate(&self, path: &Path) -> Result<(OwnedFd, PathBuf), String> {
        if !path.is_absolute() {
            return Err("the path is not absolute".into());
        }
        let why = |error: std::io::Error| format!("{}: {error}", path.display());
        let root = self.root.canonicalize().map_err(why)?;
        let real = match path.canonicalize() {
            Ok(real) => real,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                // A link to nowhere would be followed by nobody, but be written over.
                if std::fs::symlink_metadata(path).is_ok() {
                    return Err(why(error));
                }
                let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
                    return Err(why(error));
                };
                parent.canonicalize().map_err(why)?.join(name)
            }
            Err(error) => return Err(why(error)),
        };
        let inside =
            real.strip_prefix(&root).map_err(|_| "it is outside of the working directory".to_owned())?;
        let is_outside =
            |outside: &PathBuf| real.starts_with(outside.canonicalize().as_ref().unwrap_or(outside));
        if self.outside.iter().any(is_outside) {
            return Err("it belongs to the gateway".into());
        }
        let name = inside.file_name().ok_or_else(|| "it is the working directory itself".to_owned())?;
        let mut at = openat(CWD, &root, DIRECTORY, Mode::empty()).map_err(|error| why(error.into()))?;
        for part in inside.parent().into_iter().flat_map(Path::components) {
            let Component::Normal(part) = part else { return Err("the path cannot be resolved".into()) };
            at = openat(&at, part, DIRECTORY, Mode::empty()).map_err(|error| why(error.into()))?;
        }
        Ok((at, name.into()))
    }

    fn read(&self, path: &Path) -> Result<String, String> {
        let (directory, name) = self.locate(path)?;
        let (mut file, _) = open(&directory, name.as_os_str())?;
        let mut bytes = Vec::new();
        // One byte more: it may have grown since it was looked at.
        let read = std::io::Read::by_ref(&mut file).take(MAX_FILE + 1).read_to_end(&mut bytes);
        read.map_err(|error| format!("{}: {error}", path.display()))?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(format!("it is larger than {MAX_FILE} bytes"));
        }
        String::from_utf8(bytes).map_err(|_| "it is no text in UTF-8".to_owned())
    }

    fn write(&self, path: &Path, content: &str) -> Result<(), String> {
        if content.len() as u64 > MAX_FILE {
            return Err(format!("it is larger than {MAX_FILE} bytes"));
        }
        let (directory, name) = self.locate(path)?;
        let mode = match open(&directory, name.as_os_str()) {
            Ok((_, mode)) => mode,
            Err(_) if is_missing(&directory, name.as_os_str()) => Mode::from_bits_truncate(0o644),
            Err(why) => return Err(why),
        };
        // Whole or not at all: nobody sees half a file.
        let draft = format!(".acg-{}.tmp", uuid::Uuid::new_v4().simple());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let why = |error: std::io::Error| format!("{}: {error}", path.display());
        let file = openat(&directory, &draft, flags, mode).map_err(|error| why(error.into()))?;
        let mut file = File::from(file);
        let written = file.write_all(content.as_bytes()).and_then(|()| file.sync_all());
        let moved = written.and_then(|()| Ok(renameat(&directory, &draft, &directory, &name)?));
        moved.map_err(|error| {
            let left = unlinkat(&directory, &draft, AtFlags::empty());
            match left {
                Ok(()) | Err(rustix::io::Errno::NOENT) => why(error),
                Err(left) => format!("{}; and {draft} is left over: {left}", why(error)),
            }
        })
    }
}

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Opens a plain file, and tells its mode. What would make the opening wait, such as a pipe, does not.
fn open(directory: &OwnedFd, name: &OsStr) -> Result<(File, Mode), String> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat(directory, name, flags, Mode::empty());
    let file = File::from(file.map_err(|error| std::io::Error::from(error).to_string())?);
    let facts = file.metadata().map_err(|error| error.to_string())?;
    if !facts.is_file() {
        return Err("it is no plain file".into());
    }
    let mode = std::os::unix::fs::PermissionsExt::mode(&facts.permissions());
    Ok((file, Mode::from_raw_mode(rustix::fs::RawMode::try_from(mode & 0o777).unwrap_or(0o644))))
}

fn is_missing(directory: &OwnedFd, name: &OsStr) -> bool {
    let found = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW);
    found.is_err_and(|error| error == rustix::io::Errno::NOENT)
}

/// `limit` lines from `line` on, which counts from 1.
fn cut(text: &str, line: Option<u32>, limit: Option<u32>) -> String {
    if line.is_none() && limit.is_none() {
        return text.to_owned();
    }
    let number = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
    let skipped = line.map_or(0, |line| number(line).saturating_sub(1));
    text.split_inclusive('\n').skip(skipped).take(limit.map_or(usize::MAX, number)).collect()
}

#[cfg(test)]
mod tests;
