//! Where confined servers keep what they write: a folder of their own, so that the owners' server never reads it.

use std::path::PathBuf;

use super::home;
use crate::kit::site::Env;

/// The folder, and what of the user's is used there.
#[derive(Debug)]
pub(super) struct Guests {
    pub(super) folder: PathBuf,
    /// The user's log-ins, which both sides use.
    pub(super) log_in: Option<PathBuf>,
    /// Packages for providers, which are only read.
    pub(super) packages: Option<PathBuf>,
}

/// Makes the folder of confined servers and puts it into their environment: code that lies in the user's folders is run
/// by the owners' server, so nothing there may be written.
pub(super) fn folder(env: &mut Env) -> Result<Guests, String> {
    let base = |env: &Env, name: &str, usual: &str| {
        home::base(env, name, usual)
            .ok_or("neither HOME nor XDG_DATA_HOME is set: a confined OpenCode needs one")
    };
    let data = base(env, "XDG_DATA_HOME", ".local/share")?;
    let cache = base(env, "XDG_CACHE_HOME", ".cache")?;
    let folder = data.join("opencode-guests");
    let failed = |error: std::io::Error| format!("{} cannot be made: {error}", folder.display());
    for name in ["data/opencode", "state", "cache/opencode"] {
        acg_types::fs::create_private_dir(&folder.join(name)).map_err(failed)?;
    }
    let log_in = Some(data.join("opencode/auth.json")).filter(|file| file.is_file());
    let packages = Some(cache.join("opencode/packages")).filter(|packages| packages.is_dir());
    for (real, place) in [(&log_in, "data/opencode/auth.json"), (&packages, "cache/opencode/packages")] {
        let place = folder.join(place);
        let is_link = std::fs::symlink_metadata(&place).is_ok_and(|meta| meta.is_symlink());
        if let Some(real) = real
            && !is_link
            && !place.exists()
        {
            std::os::unix::fs::symlink(real, &place).map_err(failed)?;
        }
    }
    for (name, place) in [("XDG_DATA_HOME", "data"), ("XDG_STATE_HOME", "state"), ("XDG_CACHE_HOME", "cache")]
    {
        env.insert(name.into(), folder.join(place).into());
    }
    Ok(Guests { folder, log_in, packages })
}
