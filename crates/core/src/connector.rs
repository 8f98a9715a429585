//! What a chat platform is to the core: the [`Connector`] trait, and the [`Intake`] a connector speaks to.
//!
//! A connector owns one connection to one platform account. It normalises what people say, and posts what it
//! is given. It must never decide about roles, sessions or agents, and never see the store: everything it has
//! to remember goes through [`Intake`].

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use acg_types::{
    IncomingMessage, MessageId, Outgoing, Room, RoomId, Sender, ThreadId, Timestamp, ToolCall, Usage, UserId,
};
use async_trait::async_trait;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What the platform can do, as far as the core cares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Platform name for the prompt's header: `Rocket.Chat`.
    pub title: &'static str,
    /// Longest part, in UTF-16 code units, that one post may hold.
    pub max_text_utf16: usize,
    /// Whether sending the same key twice posts once.
    pub idempotent_send: bool,
    /// Whether a reaction tells who made it, and counts as an answer to an approval question. False where the
    /// account is a person's own: there its reactions and the gateway's cannot be told apart.
    pub reactions: bool,
}

/// One connection to one account of one platform.
#[async_trait]
pub trait Connector: Send + Sync + fmt::Debug {
    /// What the platform can do.
    fn capabilities(&self) -> Capabilities;

    /// Connects, and stays connected until `stop`: reconnects for ever with back-off and jitter, asks the
    /// platform for what was missed and has it settled by [`Intake::settle_missed`], and offers every live message
    /// to `intake`. Returns only after `stop`, with all
    /// its tasks ended. A log-in that cannot succeed by itself (wrong password, revoked token) is shown in
    /// [`Connector::health`] and not hammered.
    async fn run(&self, intake: Arc<dyn Intake>, stop: CancellationToken);

    /// Posts one part once. Called in order for one room; different rooms may be sent to at the same time.
    async fn send(&self, part: &Outgoing) -> Result<Receipt, SendError>;

    /// Shows or ends "is typing". Best effort: failures are logged at debug level only. The core renews a
    /// shown one every few seconds.
    async fn typing(&self, room: &RoomId, thread: Option<&ThreadId>, on: bool);

    /// Shows what an agent does in a room while it does it. Never waits; what is shown here is also posted at
    /// the end of the turn, so a connector that cannot show it does nothing.
    fn live(&self, _room: &RoomId, _thread: Option<&ThreadId>, _event: Live<'_>) {}

    /// Uploads one file with a caption.
    async fn upload(
        &self,
        room: &RoomId,
        thread: Option<&ThreadId>,
        file: &Path,
        caption: &str,
    ) -> Result<(), SendError>;

    /// Finds a room by what a person types: `general`, `#general`, `@alice`, or the platform's own id.
    async fn find_room(&self, name: &str) -> Result<Room, SendError>;

    /// The connection's state, for `status`, the log and the delivery workers.
    fn health(&self) -> watch::Receiver<Health>;
}

/// A sign of work in progress.
#[derive(Clone, Copy, Debug)]
pub enum Live<'a> {
    /// A turn has reached the agent.
    Begun,
    /// A piece of the message that the agent is writing.
    Text(&'a str),
    /// A message of the agent is whole: more may follow.
    Message(&'a str),
    /// A tool was called (it may still be refused).
    Tool(&'a ToolCall),
    /// A tool call has a result.
    ToolDone {
        /// Whether the tool failed or was refused.
        is_error: bool,
    },
    /// The turn is over; its posts follow.
    Ended(Option<&'a Usage>),
}

/// What the platform answered to a post.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The platform's id of the message.
    pub id: MessageId,
    /// Whether an earlier attempt had already posted it.
    pub duplicate: bool,
}

/// Why a post (or a look-up) failed: what to do next hangs on the variant, never on the text.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// Nothing was posted, or posting again is harmless: try again, not before `after`.
    #[error("{reason}")]
    Retry {
        /// How long the platform asks to wait.
        after: Option<Duration>,
        /// For the log.
        reason: String,
    },
    /// The platform refuses this part and always will.
    #[error("{reason}")]
    Permanent {
        /// For the log, and for whoever typed a command.
        reason: String,
    },
    /// Not logged in, and the connector could not renew it by itself: wait for the connection.
    #[error("{reason}")]
    Auth {
        /// For the log.
        reason: String,
    },
    /// It may have been posted; posting again could show it twice.
    #[error("{reason}")]
    Ambiguous {
        /// For the log.
        reason: String,
    },
}

/// Whether a connection is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Not tried yet.
    Starting,
    /// Logged in, subscribed, and alive.
    Connected,
    /// Down; being retried.
    Retrying,
    /// Down, and only a person can mend it (wrong password, revoked token, 2FA); still retried, rarely.
    Refused,
    /// Ended on request.
    Stopped,
}

/// A connection's state as shown to people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Up or down.
    pub link: Link,
    /// Why it is not [`Link::Connected`]: what happened and what to do next. Never holds a secret.
    pub reason: Option<String>,
    /// The account that is logged in.
    pub account: Option<String>,
    /// The server's version, as far as it tells.
    pub server_version: Option<String>,
    /// A remark about the version: that it is not among those tested.
    pub version_note: Option<String>,
    /// Since when the link is as it is.
    pub since: Timestamp,
}

