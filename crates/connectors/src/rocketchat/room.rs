//! One room's worker: reads what was missed, then offers what comes in live, in order, each message once.
//!
//! Owns the room's cursor. While the room is behind, nothing that is offered moves the cursor, and live messages
//! wait in a bounded queue; if that runs over, the room is read again instead. An offer is never broken off in
//! the middle: only waiting is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use acg_core::connector::{Inbound, Intake, IntakeError, Missed};
use acg_types::{MessageId, Room, Timestamp};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::backfill::{self, Found, OVERLAP};
use super::documents::Changes;
use super::normalise::{self, Meaning, Reader, Said};
use super::own::{self, FileRef};
use super::reactions::{self, Votes};
use super::rest::RestError;
use super::shared::Shared;
use crate::kit::backoff::Backoff;

/// Live messages that may wait per room.
const QUEUE: usize = 128;
/// Documents per page, where one answer would be too large.
const PAGE: u32 = 50;
/// A cursor that nothing else committed is written down this often.
const FLUSH: Duration = Duration::from_secs(10);
/// How often the id of somebody who reacted is looked up.
const VOTE_LOOKUPS: u32 = 3;
/// A change that is so much older than the mark is the sign of a clock that went back.
const WENT_BACK: Duration = Duration::from_mins(1);
/// A server's clock may be so far ahead of what we know of it.
const AHEAD: Duration = Duration::from_mins(5);

/// Something that happened in the room.
#[derive(Debug)]
pub(crate) enum Item {
    /// A document came in live. `said` is `None` if it is nothing a person said.
    Live { said: Option<Box<Said>>, votes: Option<Votes>, changed: Option<Timestamp> },
    /// A message was deleted.
    Deleted(MessageId),
}

/// How far the whole link is behind.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    queued: AtomicUsize,
    behind: AtomicUsize,
}

impl Meter {
    /// Whether everything that came in has been settled.
    pub(crate) fn is_clear(&self) -> bool {
        self.queued.load(Ordering::SeqCst) == 0 && self.behind.load(Ordering::SeqCst) == 0
    }
}

/// The link's end of a room.
#[derive(Debug)]
pub(crate) struct Mailbox {
    pub(crate) room: Room,
    /// In boxes: a queue takes room for some of its items at once, also in ten thousand rooms where nothing is said.
    sender: mpsc::Sender<Box<Item>>,
    overflow: Arc<AtomicBool>,
    meter: Arc<Meter>,
    stop: CancellationToken,
}

impl Mailbox {
    /// Hands an item over; if the queue is full, the room will be read again.
    pub(crate) fn put(&self, item: Item) {
        self.meter.queued.fetch_add(1, Ordering::SeqCst);
        if self.sender.try_send(Box::new(item)).is_err() {
            self.meter.queued.fetch_sub(1, Ordering::SeqCst);
            if !self.overflow.swap(true, Ordering::SeqCst) {
                self.meter.behind.fetch_add(1, Ordering::SeqCst);
            }
        }
    }

    /// Ends the worker.
    pub(crate) fn close(&self) {
        self.stop.cancel();
    }
}

/// What all workers of a link share.
#[derive(Clone, Debug)]
pub(crate) struct Common {
    pub(crate) shared: Arc<Shared>,
    pub(crate) intake: Arc<dyn Intake>,
    pub(crate) reader: Arc<Reader>,
    pub(crate) meter: Arc<Meter>,
    /// Since when the link hears what is said, by the server's clock: what is older was missed.
    pub(crate) heard_since: Timestamp,
}

/// The worker's own end.
#[derive(Debug)]
pub(crate) struct Worker {
    common: Common,
    room: Room,
    cursor: Timestamp,
    written: Timestamp,
    items: mpsc::Receiver<Box<Item>>,
    overflow: Arc<AtomicBool>,
    stop: CancellationToken,
}

/// The worker has to end.
struct Stopped;

