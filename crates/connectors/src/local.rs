//! A connector without a platform: one person and one room inside this process.
//!
//! Owns the two ends of a pair of queues: what the person says goes in as on any platform, and what is posted comes
//! out. Must never print or read by itself: the far end, [`Front`], belongs to whoever has a screen or a script.

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use acg_config::{Key, Kind, Section, Settings};
use acg_core::connector::{
    Accepted, Capabilities, Connector, Health, Inbound, Intake, IntakeError, Link, Live, Reaction, Receipt,
    SendError, Wanted,
};
use acg_types::{
    Addressed, Clock, ConnectorName, IncomingMessage, MessageId, Outgoing, Room, RoomId, Sender, ThreadId,
    Timestamp, Usage,
};
use async_trait::async_trait;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Longest part; a screen has no limit of its own.
const MAX_TEXT_UTF16: usize = 64 * 1024;
/// Posts that may wait to be shown.
const QUEUE: usize = 1024;
/// Longest wait until a post was taken by the far end.
const TAKE_WAIT: Duration = Duration::from_secs(30);

/// Who and where.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The connector's name in the configuration.
    pub connector: ConnectorName,
    /// The platform's name for the prompt's header.
    pub title: &'static str,
    /// The one room.
    pub room: Room,
    /// The one person.
    pub person: Sender,
}

/// What is shown to the person.
#[derive(Clone, Debug, PartialEq)]
pub enum Shown {
    /// A part was posted.
    Post {
        /// Its id; a question is answered on it.
        id: MessageId,
        /// Markdown.
        text: String,
    },
    /// A file was posted.
    File {
        /// Where it is.
        path: PathBuf,
        /// What was said of it.
        caption: String,
    },
    /// A turn has reached the agent.
    Begun,
    /// A piece of a message.
    Text(String),
    /// The message is whole; agents that do not stream begin with this.
    Message(String),
    /// A tool was called.
    Tool {
        /// Its name.
        tool: String,
        /// Its input as JSON.
        input: String,
    },
    /// A tool call has a result.
    ToolDone {
        /// Whether it failed or was refused.
        is_error: bool,
    },
    /// The turn is over; its posts follow.
    Ended(Option<Usage>),
}

/// The connector's end.
struct Local {
    setting: Setting,
    shown: mpsc::Sender<Shown>,
    /// Set while the connector runs.
    core: watch::Sender<Option<Arc<dyn Intake>>>,
    health: watch::Sender<Health>,
    clock: Arc<dyn Clock>,
    posted: Mutex<HashSet<MessageId>>,
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local").field("connector", &self.setting.connector).finish_non_exhaustive()
    }
}

/// The person's end.
pub struct Front {
    setting: Setting,
    core: watch::Receiver<Option<Arc<dyn Intake>>>,
    clock: Arc<dyn Clock>,
    last: Timestamp,
}

impl fmt::Debug for Front {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Front").field("connector", &self.setting.connector).finish_non_exhaustive()
    }
}

/// Makes a connector, the person's end, and what is to be shown.
pub fn pair(setting: Setting, clock: Arc<dyn Clock>) -> (Arc<dyn Connector>, Front, mpsc::Receiver<Shown>) {
    let (shown, showing) = mpsc::channel(QUEUE);
    let (core, running) = watch::channel(None);
    let health = Health {
        link: Link::Starting,
        reason: None,
        account: None,
        server_version: None,
        version_note: None,
        since: clock.now(),
    };
    let front =
        Front { setting: setting.clone(), core: running, clock: Arc::clone(&clock), last: Timestamp(0) };
    let local =
        Local { setting, shown, core, health: watch::Sender::new(health), clock, posted: Mutex::default() };
    (Arc::new(local), front, showing)
}

impl Local {
    fn set_link(&self, link: Link) {
        let since = self.clock.now();
        self.health.send_modify(|health| {
            health.link = link;
            health.since = since;
        });
    }

    fn posted(&self) -> MutexGuard<'_, HashSet<MessageId>> {
        self.posted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn show(&self, shown: Shown) -> Result<(), SendError> {
        match tokio::time::timeout(TAKE_WAIT, self.shown.send(shown)).await {
            Ok(Ok(())) => Ok(()),
            // Nothing was shown: it is safe to try again.
            Ok(Err(_)) => Err(SendError::Retry { after: None, reason: "nobody looks any more".to_owned() }),
            Err(_) => Err(SendError::Retry { after: None, reason: "nothing more is taken".to_owned() }),
        }
    }
}

