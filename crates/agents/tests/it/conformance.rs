//! What every agent must do, as functions over the seam: the same ones run for each agent program.
//!
//! An agent's own test makes a [`Subject`], calls [`check`], and gives the rows to [`crate::table::agrees`]. What an agent
//! cannot do is said in [`Traits`], never left out here. Each function gives rows of the table in `docs/agents.md`, in
//! words that are the same in every run.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use acg_core::agent::{Abilities, AgentBackend, AgentError, AgentSession, Prompt, PromptFile, SessionSpec};
use acg_policy::{Request, RolePolicy, Verdict, decide, decide_unseen, real_path};
use acg_testing::model_api::MockModel;
use acg_types::{AgentEvent, ConversationId, Decision, EndReason, Role, SessionId, ToolCall, TurnEnd};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::kit::{everything, kill, only, until, write};
use crate::table::Row;

/// How long anything may take before the test fails: agents start slowly on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// Agent programs take 200 to 800 MB each.
static ROOM: Semaphore = Semaphore::const_new(2);

/// To be held while an agent program runs.
pub(crate) async fn room() -> SemaphorePermit<'static> {
    ROOM.acquire().await.unwrap()
}

/// An agent that is looked at.
pub(crate) struct Subject {
    pub(crate) backend: Arc<dyn AgentBackend>,
    pub(crate) model: MockModel,
    pub(crate) workspace: PathBuf,
    /// The marker that makes the mock model run a shell command.
    pub(crate) shell: fn(&str) -> String,
    /// Its processes at this moment.
    pub(crate) processes: Box<dyn Fn() -> Vec<i32> + Send + Sync>,
    pub(crate) traits: Traits,
}

/// What differs between agents.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct Traits {
    /// Its questions show the whole call of the shell. Where they do not, no person is asked.
    pub(crate) whole: bool,
    /// The model reads why a call was refused.
    pub(crate) tells_reason: bool,
    /// The end of a turn says how many tokens it took.
    pub(crate) tokens: bool,
    /// The end of a turn whose model answers 401, 429 and 500 for ever.
    pub(crate) errors: [(u16, EndReason); 3],
    /// Pictures reach the model as parts of a prompt.
    pub(crate) pictures: bool,
    /// Text files reach the model without a tool.
    pub(crate) text_files: bool,
    /// A session goes on after its process was killed. Where it does not, opening it again must say `NotKept`.
    pub(crate) resumes: bool,
}

/// A turn as it was seen.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) text: String,
    pub(crate) deltas: usize,
    pub(crate) asked: Vec<(ToolCall, bool)>,
    pub(crate) started: usize,
    pub(crate) retries: usize,
    pub(crate) end: TurnEnd,
}

impl Subject {
    /// A session's needs: a new session, or an earlier one.
    pub(crate) fn spec(&self, session: Option<&SessionId>) -> SessionSpec {
        SessionSpec {
            resume: session.is_some(),
            session: session.cloned().or_else(|| self.backend.new_session_id()),
            role: Role::owner(),
            allowed_tools: Vec::new(),
            // Where its questions do not show the whole call, a tool that no rule allows need not even be offered.
            policy: if self.traits.whole { everything() } else { only("Bash") },
            inherit: true,
            confined: false,
            conversation: ConversationId(1),
            title: Some("agent-chat:general".into()),
            context: Some("GATEWAY-CONTEXT-42".into()),
            watcher: "w".into(),
        }
    }

    pub(crate) async fn open(&self, spec: SessionSpec) -> Box<dyn AgentSession> {
        tokio::time::timeout(PATIENCE, self.backend.open(spec)).await.expect("a session in time").unwrap()
    }

    /// Decides as the gateway would, where nobody can be asked.
    pub(crate) fn by_rules(&self, policy: &RolePolicy, call: &ToolCall, whole: bool) -> Decision {
        let request = Request { call, role: policy, workspace: &self.workspace, resolve: &real_path };
        match if whole { decide(&request) } else { decide_unseen(&request) } {
            Verdict::Allow { .. } => Decision::Allow,
            Verdict::Ask { reason } | Verdict::Deny { reason } => Decision::Deny { reason },
            Verdict::OwnSettings => Decision::OwnSettings,
        }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.workspace.join(name).exists()
    }
}

