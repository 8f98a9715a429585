//! The calling thread puts itself under a confinement, for good. For the launcher, just before it becomes the
//! agent: nothing here can be undone.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::ResourceLimits;

/// Why a confinement cannot be applied. The agent must not be started then.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// A path of the rules cannot be opened.
    #[cfg(target_os = "linux")]
    #[error("{} cannot be opened: {source}", .path.display())]
    Path {
        path: std::path::PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// The kernel takes no such limit.
    #[error("the limit of {name} cannot be set: {source}")]
    Limit {
        name: &'static str,
        #[source]
        source: std::io::Error,
    },
    /// The rights of root cannot be given up.
    #[cfg(target_os = "linux")]
    #[error("the rights of root cannot be given up: {0}")]
    Capabilities(#[source] std::io::Error),
    /// The kernel refused the rules.
    #[cfg(target_os = "linux")]
    #[error("the kernel does not take the rules: {0}")]
    Rules(#[from] landlock::RulesetError),
    /// The kernel took them and enforces nothing.
    #[cfg(target_os = "linux")]
    #[error("the kernel took the rules and does not enforce them")]
    NotEnforced,
}

/// Whether the paths are enforced now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Applied {
    /// They are.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "only Linux confines"))]
    Confined,
    /// This system cannot; only the limits are in force, and on Linux no program gives new privileges.
    LimitsOnly,
}

#[cfg(target_os = "linux")]
pub(crate) use linux::{apply, support};
#[cfg(not(target_os = "linux"))]
pub(crate) use other::{apply, support};

fn set_limits(limits: &ResourceLimits) -> Result<(), Refusal> {
    for (name, resource, limit) in [
        ("core files", Resource::Core, limits.core),
        ("open files", Resource::Nofile, limits.open_files),
        ("file sizes", Resource::Fsize, limits.file_size),
        ("memory", Resource::Data, limits.data),
        ("processes", Resource::Nproc, limits.processes),
    ] {
        let Some(limit) = limit else { continue };
        // Only ever down: up is for root, and not wanted of root either.
        let now = getrlimit(resource);
        let lower = |now: Option<u64>| Some(now.map_or(limit, |now| now.min(limit)));
        let new = Rlimit { current: lower(now.current), maximum: lower(now.maximum) };
        setrlimit(resource, new).map_err(|error| Refusal::Limit { name, source: error.into() })?;
    }
    Ok(())
}

#[cfg(target_os = "linux")]
mod linux {
    use std::path::Path;

    use landlock::{
        ABI, Access, AccessFs, BitFlags, LandlockStatus, PathBeneath, RestrictSelf, Ruleset, RulesetAttr,
        RulesetCreated, RulesetCreatedAttr, RulesetStatus, Scope,
    };
    use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, openat2};
    use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

    use super::{Applied, Refusal, set_limits};
    use crate::kit::confine::{Confinement, Missing, Support};

    /// The version whose rights are asked for. An older kernel enforces those it knows, which
    /// [`Support::gaps`] names; a newer one nothing that was not tested.
    const KNOWN: ABI = ABI::V7;

    pub(crate) fn support() -> Support {
        // Without a flag and without `no_new_privs` this makes no call but the question for the version.
        match RestrictSelf::default().no_new_privs(false).apply().map(|status| status.landlock) {
            Ok(LandlockStatus::Available { effective_abi, kernel_abi }) => {
                Support::Landlock { abi: kernel_abi.unwrap_or(effective_abi as i32) }
            }
            Ok(LandlockStatus::NotEnabled) => Support::None(Missing::SwitchedOff),
            Ok(LandlockStatus::NotImplemented) | Err(_) => Support::None(Missing::NotBuilt),
        }
    }

    /// Puts the calling thread, and whatever it starts or becomes, under a confinement.
    pub(crate) fn apply(confinement: &Confinement) -> Result<Applied, Refusal> {
        set_limits(&confinement.limits)?;
        let mut rules = Ruleset::default()
            .handle_access(AccessFs::from_all(KNOWN))?
            .scope(Scope::from_all(KNOWN))?
            .create()?;
        for path in &confinement.read {
            rules = allow(rules, path, AccessFs::from_read(KNOWN))?;
        }
        let nodes = AccessFs::MakeChar | AccessFs::MakeBlock;
        for path in &confinement.write {
            rules = allow(rules, path, AccessFs::from_all(KNOWN) & !nodes)?;
        }
        // Sets `no_new_privs` first, with or without Landlock.
        let status = rules.restrict_self()?;
        if !status.no_new_privs {
            return Err(Refusal::NotEnforced);
        }
        drop_capabilities().map_err(|error| Refusal::Capabilities(error.into()))?;
        match (status.landlock, status.ruleset) {
            (LandlockStatus::Available { .. }, RulesetStatus::NotEnforced) => Err(Refusal::NotEnforced),
            (LandlockStatus::Available { .. }, _) => Ok(Applied::Confined),
            _ => Ok(Applied::LimitsOnly),
        }
    }

    /// Gives up what root may do beside what is about the owners of files, for which there are the rules: root
    /// looks into other processes, loads modules, sets up networks. With `no_new_privs` a program that is started
    /// gets none of it back. Others than root have nothing to give up.
    fn drop_capabilities() -> rustix::io::Result<()> {
        let kept = CapabilitySet::CHOWN
            | CapabilitySet::DAC_OVERRIDE
            | CapabilitySet::FOWNER
            | CapabilitySet::FSETID;
        let now = capabilities(None)?;
        let kept = now.permitted & kept;
        set_capabilities(
            None,
            CapabilitySets {
                effective: now.effective & kept,
                permitted: kept,
                inheritable: CapabilitySet::empty(),
            },
        )
    }

    fn allow(
        rules: RulesetCreated,
        path: &Path,
        rights: BitFlags<AccessFs>,
    ) -> Result<RulesetCreated, Refusal> {
        let failed = |error: rustix::io::Errno| Refusal::Path { path: path.to_owned(), source: error.into() };
        // Only a handle on the path: opening a device or a pipe in earnest can have effects. The links were
        // resolved when the rules were made: one that is there now was put there since.
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let file = openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS).map_err(failed)?;
        let found = rustix::fs::fstat(&file).map_err(failed)?;
        let is_directory = FileType::from_raw_mode(found.st_mode).is_dir();
        let rights = if is_directory { rights } else { rights & AccessFs::from_file(KNOWN) };
        Ok(rules.add_rule(PathBeneath::new(file, rights))?)
    }
}

#[cfg(not(target_os = "linux"))]
mod other {
    use super::{Applied, Refusal, set_limits};
    use crate::kit::confine::{Confinement, Missing, Support};

    pub(crate) fn support() -> Support {
        Support::None(Missing::NotLinux)
    }

    /// Sets the limits, which is all that can be done here.
    pub(crate) fn apply(confinement: &Confinement) -> Result<Applied, Refusal> {
        set_limits(&confinement.limits)?;
        Ok(Applied::LimitsOnly)
    }
}
