//! The real Codex against the mock model: turns, tools, sessions, confinement.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::Arc;
use std::time::{Duration, Instant};

use acg_agents::build;
use acg_agents::codex::CodexSettings;
use acg_config::Settings;
use acg_core::agent::{AgentBackend, AgentError, AgentSession, Prompt, PromptFile, SessionSpec};
use acg_testing::agents_setup::{self, Place};
use acg_testing::model_api::{MockModel, Request};
use acg_types::{AgentEvent, Decision, EndReason, Role, SessionId};
use tokio::sync::SemaphorePermit;

use crate::conformance::{Subject, Traits, check, room};
use crate::kit::{Seen, agent, deny, everything, kill, next, only, parts, processes, turn, until, write};
use crate::table;

struct Home {
    place: Place,
    model: MockModel,
    env: BTreeMap<String, String>,
    settings: CodexSettings,
    _permit: SemaphorePermit<'static>,
}

impl Home {
    /// `None` if Codex is not installed.
    async fn new() -> Option<Self> {
        let permit = room().await;
        let (place, model) = (Place::new().await, MockModel::start().await);
        let setup = agents_setup::codex(&place, &model)?;
        let settings =
            CodexSettings { command: setup.program.to_str().unwrap().to_owned(), ..CodexSettings::default() };
        Some(Self { place, model, env: setup.env, settings, _permit: permit })
    }

    fn backend(&self) -> Arc<dyn AgentBackend> {
        let config =
            agent("codex", "codex", Some(Settings(Arc::new(self.settings.clone()))), self.place.workspace());
        let mut environment: Vec<(OsString, OsString)> =
            self.env.iter().map(|(name, value)| (name.into(), value.into())).collect();
        environment.push(("IS_SANDBOX".into(), "1".into()));
        let parts = parts(environment, Some(self.place.home().join("gateway")));
        build(&config, parts).unwrap()
    }

    /// The processes of Codex and their launchers that work for this test.
    fn processes(&self) -> Vec<i32> {
        ours(self.place.home().to_str().unwrap())
    }

    async fn last(&self, prompt: &str) -> Request {
        self.model.wait_for("the prompt", |request| request.prompt() == prompt).await;
        self.model.requests().into_iter().rfind(|request| request.prompt() == prompt).unwrap()
    }

    /// What a tool gave back to the model.
    async fn results(&self, prompt: &str) -> Vec<String> {
        let last = self.last(prompt).await;
        last.tool_results().into_iter().map(|result| result.text.clone()).collect()
    }

    fn assert_kept_home(&self) {
        assert_eq!(self.model.strays(), Vec::<String>::new());
        assert_eq!(self.place.attempts(), Vec::<String>::new());
    }
}

/// Those whose home is this.
fn ours(home: &str) -> Vec<i32> {
    // The program's path is the same for all; its folder is not, and is in no argument.
    let all = processes(&["app-server", "unified_exec_tty"]);
    let is_ours = |pid: &i32| {
        let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        String::from_utf8_lossy(&environ).contains(home)
    };
    all.into_iter().filter(is_ours).collect()
}

fn new() -> SessionSpec {
    SessionSpec { session: None, title: None, ..crate::kit::spec(&SessionId::from("x")) }
}

fn resumed(id: &SessionId) -> SessionSpec {
    SessionSpec { session: Some(id.clone()), resume: true, ..new() }
}

fn tool(command: &str) -> String {
    format!("[[tool:exec_command {}]]", serde_json::json!({"cmd": command}))
}

async fn answered(session: &mut Box<dyn AgentSession>, prompt: &str) -> Seen {
    let seen = turn(session, prompt, &Decision::Allow).await;
    assert_eq!(seen.end.reason, EndReason::Completed, "{seen:?}");
    seen
}

#[tokio::test]
async fn codex_does_what_every_agent_must() {
    let Some(home) = Home::new().await else { return };
    let path = home.place.home().to_str().unwrap().to_owned();
    let backend = home.backend();
    let Home { place, model, _permit, .. } = home;
    let subject = Subject {
        backend,
        model,
        workspace: place.workspace(),
        shell: tool,
        // The program itself, not the launcher above it.
        processes: Box::new(move || {
            let launchers = processes(&["__launch", "unified_exec_tty"]);
            ours(&path).into_iter().filter(|pid| !launchers.contains(pid)).collect()
        }),
        traits: Traits {
            whole: true,
            tokens: true,
            // Its answer to a question has no room for a reason.
            tells_reason: false,
            errors: [
                (401, EndReason::Unauthorised),
                (429, EndReason::RateLimited),
                (500, EndReason::Unavailable),
            ],
            pictures: true,
            // It reads them by its shell.
            text_files: false,
            resumes: true,
        },
    };
    table::agrees("Codex", &check(&subject).await);
    subject.backend.shutdown().await;
    until("the processes to end", || (subject.processes)().is_empty().then_some(())).await;
    assert_eq!(subject.model.strays(), Vec::<String>::new());
    assert_eq!(place.attempts(), Vec::<String>::new());
}

