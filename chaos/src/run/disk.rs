//! A disk that can be full: a small file system in memory, mounted over the gateway's home.
//!
//! Owns the mount. Only in a mount namespace of the run's own, as `scripts/chaos` makes it: on the machine itself nothing
//! is ever mounted. Full means really full, as the file system says it (ENOSPC); a limit on the size of files would come
//! as another error, and by a signal first.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::Failure;

/// Set by whoever made the namespace.
pub const NAMESPACE: &str = "ACG_CHAOS_NAMESPACE";
/// In a run of hours the store and its log grow.
const SIZE: u64 = 2 * 1024 * 1024 * 1024;
/// What a full disk still has: less than one commit needs.
const REST: u64 = 8 * 1024;
const PATIENCE: Duration = Duration::from_secs(10);

/// The mounted file system. Taken away when dropped.
#[derive(Debug)]
pub(super) struct Disk {
    home: PathBuf,
}

impl Disk {
    /// Mounts it, where that is allowed.
    pub(super) async fn mount(home: &Path) -> Result<Option<Self>, Failure> {
        if std::env::var_os(NAMESPACE).is_none() {
            return Ok(None);
        }
        std::fs::create_dir_all(home)?;
        let disk = Self { home: home.to_owned() };
        mount(&["-t", "tmpfs", "-o", &format!("mode=700,size={SIZE}"), "none"], home).await?;
        Ok(Some(disk))
    }

    /// Nothing more fits.
    pub(super) async fn fill(&self) -> Result<(), Failure> {
        self.resize(self.used()? + REST).await
    }

    /// There is room again.
    pub(super) async fn free(&self) -> Result<(), Failure> {
        self.resize(SIZE).await
    }

    fn used(&self) -> io::Result<u64> {
        let facts = rustix::fs::statvfs(&self.home)?;
        Ok((facts.f_blocks - facts.f_bfree) * facts.f_frsize)
    }

    async fn resize(&self, size: u64) -> Result<(), Failure> {
        mount(&["-o", &format!("remount,size={size}")], &self.home).await
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The namespace takes it away too, when the run is over.
        let umount = std::process::Command::new("umount").arg("-l").arg(&self.home).status();
        drop(umount);
    }
}

async fn mount(args: &[&str], at: &Path) -> Result<(), Failure> {
    let mut command = Command::new("mount");
    command.args(args).arg(at).stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(PATIENCE, command.output()).await.map_err(|_| "mount does not end")??;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Err(format!("mount {args:?}: {}", words.trim()).into())
}