#[async_trait]
impl Connector for Local {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            title: self.setting.title,
            max_text_utf16: MAX_TEXT_UTF16,
            idempotent_send: true,
            reactions: true,
        }
    }

    async fn run(&self, intake: Arc<dyn Intake>, stop: CancellationToken) {
        let Wanted { rooms, .. } = intake.wanted();
        let opened = async {
            for word in rooms {
                if word != self.setting.room.name {
                    intake.room_trouble(&word, Some("There is only one room here.".to_owned()));
                }
            }
            intake.bind_person(&self.setting.person.username, &self.setting.person.id).await?;
            intake.open_room(&self.setting.room, Timestamp(0)).await?;
            Ok::<(), IntakeError>(())
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            opened = opened => {
                if let Err(error) = opened {
                    self.health.send_modify(|health| health.reason = Some(error.to_string()));
                    self.set_link(Link::Retrying);
                } else {
                    self.set_link(Link::Connected);
                    self.core.send_replace(Some(Arc::clone(&intake)));
                }
                stop.cancelled().await;
            }
        }
        self.core.send_replace(None);
        self.set_link(Link::Stopped);
    }

    async fn send(&self, part: &Outgoing) -> Result<Receipt, SendError> {
        let id = part.key.clone();
        if self.posted().contains(&id) {
            return Ok(Receipt { id, duplicate: true });
        }
        self.show(Shown::Post { id: id.clone(), text: part.text.clone() }).await?;
        self.posted().insert(id.clone());
        Ok(Receipt { id, duplicate: false })
    }

    async fn typing(&self, _room: &RoomId, _thread: Option<&ThreadId>, _on: bool) {}

    fn live(&self, _room: &RoomId, _thread: Option<&ThreadId>, event: Live<'_>) {
        let shown = match event {
            Live::Begun => Shown::Begun,
            Live::Text(text) => Shown::Text(text.to_owned()),
            Live::Message(text) => Shown::Message(text.to_owned()),
            Live::Tool(call) => Shown::Tool { tool: call.tool.clone(), input: call.raw.clone() },
            Live::ToolDone { is_error } => Shown::ToolDone { is_error },
            Live::Ended(usage) => Shown::Ended(usage.cloned()),
        };
        // Over a full queue it is left out: the whole answer follows as a post.
        drop(self.shown.try_send(shown));
    }

    async fn upload(
        &self,
        _room: &RoomId,
        _thread: Option<&ThreadId>,
        file: &Path,
        caption: &str,
    ) -> Result<(), SendError> {
        self.show(Shown::File { path: file.to_owned(), caption: caption.to_owned() }).await
    }

    async fn find_room(&self, name: &str) -> Result<Room, SendError> {
        let room = &self.setting.room;
        if name == room.name || name == room.id.as_str() {
            return Ok(room.clone());
        }
        Err(SendError::Permanent { reason: format!("Room '{}' not found", name.escape_debug()) })
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }
}

/// What the person did could not be handed over.
#[derive(Debug, thiserror::Error)]
pub enum FrontError {
    /// The gateway ends, or never ran.
    #[error("the gateway is not running")]
    Closed,
    /// It was not stored.
    #[error("it could not be stored")]
    Intake(#[from] IntakeError),
    /// No id could be made.
    #[error("the system gave no random numbers")]
    Random(#[from] acg_types::random::RandomError),
}

impl Front {
    /// Waits until the connector runs.
    pub async fn ready(&mut self) -> Result<(), FrontError> {
        self.core.wait_for(Option::is_some).await.map(drop).map_err(|_| FrontError::Closed)
    }

    fn core(&self) -> Result<Arc<dyn Intake>, FrontError> {
        self.core.borrow().clone().ok_or(FrontError::Closed)
    }

    /// Says something. `files` are named to the agent; it reads them where they are.
    pub async fn say(&mut self, text: &str, files: &[PathBuf]) -> Result<Accepted, FrontError> {
        let core = self.core()?;
        // Never twice the same moment: the order of what is said must show.
        self.last = Timestamp(self.clock.now().0.max(self.last.0 + 1));
        let message = IncomingMessage {
            connector: self.setting.connector.clone(),
            id: acg_types::random::message_key()?,
            room: self.setting.room.clone(),
            thread: None,
            sender: self.setting.person.clone(),
            text: text.to_owned(),
            addressed: Addressed::Me,
            sent_at: self.last,
            warnings: files.iter().map(|file| format!("[Attached file: {}]", file.display())).collect(),
        };
        Ok(core.offer(Inbound { message, edited: false, cursor: Some(self.last), own: None }).await?)
    }

    /// Whether a post asks a question that is still open.
    pub fn asks(&self, post: &MessageId) -> bool {
        self.core().is_ok_and(|core| core.awaits_reaction(&self.setting.room.id, post))
    }

    /// Answers a question: yes or no.
    pub async fn answer(&self, post: &MessageId, yes: bool) -> Result<(), FrontError> {
        let reaction = Reaction {
            room: self.setting.room.id.clone(),
            message: post.clone(),
            sender: self.setting.person.clone(),
            emoji: if yes { "✅" } else { "❌" }.to_owned(),
        };
        Ok(self.core()?.react(reaction).await?)
    }
}

/// The word after `type:` for the one connector of a chat in the terminal. It has no keys, and no daemon serves it:
/// there is no terminal behind one.
#[derive(Clone, Copy, Debug)]
pub struct TerminalKind;

/// The type's name.
pub const TERMINAL: &str = "terminal";

impl Kind for TerminalKind {
    fn name(&self) -> &'static str {
        TERMINAL
    }

    fn keys(&self) -> &'static [Key] {
        &[]
    }

    fn parse(&self, _section: &mut Section<'_>) -> Option<Settings> {
        Some(Settings(Arc::new(())))
    }
}
