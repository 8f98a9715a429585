//! A platform and an agent in memory, with the faults that the tests ask for.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use acg_config::{
    AgentConfig, BaseRole, Config, Confinement, ConnectorConfig, DayBudget, Dialect, Limits, Person,
    RoleConfig, WatchedRoom, WatcherConfig,
};
use acg_core::agent::{AgentBackend, AgentError, AgentInfo, AgentSession, Prompt, SessionSpec};
use acg_core::connector::{
    Accepted, Capabilities, Connector, Health, Inbound, Intake, Link, Live, Reaction, Receipt, SendError,
};
use acg_core::handle::Control;
use acg_core::{Gateway, Parts};
use acg_policy::RolePolicy;
use acg_store::{Counts, Store};
use acg_types::{
    Addressed, AgentEvent, Clock, Decision, EndReason, IncomingMessage, Outgoing, PermissionId, Role, Room,
    RoomId, RoomKind, Sender, SessionId, SystemClock, ThreadId, Timestamp, ToolCall, TurnEnd, Usage,
};
use async_trait::async_trait;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// No test waits longer than this for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What the fake platform saw and how it misbehaves.
#[derive(Debug)]
pub(crate) struct Platform {
    pub(crate) posted: watch::Sender<Vec<Outgoing>>,
    pub(crate) health: watch::Sender<Health>,
    pub(crate) answers: Mutex<Vec<SendError>>,
    /// So many posts go well before the next of `answers` is given.
    pub(crate) pass: watch::Sender<usize>,
    pub(crate) idempotent: bool,
    pub(crate) reactions: bool,
    /// Name and content of every file.
    pub(crate) uploads: Mutex<Vec<(String, String)>>,
    pub(crate) upload_faults: Mutex<Vec<SendError>>,
    pub(crate) live: Mutex<Vec<String>>,
    pub(crate) typing: watch::Sender<bool>,
    intake: watch::Sender<Option<Arc<dyn Intake>>>,
}

impl Platform {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self::with(true))
    }

    pub(crate) fn with(idempotent: bool) -> Self {
        Self {
            posted: watch::Sender::default(),
            health: watch::Sender::new(health(Link::Connected)),
            answers: Mutex::default(),
            pass: watch::Sender::default(),
            idempotent,
            reactions: true,
            uploads: Mutex::default(),
            upload_faults: Mutex::default(),
            live: Mutex::default(),
            typing: watch::Sender::default(),
            intake: watch::Sender::new(None),
        }
    }

    pub(crate) async fn intake(&self) -> Arc<dyn Intake> {
        let mut seen = self.intake.subscribe();
        let found = tokio::time::timeout(PATIENCE, seen.wait_for(Option::is_some)).await.unwrap().unwrap();
        found.clone().unwrap()
    }

    pub(crate) fn texts(&self) -> Vec<String> {
        self.posted.borrow().iter().map(|part| part.text.clone()).collect()
    }

    /// Waits until this many parts were posted.
    pub(crate) async fn until_posted(&self, count: usize) -> Vec<String> {
        let mut posted = self.posted.subscribe();
        let waited = tokio::time::timeout(PATIENCE, posted.wait_for(|posted| posted.len() >= count)).await;
        assert!(waited.is_ok(), "{count} parts expected, seen {:?}", self.texts());
        drop(waited);
        self.texts()
    }

    /// Waits until a part with these words was posted.
    pub(crate) async fn until_said(&self, words: &str) -> Outgoing {
        let mut posted = self.posted.subscribe();
        let found = |posted: &Vec<Outgoing>| posted.iter().any(|part| part.text.contains(words));
        let waited = tokio::time::timeout(PATIENCE, posted.wait_for(found)).await;
        assert!(waited.is_ok(), "{words:?} expected, seen {:#?}", self.texts());
        drop(waited);
        self.posted.borrow().iter().find(|part| part.text.contains(words)).unwrap().clone()
    }

    /// Waits for the question about a call; its post and its code.
    pub(crate) async fn question(&self, about: &str) -> (Outgoing, String) {
        let mut posted = self.posted.subscribe();
        let is = |part: &Outgoing| part.text.starts_with("🔐") && part.text.contains(about);
        let waited = tokio::time::timeout(PATIENCE, posted.wait_for(|posted| posted.iter().any(is))).await;
        assert!(waited.is_ok(), "a question about {about:?} expected, seen {:#?}", self.texts());
        drop(waited);
        let part = self.posted.borrow().iter().rfind(|part| is(part)).unwrap().clone();
        let code = part.text.split("`[").nth(1).unwrap().split("]`").next().unwrap().to_owned();
        (part, code)
    }

    /// How often these words were posted.
    pub(crate) fn count(&self, words: &str) -> usize {
        self.texts().iter().filter(|text| text.contains(words)).count()
    }

    pub(crate) async fn react(&self, part: &Outgoing, user: &str, emoji: &str) {
        let reaction = Reaction {
            room: part.room.clone(),
            message: part.key.clone(),
            sender: sender(user),
            emoji: emoji.into(),
        };
        self.intake().await.react(reaction).await.unwrap();
    }

    /// Says something in the room; returns what became of it.
    pub(crate) async fn say(&self, message: IncomingMessage) -> Accepted {
        self.intake().await.offer(Inbound { message, edited: false, cursor: None, own: None }).await.unwrap()
    }
}

