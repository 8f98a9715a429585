//! The paths of a system that every program needs, and how a hole is kept in one of them.
//!
//! Nothing of a person's is here, and no place where programs meet: not `/tmp`, `/run`, `/dev/shm` or the
//! terminals. A file of `/etc` that only root may read is kept by its mode alone.

use std::io;
use std::path::{Path, PathBuf};

/// Read and run, where they are there.
const READ: &[&str] = &[
    // Programs and libraries. Some are links to others on most systems.
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/opt",
    "/nix",
    "/gnu/store",
    "/snap",
    "/home/linuxbrew/.linuxbrew",
    "/run/current-system",
    // Configuration: names, time, certificates.
    "/etc",
    "/var/lib/ca-certificates",
    // Where `/etc/resolv.conf` leads to. Directories, as the file is replaced by renaming.
    "/run/systemd/resolve",
    "/run/resolvconf",
    "/run/NetworkManager/resolv.conf",
    "/mnt/wsl/resolv.conf",
    // Processors and memory, for runtimes that adapt to them. What belongs to other processes in `/proc` is
    // closed by the kernel, but for what `ps` shows.
    "/proc",
    "/sys/devices/system/cpu",
    "/sys/devices/system/node",
    "/sys/fs/cgroup",
    "/sys/kernel/mm/transparent_hugepage",
];

/// Read and written, where they are there.
const WRITE: &[&str] = &["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// More entries than this in the way of a hole are no sane system directory.
const MAX_SIBLINGS: usize = 2000;

/// The system's read-only paths, links resolved, without anything that is or holds one of `holes`.
pub(super) fn readable(holes: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in existing(READ) {
        around(&path, holes, &mut found)?;
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// The devices that every program may use.
pub(super) fn devices() -> Vec<PathBuf> {
    existing(WRITE).collect()
}

fn existing(paths: &'static [&'static str]) -> impl Iterator<Item = PathBuf> {
    paths.iter().filter_map(|path| Path::new(path).canonicalize().ok())
}

/// `path`, or where it holds a hole, everything in it but the way to the hole. Names that are made later in a
/// directory on that way are not in.
fn around(path: &Path, holes: &[PathBuf], found: &mut Vec<PathBuf>) -> io::Result<()> {
    if holes.iter().any(|hole| path.starts_with(hole)) {
        return Ok(());
    }
    if !holes.iter().any(|hole| hole.starts_with(path)) {
        found.push(path.to_owned());
        return Ok(());
    }
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        // A rule on a link would be one on its target, which has a rule of its own or is not for reading.
        if !entry.file_type()?.is_symlink() {
            around(&entry.path(), holes, found)?;
        }
        if found.len() > MAX_SIBLINGS {
            return Err(io::Error::other(format!(
                "{} has too many entries to leave one out",
                path.display()
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hole_takes_only_the_way_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for name in ["a/b/home/inner", "a/b/other", "a/c", "d"] {
            std::fs::create_dir_all(root.join(name)).unwrap();
        }
        std::os::unix::fs::symlink(root.join("a/b/home"), root.join("a/link")).unwrap();
        let shown = |holes: &[&str]| {
            let holes: Vec<PathBuf> = holes.iter().map(|hole| root.join(hole)).collect();
            let mut found = Vec::new();
            around(&root, &holes, &mut found).unwrap();
            found.sort();
            found
                .iter()
                .map(|path| path.strip_prefix(&root).unwrap().display().to_string())
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(shown(&[]), "", "the directory itself");
        assert_eq!(shown(&["a/b/home"]), "a/b/other a/c d");
        assert_eq!(shown(&["a/b/home", "d"]), "a/b/other a/c");
        assert_eq!(shown(&["a/b/not-there"]), "a/b/home a/b/other a/c d");
        let mut found = Vec::new();
        around(&root.join("a/b/home/inner"), &[root.join("a/b/home")], &mut found).unwrap();
        assert!(found.is_empty(), "what is in a hole is left out too: {found:?}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_system_is_there_and_no_meeting_place() {
        let readable = readable(&[]).unwrap();
        assert!(readable.contains(&PathBuf::from("/usr")) && readable.contains(&PathBuf::from("/proc")));
        for path in ["/", "/tmp", "/run", "/dev", "/home", "/root", "/var", "/sys"] {
            assert!(!readable.contains(&PathBuf::from(path)), "{path}");
        }
        assert!(devices().contains(&PathBuf::from("/dev/null")));
    }
}
