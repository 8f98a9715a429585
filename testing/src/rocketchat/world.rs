//! The one model of the server: users, tokens, rooms, subscriptions, messages, files.
//!
//! A pure core. Every function takes the world and the facts, changes it, and leaves [`Event`]s to be handed to
//! the connections. It must never touch a socket, a clock or a task: `now` is set by the shell.

mod messages;
mod posting;
mod queries;
mod rename;
mod rooms;
mod table;
#[cfg(test)]
mod tests;
mod users;

use std::collections::BTreeMap;

use serde_json::Value;

use super::doc::Doc;
use super::ids::Ids;
use super::limits::Windows;
use super::record::Record;

pub use messages::Message;
pub use posting::Say;
pub(crate) use posting::Upload;
pub(crate) use queries::Window;
pub(crate) use rooms::whole_sub;
use table::Table;
pub use users::AddUser;
pub(crate) use users::{Token, User};

/// The server version whose shapes are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// 6.5.3, the recorded one.
    V6_5,
    /// 6.10: `rooms.media` beside `rooms.upload`.
    V6_10,
    /// 7.x: the size of `chat.postMessage` is enforced, 401 bodies carry `success` and `error`.
    V7_0,
    /// 8.0: `rooms.upload` is gone.
    V8_0,
    /// 8.8: the chat routes refuse keys they do not know.
    V8_8,
    /// 9.0: refusals are 403 `error-forbidden`, most DDP methods are gone.
    V9_0,
}

impl Version {
    /// What `/api/info` says.
    pub fn text(self) -> &'static str {
        match self {
            Self::V6_5 => "6.5",
            Self::V6_10 => "6.10",
            Self::V7_0 => "7.0",
            Self::V8_0 => "8.0",
            Self::V8_8 => "8.8",
            Self::V9_0 => "9.0",
        }
    }
}

/// What an administrator would set.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Shapes and routes of this version.
    pub version: Version,
    /// `Message_MaxAllowedSize`, UTF-16 units.
    pub max_message_size: usize,
    /// REST calls per route and address in one window; 0 switches the limit off.
    pub rest_calls: u32,
    /// Length of the REST window, milliseconds.
    pub rest_window_ms: i64,
    /// Roles that no REST limit holds for.
    pub exempt_roles: Vec<String>,
    /// False switches the DDP limits off.
    pub ddp_limits: bool,
    /// Days a login token lives (`Accounts_LoginExpiration`).
    pub login_days: i64,
    /// False: the typing method answers 404, as a later version might.
    pub typing_method: bool,
    /// False: `__my_messages__` sends one argument only.
    pub my_messages_extra: bool,
    /// `Accounts_TwoFactorAuthentication_By_Email_Enabled`: verified e-mail means a code by mail.
    pub email_two_factor: bool,
    /// What stands before `/avatar/<name>`.
    pub site_url: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            version: Version::V6_5,
            max_message_size: 5000,
            rest_calls: 10,
            rest_window_ms: 60_000,
            exempt_roles: vec!["admin".into(), "bot".into(), "app".into()],
            ddp_limits: true,
            login_days: 90,
            typing_method: true,
            my_messages_extra: true,
            email_two_factor: true,
            site_url: "http://localhost:3300".into(),
        }
    }
}

/// Something the connections must hear of.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Event {
    /// A message was made or changed: the whole document.
    Message(Doc),
    /// `stream-notify-user`, `<uid>/<name>`.
    User { uid: String, name: &'static str, args: Vec<Value> },
    /// `stream-notify-room`, `<rid>/<name>`; `except` is the connection that caused it.
    Room { rid: String, name: String, args: Vec<Value>, except: Option<u64> },
    /// `stream-notify-logged`.
    Logged { name: &'static str, args: Vec<Value> },
    /// Sockets that live by this token are closed.
    TokenDead(String),
}

/// A stored file.
#[derive(Debug, Clone)]
pub(crate) struct File {
    pub(crate) id: String,
    pub(crate) rid: String,
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) bytes: Vec<u8>,
}

#[derive(Debug, Clone)]
pub(crate) struct Deleted {
    pub(crate) id: String,
    pub(crate) rid: String,
    pub(crate) at: i64,
}

/// The whole state of the server.
#[derive(Debug)]
pub struct World {
    /// What an administrator would set; a test may change it at any time.
    pub settings: Settings,
    /// What clients sent.
    pub record: Record,
    pub(crate) now: i64,
    pub(crate) ids: Ids,
    pub(crate) users: Vec<User>,
    pub(crate) rooms: Table,
    pub(crate) subs: Table,
    pub(crate) messages: Table,
    pub(crate) deleted: Vec<Deleted>,
    pub(crate) removed_subs: Vec<(String, Doc, i64)>,
    pub(crate) files: Vec<File>,
    pub(crate) pending_files: BTreeMap<String, File>,
    pub(crate) online: BTreeMap<u64, String>,
    pub(crate) rest_windows: Windows,
    pub(crate) ddp_windows: Windows,
    events: Vec<Event>,
    last_stamp: i64,
}

impl World {
    /// An empty server. `seed` decides every id.
    pub fn new(seed: u64, settings: Settings) -> Self {
        Self {
            settings,
            record: Record::default(),
            now: 0,
            ids: Ids::new(seed),
            users: Vec::new(),
            rooms: Table::default(),
            subs: Table::default(),
            messages: Table::default(),
            deleted: Vec::new(),
            removed_subs: Vec::new(),
            files: Vec::new(),
            pending_files: BTreeMap::new(),
            online: BTreeMap::new(),
            rest_windows: Windows::default(),
            ddp_windows: Windows::default(),
            events: Vec::new(),
            last_stamp: 0,
        }
    }

    /// The server's time, epoch milliseconds.
    pub fn now(&self) -> i64 {
        self.now
    }

    /// Sets the time; the shell does this before every call.
    pub(crate) fn set_now(&mut self, now: i64) {
        self.now = now;
    }

    /// A moment that no other document has: two messages of one millisecond would have no order.
    pub(crate) fn stamp(&mut self) -> i64 {
        self.last_stamp = if self.now > self.last_stamp || self.now + 60_000 < self.last_stamp {
            self.now
        } else {
            self.last_stamp + 1
        };
        self.last_stamp
    }

    pub(crate) fn emit(&mut self, event: Event) {
        self.events.push(event);
    }

    /// Takes what the connections have not heard yet.
    pub(crate) fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Forgets everything that was said and recorded: for loads that go on for hours.
    pub fn forget(&mut self) {
        self.messages = Table::default();
        self.record.rest = Vec::new();
        self.record.ddp = Vec::new();
    }

    /// Sets the REST limit and forgets what was counted. 0 calls switches it off.
    pub fn set_rest_limit(&mut self, calls: u32, window_ms: i64) {
        self.settings.rest_calls = calls;
        self.settings.rest_window_ms = window_ms;
        self.rest_windows.clear();
    }
}
