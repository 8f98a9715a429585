//! Confinement: what the process of an agent may touch, and whether this system can see to it.
//!
//! Owns the plain description ([`Confinement`]), its builder ([`for_agent`]) and its application by the launcher.
//! Must never widen what was described: what cannot be applied is a refusal, not a lesser confinement. The one
//! exception is a system that has no Landlock at all ([`support`]): there an agent runs unconfined, and whoever
//! starts it has to say so.
//!
//! The words here are those of Landlock (<https://docs.kernel.org/userspace-api/landlock.html>): rules can only
//! add rights to what is beneath a path, never take some away. So the gateway's home cannot be cut out of a
//! directory that holds it, and such a directory is refused.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

mod apply;
mod args;
mod needs;
mod programs;
mod system;

pub(crate) use apply::{Applied, apply};
pub(crate) use args::parse;
pub use args::to_args;
pub use needs::{ConfineError, Needs, for_agent};

/// What a process and all it starts may touch. Plain data; the launcher applies it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confinement {
    /// Files and directories that may be read and run, with all beneath. Each must be there, and hold no link.
    pub read: Vec<PathBuf>,
    /// Files and directories that may be read, run, written, made and removed, with all beneath; device nodes
    /// cannot be made. Each must be there, and hold no link.
    pub write: Vec<PathBuf>,
    /// A directory of its own, which ends with the process.
    pub temp: Option<PrivateTemp>,
    /// Limits of each single process.
    pub limits: ResourceLimits,
}

/// A private directory for temporary files (mode 0700). The launcher makes it, tells the agent, and removes it
/// with all that is in it when everything that the agent started has ended, the gateway's own end included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivateTemp {
    /// Where it is made: an absolute path.
    pub parent: PathBuf,
    /// The environment variables that name it: `TMPDIR` and the program's own.
    pub variables: Vec<OsString>,
}

/// Limits of each single process under the confinement, for good. `None` leaves what the gateway has. A limit
/// that is lower already stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResourceLimits {
    /// Bytes of a core file.
    pub core: Option<u64>,
    /// Open files.
    pub open_files: Option<u64>,
    /// Bytes of any file that is written.
    pub file_size: Option<u64>,
    /// Bytes of private memory that can be written (`RLIMIT_DATA`). Unlike the address space, of which runtimes
    /// of JavaScript reserve 70 GB and more, it counts what may really be used.
    pub data: Option<u64>,
    /// Processes and threads. The kernel counts all of the *user's*, the gateway's own too, so there is none by
    /// default; it does not bind root.
    pub processes: Option<u64>,
}

impl ResourceLimits {
    /// No limit but what the gateway has itself.
    pub const NONE: Self =
        Self { core: None, open_files: None, file_size: None, data: None, processes: None };
}

impl Default for ResourceLimits {
    /// No core files, 16384 open files, files of 16 GiB, 16 GiB of memory a process.
    fn default() -> Self {
        const GIB: u64 = 1024 * 1024 * 1024;
        Self {
            core: Some(0),
            open_files: Some(16_384),
            file_size: Some(16 * GIB),
            data: Some(16 * GIB),
            processes: None,
        }
    }
}

/// Whether this system can confine a process. [`fmt::Display`] gives the words for `status` and the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// Landlock is there.
    Landlock {
        /// Version of its interface: 1 is Linux 5.13, 2 5.19, 3 6.2, 4 6.7, 5 6.10, 6 6.12.
        abi: i32,
    },
    /// It is not: an agent runs unconfined.
    None(Missing),
}

/// Why a system cannot confine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Not Linux.
    NotLinux,
    /// The kernel is older than 5.13, was built without Landlock, or a container hides it.
    NotBuilt,
    /// The kernel has it, switched off at boot.
    SwitchedOff,
}

impl Support {
    /// Whether a process would be confined.
    pub fn is_there(self) -> bool {
        matches!(self, Self::Landlock { .. })
    }

    /// What this version of Landlock cannot stop, though newer ones do. Empty for the newest known.
    pub fn gaps(self) -> Vec<&'static str> {
        let Self::Landlock { abi } = self else { return Vec::new() };
        [
            (2, "files cannot be moved between directories, which some programs need"),
            (3, "files outside can be emptied (truncated)"),
            (5, "devices that may be written can be sent any ioctl"),
            (6, "processes outside can be sent signals, and abstract sockets outside can be connected to"),
        ]
        .into_iter()
        .filter(|(since, _)| abi < *since)
        .map(|(_, gap)| gap)
        .collect()
    }
}

impl fmt::Display for Support {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Landlock { abi } => {
                write!(f, "Landlock {abi}")?;
                let gaps = self.gaps();
                if gaps.is_empty() { Ok(()) } else { write!(f, " (old: {})", gaps.join("; ")) }
            }
            Self::None(Missing::NotLinux) => f.write_str("none: only Linux can confine a process"),
            Self::None(Missing::NotBuilt) => f.write_str(
                "none: the kernel has no Landlock, or a container hides it (Linux 5.13 or newer has it)",
            ),
            Self::None(Missing::SwitchedOff) => {
                f.write_str("none: Landlock is switched off; add `landlock` to the kernel's `lsm=` list")
            }
        }
    }
}

/// Asks the kernel. Restricts nothing, so it is for the gateway too.
pub fn support() -> Support {
    apply::support()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_name_the_gaps_and_the_way_out() {
        let said = |support: Support| support.to_string();
        insta::assert_snapshot!(said(Support::Landlock { abi: 7 }), @"Landlock 7");
        insta::assert_snapshot!(said(Support::Landlock { abi: 5 }), @"Landlock 5 (old: processes outside can be sent signals, and abstract sockets outside can be connected to)");
        assert_eq!(Support::Landlock { abi: 1 }.gaps().len(), 4);
        insta::assert_snapshot!(said(Support::None(Missing::SwitchedOff)), @"none: Landlock is switched off; add `landlock` to the kernel's `lsm=` list");
    }

    #[test]
    fn asking_restricts_nothing() {
        let support = support();
        assert_eq!(support.is_there(), support != Support::None(Missing::NotLinux) && support.is_there());
        assert!(std::fs::read_dir("/").is_ok());
    }
}