#[tokio::test]
async fn turns_are_answered_in_one_process_and_errors_told_apart() {
    let Some(home) = Home::new().await else { return };
    let backend = home.backend();
    let mut session = backend.open(SessionSpec { context: Some("BE-KIND".into()), ..new() }).await.unwrap();
    let id = session.id().clone();
    let seen = answered(&mut session, "hello").await;
    assert_eq!((seen.messages.concat().as_str(), seen.deltas.as_str()), ("mock: hello", "mock: hello"));
    let usage = seen.end.usage.unwrap();
    assert_eq!((usage.input_tokens, usage.output_tokens, usage.model_turns), (1000, 20, Some(1)));
    assert!(home.last("hello").await.system().contains("BE-KIND"));
    drop(session);
    let before = home.processes();
    let again = SessionSpec { context: Some("BE-KIND".into()), ..resumed(&id) };
    let mut session = backend.open(again).await.unwrap();
    assert_eq!((home.processes(), session.id()), (before, &id), "the second turn costs no start");
    let seen = answered(&mut session, "[[echo:tools]]").await;
    assert_eq!(seen.messages, ["exec_command,write_stdin,request_user_input"], "nothing else is offered");

    let picture = home.place.workspace().join("a.png");
    acg_types::fs::write_private(&picture, PICTURE).unwrap();
    let file = |name: &str, media: &str| PromptFile {
        path: home.place.workspace().join(name),
        name: name.into(),
        media_type: media.into(),
    };
    let files = vec![file("a.png", "image/png"), file("b.txt", "text/plain")];
    session.prompt(&Prompt { text: "[[echo:files]]".into(), files }).await.unwrap();
    let mut messages = Vec::new();
    loop {
        match next(&mut session).await.unwrap() {
            AgentEvent::Message(text) => messages.push(text),
            AgentEvent::End(end) => break assert_eq!(end.reason, EndReason::Completed, "{end:?}"),
            _ => {}
        }
    }
    assert!(messages.concat().starts_with("image/png:"), "{messages:?}");
    let texts: Vec<String> = home.model.requests().iter().map(Request::prompt).collect();
    assert!(texts.iter().any(|text| text.contains("b.txt")), "{texts:?}");

    for (prompt, reason) in [
        ("[[error:429]]", EndReason::RateLimited),
        ("[[error:401]]", EndReason::Unauthorised),
        ("[[error:500]]", EndReason::Unavailable),
        ("[[error:400]]", EndReason::Failed),
        ("[[overflow]]", EndReason::ContextOverflow),
    ] {
        let seen = turn(&mut session, prompt, &Decision::Allow).await;
        assert_eq!(seen.end.reason, reason, "{prompt}: {seen:?}");
        assert!(seen.messages.is_empty() && seen.end.error.is_some(), "an error is no answer: {seen:?}");
    }
    for marker in ["[[stall]]", "[[hang]]"] {
        session.prompt(&Prompt::from(marker)).await.unwrap();
        home.model.wait_for(marker, |request| request.prompt() == marker).await;
        let start = Instant::now();
        session.cancel().await;
        assert!(start.elapsed() < Duration::from_secs(3), "it was asked, not killed: {:?}", start.elapsed());
        let AgentEvent::End(end) = next(&mut session).await.unwrap() else { panic!() };
        assert_eq!(end.reason, EndReason::Cancelled);
    }
    assert_eq!(answered(&mut session, "and now?").await.messages, ["mock: and now?"]);
    home.assert_kept_home();
    backend.shutdown().await;
    assert_eq!(home.processes(), [0; 0], "nothing is left");
    assert!(matches!(backend.open(new()).await.unwrap_err(), AgentError::Closing));
}

