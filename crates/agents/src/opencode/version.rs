//! Which versions of the program are fit, and what a program says its own is.

use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;

use super::NEEDED_VERSION;
use crate::kit::process::{Launch, start};

/// How long the program may take to tell its version (0.6 s, measured).
const ANSWER: Duration = Duration::from_secs(15);
/// Most bytes of its answer that are read.
const LONGEST: u64 = 4096;

/// What the program says its version is.
pub(crate) async fn ask(launch: &Launch) -> Option<String> {
    let mut started = start(launch).ok()?;
    drop(started.stdin);
    let mut said = Vec::new();
    let mut stdout = started.stdout.take(LONGEST);
    timeout(ANSWER, stdout.read_to_end(&mut said)).await.ok()?.ok()?;
    // Ends it if it should still run, and with it the launcher.
    drop(started.control);
    timeout(ANSWER, started.child.wait()).await.ok()?.ok()?;
    let said = String::from_utf8_lossy(&said).into_owned();
    said.split_whitespace().next().map(str::to_owned)
}

/// Why a program of this version is not used, for people.
pub(crate) fn unfit(version: &str) -> Option<String> {
    (!is_new_enough(version)).then(|| {
        format!(
            "its version is {version:?}, and {NEEDED_VERSION} or newer is needed; install it with `npm install -g \
             opencode-ai`"
        )
    })
}

fn is_new_enough(version: &str) -> bool {
    let numbers = |version: &str| -> Option<Vec<u64>> {
        let plain = version.split(['-', '+']).next()?;
        plain.split('.').map(|part| part.parse().ok()).collect()
    };
    match (numbers(version), numbers(super::NEEDED_VERSION)) {
        (Some(found), Some(needed)) => found.len() == 3 && found >= needed,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        for (version, fit) in [
            ("1.18.33", true),
            ("1.19.0", true),
            ("1.100.1", true),
            ("2.0.0-beta", true),
            ("1.18.9", false),
            ("local", false),
            ("", false),
        ] {
            assert_eq!(is_new_enough(version), fit, "{version}");
        }
    }
}
