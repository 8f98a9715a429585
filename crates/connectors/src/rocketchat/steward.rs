//! Which rooms are served: lists them after every log-in, resolves configured names, follows joins and kicks,
//! and looks up configured people.
//!
//! Makes all the slow REST calls of that kind, so that the link itself never waits. Tells the link what to open
//! and close.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use acg_core::connector::{Binding, Intake, IntakeError, RoomProgress, Wanted};
use acg_types::{Room, RoomId, RoomKind, Timestamp, UserId};
use futures_util::TryStreamExt as _;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::api::text;
use super::directory::Entry;
use super::rest::RestError;
use super::shared::Shared;
use crate::kit::backoff::Backoff;

/// What was not found is looked for again this often.
const AGAIN: Duration = Duration::from_mins(5);
/// How much earlier than the last live moment a room's last change still counts as missed: a message is on the
/// stream a little later than in the database.
const MARGIN: Duration = Duration::from_mins(1);

/// Rooms that are opened at the same time, so that they share commits.
const OPENED_AT_ONCE: usize = 64;

/// How far back is looked where the server's clock went back: nobody knows for how long the account was away.
const WENT_BACK: Duration = Duration::from_hours(24);

/// The last live moment, as the clock that the server has `now` counts. Pure.
pub(crate) fn by_the_clock_of(now: Timestamp, last_alive: Timestamp) -> Timestamp {
    if last_alive > now.after(MARGIN) { now.before(WENT_BACK) } else { last_alive }
}

/// What the link noticed.
#[derive(Debug)]
pub(crate) enum Ask {
    /// A subscription of the account changed.
    Membership { action: String, document: Value },
    /// A message came from a room nobody opened.
    Unknown(RoomId),
}

/// What the link has to do.
#[derive(Debug)]
pub(crate) enum Tell {
    /// Serve a room.
    Open { room: Room, progress: RoomProgress, behind: bool },
    /// Serve it no longer.
    Close(RoomId),
    /// All rooms of the account have been listed.
    Listed,
}

/// The steward of one link.
#[derive(Debug)]
pub(crate) struct Steward {
    pub(crate) shared: Arc<Shared>,
    pub(crate) intake: Arc<dyn Intake>,
    pub(crate) stop: CancellationToken,
    pub(crate) asks: mpsc::Receiver<Ask>,
    pub(crate) tells: mpsc::Sender<Tell>,
    /// Last moment at which the account was known to be alive before this link.
    pub(crate) last_alive: Option<Timestamp>,
    /// When this link was made, by the server's clock.
    pub(crate) begun: Timestamp,
    /// When the first link of this run was made.
    pub(crate) first: Timestamp,
}

/// Why a round of work ended early.
enum Trouble {
    /// The gateway or the link ends.
    Stopped,
    /// Try again.
    Rest(RestError),
    Intake(IntakeError),
}

impl From<RestError> for Trouble {
    fn from(error: RestError) -> Self {
        Self::Rest(error)
    }
}

impl From<IntakeError> for Trouble {
    fn from(error: IntakeError) -> Self {
        match error {
            IntakeError::Closing => Self::Stopped,
            other @ IntakeError::Store(_) => Self::Intake(other),
        }
    }
}