pub(crate) fn health(link: Link) -> Health {
    Health {
        link,
        reason: None,
        account: None,
        server_version: None,
        version_note: None,
        since: Timestamp(0),
    }
}

#[derive(Debug)]
pub(crate) struct FakeConnector(pub(crate) Arc<Platform>);

#[async_trait]
impl Connector for FakeConnector {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            title: "Rocket.Chat",
            max_text_utf16: 4000,
            idempotent_send: self.0.idempotent,
            reactions: self.0.reactions,
        }
    }

    async fn run(&self, intake: Arc<dyn Intake>, stop: CancellationToken) {
        for name in intake.wanted().rooms.into_iter().filter(|name| name != "nowhere") {
            intake.open_room(&room(&name), Timestamp(0)).await.unwrap();
        }
        self.0.intake.send_replace(Some(intake));
        stop.cancelled().await;
        self.0.intake.send_replace(None);
    }

    async fn send(&self, part: &Outgoing) -> Result<Receipt, SendError> {
        let passes = self.0.pass.send_if_modified(|left| {
            *left > 0 && {
                *left -= 1;
                true
            }
        });
        let fault = if passes { None } else { self.0.answers.lock().unwrap().pop() };
        if let Some(fault) = fault {
            return Err(fault);
        }
        self.0.posted.send_modify(|posted| posted.push(part.clone()));
        Ok(Receipt { id: part.key.clone(), duplicate: false })
    }

    async fn typing(&self, _room: &RoomId, _thread: Option<&ThreadId>, on: bool) {
        self.0.typing.send_replace(on);
    }

    fn live(&self, _room: &RoomId, _thread: Option<&ThreadId>, event: Live<'_>) {
        self.0.live.lock().unwrap().push(format!("{event:?}").split([' ', '(']).next().unwrap().to_owned());
    }

    async fn upload(
        &self,
        room: &RoomId,
        _thread: Option<&ThreadId>,
        file: &Path,
        caption: &str,
    ) -> Result<(), SendError> {
        let fault = self.0.upload_faults.lock().unwrap().pop();
        if let Some(fault) = fault {
            return Err(fault);
        }
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let content = std::fs::read_to_string(file).unwrap_or_default();
        self.0.uploads.lock().unwrap().push((name, content));
        let text = format!("{caption} [{}]", file.display());
        let part = Outgoing { room: room.clone(), thread: None, key: "upload".into(), text, attempts: 0 };
        self.0.posted.send_modify(|posted| posted.push(part));
        Ok(())
    }

    async fn find_room(&self, name: &str) -> Result<Room, SendError> {
        if name == "nowhere" {
            return Err(SendError::Permanent { reason: "Room 'nowhere' not found".into() });
        }
        Ok(room(name))
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.0.health.subscribe()
    }
}

pub(crate) fn room(name: &str) -> Room {
    Room {
        id: format!("id-{name}").as_str().into(),
        name: name.into(),
        kind: RoomKind::Channel,
        parent: None,
    }
}

pub(crate) fn message(id: &str, user: &str, text: &str) -> IncomingMessage {
    IncomingMessage {
        connector: "rc".into(),
        id: id.into(),
        room: room("general"),
        thread: None,
        sender: sender(user),
        text: text.into(),
        addressed: Addressed::Me,
        sent_at: Timestamp(1_000),
        warnings: vec![],
    }
}

