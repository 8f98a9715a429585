//! The connector as the core sees it: the loop of links, and posting beside it.

use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use acg_core::connector::{Capabilities, Connector, Health, Intake, Link, Live, Receipt, SendError};
use acg_types::{Outgoing, Room, RoomId, ThreadId};
use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::shared::Shared;
use super::source::{Program, Source, Streams};
use super::wire::{self, Told};
use super::{link, program, stdio};
use crate::kit::backoff::Backoff;

/// Longest part: a line must hold it whole, whatever JSON makes of its characters.
const MAX_TEXT_UTF16: usize = 64 * 1024;
/// A program that ran so long was a success: the next failure waits shortly again.
const PROVEN: Duration = Duration::from_secs(10);

/// One script connector.
#[derive(Debug)]
pub(crate) struct Script {
    shared: Shared,
    source: Source,
}

impl Script {
    pub(crate) fn new(shared: Shared, source: Source) -> Self {
        Self { shared, source }
    }

    /// Runs the program again and again.
    async fn supervise(&self, program: &Program, intake: &dyn Intake, stop: &CancellationToken) {
        let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_mins(1));
        while !stop.is_cancelled() {
            let begun = Instant::now();
            let reason = match program::start(program, self.shared.connector.as_str()) {
                Ok((running, streams)) => self.one_run(running, streams, intake, stop).await,
                Err(error) => format!("{} cannot be started: {error}", program.path.display()),
            };
            if stop.is_cancelled() {
                return;
            }
            self.shared.set_link(Link::Retrying, Some(&reason));
            if begun.elapsed() >= PROVEN {
                backoff.reset();
            }
            // Half of it is certain: a program that ends at once must not be started without a pause.
            let wait = backoff.next(0.5 + acg_types::random::fraction() / 2.0);
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    async fn one_run(
        &self,
        mut running: program::Running,
        streams: Streams,
        intake: &dyn Intake,
        stop: &CancellationToken,
    ) -> String {
        let gone = CancellationToken::new();
        let complaints = running.complaints(self.shared.connector.as_str());
        let work = async {
            let watch = async {
                running.ended().await;
                gone.cancel();
                std::future::pending::<()>().await;
            };
            let reason = tokio::select! {
                reason = link::run(&self.shared, streams, intake, &gone, stop) => reason,
                () = watch => "the program has ended",
            };
            self.shared.detach();
            let how = running.end().await;
            format!("{reason}: {how}")
        };
        let endless = async {
            complaints.await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            reason = work => reason,
            () = endless => String::new(),
        }
    }

    /// A link that cannot be had again.
    async fn once(&self, streams: std::io::Result<Streams>, intake: &dyn Intake, stop: &CancellationToken) {
        let reason = match streams {
            Ok(streams) => {
                link::run(&self.shared, streams, intake, &CancellationToken::new(), stop).await.to_owned()
            }
            Err(error) => format!("standard input cannot be read: {error}"),
        };
        if !stop.is_cancelled() {
            self.shared.set_link(Link::Refused, Some(&format!("{reason}; restart the gateway to link anew")));
        }
    }
}

#[async_trait]
impl Connector for Script {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            title: "Script",
            max_text_utf16: MAX_TEXT_UTF16,
            idempotent_send: self.shared.options.idempotent,
            reactions: true,
        }
    }

    async fn run(&self, intake: Arc<dyn Intake>, stop: CancellationToken) {
        match &self.source {
            Source::Program(program) => Box::pin(self.supervise(program, &*intake, &stop)).await,
            Source::Stdio => Box::pin(self.once(stdio::open(), &*intake, &stop)).await,
            Source::Given(streams) => {
                let streams = streams.lock().unwrap_or_else(PoisonError::into_inner).take();
                let streams = streams.ok_or_else(|| std::io::Error::other("it ran before"));
                Box::pin(self.once(streams, &*intake, &stop)).await;
            }
        }
        stop.cancelled().await;
        self.shared.set_link(Link::Stopped, None);
    }

    async fn send(&self, part: &Outgoing) -> Result<Receipt, SendError> {
        let told = Told::Post {
            id: part.key.to_string(),
            room: part.room.to_string(),
            thread: part.thread.as_ref().map(ToString::to_string),
            text: part.text.clone(),
            attempt: part.attempts.saturating_add(1),
        };
        self.shared.post(&part.key, &told).await
    }

    async fn typing(&self, room: &RoomId, thread: Option<&ThreadId>, on: bool) {
        self.shared.hint(&Told::Typing {
            room: room.to_string(),
            thread: thread.map(ToString::to_string),
            on,
        });
    }

    fn live(&self, room: &RoomId, thread: Option<&ThreadId>, event: Live<'_>) {
        if !self.shared.options.stream {
            return;
        }
        let event = match event {
            Live::Begun => wire::Live::Begun,
            Live::Text(text) => wire::Live::Text { text: text.to_owned() },
            Live::Message(text) => wire::Live::Message { text: text.to_owned() },
            Live::Tool(call) => wire::Live::Tool { tool: call.tool.clone(), params: call.params.clone() },
            Live::ToolDone { is_error } => wire::Live::ToolDone { is_error },
            Live::Ended(usage) => wire::Live::Ended { usage: usage.cloned() },
        };
        let (room, thread) = (room.to_string(), thread.map(ToString::to_string));
        self.shared.hint(&Told::Live { room, thread, event });
    }

    async fn upload(
        &self,
        room: &RoomId,
        thread: Option<&ThreadId>,
        file: &Path,
        caption: &str,
    ) -> Result<(), SendError> {
        let permanent = |reason: String| SendError::Permanent { reason };
        let path = file.to_str().ok_or_else(|| permanent(format!("{} is not UTF-8", file.display())))?;
        let key = acg_types::random::message_key().map_err(|error| permanent(error.to_string()))?;
        let told = Told::File {
            id: key.to_string(),
            room: room.to_string(),
            thread: thread.map(ToString::to_string),
            path: path.to_owned(),
            caption: caption.to_owned(),
        };
        self.shared.post(&key, &told).await.map(drop)
    }

    async fn find_room(&self, name: &str) -> Result<Room, SendError> {
        let name = link::plain(name);
        if !wire::is_room(name) {
            let reason = format!("No room can be called '{}'", name.escape_debug());
            return Err(SendError::Permanent { reason });
        }
        Ok(link::room(name, None))
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.shared.watch()
    }
}
