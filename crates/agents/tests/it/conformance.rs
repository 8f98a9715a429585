//! What every agent must do, as functions over the seam: the same ones run for each agent program.
//!
//! An agent's own test makes a [`Subject`] and calls [`check`]. What an agent cannot do is said in [`Traits`], never left
//! out here. Each function answers in a word for the table of agents and behaviours.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use acg_core::agent::{AgentBackend, AgentError, AgentSession, Prompt, PromptFile, SessionSpec};
use acg_policy::{Request, RolePolicy, Verdict, decide, decide_unseen, real_path};
use acg_testing::model_api::MockModel;
use acg_types::{AgentEvent, ConversationId, Decision, EndReason, Role, SessionId, ToolCall, TurnEnd};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::kit::{everything, kill, only, until, write};

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
pub(crate) struct Traits {
    /// The model reads why a call was refused.
    pub(crate) tells_reason: bool,
    /// The end of a turn whose model answers 401, 429 and 500 for ever.
    pub(crate) errors: [(u16, EndReason); 3],
    /// Media types that reach the model as parts of a prompt.
    pub(crate) pictures: bool,
    /// Text files reach the model without a tool.
    pub(crate) text_files: bool,
    /// A session goes on after its process was killed.
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
            policy: everything(),
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

/// Every behaviour, as (what, how it came out).
pub(crate) async fn check(subject: &Subject) -> Vec<(&'static str, String)> {
    vec![
        ("probe", probe(subject).await),
        ("answer, stream, second turn", answers(subject).await),
        ("tool asked and approved", approved(subject).await),
        ("tool denied", denied(subject).await),
        ("guest refused", guest(subject).await),
        ("attachment", attachment(subject).await),
        ("cancel and next turn", cancelled(subject).await),
        ("stalled stream", stalled(subject).await),
        ("API errors", api_errors(subject).await),
        ("kill and resume", killed(subject).await),
    ]
}

pub(crate) async fn probe(subject: &Subject) -> String {
    let info = subject.backend.probe().await.unwrap();
    assert!(info.version.chars().any(|c| c.is_ascii_digit()), "{info:?}");
    info.version
}

pub(crate) async fn answers(subject: &Subject) -> String {
    let mut session = subject.open(subject.spec(None)).await;
    let seen = turn(&mut session, &"hello there".into(), |_, _| no("none")).await.unwrap();
    assert_eq!(
        (seen.text.as_str(), seen.end.reason),
        ("mock: hello there", EndReason::Completed),
        "{seen:?}"
    );
    assert!(seen.deltas > 1, "{seen:?}");
    let usage = seen.end.usage.clone().expect("usage");
    assert_eq!((usage.input_tokens, usage.output_tokens), (1000, 20), "{usage:?}");
    let before = (subject.processes)();
    let seen = turn(&mut session, &"[[echo:system]]".into(), |_, _| no("none")).await.unwrap();
    assert!(seen.text.contains("GATEWAY-CONTEXT-42"), "the context is in force: {}", seen.text);
    assert_eq!((subject.processes)(), before, "the same process");
    let id = session.id().clone();
    drop(session);
    let mut again = subject.open(subject.spec(Some(&id))).await;
    assert_eq!(again.id(), &id);
    let seen = turn(&mut again, &"third".into(), |_, _| no("none")).await.unwrap();
    assert_eq!(seen.text, "mock: third");
    let last = subject.model.requests().into_iter().rfind(|request| request.prompt() == "third").unwrap();
    assert!(last.prompts().iter().any(|prompt| prompt == "hello there"), "it remembers");
    "yes".into()
}

pub(crate) async fn approved(subject: &Subject) -> String {
    let mut session = subject.open(subject.spec(None)).await;
    let prompt = format!("go {}", (subject.shell)("echo did > approved && cat approved"));
    let seen = turn(&mut session, &prompt.as_str().into(), |_, _| Decision::Allow).await.unwrap();
    let (call, whole) = &seen.asked[0];
    assert_eq!((call.tool.as_str(), *whole), ("Bash", true), "{seen:?}");
    assert_eq!(call.params["command"], "echo did > approved && cat approved");
    assert!(seen.started > 0 && seen.text.contains("did") && subject.has("approved"), "{seen:?}");
    format!("yes, asked {} time(s)", seen.asked.len())
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
    if told { "yes, the model is told why".into() } else { "yes".into() }
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
    if seen.asked.is_empty() { "yes, not offered".into() } else { "yes, refused".into() }
}

pub(crate) async fn attachment(subject: &Subject) -> String {
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
    format!("picture: {pictures}, text: {}", subject.traits.text_files)
}

pub(crate) async fn cancelled(subject: &Subject) -> String {
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
    "yes".into()
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

pub(crate) async fn api_errors(subject: &Subject) -> String {
    let mut said = Vec::new();
    for (code, reason) in subject.traits.errors {
        let mut session = subject.open(subject.spec(None)).await;
        let prompt = format!("hi [[error:{code}]]");
        let seen = turn(&mut session, &prompt.as_str().into(), |_, _| no("none")).await.unwrap();
        assert_eq!(seen.end.reason, reason, "{code}: {seen:?}");
        assert!(seen.end.error.is_some(), "{code}: {seen:?}");
        said.push(format!("{code}: {reason:?} after {} retries", seen.retries));
    }
    said.join("; ")
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
        return "not resumed".into();
    }
    let mut session = subject.open(subject.spec(Some(&id))).await;
    assert_eq!(session.id(), &id);
    let seen = turn(&mut session, &"back again".into(), |_, _| no("none")).await.unwrap();
    assert_eq!(seen.text, "mock: back again", "{seen:?}");
    let requests = subject.model.requests();
    let last = requests.iter().rfind(|request| request.prompt() == "back again").unwrap();
    assert!(last.prompts().iter().any(|prompt| prompt == "remember me"), "it remembers");
    assert!(!subject.has("killed"));
    "yes".into()
}
