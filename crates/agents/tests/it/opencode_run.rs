//! OpenCode with one process a turn: the real program where its server does not start, and where it is not wanted.

use std::path::Path;

use acg_core::agent::{AgentError, Prompt, PromptFile};
use acg_testing::agents_setup::opencode_config;
use acg_testing::model_api::MockModel;
use acg_types::{AgentEvent, EndReason, Role, SessionId};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::conformance::{Seen, attachment, next, room, turn};
use crate::kit::{everything, own_settings, processes, until, write};
use crate::opencode::{Scene, is_at, yes};

/// A program that is the real one but for its server, which starts only while there is a file `allowed` beside it.
fn without_server(folder: &Path, real: &Path) -> String {
    let (script, allowed) = (folder.join("opencode"), folder.join("allowed"));
    let text = format!(
        "#!/bin/sh\n[ \"$1\" != serve ] || [ -e '{}' ] || {{ echo broken >&2; exit 1; }}\nexec '{}' \"$@\"\n",
        allowed.display(),
        real.display()
    );
    write(&script, &text);
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    script.to_str().unwrap().to_owned()
}

/// The processes for one turn, of this scene.
fn runs(scene: &Scene) -> Vec<i32> {
    let Some(real) = acg_testing::tools::require("opencode") else { return Vec::new() };
    let (real, home) = (real.to_str().unwrap().to_owned(), scene.place.home());
    processes(&[&real, "run", "--format=json"]).into_iter().filter(|pid| is_at(*pid, &real, &home)).collect()
}

/// Settings that allow everything, wherever the program might read some.
fn allow_everything(folder: &Path) {
    let all = json!({"*": "allow", "bash": "allow", "edit": "allow", "write": "allow", "read": "allow"});
    let settings = json!({
        "permission": all, "tools": {"bash": true, "write": true, "read": true},
        "agent": {"build": {"permission": all}, "general": {"permission": all}}, "default_agent": "build",
    });
    std::fs::create_dir_all(folder).unwrap();
    write(&folder.join("opencode.json"), &settings.to_string());
}

