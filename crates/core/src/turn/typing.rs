//! The typing sign of a turn.
//!
//! Owns when it shows: while the agent works, not while people are waited for.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::{CancellationToken, DropGuard};

use super::Turn;
use super::finish::place;

/// A typing sign is renewed this often (Rocket.Chat shows one for 15 s).
const TYPING_EVERY: Duration = Duration::from_secs(7);
/// Longest wait for one typing call.
const TYPING_WAIT: Duration = Duration::from_secs(5);

/// Shows typing until it is turned off or dropped.
#[derive(Debug, Default)]
pub(super) struct Typing {
    shown: Option<DropGuard>,
}

impl Typing {
    pub(super) fn on(&mut self, turn: &Turn<'_>) {
        self.shown.get_or_insert_with(|| show(turn));
    }

    pub(super) fn off(&mut self) {
        self.shown = None;
    }
}

fn show(turn: &Turn<'_>) -> DropGuard {
    let ended = CancellationToken::new();
    let guard = ended.clone().drop_guard();
    let connector = Arc::clone(&turn.connector.connector);
    let place = place(turn);
    turn.hub.tasks.spawn(async move {
        loop {
            if ended
                .run_until_cancelled(connector.typing(&place.room, place.thread.as_ref(), true))
                .await
                .is_none()
            {
                break;
            }
            if ended.run_until_cancelled(tokio::time::sleep(TYPING_EVERY)).await.is_none() {
                break;
            }
        }
        drop(
            tokio::time::timeout(TYPING_WAIT, connector.typing(&place.room, place.thread.as_ref(), false))
                .await,
        );
    });
    guard
}
