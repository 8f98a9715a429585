//! One turn after the other, with everything that a caller may do to it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use acg_policy::{Otherwise, RolePolicy, Rule};
use acg_session::backend::{AgentBackend, AgentError, AgentInfo, AgentSession, Prompt, SessionSpec};
use acg_session::{
    Agent, AgentEvent, Decision, EndReason, Event, Open, PermissionId, SessionError, SessionId, ToolCall,
    TurnEnd,
};
use async_trait::async_trait;
use serde_json::json;

/// What happened, and what is to happen in each turn.
#[derive(Debug, Default)]
struct Script {
    turns: Mutex<VecDeque<Vec<Step>>>,
    log: Mutex<Vec<String>>,
}

#[derive(Clone, Debug)]
enum Step {
    Say(&'static str),
    Ask(&'static str, bool),
    /// Nothing more comes.
    Hang,
    Fail,
    Unknown,
}

#[derive(Debug)]
struct Backend(Arc<Script>);

#[derive(Debug)]
struct Opened {
    script: Arc<Script>,
    id: SessionId,
    steps: VecDeque<Step>,
    asked: bool,
    over: Option<EndReason>,
}

impl Script {
    fn note(&self, text: impl Into<String>) {
        self.log.lock().unwrap().push(text.into());
    }

    fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }
}

#[async_trait]
impl AgentBackend for Backend {
    async fn probe(&self) -> Result<AgentInfo, AgentError> {
        Ok(AgentInfo::default())
    }

    fn new_session_id(&self) -> Option<SessionId> {
        Some(SessionId::from("new"))
    }

    async fn open(&self, spec: SessionSpec) -> Result<Box<dyn AgentSession>, AgentError> {
        self.0.note(format!(
            "open {} resume={} context={:?}",
            spec.session.as_ref().unwrap(),
            spec.resume,
            spec.context
        ));
        let id = spec.session.unwrap();
        Ok(Box::new(Opened {
            script: Arc::clone(&self.0),
            id,
            steps: VecDeque::new(),
            asked: false,
            over: None,
        }))
    }

    async fn forget(&self, _session: &SessionId) {}

    async fn shutdown(&self) {
        self.0.note("shutdown");
    }
}

#[async_trait]
impl AgentSession for Opened {
    fn id(&self) -> &SessionId {
        &self.id
    }

    async fn prompt(&mut self, prompt: &Prompt) -> Result<(), AgentError> {
        self.script.note(format!("prompt {}", prompt.text));
        self.steps = self.script.turns.lock().unwrap().pop_front().unwrap_or_default().into();
        self.over = None;
        Ok(())
    }

    async fn next_event(&mut self) -> Result<AgentEvent, AgentError> {
        let end = |reason| {
            AgentEvent::End(TurnEnd { reason, text: None, error: Some("words".into()), usage: None })
        };
        if let Some(reason) = self.over.take() {
            return Ok(end(reason));
        }
        if self.asked {
            std::future::pending::<()>().await;
        }
        match self.steps.pop_front() {
            Some(Step::Say(text)) => Ok(AgentEvent::Message(text.to_owned())),
            Some(Step::Ask(tool, whole)) => {
                self.asked = true;
                let call = ToolCall::new("a", tool, json!({"file_path": "x"}), None);
                Ok(AgentEvent::Permission { id: "q".into(), call, whole, deferrable: false })
            }
            Some(Step::Hang) => std::future::pending().await,
            Some(Step::Fail) => Ok(end(EndReason::RateLimited)),
            Some(Step::Unknown) => Err(AgentError::UnknownSession(self.id.clone())),
            None => Ok(end(EndReason::Completed)),
        }
    }

    async fn answer(&mut self, id: &PermissionId, decision: Decision) -> Result<(), AgentError> {
        self.asked = false;
        self.script.note(format!("answer {id} {decision:?}"));
        Ok(())
    }