#[tokio::test]
async fn nothing_runs_that_was_not_asked_about() {
    let Some(home) = Home::new().await else { return };
    let workspace = home.place.workspace();
    // Codex would let both run unasked, and trusts a folder by itself as soon as it may write there.
    let rule = |word: &str| format!("prefix_rule(pattern=[\"echo\", \"{word}\"], decision=\"allow\")\n");
    for (folder, word) in
        [(workspace.join(".codex/rules"), "projects"), (home.place.home().join(".codex/rules"), "users")]
    {
        std::fs::create_dir_all(&folder).unwrap();
        write(&folder.join("default.rules"), &rule(word));
    }
    let backend = home.backend();
    for again in [false, true] {
        let mut session = backend.open(new()).await.unwrap();
        for command in ["echo projects", "echo users", "ls", "cat a; git status"] {
            let prompt = format!("{again} {}", tool(command));
            let seen = turn(&mut session, &prompt, &deny("no")).await;
            assert_eq!(seen.end.reason, EndReason::Completed, "{seen:?}");
            let asked: Vec<String> =
                seen.asked.iter().map(|call| format!("{} {}", call.tool, call.raw)).collect();
            assert_eq!(asked, [format!("Bash {}", serde_json::json!({"command": command}))], "{seen:?}");
            let results = home.results(&prompt).await;
            assert!(
                results.iter().all(|result| !result.contains("exited with code")),
                "{command}: {results:?}"
            );
        }
    }
    let mut session = backend.open(new()).await.unwrap();
    // A running command that can be written into would do what nobody was asked about.
    let terminal = r#"[[tool:exec_command {"cmd":"cat > x","tty":true,"yield_time_ms":250}]]"#;
    let seen = turn(&mut session, terminal, &Decision::Allow).await;
    assert!(seen.asked.is_empty(), "{seen:?}");
    assert!(home.results(terminal).await.concat().contains("disabled"));
    let written =
        format!("{}[[tool:write_stdin {{\"session_id\":1,\"chars\":\"x\"}}]]", tool("touch allowed"));
    let seen = answered(&mut session, &written).await;
    assert_eq!((seen.asked.len(), seen.finished.as_slice()), (1, &[false][..]), "{seen:?}");
    assert!(workspace.join("allowed").exists(), "an accepted command runs");
    for (name, decision) in [("refused", deny("no")), ("patched", Decision::Allow)] {
        let patch =
            format!("apply_patch <<'EOF'\n*** Begin Patch\n*** Add File: {name}\n+hi\n*** End Patch\nEOF");
        let seen = turn(&mut session, &tool(&patch), &decision).await;
        let made = workspace.join(name);
        let expected = serde_json::json!({"file_path": made, "content": "hi\n"});
        assert_eq!(seen.asked.len(), 1, "{seen:?}");
        assert_eq!((seen.asked[0].tool.as_str(), &seen.asked[0].params), ("Write", &expected));
        assert_eq!(made.exists(), name == "patched");
    }
    let elsewhere = r#"[[tool:exec_command {"cmd":"ls","workdir":"/"}]]"#;
    session.prompt(&Prompt::from(elsewhere)).await.unwrap();
    loop {
        match next(&mut session).await.unwrap() {
            AgentEvent::Permission { id, call, whole, .. } => {
                assert!(!whole && call.params["cwd"] == "/", "{call:?}");
                session.answer(&id, deny("no")).await.unwrap();
            }
            AgentEvent::End(_) => break,
            _ => {}
        }
    }
    drop(session);
    // A role without any of these tools is not even offered them.
    let guest = SessionSpec { role: Role::guest(), policy: only("WebSearch"), inherit: false, ..new() };
    let mut session = backend.open(guest).await.unwrap();
    assert_eq!(answered(&mut session, "[[echo:tools]]").await.messages, ["request_user_input"]);
    home.assert_kept_home();
    backend.shutdown().await;
}