impl Steward {
    /// Works until told to stop.
    pub(crate) async fn run(mut self) {
        let stop = self.stop.clone();
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = self.work() => {}
        }
    }

    async fn work(&mut self) {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_mins(1));
        loop {
            match self.list().await {
                Ok(()) => break,
                Err(Trouble::Stopped) => return,
                Err(trouble) => {
                    self.complain("The rooms could not be listed; trying again", &trouble);
                    tokio::time::sleep(backoff.next(acg_types::random::fraction())).await;
                }
            }
        }
        let mut again = tokio::time::interval(AGAIN);
        loop {
            let result = tokio::select! {
                ask = self.asks.recv() => match ask {
                    Some(Ask::Membership { action, document }) => self.membership(&action, &document).await,
                    Some(Ask::Unknown(room)) => self.unknown(&room).await,
                    None => return,
                },
                _ = again.tick() => self.look_up().await,
            };
            match result {
                Ok(()) => {}
                Err(Trouble::Stopped) => return,
                // Joins and kicks must not wait behind a long list of names.
                Err(Trouble::Rest(RestError::Limited(wait))) => {
                    again.reset_after(wait.max(Duration::from_secs(1)));
                }
                // A room that could not be opened is met again by its next message; the rest by the next round.
                Err(trouble) => self.complain("A look-up failed; it is made again later", &trouble),
            }
        }
    }

    async fn list(&mut self) -> Result<(), Trouble> {
        if self.last_alive.is_none() {
            // The rooms begin here. If this run dies before they are opened, the next one must know it.
            self.intake.alive(self.first).await?;
        }
        let subscriptions = self.shared.account.subscriptions().await?;
        self.shared.directory().replace(&subscriptions);
        drop(subscriptions);
        let changed = match self.last_alive {
            Some(at) => match self.shared.account.rooms_changed(at.before(MARGIN)).await {
                Ok(rooms) => Some(rooms.into_iter().collect::<HashSet<_>>()),
                // Without that list every room is read.
                Err(RestError::Refused(_) | RestError::TooLarge(_)) => None,
                Err(error) => return Err(error.into()),
            },
            None => Some(HashSet::new()),
        };
        let waiting = self.intake.waiting_rooms().borrow().clone();
        let entries: Vec<Entry> = self.shared.directory().iter().cloned().collect();
        // Asked once, and many rooms at a time: each is a commit, which they then share.
        let wanted = self.intake.wanted();
        let (this, wanted) = (&*self, &wanted);
        let waiting: HashSet<&RoomId> = waiting.iter().collect();
        let opened = entries.iter().map(|entry| {
            let id = &entry.room.id;
            let missed = waiting.contains(id) || changed.as_ref().is_none_or(|changed| changed.contains(id));
            this.open(wanted, entry, missed)
        });
        futures_util::stream::iter(opened.map(Ok::<_, Trouble>))
            .try_for_each_concurrent(OPENED_AT_ONCE, |open| open)
            .await?;
        self.tell(Tell::Listed).await
    }

    /// Offers a room to the core, if it is wanted.
    async fn open(&self, wanted: &Wanted, entry: &Entry, missed: bool) -> Result<(), Trouble> {
        let called = wanted.rooms.iter().find(|word| entry.is_called(word));
        let word = called.or_else(|| {
            let meant = self.shared.meant();
            wanted.rooms.iter().find(|word| meant.get(*word) == Some(&entry.room.id))
        });
        if word.is_none() && !wanted.all {
            return Ok(());
        }
        let room = called.map_or_else(|| entry.room.clone(), |word| entry.named(word));
        self.open_room(room, entry.joined, missed).await?;
        if let Some(word) = word {
            self.shared.meant().insert(word.clone(), entry.room.id.clone());
            self.intake.room_trouble(word, None);
        }
        Ok(())
    }

    async fn open_room(&self, room: Room, joined: Option<Timestamp>, missed: bool) -> Result<(), Trouble> {
        // A room first seen after an outage is read from the later of the last live moment and the joining; on
        // the very first start there is no such moment, and it begins now. If that first link is lost before any
        // moment was noted, what was said since its beginning was missed all the same.
        let base = self.last_alive.unwrap_or(self.first);
        let start = joined.map_or(base, |joined| joined.max(base));
        let Some(mut progress) = self.intake.open_room(&room, start).await? else { return Ok(()) };
        // A mark beyond the last live moment may come from a clock that has gone back since: what was said after that
        // would lie before the mark. What is read again is known.
        progress.cursor = self.last_alive.map_or(progress.cursor, |at| progress.cursor.min(at));
        // Without a last live moment, a room that was known before has an unknown gap.
        let behind = missed || (self.last_alive.is_none() && progress.start < self.begun);
        self.tell(Tell::Open { room, progress, behind }).await
    }

    async fn membership(&self, action: &str, document: &Value) -> Result<(), Trouble> {
        if action == "removed" {
            let Some(id) = text(document, "rid").map(RoomId::from) else { return Ok(()) };
            let Some(entry) = self.shared.directory().remove(&id) else { return Ok(()) };
            let meant = self.shared.meant().clone();
            let is_meant = |word: &&String| entry.is_called(word) || meant.get(*word) == Some(&id);
            for word in self.intake.wanted().rooms.iter().filter(is_meant) {
                self.intake.room_trouble(
                    word,
                    Some("The account was removed from the room; invite it again.".to_owned()),
                );
            }
            return self.tell(Tell::Close(id)).await;
        }
        let Some(entry) = Entry::read(document) else { return Ok(()) };
        let known = self.shared.directory().put(entry.clone());
        // Every message updates the subscription: only a new room or a new name matters.
        if known.as_ref().is_some_and(|known| known.room == entry.room) {
            return Ok(());
        }
        let result = self.open(&self.intake.wanted(), &entry, known.is_none()).await;
        if result.is_err() && known.is_none() {
            // So that the next message of the room asks again.
            self.shared.directory().remove(&entry.room.id);
        }
        result
    }

    async fn unknown(&self, room: &RoomId) -> Result<(), Trouble> {
        if self.shared.directory().get(room).is_some() {
            return Ok(());
        }
        match self.shared.account.subscription(room).await {
            Ok(Some(document)) => self.membership("inserted", &document).await,
            Ok(None) | Err(RestError::Refused(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Rooms and people that are configured and were not found yet.
    async fn look_up(&self) -> Result<(), Trouble> {
        let mut trouble = Ok(());
        for word in self.intake.wanted().rooms {
            let meant = self.shared.meant().get(&word).cloned();
            let found = {
                let directory = self.shared.directory();
                directory.find(&word).is_some() || meant.is_some_and(|room| directory.get(&room).is_some())
            };
            if !found && let Err(error) = self.find(&word).await {
                if matches!(error, Trouble::Stopped) {
                    return Err(error);
                }
                trouble = Err(error);
            }
        }
        for name in self.intake.people() {
            let known = self.shared.bound().contains(&name);
            if !known {
                self.bind(name).await?;
            }
        }
        trouble
    }

    async fn find(&self, word: &str) -> Result<(), Trouble> {
        let reason = if let Some(username) = word.strip_prefix('@') {
            match self.shared.account.direct_room(username).await {
                Ok(id) => {
                    let room = Room { id, name: word.to_owned(), kind: RoomKind::Direct, parent: None };
                    self.open_room(room, None, self.last_alive.is_some()).await?;
                    self.intake.room_trouble(word, None);
                    return Ok(());
                }
                Err(RestError::Refused(refusal)) => {
                    format!(
                        "Rocket.Chat gives no direct room with {word} ({}). Check the user name.",
                        refusal.text
                    )
                }
                Err(error) => return Err(error.into()),
            }
        } else {
            match self.shared.account.room_info(word.strip_prefix('#').unwrap_or(word)).await? {
                Some(_) => "The account is not a member of this room; invite it.".to_owned(),
                None => "There is no such room, or the account may not see it; check the name, or invite the account."
                    .to_owned(),
            }
        };
        warn!(connector = %self.shared.name, room = %word.escape_debug(), %reason, "Room not served");
        self.intake.room_trouble(word, Some(reason));
        Ok(())
    }

    async fn bind(&self, name: String) -> Result<(), Trouble> {
        if let Some(id) = self.shared.account.user_id(&name).await? {
            let binding = self.intake.bind_person(&name, &UserId::from(id)).await?;
            if let Binding::Conflict { bound } = binding {
                warn!(connector = %self.shared.name, user = %name.escape_debug(), %bound,
                    "The name belongs to another account than before, and gives no role until that is confirmed");
            }
        } else {
            warn!(connector = %self.shared.name, user = %name.escape_debug(),
                "Nobody on the server has this name; it gives no role");
        }
        self.shared.bound().insert(name);
        Ok(())
    }

    async fn tell(&self, tell: Tell) -> Result<(), Trouble> {
        self.tells.send(tell).await.map_err(|_| Trouble::Stopped)
    }

    fn complain(&self, what: &str, trouble: &Trouble) {
        match trouble {
            Trouble::Stopped => {}
            Trouble::Rest(error) => warn!(connector = %self.shared.name, %error, "{what}"),
            Trouble::Intake(error) => warn!(connector = %self.shared.name, %error, "{what}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_beyond_the_servers_clock_is_not_believed() {
        let now = Timestamp(1_000_000_000);
        let by = |last_alive| by_the_clock_of(now, Timestamp(last_alive)).0;
        assert_eq!(by(999_000_000), 999_000_000);
        // The estimate of the server's clock is not exact.
        assert_eq!(by(1_000_030_000), 1_000_030_000);
        assert_eq!(by(1_000_600_000), 1_000_000_000 - 86_400_000);
    }
}
