//! The connector as the core sees it: the loop of links, and sending beside it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use acg_core::connector::{Capabilities, Connector, Health, Intake, Receipt, SendError};
use acg_types::{Outgoing, Room, RoomId, ThreadId};
use async_trait::async_trait;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::account::REFUSED_FOR;
use super::link::{self, Ended};
use super::shared::{Shared, Typing};
use super::{directory, send, upload};
use crate::kit::backoff::Backoff;

/// Below the server's default `Message_MaxAllowedSize` of 5000, which counts UTF-16 units too.
const MAX_TEXT_UTF16: usize = 4000;
/// A link that lived so long was a success: the next failure waits shortly again.
const PROVEN: Duration = Duration::from_secs(10);

/// One account of one Rocket.Chat server.
#[derive(Debug)]
pub(crate) struct RocketChat {
    shared: Arc<Shared>,
}

impl RocketChat {
    pub(crate) fn new(shared: Shared) -> Self {
        Self { shared: Arc::new(shared) }
    }

    async fn keep_connected(&self, intake: &Arc<dyn Intake>, stop: &CancellationToken) {
        let board = &self.shared.board;
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_mins(1));
        while !stop.is_cancelled() {
            let wait = match Box::pin(link::run(&self.shared, intake, stop)).await {
                Ended::Stopped => break,
                Ended::Refused(reason) => {
                    board.refused(&reason);
                    REFUSED_FOR
                }
                Ended::Down { reason, after, up } => {
                    board.retrying(&reason);
                    if up.is_some_and(|up| up >= PROVEN) {
                        backoff.reset();
                    }
                    let jittered = backoff.next(acg_types::random::fraction());
                    after.map_or(
                        jittered,
                        |after| if after.is_zero() { jittered / 4 } else { after + jittered / 4 },
                    )
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }
}

#[async_trait]
impl Connector for RocketChat {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            title: "Rocket.Chat",
            max_text_utf16: MAX_TEXT_UTF16,
            idempotent_send: true,
            reactions: !self.shared.self_chat,
        }
    }

    async fn run(&self, intake: Arc<dyn Intake>, stop: CancellationToken) {
        self.shared.account.keep_with(Some(intake.clone()));
        self.keep_connected(&intake, &stop).await;
        self.shared.account.keep_with(None);
        self.shared.board.stopped();
    }

    async fn send(&self, part: &Outgoing) -> Result<Receipt, SendError> {
        Box::pin(send::post(&self.shared.account, part)).await
    }

    async fn typing(&self, room: &RoomId, thread: Option<&ThreadId>, on: bool) {
        self.shared.typing(Typing { room: room.clone(), thread: thread.cloned(), on });
    }

    async fn upload(
        &self,
        room: &RoomId,
        thread: Option<&ThreadId>,
        file: &Path,
        caption: &str,
    ) -> Result<(), SendError> {
        Box::pin(upload::post(&self.shared, &upload::Upload { room, thread, file, caption })).await
    }

    async fn find_room(&self, name: &str) -> Result<Room, SendError> {
        let known = self.shared.directory().find(name).map(|entry| entry.named(name));
        if let Some(room) = known {
            return Ok(room);
        }
        let account = &self.shared.account;
        if let Some(username) = name.strip_prefix('@') {
            let id = account.direct_room(username).await.map_err(send::error)?;
            let kind = acg_types::RoomKind::Direct;
            return Ok(Room { id, name: name.to_owned(), kind, parent: None });
        }
        let info = account.room_info(name.strip_prefix('#').unwrap_or(name)).await.map_err(send::error)?;
        info.as_ref().and_then(directory::room_from_info).ok_or_else(|| SendError::Permanent {
            reason: format!("Room '{}' not found (tried channels and groups)", name.escape_debug()),
        })
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.shared.board.watch()
    }
}