pub(crate) async fn next(session: &mut Box<dyn AgentSession>) -> Result<AgentEvent, AgentError> {
    tokio::time::timeout(PATIENCE, session.next_event()).await.expect("an event in time")
}

/// Runs a turn to its end.
pub(crate) async fn turn(
    session: &mut Box<dyn AgentSession>,
    prompt: &Prompt,
    mut decide: impl FnMut(&ToolCall, bool) -> Decision,
) -> Result<Seen, AgentError> {
    session.prompt(prompt).await?;
    let (mut text, mut asked) = (String::new(), Vec::new());
    let (mut deltas, mut started, mut retries) = (0, 0, 0);
    loop {
        match next(session).await? {
            AgentEvent::Message(message) => text.push_str(&message),
            AgentEvent::TextDelta(_) => deltas += 1,
            AgentEvent::ToolStarted(_) => started += 1,
            AgentEvent::Retrying(_) => retries += 1,
            AgentEvent::Permission { id, call, whole, .. } => {
                let decision = decide(&call, whole);
                asked.push((call, whole));
                session.answer(&id, decision).await?;
            }
            AgentEvent::End(end) => {
                text.push_str(end.text.as_deref().unwrap_or_default());
                return Ok(Seen { text, deltas, asked, started, retries, end });
            }
            AgentEvent::ToolFinished { .. }
            | AgentEvent::Thought
            | AgentEvent::Plan(_)
            | AgentEvent::Usage { .. }
            | AgentEvent::Question { .. }
            | AgentEvent::PermissionWithdrawn { .. } => {}
        }
    }
}

fn no(reason: &str) -> Decision {
    Decision::Deny { reason: reason.into() }
}

fn assert_cancelled(event: &Result<AgentEvent, AgentError>) {
    let is_end = matches!(event, Ok(AgentEvent::End(end)) if end.reason == EndReason::Cancelled);
    assert!(is_end, "{event:?}");
}

/// Every behaviour, as rows of the table.
pub(crate) async fn check(subject: &Subject) -> Vec<Row> {
    let mut rows = Vec::new();
    let (version, can) = probe(subject).await;
    rows.push(("version", version));
    rows.extend(answers(subject, can).await);
    rows.push(("tool allowed by a rule", allowed(subject).await));
    rows.push(("tool asked about and approved", approved(subject).await));
    rows.push(("tool denied", denied(subject).await));
    rows.push(("guest: a tool that no rule of theirs allows", guest(subject).await));
    rows.extend(attachment(subject, can).await);
    rows.extend(cancelled(subject).await);
    rows.push(("stalled stream", stalled(subject).await));
    rows.extend(api_errors(subject).await);
    rows.push(("killed with a question open, then opened again", killed(subject).await));
    rows.extend(reported(can));
    rows
}

fn yes(is: bool) -> String {
    if is { "yes".into() } else { "no".into() }
}

pub(crate) async fn probe(subject: &Subject) -> (String, Abilities) {
    let info = subject.backend.probe().await.unwrap();
    assert!(info.version.chars().any(|c| c.is_ascii_digit()), "{info:?}");
    (info.version, info.can)
}

/// What the running program said of itself.
pub(crate) fn reported(can: Abilities) -> Vec<Row> {
    vec![
        ("it reports: streaming", yes(can.streaming)),
        ("it reports: resume", yes(can.resume)),
        ("it reports: cancel", yes(can.cancel)),
        ("it reports: pictures", yes(can.images)),
        ("it reports: files", yes(can.files)),
        ("it reports: choice of model", yes(can.models)),
        ("it reports: cost", yes(can.cost)),
        ("it reports: MCP", yes(can.mcp)),
        ("it reports: questions of its own", yes(can.questions)),
    ]
}

