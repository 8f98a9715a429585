//! One link from log-in to loss: the socket's loop around the DDP session, and the tasks that live with it.
//!
//! Owns the socket. Never waits for REST or for the store longer than a commit, so that heartbeats go on. All
//! tasks it starts have ended when [`run`] returns.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use acg_core::connector::{Intake, IntakeError};
use acg_types::{RoomId, Timestamp};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::account::{Login, LoginError};
use super::ddp::{Ddp, Effect, Input};
use super::normalise::{self, Meaning, Reader};
use super::rest::RestError;
use super::room::{self, Common, Item, Mailbox, Meter};
use super::shared::{Shared, Typing};
use super::steward::{Ask, Steward, Tell, by_the_clock_of};
use crate::kit::ws::{self, FRAME_CAP, Socket};

/// How often the link is noted to be alive, once everything is settled.
const ALIVE_EVERY: Duration = Duration::from_secs(15);
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Rooms remembered while nobody has opened them.
const MOST_UNKNOWN: usize = 10_000;

/// How a link ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// On request.
    Stopped,
    /// Only a person can mend it.
    Refused(String),
    /// Down; `up` is how long it had been up.
    Down { reason: String, after: Option<Duration>, up: Option<Duration> },
}

impl Ended {
    fn down(reason: impl Into<String>) -> Self {
        Self::Down { reason: reason.into(), after: None, up: None }
    }
}

impl From<LoginError> for Ended {
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::Refused(reason) => Self::Refused(reason),
            LoginError::Later { reason, after } => Self::Down { reason, after, up: None },
        }
    }
}

impl From<RestError> for Ended {
    fn from(error: RestError) -> Self {
        match error {
            RestError::NoLogin(reason) => Self::Refused(reason),
            RestError::Limited(after) => Self::Down {
                reason: "the server's rate limit is used up".to_owned(),
                after: Some(after),
                up: None,
            },
            other => Self::down(other.to_string()),
        }
    }
}

impl From<IntakeError> for Ended {
    fn from(error: IntakeError) -> Self {
        match error {
            IntakeError::Closing => Self::Stopped,
            other @ IntakeError::Store(_) => Self::down(other.to_string()),
        }
    }
}

/// Logs in, serves until the link is lost or `stop`, and ends everything it began.
pub(crate) async fn run(shared: &Arc<Shared>, intake: &Arc<dyn Intake>, stop: &CancellationToken) -> Ended {
    let prepared = tokio::select! {
        biased;
        () = stop.cancelled() => return Ended::Stopped,
        prepared = Box::pin(prepare(shared, intake)) => prepared,
    };
    let (mut link, mut socket) = match prepared {
        Ok(prepared) => prepared,
        Err(ended) => return ended,
    };
    let ended = tokio::select! {
        biased;
        () = stop.cancelled() => Ended::Stopped,
        ended = link.serve(&mut socket) => ended,
    };
    shared.set_typing(None);
    link.tasks_stop.cancel();
    while link.tasks.join_next().await.is_some() {}
    if matches!(ended, Ended::Stopped) {
        // A polite close, but nobody waits for its answer.
        drop(tokio::time::timeout(Duration::from_millis(10), socket.close(None)).await);
    }
    ended
}

