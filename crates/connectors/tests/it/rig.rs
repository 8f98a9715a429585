//! A connector under test: made from YAML as in production, run beside the fake server.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use acg_config::ConnectorConfig;
use acg_connectors::registry;
use acg_core::connector::{Connector, Health, Link, Wanted};
use acg_testing::rocketchat::{AddUser, FakeServer, Options};
use acg_types::{Outgoing, SystemClock};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::intake::{MemoryIntake, State};

/// Everything must have happened within.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) const PASSWORD: &str = "Passw0rd!";

/// A server with a bot, Alice, and the room `general` with both.
pub(crate) struct Scene {
    pub(crate) server: FakeServer,
    pub(crate) bot: String,
    pub(crate) alice: String,
    pub(crate) general: String,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        Self::with(Options::default(), AddUser::bot(PASSWORD)).await
    }

    pub(crate) async fn with(options: Options, bot: AddUser) -> Self {
        let server = FakeServer::start(options).await;
        let world = server.world();
        let alice = world.add_user("alice", AddUser::password(PASSWORD));
        let bot = world.add_user("bot", bot);
        let general = world.add_channel("general", &[&alice, &bot]);
        Self { server, bot, alice, general }
    }

    /// `server:` with user name and password.
    pub(crate) fn by_password(&self) -> String {
        format!("server: {{url: '{}', username: bot, password: '{PASSWORD}'}}", self.server.url())
    }

    /// `server:` with a personal access token.
    pub(crate) fn by_token(&self, token: &str) -> String {
        format!("server: {{url: '{}', user_id: '{}', token: '{token}'}}", self.server.url(), self.bot)
    }

    pub(crate) fn say(&self, text: &str) -> String {
        self.server.world().say(&self.alice, &self.general, text)
    }
}

pub(crate) fn rooms(names: &[&str]) -> Wanted {
    Wanted { rooms: names.iter().map(|name| (*name).to_owned()).collect(), all: false }
}

pub(crate) fn every_room() -> Wanted {
    Wanted { rooms: Vec::new(), all: true }
}

pub(crate) fn connector(settings: &str) -> Arc<dyn Connector> {
    let kind = registry::kinds().into_iter().find(|kind| kind.name() == "rocketchat").unwrap();
    let (parsed, found) = acg_config::parse_settings(kind, settings, Path::new("/"), &|_| None);
    assert!(found.is_empty(), "{found:?}");
    let config = ConnectorConfig {
        name: "rc".into(),
        kind: "rocketchat".to_owned(),
        served: true,
        settings: parsed,
        people: Vec::new(),
        filter_sender: true,
        require_mention: true,
        reply_in_thread: false,
        permission_reply_in_thread: true,
        timezone: None,
        context_files: Vec::new(),
        allowed_rooms: Vec::new(),
    };
    registry::build(&config, Arc::new(SystemClock)).unwrap()
}

/// A running connector.
pub(crate) struct Running {
    pub(crate) connector: Arc<dyn Connector>,
    pub(crate) intake: Arc<MemoryIntake>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Running {
    pub(crate) fn start(settings: &str, intake: &Arc<MemoryIntake>) -> Self {
        let connector = connector(settings);
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let (run, given, stopped) = (connector.clone(), intake.clone(), stop.clone());
        tasks.spawn(async move { run.run(given, stopped).await });
        Self { connector, intake: intake.clone(), stop, tasks }
    }

    /// Starts and waits until connected and caught up.
    pub(crate) async fn ready(settings: &str, intake: &Arc<MemoryIntake>) -> Self {
        intake.state().alive = None;
        Self::ready_again(settings, intake).await
    }

    /// The same, with what an earlier run left.
    pub(crate) async fn ready_again(settings: &str, intake: &Arc<MemoryIntake>) -> Self {
        // The very first run notes its beginning, too, before it has caught up.
        let (is_first, before) = {
            let state = intake.state();
            (state.alive.is_none(), state.noted)
        };
        let running = Self::start(settings, intake);
        running.until("alive", |state| state.noted > before + usize::from(is_first)).await;
        running
    }

    /// Waits until the core's side is as wanted.
    pub(crate) async fn until(&self, what: &str, wanted: impl Fn(&State) -> bool) {
        let mut changes = self.intake.changes();
        let seen = tokio::time::timeout(DEADLINE, async {
            while !wanted(&self.intake.state()) {
                changes.changed().await.unwrap();
            }
        });
        let in_time = seen.await.is_ok();
        assert!(
            in_time,
            "{what}: not within {DEADLINE:?}; {:?}, {:#?}",
            self.connector.health().borrow(),
            self.intake.state()
        );
    }

    pub(crate) async fn until_texts(&self, texts: &[&str]) {
        self.until(&format!("{texts:?}"), |state| state.messages.len() >= texts.len()).await;
        assert_eq!(self.intake.texts(), texts);
    }

    pub(crate) async fn until_link(&self, link: Link) -> Health {
        let mut health = self.connector.health();
        let found = tokio::time::timeout(DEADLINE, health.wait_for(|health| health.link == link)).await;
        let Ok(found) = found else { panic!("not {link:?}: {:?}", self.connector.health().borrow()) };
        found.unwrap().clone()
    }

    /// Stops; gives how long that took.
    pub(crate) async fn stop(mut self) -> Duration {
        let begun = std::time::Instant::now();
        self.stop.cancel();
        tokio::time::timeout(DEADLINE, self.tasks.join_next()).await.unwrap().unwrap().unwrap();
        begun.elapsed()
    }
}

pub(crate) fn part(room: &str, key: &str, text: &str, attempts: u32) -> Outgoing {
    Outgoing { room: room.into(), thread: None, key: key.into(), text: text.to_owned(), attempts }
}