pub(crate) async fn answers(subject: &Subject, can: Abilities) -> Vec<Row> {
    let mut session = subject.open(subject.spec(None)).await;
    let seen = turn(&mut session, &"hello there".into(), |_, _| no("none")).await.unwrap();
    assert_eq!(
        (seen.text.as_str(), seen.end.reason),
        ("mock: hello there", EndReason::Completed),
        "{seen:?}"
    );
    assert_eq!(seen.deltas > 1, can.streaming, "it does what it reports: {seen:?}");
    let usage = seen.end.usage.clone().unwrap_or_default();
    let tokens = (usage.input_tokens, usage.output_tokens);
    assert_eq!(tokens, if subject.traits.tokens { (1000, 20) } else { (0, 0) }, "{usage:?}");
    assert_eq!(usage.cost_usd.is_some(), can.cost, "it does what it reports: {usage:?}");
    let said = match (subject.traits.tokens, can.cost) {
        (true, true) => "tokens and cost",
        (true, false) => "tokens",
        (false, true) => "cost",
        (false, false) => "no",
    };
    let before = (subject.processes)();
    let system = turn(&mut session, &"[[echo:system]]".into(), |_, _| no("none")).await.unwrap();
    let asked =
        subject.model.requests().into_iter().rfind(|request| request.prompt().contains("echo:system"));
    let is_told = asked.is_some_and(|request| request.body.to_string().contains("GATEWAY-CONTEXT-42"));
    assert!(is_told, "the context is in force: {}", system.text);
    assert_eq!((subject.processes)(), before, "the same process");
    let id = session.id().clone();
    drop(session);
    let mut again = subject.open(subject.spec(Some(&id))).await;
    assert_eq!(again.id(), &id);
    let third = turn(&mut again, &"third".into(), |_, _| no("none")).await.unwrap();
    assert_eq!(third.text, "mock: third");
    assert_eq!((subject.processes)(), before, "the same process, after it was given back");
    let last = subject.model.requests().into_iter().rfind(|request| request.prompt() == "third").unwrap();
    assert!(last.prompts().iter().any(|prompt| prompt.contains("hello there")), "it remembers");
    vec![
        ("answer", "yes".into()),
        ("answer shown while it is written", yes(seen.deltas > 1)),
        ("second turn in the same process", "yes".into()),
        ("what a turn took is said", said.into()),
    ]
}

/// The gateway's own rule allows it: nobody is asked.
pub(crate) async fn allowed(subject: &Subject) -> String {
    let policy = only("Bash");
    let mut spec = subject.spec(None);
    spec.policy = Arc::clone(&policy);
    let mut session = subject.open(spec).await;
    let prompt = format!("go {}", (subject.shell)("touch allowed"));
    let decide = |call: &ToolCall, whole| subject.by_rules(&policy, call, whole);
    let seen = turn(&mut session, &prompt.as_str().into(), decide).await.unwrap();
    assert!(seen.started > 0 && subject.has("allowed"), "{seen:?}");
    assert!(!seen.asked.is_empty(), "the gateway was asked: {seen:?}");
    "runs".into()
}

pub(crate) async fn approved(subject: &Subject) -> String {
    let policy = everything();
    let mut session = subject.open(SessionSpec { policy: Arc::clone(&policy), ..subject.spec(None) }).await;
    let prompt = format!("go {}", (subject.shell)("echo did > approved && cat approved"));
    let whole = subject.traits.whole;
    let decide = |call: &ToolCall, shown: bool| {
        // Where it shows a part, the gateway asks its rules alone.
        if whole { Decision::Allow } else { subject.by_rules(&policy, call, shown) }
    };
    let seen = turn(&mut session, &prompt.as_str().into(), decide).await.unwrap();
    if !whole {
        assert!(!subject.has("approved") && seen.asked.iter().all(|(_, shown)| !shown), "{seen:?}");
        return "no: its question does not show the whole call, so no person is asked".into();
    }
    let (call, shown) = &seen.asked[0];
    assert_eq!((call.tool.as_str(), *shown), ("Bash", true), "{seen:?}");
    assert_eq!((seen.asked.len(), subject.has("approved")), (1, true), "{seen:?}");
    assert_eq!(call.params["command"], "echo did > approved && cat approved");
    assert!(seen.started > 0 && seen.text.contains("did"), "{seen:?}");
    "runs, asked about once".into()
}