async fn say(session: &mut Box<dyn acg_core::agent::AgentSession>, prompt: &str) -> Seen {
    turn(session, &Prompt::from(prompt), yes).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn turns_of_opencode_go_on_without_a_server_and_come_back_to_it() {
    let _room = room().await;
    let Some(real) = acg_testing::tools::require("opencode") else { return };
    let dir = tempfile::tempdir().unwrap();
    let Some(scene) = Scene::new(json!({"command": without_server(dir.path(), &real)})).await else { return };
    let subject = &scene.subject;
    for _ in 0..2 {
        let error = subject.backend.open(subject.spec(None)).await.err();
        assert!(
            matches!(&error, Some(AgentError::Unusable { reason, .. }) if reason.contains("broken")),
            "{error:?}"
        );
    }
    assert!(subject.backend.probe().await.is_err());
    subject.backend.warm(subject.spec(None)).await.unwrap();
    let mut session = subject.open(subject.spec(None)).await;
    let id = session.id().clone();
    assert!(id.as_str().starts_with("once."), "{id}");
    let seen = say(&mut session, "first \"quoted\" — é").await;
    assert_eq!((seen.text.as_str(), seen.end.reason), ("mock: first \"quoted\" — é", EndReason::Completed));
    let usage = seen.end.usage.unwrap();
    assert!((usage.input_tokens, usage.output_tokens) == (1000, 20) && usage.cost_usd.unwrap() > 0.0);
    let request = subject.model.requests().pop().unwrap();
    assert!(request.system().contains("GATEWAY-CONTEXT-42") && request.tools().is_empty());

    // Files come along.
    let work = scene.place.workspace();
    write(&work.join("note.txt"), "the note says 4711");
    let file = |name: &str, media: &str| PromptFile {
        path: work.join(name),
        name: name.into(),
        media_type: media.into(),
    };
    let prompt = Prompt {
        text: "look".into(),
        files: vec![file("note.txt", "text/plain"), file("x.zip", "application/zip")],
    };
    turn(&mut session, &prompt, yes).await.unwrap();
    let request = subject.model.requests().pop().unwrap();
    assert!(request.body.to_string().contains("the note says 4711"), "{}", request.body);
    assert!(request.prompt().contains("x.zip — it cannot be read now"), "{}", request.prompt());
    assert!(request.prompts().iter().any(|prompt| prompt.contains("first")), "{:?}", request.prompts());

    // It is cancelled with all it started, and goes on.
    session.prompt(&Prompt::from("never [[hang]]")).await.unwrap();
    until("its process", || (!runs(&scene).is_empty()).then_some(())).await;
    session.cancel().await;
    assert_eq!(runs(&scene), Vec::<i32>::new());
    assert!(
        matches!(next(&mut session).await, Ok(AgentEvent::End(end)) if end.reason == EndReason::Cancelled)
    );
    let seen = say(&mut session, "bad [[error:401]]").await;
    assert_eq!(seen.end.reason, EndReason::Unauthorised, "{seen:?}");
    drop(session);

    // The server works again: it takes the session over, under the rules of the role.
    write(&dir.path().join("allowed"), "");
    subject.backend.probe().await.unwrap();
    let mut session = subject.open(subject.spec(Some(&id))).await;
    let seen = say(&mut session, "[[echo:tools]]").await;
    assert!(session.id() == &id && seen.text.contains("bash"), "{seen:?}");
    let request = subject.model.requests().pop().unwrap();
    assert!(request.prompts().iter().any(|prompt| prompt.contains("first")), "{:?}", request.prompts());
    drop(session);

    // Once a server has had it, no process without one goes on with it.
    std::fs::remove_file(dir.path().join("allowed")).unwrap();
    for pid in (subject.processes)() {
        crate::kit::kill(pid);
    }
    until("the server to be gone", || (subject.processes)().is_empty().then_some(())).await;
    let mut errors = Vec::new();
    let lost = loop {
        match subject.backend.open(subject.spec(Some(&id))).await {
            Err(AgentError::NotKept(lost)) => break lost,
            Err(error) => errors.push(error),
            Ok(_) => panic!("{errors:?}"),
        }
        assert!(errors.len() < 5, "{errors:?}");
    };
    assert_eq!(lost, id);
    let theirs = SessionId::from("ses_e0000000000000000000000000");
    let error = subject.backend.open(subject.spec(Some(&theirs))).await.err();
    assert!(matches!(error, Some(AgentError::NotKept(_))), "{error:?}");
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_for_one_turn_of_opencode_runs_no_tool_whatever_settings_say() {
    let _room = room().await;
    let stubborn = Stubborn::start().await;
    let managed = tempfile::tempdir().unwrap();
    let mut content = opencode_config(&MockModel::start().await);
    content["provider"]["mock"]["options"]["baseURL"] = stubborn.url.clone().into();
    content["permission"] = "allow".into();
    let env = json!({
        "OPENCODE_CONFIG_CONTENT": content.to_string(),
        "OPENCODE_TEST_MANAGED_CONFIG_DIR": managed.path().to_str().unwrap(),
    });
    let Some(scene) = Scene::new(json!({"mode": "oneshot", "env": env})).await else { return };
    let subject = &scene.subject;
    allow_everything(&scene.path(".config/opencode"));
    allow_everything(managed.path());
    let info = subject.backend.probe().await.unwrap();
    assert!(!info.version.is_empty() && !info.can.streaming && info.can.resume);
    for policy in [everything(), own_settings()] {
        let mut spec = subject.spec(None);
        spec.policy = policy;
        let mut session = subject.open(spec).await;
        let seen = say(&mut session, "go").await;
        assert_eq!((seen.text.as_str(), seen.end.reason), ("gave up", EndReason::Completed), "{seen:?}");
        assert_eq!((seen.asked.len(), seen.started), (0, 3), "{seen:?}");
    }
    for name in ["made", "written"] {
        assert!(!subject.has(name), "{name}");
    }
    let asked = stubborn.requests.lock().unwrap().clone();
    assert!(asked.len() >= 4 && asked.iter().all(|request| request.get("tools").is_none()), "{asked:?}");
    // The model is told so of each call.
    let told = asked.iter().flat_map(|request| request["messages"].as_array().unwrap());
    let told: Vec<String> = told
        .filter(|message| message["role"] == "tool")
        .map(|message| message["content"].to_string())
        .collect();
    assert!(told.len() == 6 && told.iter().all(|text| text.contains("unavailable tool")), "{told:?}");
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guests_process_for_one_turn_of_opencode_is_confined() {
    if !acg_agents::confine::support().is_there() {
        return;
    }
    let _room = room().await;
    let Some(scene) = Scene::new(json!({"mode": "oneshot"})).await else { return };
    let subject = &scene.subject;
    let can = subject.backend.probe().await.unwrap().can;
    attachment(subject, can).await;
    let mut guest = subject.spec(None);
    (guest.role, guest.inherit, guest.confined, guest.policy) = (Role::guest(), false, true, everything());
    let mut session = subject.open(guest.clone()).await;
    let id = session.id().clone();
    assert!(id.as_str().starts_with("confined.once."), "{id}");
    let secret = scene.path("secret.txt");
    write(&secret, "not for guests");
    let file = PromptFile { path: secret, name: "secret.txt".into(), media_type: "text/plain".into() };
    assert_eq!(say(&mut session, "from a guest").await.text, "mock: from a guest");
    let outside = Prompt { text: "outside".into(), files: vec![file] };
    // It reads files by itself: only where it may.
    let told = turn(&mut session, &outside, yes).await;
    assert!(
        !subject.model.requests().iter().any(|request| request.body.to_string().contains("not for guests")),
        "{told:?}"
    );
    drop(session);
    assert!(scene.path(".local/share/opencode-guests").is_dir());

    (guest.session, guest.resume) = (Some(id.clone()), true);
    let mut session = subject.open(guest).await;
    assert_eq!(say(&mut session, "again").await.text, "mock: again");
    let request = subject.model.requests().pop().unwrap();
    assert!(request.prompts().iter().any(|prompt| prompt == "from a guest"), "{:?}", request.prompts());
    drop(session);

    // An owner's turn in the same conversation does not see it.
    let mut owner = subject.open(subject.spec(Some(&id))).await;
    assert_eq!((say(&mut owner, "owner").await.text.as_str(), owner.id()), ("mock: owner", &id));
    let request = subject.model.requests().pop().unwrap();
    assert!(!request.prompts().iter().any(|prompt| prompt == "from a guest"), "{:?}", request.prompts());
    drop(owner);
    // The user removes it: a new one takes its place.
    std::fs::remove_dir_all(scene.path(".local/share/opencode")).unwrap();
    let mut owner = subject.open(subject.spec(Some(&id))).await;
    owner.prompt(&Prompt::from("lost")).await.unwrap();
    let error = next(&mut owner).await;
    assert!(matches!(&error, Err(AgentError::NotKept(lost)) if *lost == id), "{error:?}");
    drop(owner);
    subject.backend.forget(&id).await;
    let mut spec = subject.spec(Some(&id));
    spec.confined = true;
    let error = subject.backend.open(spec).await.err();
    assert!(matches!(&error, Some(AgentError::NotKept(lost)) if *lost == id), "{error:?}");
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_opencode_that_is_too_old_runs_no_turn_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("old-opencode");
    write(&script, "#!/bin/sh\necho 1.18.9\n");
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let settings = json!({"mode": "oneshot", "command": script.to_str().unwrap()});
    let Some(scene) = Scene::new(settings).await else { return };
    let error = scene.subject.backend.open(scene.subject.spec(None)).await.err();
    assert!(
        matches!(&error, Some(AgentError::Unusable { reason, .. }) if reason.contains("\"1.18.9\"")),
        "{error:?}"
    );
    assert!(scene.subject.backend.probe().await.is_err());
    scene.end().await;
}

/// A model that calls tools which it was not offered, once, and then gives up.
struct Stubborn {
    url: String,
    requests: std::sync::Arc<std::sync::Mutex<Vec<Value>>>,
    _task: JoinSet<()>,
}

impl Stubborn {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let requests = std::sync::Arc::default();
        let mut task = JoinSet::new();
        let noted = std::sync::Arc::clone(&requests);
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(answer(stream, std::sync::Arc::clone(&noted)));
            }
        });
        Self { url, requests, _task: task }
    }
}

