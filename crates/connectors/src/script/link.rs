//! One link: reads lines and deals with them in order, writes what is to be told.
//!
//! Owns the order of what is said. A message is told `accepted` only after it is stored; an offer is never broken off
//! in the middle, so what was read before a link ended is still dealt with.

use std::collections::HashSet;
use std::time::Duration;

use acg_core::connector::{Inbound, Intake, IntakeError, Link, Reaction, Receipt, SendError, Wanted};
use acg_types::{
    Addressed, IncomingMessage, MessageId, Room, RoomId, RoomKind, Sender, ThreadId, Timestamp, UserId,
};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::shared::{Line, Shared};
use super::source::{Cut, Lines, Streams};
use super::wire::{self, Kind, MAX_LINE, Outcome, PROTOCOL, Person, Said, Told};
use crate::kit::backoff::Backoff;

/// Lines that may wait to be dealt with; then reading waits.
const QUEUE: usize = 256;
/// Longest time that the other side may take to read a line.
const WRITE: Duration = Duration::from_secs(30);
/// Rooms that are remembered to be open.
const ROOMS: usize = 10_000;

/// Runs a link until its other side ends, `gone` or `stop`. Tells why it ended.
pub(super) async fn run(
    shared: &Shared,
    streams: Streams,
    intake: &dyn Intake,
    gone: &CancellationToken,
    stop: &CancellationToken,
) -> &'static str {
    let lines = shared.attach();
    let broken = CancellationToken::new();
    let (queue, said) = mpsc::channel(QUEUE);
    let reading = async {
        let reason = tokio::select! {
            biased;
            () = stop.cancelled() => "the gateway stops",
            () = broken.cancelled() => "the other side does not read what it is told",
            () = gone.cancelled() => "the other side has gone",
            reason = read(shared, Lines::new(streams.reader), queue) => reason,
        };
        if !stop.is_cancelled() {
            // A stream that is not read must not look like one that may be written to.
            shared.cut(reason);
        }
        reason
    };
    let working = async {
        let mut worker = Worker { shared, intake, stop, rooms: HashSet::new() };
        worker.work(said).await;
        shared.detach();
    };
    let (reason, (), ()) = tokio::join!(reading, working, write(streams.writer, lines, &broken));
    reason
}

/// Reads until the end. Answers to posts are given on at once; the rest is queued in order.
async fn read(
    shared: &Shared,
    mut lines: Lines<Box<dyn tokio::io::AsyncRead + Send + Unpin>>,
    queue: mpsc::Sender<Said>,
) -> &'static str {
    let mut number = 0_u64;
    loop {
        let cut = match lines.next().await {
            Ok(Some(cut)) => cut,
            Ok(None) => return "the other side has ended",
            Err(error) => {
                debug!(connector = %shared.connector, %error, "The link broke.");
                return "the other side cannot be read";
            }
        };
        number += 1;
        let said = match cut {
            Cut::TooLong => Err(format!("the line is longer than {MAX_LINE} bytes")),
            Cut::Line(line) if line.iter().all(u8::is_ascii_whitespace) => continue,
            Cut::Line(line) => wire::read(&line),
        };
        match said {
            Err(message) => {
                warn!(connector = %shared.connector, line = number, "Script: a line was dropped: {message}");
                shared.tell(&Told::Error { line: number, message }, WRITE).await;
            }
            Ok(Said::Hello { account, version, .. }) => shared.introduce(account, version),
            Ok(Said::Posted { id, message, duplicate, error, retry, after_ms }) => {
                let id = MessageId::new(id);
                let result = match error {
                    None => Ok(Receipt { id: message.map_or_else(|| id.clone(), MessageId::new), duplicate }),
                    Some(reason) if retry => Err(SendError::Retry {
                        after: after_ms.map(|after| Duration::from_millis(after.into())),
                        reason,
                    }),
                    Some(reason) => Err(SendError::Permanent { reason }),
                };
                if !shared.answered(&id, result) {
                    debug!(connector = %shared.connector, post = %id, "Nobody waits for this answer.");
                }
            }
            Ok(said) => {
                if matches!(said, Said::Message { .. }) {
                    acg_fault::point(acg_fault::Point::FrameReceived);
                }
                if queue.send(said).await.is_err() {
                    return "the gateway stops";
                }
            }
        }
    }
}

/// Writes lines until there can be no more, or the other side does not take them.
async fn write(
    mut writer: Box<dyn AsyncWrite + Send + Unpin>,
    mut lines: mpsc::Receiver<Line>,
    broken: &CancellationToken,
) {
    while let Some(Line { mut text, ticket }) = lines.recv().await {
        if broken.is_cancelled() || !ticket.begin() {
            continue;
        }
        text.push('\n');
        let written = timeout(WRITE, async {
            writer.write_all(text.as_bytes()).await?;
            writer.flush().await
        });
        if !matches!(written.await, Ok(Ok(()))) {
            broken.cancel();
        }
    }
    drop(timeout(WRITE, writer.shutdown()).await);
}

/// What deals with lines, one after the other.
struct Worker<'a> {
    shared: &'a Shared,
    intake: &'a dyn Intake,
    stop: &'a CancellationToken,
    rooms: HashSet<String>,
}

/// The gateway stops: nothing more is dealt with.
struct Stopped;