pub(crate) async fn denied(subject: &Subject) -> String {
    let mut session = subject.open(subject.spec(None)).await;
    let prompt = format!("go {}", (subject.shell)("touch denied"));
    let reason = "the moon is in the wrong place";
    let seen = turn(&mut session, &prompt.as_str().into(), |_, _| no(reason)).await.unwrap();
    assert_eq!((seen.asked.len(), subject.has("denied")), (1, false), "{seen:?}");
    let told = subject.model.requests().iter().any(|request| {
        request.prompt() == prompt && request.tool_results().iter().any(|result| result.text.contains(reason))
    });
    assert_eq!(told, subject.traits.tells_reason, "{seen:?}");
    let seen = turn(&mut session, &"after it".into(), |_, _| no("none")).await.unwrap();
    assert_eq!(seen.text, "mock: after it");
    if told { "not run; the model reads why".into() } else { "not run".into() }
}

pub(crate) async fn guest(subject: &Subject) -> String {
    let policy = only("Read");
    let mut spec = subject.spec(None);
    (spec.role, spec.inherit, spec.policy) = (Role::guest(), false, Arc::clone(&policy));
    let mut session = subject.open(spec).await;
    let prompt = format!("go {}", (subject.shell)("touch guest"));
    let decide = |call: &ToolCall, whole| subject.by_rules(&policy, call, whole);
    let seen = turn(&mut session, &prompt.as_str().into(), decide).await.unwrap();
    assert!(!subject.has("guest"), "{seen:?}");
    if seen.asked.is_empty() { "not offered".into() } else { "refused".into() }
}

pub(crate) async fn attachment(subject: &Subject, can: Abilities) -> Vec<Row> {
    // One pixel.
    const PNG: &[u8] = &[
        137, 80, 78, 71, 13, 10, 26, 10, 0, 0, 0, 13, 73, 72, 68, 82, 0, 0, 0, 1, 0, 0, 0, 1, 8, 4, 0, 0, 0,
        181, 28, 12, 2, 0, 0, 0, 11, 73, 68, 65, 84, 120, 218, 99, 100, 248, 15, 0, 1, 5, 1, 1, 39, 24, 227,
        102, 0, 0, 0, 0, 73, 69, 78, 68, 174, 66, 96, 130,
    ];
    let (picture, text) = (subject.workspace.join("a.png"), subject.workspace.join("notes.txt"));
    acg_types::fs::write_private(&picture, PNG).unwrap();
    write(&text, "the secret word is bumblebee");
    let file = |path: &PathBuf, media: &str| PromptFile {
        path: path.clone(),
        name: path.file_name().unwrap().to_str().unwrap().into(),
        media_type: media.into(),
    };
    let files = vec![file(&picture, "image/png"), file(&text, "text/plain")];
    let prompt = Prompt { text: "look at these".into(), files };
    let mut session = subject.open(subject.spec(None)).await;
    let seen = turn(&mut session, &prompt, |_, _| no("none")).await.unwrap();
    assert_eq!(seen.end.reason, EndReason::Completed, "{seen:?}");
    let requests = subject.model.requests();
    let request = requests
        .iter()
        .rfind(|request| request.prompts().iter().any(|prompt| prompt.contains("look at these")))
        .unwrap();
    let pictures = request.attachments().iter().any(|media| media.starts_with("image"));
    let body = request.messages().iter().map(|(_, text)| text.clone()).collect::<Vec<_>>().join("\n");
    assert_eq!(pictures, subject.traits.pictures, "{:?}", request.attachments());
    assert_eq!(body.contains("bumblebee"), subject.traits.text_files, "{body}");
    assert!(pictures || body.contains("a.png"), "named at least: {body}");
    assert!(subject.traits.text_files || body.contains("notes.txt"), "named at least: {body}");
    assert!(can.images || !pictures, "it does what it reports");
    assert!(can.files || !subject.traits.text_files, "it does what it reports");
    let way = |part| if part { "part of the prompt" } else { "named; read by a tool" };
    vec![("picture", way(pictures).into()), ("text file", way(subject.traits.text_files).into())]
}

pub(crate) async fn cancelled(subject: &Subject) -> Vec<Row> {
    let mut session = subject.open(subject.spec(None)).await;
    session.prompt(&"long [[slow:400,100]]".into()).await.unwrap();
    while !matches!(next(&mut session).await.unwrap(), AgentEvent::TextDelta(_)) {}
    session.cancel().await;
    assert_cancelled(&next(&mut session).await);
    let id = session.id().clone();
    drop(session);
    let mut session = subject.open(subject.spec(Some(&id))).await;
    let seen = turn(&mut session, &"after the cancel".into(), |_, _| no("none")).await.unwrap();
    assert_eq!(seen.text, "mock: after the cancel", "{seen:?}");
    vec![("cancelled mid-stream", "yes".into()), ("next turn after it", "yes, in the same session".into())]
}