/// Which rooms a connector has to serve.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Rooms named in the configuration: `general`, `#general`, `@alice`.
    pub rooms: Vec<String>,
    /// Set if every room of the account is served, those joined later too.
    pub all: bool,
}

/// How far a room has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoomProgress {
    /// Messages said before this moment (platform clock) are not for us.
    pub start: Timestamp,
    /// Largest change moment (Rocket.Chat `_updatedAt`) that is safely stored; what is later must be fetched.
    pub cursor: Timestamp,
}

/// A message on its way in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inbound {
    /// The message.
    pub message: IncomingMessage,
    /// Whether the platform says it was edited.
    pub edited: bool,
    /// If set, the room's cursor moves here in the commit that stores the message. Only for live messages of
    /// a room whose missed messages have all been offered: else what lies between would be lost by a crash.
    pub cursor: Option<Timestamp>,
    /// Set if the connector's account itself said it: only where that account is a person's own, and never for
    /// what the gateway posted through it.
    pub own: Option<Own>,
}

/// What was said in a room while nobody listened to it, found later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missed {
    /// The room.
    pub room: RoomId,
    /// What people said before the room was listened to again, oldest first: all of it at once, so that it can be
    /// judged how much there is. What was said since is live, however it was found, and is offered one by one.
    pub messages: Vec<Inbound>,
    /// The platform's clock now: ages are taken by it.
    pub found_at: Timestamp,
    /// If set, the room's cursor moves here in the same commit. The messages' own cursors do not count.
    pub cursor: Option<Timestamp>,
}

/// Where the owner of the connector's account said something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own {
    /// In the room that they have with themselves: for the agent, as anybody's message. Who owns the account
    /// has the role owner there, listed or not.
    WithOneself,
    /// Elsewhere: not for the agent. It only counts as an answer to an approval question.
    Elsewhere,
}

/// What became of an offered message. All but errors mean: settled, do not offer again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// Stored; will be answered.
    New,
    /// Known and still waiting: its text was replaced.
    Updated,
    /// Known: nothing to do.
    Known,
    /// Said before the room's start mark.
    BeforeStart,
    /// No watcher answers in this room, or it is paused.
    NotWatched,
    /// The sender has no role here.
    NoRole,
    /// A mention is needed and there is none.
    NotAddressed,
    /// The queue of this conversation is full; stored as refused, and the room was told.
    Refused,
    /// Said while nobody listened, and too old or one of too many; stored as refused, and the room was told how many.
    Skipped,
}

/// A reaction that stands on a message now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reaction {
    /// Where.
    pub room: RoomId,
    /// The message it stands on.
    pub message: MessageId,
    /// Who reacted; the id was looked up at this moment, if the platform told only a name.
    pub sender: Sender,
    /// As one Unicode emoji: `✅`.
    pub emoji: String,
}

