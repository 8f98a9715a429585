//! The one look at the disk that decisions need, for callers to pass as [`crate::Request::resolve`].
//!
//! Owns nothing else. Nothing in this crate calls it: decisions stay functions of what they are given.

use std::io;
use std::path::{Path, PathBuf};

/// Resolves a path through all symbolic links. `NotFound` only if nothing at all is there: a link that leads to
/// nothing is another error, as writing to it would make a file where it points.
pub fn real_path(path: &Path) -> io::Result<PathBuf> {
    std::fs::canonicalize(path).map_err(|error| {
        if error.kind() == io::ErrorKind::NotFound && std::fs::symlink_metadata(path).is_ok() {
            return io::Error::new(io::ErrorKind::InvalidInput, "a symbolic link that leads to nothing");
        }
        error
    })
}