pub(crate) async fn stalled(subject: &Subject) -> String {
    let mut session = subject.open(subject.spec(None)).await;
    session.prompt(&"well [[stall]]".into()).await.unwrap();
    while !matches!(next(&mut session).await.unwrap(), AgentEvent::TextDelta(_)) {}
    // Nothing more comes: the core's deadline does this.
    session.cancel().await;
    assert_cancelled(&next(&mut session).await);
    "ended by the turn's deadline".into()
}

pub(crate) async fn api_errors(subject: &Subject) -> Vec<Row> {
    const NAMES: [&str; 3] = ["API error 401", "API error 429", "API error 500"];
    let mut rows = Vec::new();
    for ((code, reason), name) in subject.traits.errors.into_iter().zip(NAMES) {
        assert!(name.ends_with(&code.to_string()), "{name}: {code}");
        let mut session = subject.open(subject.spec(None)).await;
        let prompt = format!("hi [[error:{code}]]");
        let seen = turn(&mut session, &prompt.as_str().into(), |_, _| no("none")).await.unwrap();
        assert_eq!(seen.end.reason, reason, "{code}: {seen:?}");
        assert!(seen.end.error.is_some(), "{code}: {seen:?}");
        let tried = if seen.retries > 0 { ", after it tried again" } else { "" };
        rows.push((name, format!("{}{tried}", in_words(reason))));
    }
    rows
}

fn in_words(reason: EndReason) -> &'static str {
    match reason {
        EndReason::Unauthorised => "unauthorised",
        EndReason::RateLimited => "rate limited",
        EndReason::QuotaExceeded => "quota used up",
        EndReason::Unavailable => "unavailable",
        EndReason::Failed => "failed",
        EndReason::Refused => "refused",
        EndReason::ContextOverflow => "context overflow",
        EndReason::Completed => "completed",
        EndReason::Cancelled => "cancelled",
        EndReason::Deferred => "deferred",
    }
}

/// Killed while a question is open: the call does not run, and the session goes on.
pub(crate) async fn killed(subject: &Subject) -> String {
    let mut session = subject.open(subject.spec(None)).await;
    turn(&mut session, &"remember me".into(), |_, _| no("none")).await.unwrap();
    let id = session.id().clone();
    session.prompt(&format!("go {}", (subject.shell)("touch killed")).as_str().into()).await.unwrap();
    while !matches!(next(&mut session).await.unwrap(), AgentEvent::Permission { .. }) {}
    let running = (subject.processes)();
    assert!(!running.is_empty());
    for pid in &running {
        kill(*pid);
    }
    let error = loop {
        match next(&mut session).await {
            Ok(event) => assert!(!matches!(event, AgentEvent::End(_)), "{event:?}"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, AgentError::Died(_)), "{error:?}");
    drop(session);
    until("the killed to be gone", || {
        let left = (subject.processes)();
        (!left.iter().any(|pid| running.contains(pid))).then_some(())
    })
    .await;
    assert!(!subject.has("killed"));
    if !subject.traits.resumes {
        let again =
            tokio::time::timeout(PATIENCE, subject.backend.open(subject.spec(Some(&id)))).await.unwrap();
        assert!(matches!(&again, Err(AgentError::NotKept(lost)) if *lost == id), "{again:?}");
        return "the call did not run; the session is lost, and said to be".into();
    }
    let mut session = subject.open(subject.spec(Some(&id))).await;
    assert_eq!(session.id(), &id);
    let seen = turn(&mut session, &"back again".into(), |_, _| no("none")).await.unwrap();
    assert_eq!(seen.text, "mock: back again", "{seen:?}");
    let requests = subject.model.requests();
    let last = requests.iter().rfind(|request| request.prompt() == "back again").unwrap();
    assert!(last.prompts().iter().any(|prompt| prompt == "remember me"), "it remembers");
    assert!(!subject.has("killed"));
    "the call did not run; the session goes on".into()
}