async fn prepare(shared: &Arc<Shared>, intake: &Arc<dyn Intake>) -> Result<(Link, Socket), Ended> {
    let account = &shared.account;
    let version = account.server_version().await?;
    shared.board.version(version.as_deref());
    let last_alive = intake.last_alive().await?;
    // The server's clock is known from its first answer.
    let last_alive = last_alive.map(|at| by_the_clock_of(account.rest.server_now(), at));
    let me = account.me().await?;
    let login = account.login().await?;
    let socket = ws::open(&socket_url(account.rest.base()), &shared.tls).await.map_err(Ended::down)?;
    let ddp = Ddp::new(&login.token.user, &me.username, &login.token.secret);
    let (ask, asks) = mpsc::channel(256);
    let (tell, tells) = mpsc::channel(256);
    let (typing, typings) = mpsc::channel(64);
    shared.set_typing(Some(typing));
    let link = Link {
        shared: shared.clone(),
        intake: intake.clone(),
        reader: Arc::new(Reader { connector: shared.name.clone(), me, self_chat: shared.self_chat }),
        login,
        ddp,
        epoch: Instant::now(),
        last_frame: account.rest.server_now(),
        last_alive,
        heard_since: account.rest.server_now(),
        rooms: HashMap::new(),
        unknown: HashSet::new(),
        early: HashSet::new(),
        early_everywhere: false,
        encrypted: HashSet::new(),
        listed: false,
        up_since: None,
        meter: Arc::default(),
        tasks: JoinSet::new(),
        tasks_stop: CancellationToken::new(),
        ask,
        asks: Some(asks),
        tell: Some(tell),
        tells,
        typings,
    };
    Ok((link, socket))
}

/// `https://host/path` → `wss://host/path/websocket`
fn socket_url(base: &str) -> String {
    let rest = base.strip_prefix("http").unwrap_or(base);
    format!("ws{rest}/websocket")
}

struct Link {
    shared: Arc<Shared>,
    intake: Arc<dyn Intake>,
    reader: Arc<Reader>,
    login: Login,
    ddp: Ddp,
    epoch: Instant,
    /// When the last frame came, by the server's clock.
    last_frame: Timestamp,
    last_alive: Option<Timestamp>,
    /// When the server said that it sends what is said, by its clock.
    heard_since: Timestamp,
    rooms: HashMap<RoomId, Mailbox>,
    /// Rooms that nobody opened, but that had a message.
    unknown: HashSet<RoomId>,
    /// Rooms in which something was said before they were opened: they are read back when they are.
    early: HashSet<RoomId>,
    /// Too many such rooms to keep: then every room that is opened is read back.
    early_everywhere: bool,
    /// Rooms in which an encrypted message was met.
    encrypted: HashSet<RoomId>,
    listed: bool,
    up_since: Option<Instant>,
    meter: Arc<Meter>,
    tasks: JoinSet<()>,
    tasks_stop: CancellationToken,
    ask: mpsc::Sender<Ask>,
    asks: Option<mpsc::Receiver<Ask>>,
    tell: Option<mpsc::Sender<Tell>>,
    tells: mpsc::Receiver<Tell>,
    typings: mpsc::Receiver<Typing>,
}

impl Link {
    async fn serve(&mut self, socket: &mut Socket) -> Ended {
        match self.serve_inner(socket).await {
            Ended::Down { reason, after, .. } => {
                Ended::Down { reason, after, up: self.up_since.map(|since| since.elapsed()) }
            }
            other => other,
        }
    }

    async fn serve_inner(&mut self, socket: &mut Socket) -> Ended {
        let mut waiting = self.intake.waiting_rooms();
        waiting.mark_changed();
        let mut waiting_is_open = true;
        let mut alive = tokio::time::interval(ALIVE_EVERY);
        alive.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let effects = self.ddp.step(self.now(), Input::Opened);
        if let Err(ended) = self.carry_out(socket, effects).await {
            return ended;
        }
        let mut first_alive = false;
        loop {
            let deadline = self.epoch + Duration::from_millis(self.ddp.deadline());
            let result = tokio::select! {
                frame = socket.next() => match frame {
                    Some(frame) => self.frame(socket, frame).await,
                    None => Err(Ended::down("the server closed the connection")),
                },
                () = tokio::time::sleep_until(deadline.into()) => self.input(socket, Input::Tick).await,
                Some(tell) = self.tells.recv() => {
                    self.told(tell);
                    Ok(())
                }
                Some(typing) = self.typings.recv() => {
                    let Typing { room, thread, on } = typing;
                    self.input(socket, Input::Typing { room: &room, thread: thread.as_ref(), on }).await
                }
                changed = waiting.changed(), if waiting_is_open => {
                    waiting_is_open = changed.is_ok();
                    let rooms = waiting.borrow_and_update().clone();
                    self.input(socket, Input::Waiting(&rooms)).await
                }
                _ = alive.tick() => self.note_alive().await.map(|noted| first_alive |= noted),
                // Long before the first regular moment: a short run must leave a mark too.
                () = tokio::time::sleep(Duration::from_millis(500)), if !first_alive && self.listed => {
                    self.note_alive().await.map(|noted| first_alive |= noted)
                }
                Some(ended) = self.tasks.join_next() => match ended {
                    Err(error) if error.is_panic() => Err(Ended::down("a task of the connector broke; starting it anew")),
                    _ => Ok(()),
                },
            };
            if let Err(ended) = result {
                return ended;
            }
        }
    }