/// Makes a room's worker and the way to it. `behind`: something may have been missed.
pub(crate) fn open(
    common: &Common,
    room: Room,
    cursor: Timestamp,
    behind: bool,
    stop: CancellationToken,
) -> (Mailbox, Worker) {
    let (sender, items) = mpsc::channel(QUEUE);
    let overflow = Arc::new(AtomicBool::new(behind));
    if behind {
        common.meter.behind.fetch_add(1, Ordering::SeqCst);
    }
    let mailbox = Mailbox {
        room: room.clone(),
        sender,
        overflow: overflow.clone(),
        meter: common.meter.clone(),
        stop: stop.clone(),
    };
    let worker = Worker { common: common.clone(), room, cursor, written: cursor, items, overflow, stop };
    (mailbox, worker)
}

impl Worker {
    /// Works until told to stop.
    pub(crate) async fn run(mut self) {
        // The only end of the work is being stopped.
        let Err(Stopped) = self.work().await;
    }

    async fn work(&mut self) -> Result<std::convert::Infallible, Stopped> {
        let mut flush_at = None;
        loop {
            if self.cursor <= self.written {
                flush_at = None;
            } else if flush_at.is_none() {
                flush_at = Some(tokio::time::Instant::now() + FLUSH);
            }
            if self.overflow.swap(false, Ordering::SeqCst) {
                // In a box: ten thousand idle rooms must not each hold the room for it.
                let result = Box::pin(self.catch_up()).await;
                self.common.meter.behind.fetch_sub(1, Ordering::SeqCst);
                result?;
                continue;
            }
            let item = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Err(Stopped),
                item = self.items.recv() => item.ok_or(Stopped)?,
                () = tokio::time::sleep_until(flush_at.unwrap_or_else(tokio::time::Instant::now)), if flush_at.is_some() => {
                    self.flush().await?;
                    continue;
                }
            };
            let result = Box::pin(self.live(*item)).await;
            self.common.meter.queued.fetch_sub(1, Ordering::SeqCst);
            result?;
        }
    }

    async fn live(&mut self, item: Item) -> Result<(), Stopped> {
        match item {
            Item::Deleted(message) => self.withdraw(&message).await,
            Item::Live { said, votes, changed } => {
                // If documents were dropped before this one, the cursor must not jump over them.
                let behind = self.overflow.load(Ordering::SeqCst);
                let changed = changed.filter(|at| *at <= self.latest());
                let cursor = changed.filter(|at| !behind && *at > self.cursor);
                if let Some(said) = said {
                    self.offer(*said, cursor).await?;
                }
                if let Some(votes) = votes {
                    self.tell_votes(&votes).await?;
                }
                if let Some(cursor) = cursor {
                    self.cursor = cursor;
                }
                // The server's clock went back, or an old change came again: the room is read from there, should
                // it have to be read.
                if let Some(at) = changed.filter(|at| !behind && at.after(WENT_BACK) < self.cursor) {
                    self.cursor = at;
                }
                Ok(())
            }
        }
    }

    /// Reads everything since the cursor and settles it, oldest first.
    async fn catch_up(&mut self) -> Result<(), Stopped> {
        let since = self.cursor.before(OVERLAP);
        let mut found = Found::default();
        match self.read(|worker| worker.read_changes(since)).await? {
            Ok(changes) => {
                self.look_at(changes, &mut found).await?;
                self.settle(found).await
            }
            Err(RestError::TooLarge(_)) => self.catch_up_in_pages(since).await,
            Err(error) => {
                self.cannot_read(&error);
                Ok(())
            }
        }
    }

    /// The same, where it is too much for one answer. Deletions are left out: they come with no page.
    async fn catch_up_in_pages(&mut self, since: Timestamp) -> Result<(), Stopped> {
        let mut next = Some(since);
        let mut count = PAGE;
        // All pages together, or it could not be judged how much there is.
        let mut found = Found::default();
        while let Some(since) = next {
            match self.read(|worker| worker.read_page(since, count)).await? {
                Ok(changes) => {
                    next = changes.next;
                    self.look_at(changes, &mut found).await?;
                    if found.is_full() {
                        self.settle(std::mem::take(&mut found)).await?;
                    }
                }
                Err(RestError::TooLarge(_)) if count > 1 => count = (count / 4).max(1),
                Err(error) => {
                    self.cannot_read(&error);
                    break;
                }
            }
        }
        self.settle(found).await
    }

    fn cannot_read(&self, error: &RestError) {
        warn!(connector = %self.common.shared.name, room = %self.room.name.escape_debug(), %error,
            "What was missed in this room cannot be read. Messages from now on are served");
    }

    /// Repeats a read until the server gives it, or says that it never will.
    async fn read<'a, T, F>(
        &'a self,
        mut attempt: impl FnMut(&'a Self) -> F,
    ) -> Result<Result<T, RestError>, Stopped>
    where
        F: Future<Output = Result<T, RestError>> + 'a,
    {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_mins(1));
        loop {
            let answer = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Err(Stopped),
                answer = attempt(self) => answer,
            };
            match answer {
                Err(error) if !matches!(error, RestError::Refused(_) | RestError::TooLarge(_)) => {
                    debug!(connector = %self.common.shared.name, room = %self.room.id, %error, "Reading what was missed failed; trying again");
                    self.pause(backoff.next(acg_types::random::fraction())).await?;
                }
                settled => return Ok(settled),
            }
        }
    }

    /// Settles what stands by itself (deletions, reactions), and keeps what people said.
    async fn look_at(&mut self, changes: Changes, found: &mut Found) -> Result<(), Stopped> {
        let ordered = backfill::order(changes, self.latest());
        for message in &ordered.deleted {
            self.withdraw(message).await?;
        }
        for document in &ordered.documents {
            let document = document.read();
            if let Meaning::Person(said) = normalise::read(&self.common.reader, &self.room, &document)
                && let Some(inbound) = self.inbound(*said, None).await?
            {
                found.put(inbound);
            }
            if let Some(votes) = self.common.reader.votes(&document) {
                self.tell_votes(&votes).await?;
            }
        }
        found.newest = found.newest.max(ordered.newest);
        Ok(())
    }

    /// Hands over what was found, oldest first, and only then moves the cursor.
    async fn settle(&mut self, found: Found) -> Result<(), Stopped> {
        let newest = found.newest.filter(|newest| *newest > self.cursor);
        let (messages, live) = found.split(self.common.heard_since);
        let Common { shared, intake, .. } = &self.common;
        let cursor = newest.filter(|_| live.is_empty());
        if !messages.is_empty() {
            let found_at = shared.account.rest.server_now();
            let missed = Missed { room: self.room.id.clone(), messages, found_at, cursor };
            let outcomes = self.insist("batch of messages", || intake.settle_missed(&missed)).await?;
            for (inbound, accepted) in missed.messages.iter().zip(outcomes) {
                debug!(connector = %shared.name, room = %self.room.id, message = %inbound.message.id, ?accepted, "Missed message offered");
            }
            if let Some(cursor) = cursor {
                (self.cursor, self.written) = (cursor, cursor);
            }
        }
        for inbound in live {
            self.hand_over(inbound).await?;
        }
        if let Some(newest) = newest {
            self.cursor = newest;
            self.flush().await?;
        }
        Ok(())
    }

    async fn read_page(&self, since: Timestamp, count: u32) -> Result<Changes, RestError> {
        let _permit = self.common.shared.reads.acquire().await.ok();
        self.common.shared.account.changes_page(&self.room.id, since, count).await
    }

    async fn read_changes(&self, since: Timestamp) -> Result<Changes, RestError> {
        // It is never closed; without a permit the server's own limit is the only one.
        let _permit = self.common.shared.reads.acquire().await.ok();
        self.common.shared.account.changes(&self.room.id, since).await
    }

    async fn offer(&self, said: Said, cursor: Option<Timestamp>) -> Result<(), Stopped> {
        match self.inbound(said, cursor).await? {
            Some(inbound) => self.hand_over(inbound).await,
            None => Ok(()),
        }
    }

    /// `None` for what the gateway itself posted through a person's own account.
    async fn inbound(&self, said: Said, cursor: Option<Timestamp>) -> Result<Option<Inbound>, Stopped> {
        let Said { message, edited, own, files } = said;
        if own.is_some() && self.is_gateways(&message.id, &files).await? {
            return Ok(None);
        }
        Ok(Some(Inbound { message, edited, cursor, own }))
    }

    async fn hand_over(&self, inbound: Inbound) -> Result<(), Stopped> {
        let id = inbound.message.id.clone();
        let accepted = self.insist("message", || self.common.intake.offer(inbound.clone())).await?;
        debug!(connector = %self.common.shared.name, room = %self.room.id, message = %id, ?accepted, "Message offered");
        Ok(())
    }

    /// Whether a message of our account was posted by the gateway. An upload under way is waited for.
    async fn is_gateways(&self, message: &MessageId, files: &[FileRef]) -> Result<bool, Stopped> {
        let Common { shared, intake, .. } = &self.common;
        let look = || own::is_gateways(intake.as_ref(), &shared.uploads, &self.room.id, message, files);
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(Stopped),
            found = self.insist("look-up", look) => found,
        }
    }

    /// Tells the core of reactions that answer one of its questions.
    async fn tell_votes(&self, votes: &Votes) -> Result<(), Stopped> {
        let Common { shared, intake, reader, .. } = &self.common;
        for (emoji, username) in &votes.list {
            if !intake.awaits_reaction(&self.room.id, &votes.message) {
                return Ok(());
            }
            let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(8));
            for attempt in 1..=VOTE_LOOKUPS {
                let vote = (*emoji, username.as_str());
                match reactions::resolve(shared, &reader.me, &self.room.id, &votes.message, vote).await {
                    Ok(Some(reaction)) => {
                        self.insist("reaction", || intake.react(reaction.clone())).await?;
                        break;
                    }
                    Ok(None) => break,
                    Err(error) if attempt == VOTE_LOOKUPS => {
                        warn!(connector = %shared.name, user = %username.escape_debug(), %error,
                            "Who reacted could not be found out, so the reaction does not count; answer in words");
                    }
                    Err(_) => self.pause(backoff.next(acg_types::random::fraction())).await?,
                }
            }
        }
        Ok(())
    }

    async fn withdraw(&self, message: &MessageId) -> Result<(), Stopped> {
        self.insist("deletion", || self.common.intake.withdraw(&self.room.id, message)).await.map(|_| ())
    }

    /// Writes the cursor down if it moved past messages that are not for us.
    async fn flush(&mut self) -> Result<(), Stopped> {
        if self.cursor > self.written {
            self.insist("mark", || self.common.intake.advance(&self.room.id, self.cursor)).await?;
            self.written = self.cursor;
        }
        Ok(())
    }

    /// Repeats what the store did not take until it does: going on would lose it.
    async fn insist<T, F>(&self, what: &str, mut attempt: impl FnMut() -> F) -> Result<T, Stopped>
    where
        F: Future<Output = Result<T, IntakeError>>,
    {
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
        loop {
            match attempt().await {
                Ok(value) => return Ok(value),
                Err(IntakeError::Closing) => return Err(Stopped),
                Err(error) => {
                    warn!(connector = %self.common.shared.name, room = %self.room.name.escape_debug(), %error,
                        "A {what} could not be stored; trying again");
                    self.pause(backoff.next(acg_types::random::fraction())).await?;
                }
            }
        }
    }

    async fn pause(&self, wait: Duration) -> Result<(), Stopped> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(Stopped),
            () = tokio::time::sleep(wait) => Ok(()),
        }
    }

    fn latest(&self) -> Timestamp {
        self.common.shared.account.rest.server_now().after(AHEAD)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // What is left in the queue is settled by the next link; this one must not wait for it.
        self.items.close();
        while self.items.try_recv().is_ok() {
            self.common.meter.queued.fetch_sub(1, Ordering::SeqCst);
        }
        if self.overflow.swap(false, Ordering::SeqCst) {
            self.common.meter.behind.fetch_sub(1, Ordering::SeqCst);
        }
    }
}
