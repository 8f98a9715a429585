//! The programs that the tests start: the gateway with its fault points, and the stand-in for an agent.
//!
//! Owns how they are found and built. The gateway with fault points is in no ordinary build, so it is built here, by one
//! bounded call of cargo for each test process; whether anything has changed is for cargo to tell.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

use crate::{Failure, tail};

/// Longest build: everything from nothing, on a slow machine with the other cargo runs before it.
const BUILD: Duration = Duration::from_mins(20);

/// A variable with the path of a gateway with fault points that is there already: then none is built.
const GIVEN: &str = "ACG_UNDER_TEST";

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The gateway that can be told to fail.
    pub gateway: PathBuf,
    /// The stand-in for Claude Code.
    pub agent: PathBuf,
}

impl Programs {
    /// Finds them beside the program that runs, and builds what is missing or stale. The first call may take minutes;
    /// what it comes to holds for the others.
    pub fn find() -> Result<&'static Self, Failure> {
        static FOUND: OnceLock<Result<Programs, String>> = OnceLock::new();
        let found = FOUND.get_or_init(|| Self::look().map_err(|error| error.to_string()));
        found.as_ref().map_err(|error| error.clone().into())
    }

    fn look() -> Result<Self, Failure> {
        let exe = std::env::current_exe()?;
        let built = Built::of(&exe)?;
        let file = |name: &str| built.folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
        let given = std::env::var_os(GIVEN).filter(|path| !path.is_empty());
        if given.is_none() {
            built.build(&["--features", "faults", "--bin", "acg-under-test"])?;
        }
        let gateway = given.map_or_else(|| file("acg-under-test"), PathBuf::from);
        let agent = file("acg-fake-agent");
        // An ordinary build has made it already, except for those who run one program of this package alone.
        if !agent.is_file() {
            built.build(&["--bin", "acg-fake-agent"])?;
        }
        Ok(Self { gateway, agent })
    }
}

/// The build that the running program comes from.
#[derive(Debug, PartialEq)]
struct Built {
    /// Where its programs are: `target/debug`.
    folder: PathBuf,
    target: PathBuf,
    profile: String,
}

impl Built {
    fn of(exe: &Path) -> Result<Self, Failure> {
        let mut folder = exe.parent().ok_or("the running program has no folder")?;
        if folder.ends_with("deps") {
            folder = folder.parent().unwrap_or(folder);
        }
        let profile = match folder.file_name().and_then(|name| name.to_str()) {
            Some("debug") => "dev",
            Some(name) => name,
            None => return Err(format!("{} is no folder of a build", folder.display()).into()),
        };
        let target = folder.parent().unwrap_or(folder);
        Ok(Self { folder: folder.to_owned(), target: target.to_owned(), profile: profile.to_owned() })
    }

    fn build(&self, what: &[&str]) -> Result<(), Failure> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command
            .args([
                "build",
                "--quiet",
                "--offline",
                "--locked",
                "--package",
                "acg-chaos",
                "--profile",
                &self.profile,
            ])
            .args(what)
            .arg("--manifest-path")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
            .arg("--target-dir")
            .arg(&self.target)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        // What cargo told the program that runs is about that one.
        for (name, _) in std::env::vars_os() {
            if name
                .to_str()
                .is_some_and(|name| name.starts_with("CARGO_PKG_") || name == "CARGO_MANIFEST_DIR")
            {
                command.env_remove(name);
            }
        }
        let mut child = command.spawn().map_err(|error| format!("cargo cannot be started: {error}"))?;
        let mut errors = child.stderr.take().ok_or("cargo has no stderr")?;
        let (done, is_done) = mpsc::sync_channel(1);
        // Ends with cargo: its stderr is over then.
        let reader = std::thread::spawn(move || {
            let mut said = String::new();
            let read = errors.read_to_string(&mut said);
            let _given_up = done.send(());
            read.map(|_| said)
        });
        if is_done.recv_timeout(BUILD).is_err() {
            child.kill()?;
            child.wait()?;
            return Err(format!("cargo did not build {what:?} within {BUILD:?}").into());
        }
        let status = child.wait()?;
        let said = reader.join().map_err(|_| "cargo's words could not be read")??;
        if status.success() {
            return Ok(());
        }
        Err(format!("cargo could not build {what:?} ({status}):\n{}", tail(&said, 40)).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_build_is_told_from_the_path() {
        let built = |exe: &str| Built::of(Path::new(exe)).unwrap();
        for exe in ["/t/debug/deps/it-1", "/t/debug/acg-chaos"] {
            let expected = Built { folder: "/t/debug".into(), target: "/t".into(), profile: "dev".into() };
            assert_eq!(built(exe), expected);
        }
        assert_eq!(built("/t/release/acg-chaos").profile, "release");
    }
}