    async fn frame(&mut self, socket: &mut Socket, frame: Result<Message, WsError>) -> Result<(), Ended> {
        match frame {
            Ok(Message::Text(text)) => {
                self.last_frame = self.shared.account.rest.server_now();
                self.input(socket, Input::Frame(text.as_str())).await
            }
            // The close code decides nothing: a revoked token and a tidy restart look alike.
            Ok(Message::Close(_)) => Err(Ended::down("the server closed the connection")),
            Ok(_) => Ok(()),
            Err(WsError::Capacity(_)) => {
                warn!(connector = %self.shared.name, "A frame of more than {FRAME_CAP} bytes came; reconnecting and reading what was missed");
                Err(Ended::down(format!(
                    "the server sent a frame of more than {} MiB",
                    FRAME_CAP / 1024 / 1024
                )))
            }
            Err(error) => Err(Ended::down(format!("the connection broke: {error}"))),
        }
    }

    async fn input(&mut self, socket: &mut Socket, input: Input<'_>) -> Result<(), Ended> {
        let effects = self.ddp.step(self.now(), input);
        self.carry_out(socket, effects).await
    }

    async fn carry_out(&mut self, socket: &mut Socket, effects: Vec<Effect>) -> Result<(), Ended> {
        for effect in effects {
            match effect {
                Effect::Send(text) => {
                    let sent = tokio::time::timeout(WRITE_TIMEOUT, socket.send(Message::text(text))).await;
                    match sent {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => return Err(Ended::down(format!("the connection broke: {error}"))),
                        Err(_) => return Err(Ended::down("the server takes no more frames")),
                    }
                }
                Effect::LoggedIn { expires } => self.shared.account.expires(&self.login, expires).await,
                Effect::LoginRefused { reason } => {
                    debug!(connector = %self.shared.name, %reason, "The token was refused on the socket");
                    // With a new token the next link comes at once; without one the reason is the account's.
                    self.shared.account.renew(&self.login).await?;
                    return Err(Ended::Down {
                        reason: "the log-in token was renewed".to_owned(),
                        after: Some(Duration::ZERO),
                        up: None,
                    });
                }
                Effect::Subscribed => self.subscribed(),
                Effect::Message { document, participant } => self.message(&document, participant),
                Effect::Membership { action, document } => {
                    if action != "removed"
                        && let Some(id) = normalise::room_of(&document)
                    {
                        self.unknown.remove(&id);
                    }
                    self.ask(Ask::Membership { action, document });
                }
                Effect::Deleted { room, message } => {
                    if let Some(mailbox) = self.rooms.get(&room) {
                        mailbox.put(Item::Deleted(message));
                    }
                }
                Effect::Dead(reason) => return Err(Ended::down(reason)),
            }
        }
        Ok(())
    }

    fn subscribed(&mut self) {
        self.up_since = Some(Instant::now());
        self.heard_since = self.last_frame;
        self.shared.board.connected(&self.reader.me.username, self.shared.account.rest.base());
        if let (Some(asks), Some(tells)) = (self.asks.take(), self.tell.take()) {
            let steward = Steward {
                shared: self.shared.clone(),
                intake: self.intake.clone(),
                stop: self.tasks_stop.clone(),
                asks,
                tells,
                last_alive: self.last_alive,
                begun: self.last_frame,
                first: self.shared.first_link(self.last_frame),
            };
            self.tasks.spawn(steward.run());
        }
    }

