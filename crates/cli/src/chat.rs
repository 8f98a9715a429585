//! `chat`: the whole gateway in one process, with the terminal as its only room.
//!
//! Owns the order of such a chat: which agent, a configuration made of defaults, the gateway, the conversation. Must
//! never go round the gateway: what is typed takes the way of every message, through inbox, turn and outbox.

pub(crate) mod choose;
mod conversation;
mod lines;
mod screen;
mod setup;
mod stream;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use acg_connectors::local;
use acg_core::{Gateway, Parts};
use acg_store::Store;
use acg_types::{Clock, SystemClock};
use tokio_util::sync::CancellationToken;

use crate::args::{ChatArgs, Common};
use crate::commands::control::lock_failure;
use crate::failure::Failure;
use crate::home::Home;
use crate::lock::{HomeLock, LockError};
use crate::log::{self, Audience};
use crate::output::Output;
use choose::Choice;
use conversation::Conversation;
use screen::Screen;

/// Carries the command out.
pub(crate) fn chat(
    common: &Common,
    home: &Home,
    args: &ChatArgs,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let directory = directory(args)?;
    // Beside the daemon's own state: both may run at the same time.
    let home = home.within("chat");
    home.create()?;
    let lock = HomeLock::take(&home.lock()).map_err(|error| match error {
        LockError::Held(holder) => Failure::new(format!("another chat is open ({})", holder.label()))
            .next("end it first, or keep this one elsewhere with --home DIR"),
        LockError::Io(error) => lock_failure(&home, &error),
    })?;
    let _log = log::start(common, &home, Audience::Chat, &[])?;
    let runtime = crate::daemon::runtime()?;
    let done = runtime.block_on(talk(&home, &directory, args, output));
    runtime.shutdown_timeout(std::time::Duration::from_millis(100));
    drop(lock);
    done
}

/// Where the agent works: the current directory.
fn directory(args: &ChatArgs) -> Result<PathBuf, Failure> {
    let named = args.directory.clone().unwrap_or_else(|| PathBuf::from("."));
    named.canonicalize().ok().filter(|path| path.is_dir()).ok_or_else(|| {
        Failure::new(format!("{} is not a directory", named.display()))
            .next("name one that exists with --directory")
    })
}

async fn talk(
    home: &Home,
    directory: &std::path::Path,
    args: &ChatArgs,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let screen = Screen::new(output.json);
    let Choice { config, agent, remarks } = choose::choose(directory, args.agent.as_deref()).await?;
    for remark in &remarks {
        screen.remark(remark);
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = Store::open(&home.store()).map_err(|error| {
        Failure::new(format!("the store {} cannot be opened", home.store().display())).because(&error)
    })?;
    let (connector, front, shown) = local::pair(setup::setting(directory, &config.label), Arc::clone(&clock));
    let parts = Parts {
        connectors: vec![(setup::CONNECTOR.into(), connector)],
        agents: vec![(config.label.as_str().into(), agent)],
        config: config.config,
        store,
        clock,
        vault: home.vault(),
    };
    let gateway = Gateway::start(parts)
        .await
        .map_err(|error| Failure::new("the gateway could not start").because(&error))?;
    let control = gateway.control();
    screen.welcome(&config.label, directory);
    let mut conversation =
        Conversation { control, front, shown, screen, held: VecDeque::new(), recent: VecDeque::new() };
    let done = conversation.run(args.new, home).await;
    // A turn that still runs was left on purpose; it is gone on with by the next chat in this directory.
    let hurry = CancellationToken::new();
    hurry.cancel();
    gateway.stop(hurry).await;
    done.map(|()| ExitCode::SUCCESS)
}