impl Worker<'_> {
    async fn work(&mut self, mut said: mpsc::Receiver<Said>) {
        let mut closing = self.begin().await.is_err();
        loop {
            let next = tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                next = said.recv() => next,
            };
            let Some(next) = next else { return };
            let Some((id, room)) = place(&next) else { continue };
            // What comes in while the gateway ends is said again later. Posts still go out until it has ended.
            if closing {
                continue;
            }
            let Ok(result) = self.settle(next).await else {
                closing = true;
                continue;
            };
            self.shared.tell(&Told::Accepted { id, room, result }, WRITE).await;
        }
    }

    /// Says hello, and opens the rooms that the configuration names.
    async fn begin(&mut self) -> Result<(), Stopped> {
        let Wanted { rooms, all } = self.intake.wanted();
        let hello = Told::Hello {
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            connector: self.shared.connector.to_string(),
            rooms: rooms.iter().map(|room| plain(room).to_owned()).collect(),
            all_rooms: all,
            ack_timeout_ms: u64::try_from(self.shared.options.ack_timeout.as_millis()).unwrap_or(u64::MAX),
            max_line: MAX_LINE,
        };
        self.shared.tell(&hello, WRITE).await;
        for word in rooms {
            if wire::is_room(plain(&word)) {
                self.intake.room_trouble(&word, None);
                self.open(&room(plain(&word), None)).await?;
            } else {
                self.intake.room_trouble(&word, Some("No room can have this name.".to_owned()));
            }
        }
        let now = self.shared.now();
        if let Err(error) = self.intake.alive(now).await {
            debug!(connector = %self.shared.connector, %error, "The time of the link was not kept.");
        }
        self.shared.set_link(Link::Connected, None);
        Ok(())
    }

    async fn open(&mut self, room: &Room) -> Result<(), Stopped> {
        if self.rooms.contains(room.id.as_str()) {
            return Ok(());
        }
        // Nothing is asked for that was said before: so a new room has no start.
        let opened = self.until_stored(|| self.intake.open_room(room, Timestamp(0))).await?;
        if opened.is_some() {
            if self.rooms.len() >= ROOMS {
                self.rooms.clear();
            }
            self.rooms.insert(room.id.to_string());
        }
        Ok(())
    }

    async fn settle(&mut self, said: Said) -> Result<Outcome, Stopped> {
        match said {
            Said::Message {
                id,
                room: name,
                sender,
                text,
                thread,
                sent_at,
                room_kind,
                mention,
                mention_all,
                edited,
            } => {
                if self.until_stored(|| self.intake.is_own(&id)).await? {
                    return Ok(Outcome::Own);
                }
                let room = room(&name, room_kind);
                self.open(&room).await?;
                let mention = mention || room.kind == RoomKind::Direct;
                let message = IncomingMessage {
                    connector: self.shared.connector.clone(),
                    id: MessageId::new(id),
                    room,
                    thread: thread.map(ThreadId::new),
                    sender: who(sender),
                    text,
                    addressed: match (mention, mention_all) {
                        (true, true) => Addressed::MeAndAll,
                        (true, false) => Addressed::Me,
                        (false, true) => Addressed::All,
                        (false, false) => Addressed::Nobody,
                    },
                    sent_at: sent_at.map_or_else(|| self.shared.moment(), Timestamp),
                    warnings: Vec::new(),
                };
                let inbound = Inbound { message, edited, cursor: None, own: None };
                Ok(self.until_stored(|| self.intake.offer(inbound.clone())).await?.into())
            }
            Said::Delete { room, id } => {
                let (room, id) = (RoomId::new(room), MessageId::new(id));
                let withdrawn = self.until_stored(|| self.intake.withdraw(&room, &id)).await?;
                Ok(if withdrawn { Outcome::Withdrawn } else { Outcome::NotWaiting })
            }
            Said::Reaction { room, id, sender, emoji } => {
                let (room, message) = (RoomId::new(room), MessageId::new(id));
                if !self.intake.awaits_reaction(&room, &message) {
                    return Ok(Outcome::NotAsked);
                }
                let reaction = Reaction { room, message, sender: who(sender), emoji };
                self.until_stored(|| self.intake.react(reaction.clone())).await?;
                Ok(Outcome::Answered)
            }
            Said::Hello { .. } | Said::Posted { .. } => Ok(Outcome::Known),
        }
    }

    /// Tries until it is stored: what comes later must not overtake it.
    async fn until_stored<T, F: Future<Output = Result<T, IntakeError>>>(
        &self,
        offer: impl Fn() -> F,
    ) -> Result<T, Stopped> {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        loop {
            match offer().await {
                Ok(value) => return Ok(value),
                Err(IntakeError::Closing) => return Err(Stopped),
                Err(error) => {
                    let wait = backoff.next(1.0);
                    warn!(connector = %self.shared.connector, %error, "Script: a line waits to be stored.");
                    tokio::select! {
                        () = self.stop.cancelled() => return Err(Stopped),
                        () = tokio::time::sleep(wait) => {}
                    }
                }
            }
        }
    }
}

/// What an answer to a line names.
fn place(said: &Said) -> Option<(String, String)> {
    match said {
        Said::Message { id, room, .. } | Said::Delete { id, room } | Said::Reaction { id, room, .. } => {
            Some((id.clone(), room.clone()))
        }
        Said::Hello { .. } | Said::Posted { .. } => None,
    }
}

/// A room's name as the configuration may write it.
pub(super) fn plain(word: &str) -> &str {
    word.trim().trim_start_matches('#')
}

/// The room of this name: the name is its id.
pub(super) fn room(name: &str, kind: Option<Kind>) -> Room {
    let kind = match kind {
        Some(Kind::Group) => RoomKind::Group,
        Some(Kind::Direct) => RoomKind::Direct,
        None if name.starts_with('@') => RoomKind::Direct,
        Some(Kind::Channel) | None => RoomKind::Channel,
    };
    Room { id: RoomId::new(name), name: name.to_owned(), kind, parent: None }
}

fn who(person: Person) -> Sender {
    let username = person.name.unwrap_or_else(|| person.id.clone()).trim_start_matches('@').to_owned();
    Sender { id: UserId::new(person.id), username, display_name: person.display_name }
}
