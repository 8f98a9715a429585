//! Running the command of a terminal: its process, and what it writes.
//!
//! Must never run anything but the line that was allowed, nor outlive its terminal.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::terminals::{Exit, Terminal};
use crate::kit::process::{Launch, Started, start};

/// How long output is read on after the process has ended: something that it started may hold its pipes.
const DRAIN: Duration = Duration::from_millis(300);
/// How long the launcher may take to end the group: longer than its own grace.
const END: Duration = Duration::from_secs(10);

/// Starts a line in a shell, whose `launch` ends with the argument before it.
pub(crate) fn run(
    mut launch: Launch,
    line: String,
    terminal: Arc<Terminal>,
    tracker: &TaskTracker,
    shutdown: &CancellationToken,
) -> std::io::Result<()> {
    launch.args.push(line.into());
    let started = start(&launch)?;
    let shutdown = shutdown.clone();
    tracker.spawn(async move {
        let exit = keep(started, &terminal, &shutdown).await;
        terminal.end(exit);
    });
    Ok(())
}

/// Reads what it writes until it ends, or is to.
async fn keep(started: Started, terminal: &Terminal, shutdown: &CancellationToken) -> Exit {
    let Started { mut child, stdin, mut stdout, control, registered } = started;
    // Whoever reads its input finds that there is none.
    drop(stdin);
    let (mut stderr, release) = control.into_split();
    let mut release = Some(release);
    let (mut out, mut err) = (Vec::with_capacity(8192), Vec::with_capacity(8192));
    let (mut out_over, mut err_over) = (false, false);
    let mut ended = None;
    let mut deadline: Option<Instant> = None;
    while ended.is_none() || !out_over || !err_over {
        tokio::select! {
            read = stdout.read_buf(&mut out), if !out_over => {
                out_over = !matches!(read, Ok(1..));
                terminal.push(&out);
                out.clear();
            }
            read = stderr.read_buf(&mut err), if !err_over => {
                err_over = !matches!(read, Ok(1..));
                terminal.push(&err);
                err.clear();
            }
            status = child.wait(), if ended.is_none() => {
                ended = Some(Exit(status.ok().and_then(|status| status.code()).and_then(|code| code.try_into().ok())));
                deadline = Some(Instant::now() + DRAIN);
            }
            () = stopped(terminal, shutdown), if release.is_some() => {
                // The launcher ends the whole group.
                release = None;
                deadline.get_or_insert(Instant::now() + END);
            }
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => break,
        }
    }
    drop(release);
    if ended.is_none() {
        tracing::error!("the launcher does not end the command of a terminal; killing the launcher");
        let _gone = child.start_kill();
        let _late = timeout(END, child.wait()).await;
    }
    drop(registered);
    ended.unwrap_or(Exit(None))
}

async fn stopped(terminal: &Terminal, shutdown: &CancellationToken) {
    tokio::select! {
        () = terminal.kill.cancelled() => {}
        () = shutdown.cancelled() => {}
    }
}