pub(crate) fn sender(user: &str) -> Sender {
    Sender { id: format!("id-{user}").as_str().into(), username: user.into(), display_name: None }
}

/// A message said now, that speaks to nobody in particular.
pub(crate) fn aside(id: &str, user: &str, text: &str) -> IncomingMessage {
    IncomingMessage { sent_at: SystemClock.now(), addressed: Addressed::Nobody, ..message(id, user, text) }
}

/// The system's clock, moved.
#[derive(Debug, Default)]
pub(crate) struct MovedClock(AtomicI64);

impl MovedClock {
    pub(crate) fn forward(&self, time: Duration) {
        self.0.fetch_add(i64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for MovedClock {
    fn now(&self) -> Timestamp {
        Timestamp(SystemClock.now().0 + self.0.load(Ordering::SeqCst))
    }
}

/// What the fake agent saw and how it behaves. The prompt's body is its script.
#[derive(Debug, Default)]
pub(crate) struct Agents {
    pub(crate) prompts: Mutex<Vec<(SessionId, bool, Role, String)>>,
    pub(crate) contexts: Mutex<Vec<String>>,
    pub(crate) decisions: Mutex<Vec<Decision>>,
    pub(crate) unknown: Mutex<Vec<SessionId>>,
    /// Sessions whose processes have ended, of an agent that keeps none longer.
    pub(crate) not_kept: Mutex<Vec<SessionId>>,
    pub(crate) forgotten: Mutex<Vec<SessionId>>,
    pub(crate) busy: watch::Sender<usize>,
    pub(crate) release: watch::Sender<bool>,
    pub(crate) unusable: Mutex<bool>,
    /// Neither starts nor can be looked at.
    pub(crate) broken: AtomicBool,
    /// Does not start for this role.
    pub(crate) broken_for: Mutex<Option<Role>>,
    /// How often it was to be started.
    pub(crate) opened: AtomicUsize,
    /// What was made ready early.
    pub(crate) warmed: watch::Sender<Vec<SessionSpec>>,
    /// Whether its processes do not end when they are told to.
    pub(crate) stubborn: AtomicBool,
    pub(crate) specs: Mutex<Vec<SessionSpec>>,
    /// Whether its questions can be deferred, and whether they show the whole call.
    pub(crate) defers: AtomicBool,
    pub(crate) partial: AtomicBool,
    /// Commands that ran.
    pub(crate) ran: watch::Sender<Vec<String>>,
    /// Commands whose questions it takes back.
    pub(crate) taken_back: watch::Sender<Vec<String>>,
    /// Calls that were deferred, by session, as the agent program keeps them on disk.
    kept: Mutex<HashMap<SessionId, Vec<ToolCall>>>,
    sessions: Mutex<usize>,
}

#[derive(Debug)]
pub(crate) struct FakeAgent(pub(crate) Arc<Agents>);

#[async_trait]
impl AgentBackend for FakeAgent {
    async fn probe(&self) -> Result<AgentInfo, AgentError> {
        if self.0.broken.load(Ordering::SeqCst) {
            return Err(AgentError::Silent(Duration::from_secs(1)));
        }
        Ok(AgentInfo { version: "1.0".into(), ..AgentInfo::default() })
    }

    fn new_session_id(&self) -> Option<SessionId> {
        let mut count = self.0.sessions.lock().unwrap();
        *count += 1;
        Some(format!("session-{count}").as_str().into())
    }

    async fn open(&self, spec: SessionSpec) -> Result<Box<dyn AgentSession>, AgentError> {
        self.0.opened.fetch_add(1, Ordering::SeqCst);
        let unfit = self.0.broken_for.lock().unwrap().as_ref() == Some(&spec.role);
        if unfit || self.0.broken.load(Ordering::SeqCst) {
            return Err(AgentError::Silent(Duration::from_secs(1)));
        }
        if *self.0.unusable.lock().unwrap() {
            return Err(AgentError::Unusable { agent: "claude".into(), reason: "not installed".into() });
        }
        let session = spec.session.clone().unwrap();
        if self.0.unknown.lock().unwrap().contains(&session) {
            return Err(AgentError::UnknownSession(session));
        }
        if self.0.not_kept.lock().unwrap().contains(&session) {
            return Err(AgentError::NotKept(session));
        }
        self.0.specs.lock().unwrap().push(spec.clone());
        self.0.contexts.lock().unwrap().push(spec.context.clone().unwrap_or_default());
        Ok(Box::new(FakeSession {
            agents: Arc::clone(&self.0),
            session,
            spec,
            events: VecDeque::new(),
            asked: HashMap::new(),
            outcomes: vec![],
            kept: vec![],
            questions: 0,
        }))
    }

    async fn warm(&self, spec: SessionSpec) -> Result<(), AgentError> {
        self.0.warmed.send_modify(|warmed| warmed.push(spec));
        Ok(())
    }

    async fn forget(&self, session: &SessionId) {
        self.0.forgotten.lock().unwrap().push(session.clone());
    }

    async fn shutdown(&self) {
        if self.0.stubborn.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
    }
}

#[derive(Debug)]
struct FakeSession {
    agents: Arc<Agents>,
    session: SessionId,
    spec: SessionSpec,
    events: VecDeque<AgentEvent>,
    asked: HashMap<PermissionId, ToolCall>,
    /// What became of its calls, for the answer.
    outcomes: Vec<String>,
    kept: Vec<ToolCall>,
    questions: usize,
}

impl FakeSession {
    fn ask(&mut self, call: ToolCall) {
        self.questions += 1;
        let id = format!("p{}", self.questions);
        self.events.push_back(AgentEvent::ToolStarted(call.clone()));
        self.events.push_back(AgentEvent::Permission {
            id: id.clone(),
            call: call.clone(),
            whole: !self.agents.partial.load(Ordering::SeqCst),
            deferrable: self.agents.defers.load(Ordering::SeqCst),
        });
        self.asked.insert(id, call);
    }

    fn end(&mut self) -> AgentEvent {
        let reason = if self.kept.is_empty() { EndReason::Completed } else { EndReason::Deferred };
        if !self.kept.is_empty() {
            let kept = std::mem::take(&mut self.kept);
            self.agents.kept.lock().unwrap().insert(self.session.clone(), kept);
        }
        let text = (!self.outcomes.is_empty()).then(|| self.outcomes.join(", "));
        let usage = Some(Usage { input_tokens: 3, output_tokens: 2, ..Usage::default() });
        AgentEvent::End(TurnEnd { reason, text, error: None, usage })
    }
}

fn command(call: &ToolCall) -> String {
    call.params["command"].as_str().unwrap_or_default().to_owned()
}

#[async_trait]
impl AgentSession for FakeSession {
    fn id(&self) -> &SessionId {
        &self.session
    }

    async fn prompt(&mut self, prompt: &Prompt) -> Result<(), AgentError> {
        let seen = (self.session.clone(), self.spec.resume, self.spec.role.clone(), prompt.text.clone());
        self.agents.prompts.lock().unwrap().push(seen);
        let body = prompt.text.rsplit("] ").next().unwrap_or_default().to_owned();
        if let Some(commands) = body.strip_prefix("do ") {
            for (index, command) in commands.split(" | ").enumerate() {
                let params = serde_json::json!({ "command": command });
                self.ask(ToolCall::new("claude", "Bash", params, Some(format!("call-{index}"))));
            }
            return Ok(());
        }
        let end = TurnEnd {
            reason: EndReason::Completed,
            text: None,
            error: None,
            usage: Some(Usage {
                input_tokens: 3,
                output_tokens: 2,
                // "cost 0.5": what the turn says it cost.
                cost_usd: body.strip_prefix("cost ").and_then(|dollars| dollars.parse().ok()),
                ..Usage::default()
            }),
        };
        if let Some(path) = body.strip_prefix("read ") {
            let params = serde_json::json!({ "file_path": path });
            self.ask(ToolCall::new("claude", "Read", params, Some("call-1".into())));
        }
        self.events.extend([AgentEvent::Message(format!("echo: {body}")), AgentEvent::End(end)]);
        if body.starts_with("fail") || body.starts_with("too long") {
            let overflow = body.starts_with("too long");
            self.events = [AgentEvent::End(TurnEnd {
                reason: if overflow { EndReason::ContextOverflow } else { EndReason::Unavailable },
                text: None,
                error: Some("secret inner words".into()),
                usage: None,
            })]
            .into();
        }
        Ok(())
    }

    async fn take_up(&mut self) -> Result<(), AgentError> {
        let kept = self.agents.kept.lock().unwrap().remove(&self.session);
        for call in kept.ok_or_else(|| AgentError::UnknownSession(self.session.clone()))? {
            self.ask(call);
        }
        Ok(())
    }

    async fn next_event(&mut self) -> Result<AgentEvent, AgentError> {
        let slow =
            self.agents.prompts.lock().unwrap().last().is_some_and(|(.., prompt)| prompt.contains("slow"));
        if slow {
            let busy = Busy::new(&self.agents);
            let mut release = self.agents.release.subscribe();
            release.wait_for(|release| *release).await.unwrap();
            drop(busy);
        }
        if let Some(event) = self.events.pop_front() {
            return Ok(event);
        }
        if self.asked.is_empty() {
            return Ok(self.end());
        }
        let mut taken_back = self.agents.taken_back.subscribe();
        let asked = |commands: &Vec<String>| {
            self.asked.iter().find(|(_, call)| commands.contains(&command(call))).map(|(id, _)| id.clone())
        };
        let id = {
            let commands = taken_back.wait_for(|commands| asked(commands).is_some()).await.unwrap();
            asked(&commands).unwrap()
        };
        self.asked.remove(&id);
        self.outcomes.push("taken back".into());
        Ok(AgentEvent::PermissionWithdrawn { id })
    }

    async fn answer(&mut self, id: &PermissionId, decision: Decision) -> Result<(), AgentError> {
        let call = self.asked.remove(id).expect("a question is answered once");
        self.agents.decisions.lock().unwrap().push(decision.clone());
        match decision {
            Decision::Allow => {
                let command = command(&call);
                self.outcomes.push(format!("ran {command}"));
                self.agents.ran.send_modify(|ran| ran.push(command));
                let call_id = call.call_id.unwrap();
                self.events.push_back(AgentEvent::ToolFinished { call_id, is_error: false });
            }
            Decision::Deny { reason } => self.outcomes.push(format!("refused: {reason}")),
            Decision::Defer => self.kept.push(call),
            Decision::OwnSettings => self.outcomes.push("own settings".into()),
        }
        Ok(())
    }

    async fn cancel(&mut self) {}
}

struct Busy<'a>(&'a Agents);

impl<'a> Busy<'a> {
    fn new(agents: &'a Agents) -> Self {
        agents.busy.send_modify(|busy| *busy += 1);
        Self(agents)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.busy.send_modify(|busy| *busy -= 1);
    }
}

/// A home that outlives gateways.
#[derive(Debug)]
pub(crate) struct Home {
    directory: tempfile::TempDir,
    pub(crate) config: Config,
    pub(crate) platform: Arc<Platform>,
    pub(crate) agents: Arc<Agents>,
    pub(crate) clock: Arc<MovedClock>,
}

impl Home {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = config(directory.path());
        Self { directory, config, platform: Platform::new(), agents: Arc::default(), clock: Arc::default() }
    }

    /// People are asked about what no rule allows.
    pub(crate) fn asking() -> Self {
        let mut home = Self::new();
        let agent = &mut home.config.agents[0];
        agent.permissions.enabled = true;
        let policy = RolePolicy { otherwise: acg_policy::Otherwise::Ask, ..RolePolicy::default() };
        agent.policies.insert(Role::owner(), Arc::new(policy));
        agent.policies.insert(Role::guest(), Arc::default());
        home.config.connectors[0].people.push(Person { username: "bob".into(), role: Role::owner() });
        home
    }

    /// What waits becomes one turn.
    pub(crate) fn gathering(mut self) -> Self {
        self.config.limits.collect = Limits::default().collect;
        self
    }

    /// A further room with a watcher of its own.
    pub(crate) fn add_room(&mut self, name: &str) {
        let mut watcher = self.config.watchers[0].clone();
        watcher.name = name.into();
        watcher.room = WatchedRoom::Named(name.into());
        self.config.watchers.push(watcher);
    }

    pub(crate) fn ran(&self) -> Vec<String> {
        self.agents.ran.borrow().clone()
    }

    /// What was decided about calls, from the record: result, by, tool.
    pub(crate) async fn record(&self) -> Vec<(String, String)> {
        let store = Store::open(&self.database()).unwrap();
        let rows = store.audit(acg_store::AuditFilter::default()).await.unwrap();
        store.close().await.unwrap();
        rows.into_iter().map(|row| (row.entry.result, row.entry.by)).collect()
    }

    /// Turns that have ended, and the tokens that all of them took.
    pub(crate) async fn spent(&self) -> (u64, u64) {
        let store = Store::open(&self.database()).unwrap();
        let sums = store.usage(Timestamp(i64::MIN)..Timestamp(i64::MAX)).await.unwrap();
        store.close().await.unwrap();
        let of = |sum: &acg_store::UsageSum| (sum.spent.turns, sum.spent.tokens_but_cached());
        sums.iter().map(of).fold((0, 0), |(turns, tokens), (more, took)| (turns + more, tokens + took))
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.directory.path().join("state.db")
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) async fn start(&self) -> Gateway {
        let parts = Parts {
            config: self.config.clone(),
            store: Store::open(&self.database()).unwrap(),
            connectors: vec![("rc".into(), Arc::new(FakeConnector(Arc::clone(&self.platform))))],
            agents: vec![("claude".into(), Arc::new(FakeAgent(Arc::clone(&self.agents))))],
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            vault: self.directory.path().join("credentials"),
        };
        Gateway::start(parts).await.unwrap()
    }

    pub(crate) fn prompts(&self) -> Vec<String> {
        self.agents.prompts.lock().unwrap().iter().map(|(.., prompt)| prompt.clone()).collect()
    }

    /// Waits until the agent was given so many prompts and works on the last.
    pub(crate) async fn until_prompted(&self, count: usize) {
        let mut busy = self.agents.busy.subscribe();
        let at_work = busy.wait_for(|busy| *busy > 0 && self.agents.prompts.lock().unwrap().len() >= count);
        tokio::time::timeout(PATIENCE, at_work).await.expect("prompts").unwrap();
    }

    pub(crate) async fn until_busy(&self, count: usize) {
        let mut busy = self.agents.busy.subscribe();
        tokio::time::timeout(PATIENCE, busy.wait_for(|busy| *busy >= count)).await.expect("turns").unwrap();
    }
}

/// Waits until the store's figures are like this.
pub(crate) async fn until_counts(control: &dyn Control, what: &str, is_so: impl Fn(&Counts) -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let counts = control.status().await.unwrap().counts;
        if is_so(&counts) {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{what} expected: {counts:?}");
        tokio::task::yield_now().await;
    }
}

pub(crate) async fn stop(gateway: Gateway) {
    gateway.stop(CancellationToken::new()).await;
}

/// Ends the gateway without letting turns end: what a kill leaves behind, but for the store's own thread.
pub(crate) async fn abandon(gateway: Gateway) {
    let hurry = CancellationToken::new();
    hurry.cancel();
    gateway.stop(hurry).await;
}

fn config(directory: &Path) -> Config {
    let policy =
        RolePolicy { rules: vec![acg_policy::Rule::new("read", None).unwrap()], ..RolePolicy::default() };
    let role = |base, may_approve| RoleConfig {
        base,
        may_approve,
        timeout: None,
        max_waiting: None,
        budget: DayBudget::default(),
    };
    Config {
        source: directory.join("config.yaml"),
        dialect: Dialect::V01,
        connectors: vec![ConnectorConfig {
            name: "rc".into(),
            kind: "fake".into(),
            served: true,
            settings: None,
            people: vec![
                Person { username: "alice".into(), role: Role::owner() },
                Person { username: "gina".into(), role: Role::guest() },
            ],
            filter_sender: true,
            require_mention: true,
            reply_in_thread: false,
            permission_reply_in_thread: true,
            timezone: None,
            context_files: vec![],
            allowed_rooms: vec![],
        }],
        agents: vec![AgentConfig {
            policies: [(Role::owner(), Arc::new(policy))].into(),
            confinement: Confinement::Off,
            ..AgentConfig::new("claude".into(), "fake", directory.canonicalize().unwrap())
        }],
        watchers: vec![WatcherConfig {
            name: "w".into(),
            connector: "rc".into(),
            agent: "claude".into(),
            room: WatchedRoom::Named("general".into()),
            people: None,
            session_id: None,
            thread_sessions: false,
            context_files: vec![],
            online_notification: None,
            offline_notification: None,
            budget: DayBudget::default(),
        }],
        // Each message a turn of its own, but where a test is about the opposite.
        limits: Limits { collect: None, ..Limits::default() },
        roles: [(Role::owner(), role(BaseRole::Owner, true)), (Role::guest(), role(BaseRole::Guest, false))]
            .into(),
        not_yet: vec![],
    }
}
