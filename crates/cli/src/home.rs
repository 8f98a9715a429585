//! The home directory: where everything that a gateway keeps has its place.
//!
//! Owns names and modes of files. Must never hold what is in them.

use std::path::{Path, PathBuf};
use std::{env, io};

use acg_types::fs::create_private_dir;

use crate::args::Common;
use crate::failure::Failure;

/// The directory of all runtime state of one gateway. Absolute.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    directory: PathBuf,
    /// Not named by `--home` or `ACG_HOME`.
    is_default: bool,
}

impl Home {
    /// From `--home`, `ACG_HOME`, or the default. Touches nothing.
    pub(crate) fn resolve(common: &Common) -> Result<Self, Failure> {
        let named = common.home.clone().or_else(|| variable("ACG_HOME"));
        let is_default = named.is_none();
        let directory = match named {
            Some(directory) => directory,
            None => user_home()
                .map(|home| home.join(".agent-chat-gateway"))
                .ok_or_else(|| Failure::new("HOME is not set").next("name a directory with --home"))?,
        };
        let directory = std::path::absolute(&directory)
            .map_err(|error| Failure::new("the home directory cannot be used").because(&error))?;
        Ok(Self { directory, is_default })
    }

    /// Makes the directory, 0700. One that is there keeps its mode, unless it is the default one: the Python
    /// program made that readable to everybody.
    pub(crate) fn create(&self) -> Result<(), Failure> {
        let create = || -> io::Result<()> {
            create_private_dir(&self.directory)?;
            #[cfg(unix)]
            if self.is_default {
                use std::os::unix::fs::PermissionsExt;
                let mode = std::fs::metadata(&self.directory)?.permissions().mode();
                if mode & 0o077 != 0 {
                    let private = std::fs::Permissions::from_mode(mode & 0o700);
                    std::fs::set_permissions(&self.directory, private)?;
                }
            }
            Ok(())
        };
        create().map_err(|error| {
            Failure::new(format!("the home directory {} cannot be made", self.directory.display()))
                .because(&error)
                .next("name another one with --home")
        })
    }

    /// A home of its own below this one.
    pub(crate) fn within(&self, name: &str) -> Self {
        Self { directory: self.directory.join(name), is_default: false }
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Held by the running gateway.
    pub(crate) fn lock(&self) -> PathBuf {
        self.directory.join("gateway.lock")
    }

    /// The pid, for scripts. Never trusted.
    pub(crate) fn pid(&self) -> PathBuf {
        self.directory.join("gateway.pid")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.directory.join("gateway.log")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.join("control.sock")
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.directory.join("gateway.db")
    }

    /// Log-in tokens of connectors.
    pub(crate) fn vault(&self) -> PathBuf {
        self.directory.join("credentials")
    }
}

/// The configuration's path: `--config`, `ACG_CONFIG`, or `config.yaml` in the home directory. Absolute.
pub(crate) fn config_path(common: &Common) -> Result<PathBuf, Failure> {
    let path = match common.config.clone().or_else(|| variable("ACG_CONFIG")) {
        Some(path) => path,
        None => Home::resolve(common)?.directory.join("config.yaml"),
    };
    std::path::absolute(&path)
        .map_err(|error| Failure::new("the configuration cannot be used").because(&error))
}

/// The user's home directory.
pub(crate) fn user_home() -> Option<PathBuf> {
    variable("HOME")
}

fn variable(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}
