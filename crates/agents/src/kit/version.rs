//! What a program says its version is.

use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;

use super::process::{Launch, start};

/// How long a program may take to tell (0.1 to 0.6 s, measured).
const ANSWER: Duration = Duration::from_secs(15);
/// Most bytes of its answer that are read.
const LONGEST: u64 = 4096;

/// The first word of the answer to `--version`. `launch`: the program, whatever it is started with else.
pub(crate) async fn ask(launch: &Launch) -> Option<String> {
    let launch = Launch { args: vec!["--version".into()], serves: None, ..launch.clone() };
    let mut started = start(&launch).ok()?;
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