    fn message(&mut self, document: &Value, participant: Option<bool>) {
        // Public channels the account is not in arrive too; where the server does not say, the list decides:
        // only rooms of the account are opened.
        if participant == Some(false) {
            return;
        }
        acg_fault::point(acg_fault::Point::FrameReceived);
        let Some(id) = normalise::room_of(document) else { return };
        let Some(mailbox) = self.rooms.get(&id) else {
            if self.early.len() < MOST_UNKNOWN {
                self.early.insert(id.clone());
            } else {
                self.early_everywhere = true;
            }
            if self.unknown.len() < MOST_UNKNOWN && self.unknown.insert(id.clone()) && self.listed {
                self.ask(Ask::Unknown(id));
            }
            return;
        };
        let changed = normalise::changed_at(document);
        let said = match normalise::read(&self.reader, &mailbox.room, document) {
            Meaning::Person(said) => Some(said),
            Meaning::Garbage(reason) => {
                debug!(connector = %self.shared.name, room = %id, reason, "A document is no message");
                None
            }
            Meaning::Encrypted => {
                if self.encrypted.insert(id.clone()) {
                    warn!(connector = %self.shared.name, room = %mailbox.room.name.escape_debug(),
                        "Messages in this room are encrypted end to end and cannot be read");
                }
                None
            }
            Meaning::Own | Meaning::System | Meaning::Bot => None,
        };
        let votes = self.reader.votes(document);
        mailbox.put(Item::Live { said, votes, changed });
    }

    fn told(&mut self, tell: Tell) {
        match tell {
            Tell::Open { room, progress, behind } => {
                let id = room.id.clone();
                // What came before anybody listened is on the server still.
                self.unknown.remove(&id);
                let behind = self.early.remove(&id) || self.early_everywhere || behind;
                if let Some(mailbox) = self.rooms.get_mut(&id) {
                    mailbox.room = room;
                    return;
                }
                let stop = self.tasks_stop.child_token();
                let common = Common {
                    shared: self.shared.clone(),
                    intake: self.intake.clone(),
                    reader: self.reader.clone(),
                    meter: self.meter.clone(),
                    heard_since: self.heard_since,
                };
                let cursor = progress.cursor.max(progress.start);
                let (mailbox, worker) = room::open(&common, room, cursor, behind, stop);
                self.rooms.insert(id, mailbox);
                self.tasks.spawn(worker.run());
            }
            Tell::Close(id) => {
                self.early.remove(&id);
                if let Some(mailbox) = self.rooms.remove(&id) {
                    mailbox.close();
                }
            }
            Tell::Listed => {
                self.listed = true;
                let unknown: Vec<RoomId> = self.unknown.iter().cloned().collect();
                for room in unknown {
                    self.ask(Ask::Unknown(room));
                }
            }
        }
    }

    /// Notes the link as alive, if everything that came in has been settled.
    async fn note_alive(&mut self) -> Result<bool, Ended> {
        // In this order: what comes in later does not count for this moment.
        let at = self.last_frame;
        if !self.listed || !self.meter.is_clear() {
            return Ok(false);
        }
        match self.intake.alive(at).await {
            Ok(()) => Ok(true),
            Err(IntakeError::Closing) => Err(Ended::Stopped),
            Err(error) => {
                warn!(connector = %self.shared.name, %error, "The last live moment could not be stored");
                Ok(false)
            }
        }
    }

    fn ask(&mut self, ask: Ask) {
        if self.ask.try_send(ask).is_err() {
            debug!(connector = %self.shared.name, "A change of rooms is looked at later: too many at once");
            // Met again by the next message of the room.
            self.unknown.clear();
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::socket_url;

    #[test]
    fn the_socket_is_beside_the_api() {
        assert_eq!(socket_url("http://127.0.0.1:3000"), "ws://127.0.0.1:3000/websocket");
        assert_eq!(socket_url("https://chat.example.test/sub"), "wss://chat.example.test/sub/websocket");
    }
}