#[tokio::test]
async fn a_session_outlives_its_process_and_knows_what_it_was_told_last() {
    let Some(home) = Home::new().await else { return };
    let backend = home.backend();
    let info = backend.probe().await.unwrap();
    assert!(info.version.starts_with("0.") && info.can.resume && !info.can.cost, "{info:?}");
    let mut session =
        backend.open(SessionSpec { context: Some("FIRST-CONTEXT".into()), ..new() }).await.unwrap();
    let id = session.id().clone();
    answered(&mut session, "remember").await;
    drop(session);
    let launchers = processes(&["__launch", "unified_exec_tty"]);
    let codex: Vec<i32> = home.processes().into_iter().filter(|pid| !launchers.contains(pid)).collect();
    kill(codex[0]);
    until("the launcher to end", || home.processes().is_empty().then_some(())).await;
    let guest = SessionSpec {
        role: Role::guest(),
        policy: everything(),
        inherit: false,
        context: Some("SECOND-CONTEXT".into()),
        ..resumed(&id)
    };
    let mut session = backend.open(guest.clone()).await.unwrap();
    assert_eq!(session.id(), &id);
    answered(&mut session, "what?").await;
    let request = home.last("what?").await;
    assert!(
        request.prompts().ends_with(&["remember".to_owned(), "what?".to_owned()]),
        "{:?}",
        request.prompts()
    );
    let at = |text: &str| request.system().find(text);
    assert!(at("SECOND-CONTEXT") > at("take the place"), "{}", request.system());
    // Killed in a turn, as when the machine goes down.
    session.prompt(&Prompt::from("[[hang]]")).await.unwrap();
    home.model.wait_for("the prompt", |request| request.prompt() == "[[hang]]").await;
    drop(session);
    until("the process to end", || home.processes().is_empty().then_some(())).await;
    let mut session = backend.open(guest).await.unwrap();
    answered(&mut session, "third").await;
    assert_eq!(home.last("third").await.system().matches("SECOND-CONTEXT").count(), 1, "it is told once");
    drop(session);

    for unknown in ["00000000-0000-4000-8000-000000000000", "--yolo", ""] {
        match backend.open(resumed(&SessionId::from(unknown))).await {
            Err(AgentError::UnknownSession(named)) => assert_eq!(named.as_str(), unknown),
            other => panic!("{unknown}: {other:?}"),
        }
    }
    // A thread in which nothing was said is not kept: another takes its place.
    let mut spec = resumed(&SessionId::from("00000000-0000-4000-8000-000000000000"));
    spec.resume = false;
    let mut session = backend.open(spec).await.unwrap();
    assert_eq!(answered(&mut session, "new").await.messages, ["mock: new"]);
    backend.shutdown().await;

    // Without a provider of their own, Codex is OpenAI's, and nobody is logged in.
    write(&home.place.home().join(".codex/config.toml"), "model = \"m\"\n");
    let error = home.backend().probe().await.unwrap_err();
    assert!(error.to_string().contains("codex login"), "{error}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_confined_process_works_and_leaves_no_settings_to_others() {
    if !acg_agents::confine::support().is_there() {
        return;
    }
    let Some(home) = Home::new().await else { return };
    let backend = home.backend();
    let own = home.place.home().join(".codex/agent-chat-gateway/codex");
    let guest =
        SessionSpec { role: Role::guest(), policy: only("Bash"), inherit: false, confined: true, ..new() };
    let mut session = backend.open(guest).await.unwrap();
    let id = session.id().clone();
    let rules = own.join("rules");
    for (n, (command, runs)) in [
        ("touch inside".to_owned(), true),
        (format!("mkdir -p {}", rules.display()), false),
        (format!("echo x >> {}", own.join("config.toml").display()), false),
        (format!("cat {}", home.place.home().join(".codex/config.toml").display()), false),
    ]
    .into_iter()
    .enumerate()
    {
        let prompt = format!("{n} {}", tool(&command));
        let seen = answered(&mut session, &prompt).await;
        assert_eq!(seen.asked.len(), 1, "{seen:?}");
        assert_eq!(seen.finished, [!runs], "{command}: {:?}", home.results(&prompt).await);
    }
    assert!(home.place.workspace().join("inside").exists() && !rules.exists());
    drop(session);
    let mut session = backend.open(resumed(&id)).await.unwrap();
    answered(&mut session, "mine").await;
    assert!(home.last("mine").await.prompts().len() >= 5, "the same conversation, in the owner's process");
    home.assert_kept_home();
    backend.shutdown().await;
}

/// Two by two, red.
#[rustfmt::skip]
const PICTURE: &[u8] = &[
    0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48, 0x44, 0x52,
    0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x02, 0x08, 0x02, 0x00, 0x00, 0x00, 0xfd, 0xd4, 0x9a,
    0x73, 0x00, 0x00, 0x00, 0x10, 0x49, 0x44, 0x41, 0x54, 0x78, 0x9c, 0x63, 0xf8, 0xcf, 0xc0, 0x00,
    0x44, 0x0c, 0x10, 0x0a, 0x00, 0x1f, 0xee, 0x03, 0xfd, 0x8b, 0x5f, 0x14, 0xd4, 0x00, 0x00, 0x00,
    0x00, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82,
];