async fn answer(mut stream: TcpStream, noted: std::sync::Arc<std::sync::Mutex<Vec<Value>>>) {
    let mut bytes = Vec::new();
    let body = loop {
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
        let text = String::from_utf8_lossy(&bytes);
        // The body is whole as soon as it is JSON.
        if let Some((_, body)) = text.split_once("\r\n\r\n")
            && let Ok(body) = serde_json::from_str::<Value>(body)
        {
            break body;
        }
    };
    let has_results = body["messages"].as_array().unwrap().iter().any(|message| message["role"] == "tool");
    let delta = if has_results {
        json!({"role": "assistant", "content": "gave up"})
    } else {
        let call = |index: u32, name: &str, input: Value| {
            let function = json!({"name": name, "arguments": input.to_string()});
            json!({"index": index, "id": format!("call_{index}"), "type": "function", "function": function})
        };
        let calls = [
            call(0, "bash", json!({"command": "touch made", "description": "d"})),
            call(1, "write", json!({"filePath": "written", "content": "secret-of-a-file"})),
            call(2, "read", json!({"filePath": "/etc/passwd"})),
        ];
        json!({"role": "assistant", "tool_calls": calls})
    };
    noted.lock().unwrap().push(body);
    let finish = if has_results { "stop" } else { "tool_calls" };
    let chunk = |delta: Value, finish: Value| {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
        format!(
            "data: {}\n\n",
            json!({"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]})
        )
    };
    let text = chunk(delta, Value::Null) + &chunk(json!({}), finish.into()) + "data: [DONE]\n\n";
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        text.len()
    );
    let _gone = stream.write_all((head + &text).as_bytes()).await;
}