    async fn cancel(&mut self) {
        self.script.note("cancel");
        self.asked = false;
        self.over = Some(EndReason::Cancelled);
    }
}

fn scene(turns: &[&[Step]]) -> (Arc<Script>, Agent) {
    let script = Arc::new(Script::default());
    *script.turns.lock().unwrap() = turns.iter().map(|turn| turn.to_vec()).collect();
    let policy = RolePolicy {
        rules: vec![Rule::new("Allowed", None).unwrap()],
        otherwise: Otherwise::Ask,
        ..RolePolicy::default()
    };
    (Arc::clone(&script), Agent::own(Arc::new(Backend(script)), "/", policy))
}

#[tokio::test]
async fn turns_of_a_session_follow_each_other() {
    let (script, agent) = scene(&[&[Step::Say("one"), Step::Say("two")], &[Step::Say("three")]]);
    let mut session = agent.open(Open::new().context("be brief")).await.unwrap();
    let reply = session.send("a").await.unwrap();
    assert_eq!((reply.text.as_str(), reply.session.as_str()), ("one\n\ntwo", "new"));
    assert_eq!(session.send("b").await.unwrap().to_string(), "three");
    drop(session);
    let resumed = agent.open(Open::new().resume("old".into())).await.unwrap();
    assert_eq!(resumed.id().as_str(), "old");
    agent.close().await;
    assert_eq!(
        script.log(),
        [
            r#"open new resume=false context=Some("be brief")"#,
            "prompt a",
            "prompt b",
            "open old resume=true context=None",
            "shutdown"
        ]
    );
}

#[tokio::test]
async fn rules_decide_first_and_nobody_is_a_no() {
    let (script, agent) =
        scene(&[&[Step::Ask("Allowed", true), Step::Ask("Other", true), Step::Ask("Other", false)]]);
    let mut session = agent.open(Open::new()).await.unwrap();
    session.send("a").await.unwrap();
    let log = script.log();
    assert_eq!(log[2], "answer q Allow");
    assert!(log[3].contains("nobody can be asked"), "{log:?}");
    assert!(log[4].contains("does not show the whole call") || log[4].contains("Deny"), "{log:?}");
}

#[tokio::test]
async fn a_caller_answers_what_it_is_asked() {
    let (script, agent) = scene(&[&[Step::Ask("Other", true)], &[Step::Ask("Other", true)]]);
    let mut session = agent.open(Open::new()).await.unwrap();
    let mut seen = Vec::new();
    session
        .send_with("a", |question| {
            seen.push(question.call.tool.clone());
            true
        })
        .await
        .unwrap();
    assert_eq!((seen, script.log().last().unwrap().as_str()), (vec!["Other".to_owned()], "answer q Allow"));
    // Who asks for the next event has not answered.
    let mut turn = session.stream("b").await.unwrap();
    let Event::Question(question) = turn.next().await.unwrap() else { panic!() };
    assert!(matches!(turn.next().await.unwrap(), Event::End(_)));
    assert!(script.log().last().unwrap().contains("Deny"), "{:?}", script.log());
    turn.answer(&question, true, "").await.unwrap();
    assert!(script.log().last().unwrap().contains("Deny"), "too late: {:?}", script.log());
}

#[tokio::test]
async fn a_turn_that_was_left_is_cancelled_before_the_next() {
    let (script, agent) = scene(&[&[Step::Say("one"), Step::Hang], &[Step::Say("two")]]);
    let mut session = agent.open(Open::new()).await.unwrap();
    let mut turn = session.stream("a").await.unwrap();
    assert_eq!(turn.next().await.unwrap(), Event::Message("one".into()));
    drop(turn);
    assert_eq!(session.send("b").await.unwrap().text, "two");
    assert_eq!(script.log()[1..], ["prompt a", "cancel", "prompt b"]);
}

#[tokio::test]
async fn what_goes_wrong_is_told_by_kind() {
    let (script, agent) = scene(&[&[Step::Fail], &[Step::Unknown], &[Step::Hang]]);
    let agent = agent.timeout(Duration::from_millis(20));
    let mut session = agent.open(Open::new()).await.unwrap();
    let failed = session.send("a").await.unwrap_err();
    assert!(
        matches!(failed, SessionError::Failed { reason: EndReason::RateLimited, ref words } if words == "words")
    );
    assert!(matches!(session.send("b").await.unwrap_err(), SessionError::UnknownSession(_)));
    assert!(matches!(session.send("c").await.unwrap_err(), SessionError::TimedOut(_)));
    assert_eq!(script.log().last().unwrap(), "cancel");
}

#[test]
fn a_wrong_entry_is_told() {
    let directory = tempfile::tempdir().unwrap();
    for (entry, expected) in [
        ("type: dmeo", "Unknown agent type"),
        ("type: demo\npace: [1]", "'pace' must be"),
        ("type: script", "'command' is required."),
        (": :", ""),
    ] {
        let Err(SessionError::Config(faults)) = Agent::from_entry(entry, directory.path()) else {
            panic!("{entry}")
        };
        assert!(faults.iter().any(|fault| fault.contains(expected)), "{entry}: {faults:?}");
    }
    let nowhere = Agent::from_entry("type: demo", &directory.path().join("nowhere"));
    assert!(matches!(nowhere, Err(SessionError::Io { .. })));
}