/// The core could not take something in; the caller must not move on, but may try again.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// The store did not commit (disk full, closing).
    #[error("could not store it")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The gateway is shutting down.
    #[error("the gateway is shutting down")]
    Closing,
}

/// What binding a configured name to an account gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Binding {
    /// The name belongs to this id, now or already.
    Bound,
    /// The name is bound to another id: it gives no role until a person confirms the new holder.
    Conflict {
        /// The id it is bound to.
        bound: UserId,
    },
}

/// The core's side, as a connector sees it. One per connector. Every method that returns `Ok` has committed.
#[async_trait]
pub trait Intake: Send + Sync + fmt::Debug {
    /// Which rooms to serve.
    fn wanted(&self) -> Wanted;

    /// User names from the configuration whose accounts have to be looked up and bound.
    fn people(&self) -> Vec<String>;

    /// Tells which account a configured name belongs to.
    async fn bind_person(&self, username: &str, id: &UserId) -> Result<Binding, IntakeError>;

    /// Tells that the account is in a room. `None`: no watcher answers there (or it is paused, or excluded).
    /// Else how far the room has been read; a room never seen before starts at `start_if_new` (platform clock).
    async fn open_room(
        &self,
        room: &Room,
        start_if_new: Timestamp,
    ) -> Result<Option<RoomProgress>, IntakeError>;

    /// Tells that a configured room could not be found, with the reason; clears it with `None`.
    fn room_trouble(&self, name: &str, reason: Option<String>);

    /// Offers one message. `Ok` means settled and, where accepted, committed.
    async fn offer(&self, inbound: Inbound) -> Result<Accepted, IntakeError>;

    /// Settles what was missed in a room: what is not too old and not too much is taken in, the rest is stored as
    /// refused and summed up in the room in one line, all in one commit. One outcome for each message, in order.
    async fn settle_missed(&self, missed: &Missed) -> Result<Vec<Accepted>, IntakeError>;

    /// Whether reactions on this message matter: it asks a question that is still open. Cheap.
    fn awaits_reaction(&self, room: &RoomId, message: &MessageId) -> bool;

    /// A reaction stands on a message for which [`Intake::awaits_reaction`] holds. May be told repeatedly. Never
    /// called for the gateway's own reactions, nor where the person's id could not be found out.
    async fn react(&self, reaction: Reaction) -> Result<(), IntakeError>;

    /// A message was deleted on the platform. `true` if it still waited and was withdrawn.
    async fn withdraw(&self, room: &RoomId, message: &MessageId) -> Result<bool, IntakeError>;

    /// Moves a room's cursor forward (never back) after everything up to it has been offered.
    async fn advance(&self, room: &RoomId, cursor: Timestamp) -> Result<(), IntakeError>;

    /// Rooms in which at least one message waits: there deletions matter.
    fn waiting_rooms(&self) -> watch::Receiver<Arc<Vec<RoomId>>>;

    /// The last moment (platform clock) at which the connection was known to be alive, from an earlier run or link.
    async fn last_alive(&self) -> Result<Option<Timestamp>, IntakeError>;

    /// Notes that the connection is alive at this moment (platform clock). Cheap; may be called often.
    async fn alive(&self, at: Timestamp) -> Result<(), IntakeError>;

    /// Whether the gateway itself made the message or file with this id, now or in an earlier run: it posted a
    /// part under it, or it was given to [`Intake::remember_own`].
    async fn is_own(&self, id: &str) -> Result<bool, IntakeError>;

    /// Keeps the id of something that the gateway makes, before others can see it.
    async fn remember_own(&self, id: &str) -> Result<(), IntakeError>;

    /// Forgets an id that turned out to stand for nothing.
    async fn forget_own(&self, id: &str) -> Result<(), IntakeError>;

    /// A credential that was kept earlier (0600), such as a log-in token. Opaque text of the connector's own.
    async fn load_credential(&self) -> Result<Option<String>, IntakeError>;

    /// Keeps a credential; `None` forgets it.
    async fn save_credential(&self, credential: Option<&str>) -> Result<(), IntakeError>;
}
