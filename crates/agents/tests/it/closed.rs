//! What becomes of a tool when its gatekeeper fails: every row of the table, on the closed side.

use acg_core::agent::Prompt;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use acg_types::{AgentEvent, Decision};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::kit::{Home, PATIENCE, deny, kill, next, processes, spec, until, write};

const CALL: &str = r#"[[tool:Bash {"command":"touch made"}]]"#;

/// The worst case: the user allows everything.
const ALLOW_ALL: &str = r#"{"permissions":{"allow":["*","Bash"],"defaultMode":"bypassPermissions"}}"#;

/// A hook of the user's that changes the input, so that the question comes twice: by the hook, then by
/// `can_use_tool`.
fn changing() -> String {
    let answer =
        r#"{"hookSpecificOutput":{"hookEventName":"PreToolUse","updatedInput":{"command":"touch made #"}}}"#;
    let command = format!("cat >/dev/null; echo '{answer}'");
    json!({"hooks": {"PreToolUse": [{"hooks": [{"type": "command", "command": command}]}]}}).to_string()
}

/// How the gateway goes.
#[derive(Clone, Copy, Debug)]
enum End {
    /// The launcher's control line is cut, and with it Claude's stdin.
    Dropped,
    /// The launcher is killed: Claude's stdin stays open until the gateway notices.
    LauncherKilled,
}

#[tokio::test]
async fn a_gateway_that_is_gone_while_it_asks_runs_nothing() {
    let mut running = JoinSet::new();
    for (questions, settings) in [(1, ALLOW_ALL.to_owned()), (2, changing())] {
        for end in [End::Dropped, End::LauncherKilled] {
            let Some(home) = Home::real().await else { return };
            let settings = settings.clone();
            running.spawn(async move {
                write(&home.dir.path().join("home/.claude/settings.json"), &settings);
                let backend = home.backend();
                let id = backend.new_session_id().unwrap();
                let mut session = backend.open(spec(&id)).await.unwrap();
                session.prompt(&Prompt::from(CALL)).await.unwrap();
                let mut asked = 0;
                while asked < questions {
                    if let AgentEvent::Permission { id, .. } = next(&mut session).await.unwrap() {
                        asked += 1;
                        if asked < questions {
                            session.answer(&id, Decision::Allow).await.unwrap();
                        }
                    }
                }
                match end {
                    End::Dropped => drop(session),
                    End::LauncherKilled => {
                        for launcher in processes(&[id.as_str(), "__launch"]) {
                            kill(launcher);
                        }
                        while next(&mut session).await.is_ok() {}
                        drop(session);
                    }
                }
                until("Claude to end", || processes(&[id.as_str()]).is_empty().then_some(())).await;
                assert!(!home.project().join("made").exists(), "{questions} {end:?}");
                backend.shutdown().await;
            });
        }
    }
    while let Some(case) = running.join_next().await {
        case.unwrap();
    }
}

#[tokio::test]
async fn a_question_that_nobody_answers_in_the_programs_time_is_withdrawn_and_refused() {
    let Some(mut home) = Home::real().await else { return };
    write(&home.dir.path().join("home/.claude/settings.json"), ALLOW_ALL);
    home.settings.longest_question = Some(Duration::from_secs(1));
    let backend = home.backend();
    let id = backend.new_session_id().unwrap();
    let mut session = backend.open(spec(&id)).await.unwrap();
    session.prompt(&Prompt::from(CALL)).await.unwrap();
    let (mut asked, mut withdrawn, mut said) = (Vec::new(), Vec::new(), String::new());
    loop {
        match next(&mut session).await.unwrap() {
            AgentEvent::Permission { id, .. } => asked.push(id),
            AgentEvent::PermissionWithdrawn { id } => {
                // Too late: it counts for nothing.
                session.answer(&id, Decision::Allow).await.unwrap();
                withdrawn.push(id);
            }
            AgentEvent::Message(text) => said.push_str(&text),
            AgentEvent::End(_) => break,
            _ => {}
        }
    }
    assert_eq!((asked.len(), &asked), (1, &withdrawn));
    assert!(said.contains("did not respond before its timeout"), "{said}");
    assert!(!home.project().join("made").exists());
    backend.shutdown().await;
}

/// Runs the program with these arguments, as the gateway would, but without it.
fn alone(home: &Home, args: &[String], env: &[(&str, &str)]) -> tokio::process::Child {
    let folder = home.dir.path().join("home");
    let mut vars: BTreeMap<&str, String> = BTreeMap::from([
        ("PATH", std::env::var("PATH").unwrap()),
        ("HOME", folder.display().to_string()),
        ("CLAUDE_CONFIG_DIR", folder.join(".claude").display().to_string()),
        ("ANTHROPIC_BASE_URL", home.model.url().to_owned()),
        ("ANTHROPIC_API_KEY", "sk-ant-mock".to_owned()),
        ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1".to_owned()),
    ]);
    vars.extend(env.iter().map(|(name, value)| (*name, (*value).to_owned())));
    tokio::process::Command::new(&home.settings.command)
        .args(args)
        .env_clear()
        .envs(vars)
        .current_dir(home.project())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

fn strings(args: &[&str]) -> Vec<String> {
    args.iter().map(|arg| (*arg).to_owned()).collect()
}

/// The gateway never answers a callback so: this shows that it would not matter if it did.
#[tokio::test]
async fn a_callback_that_fails_blocks_the_tool() {
    let Some(home) = Home::real().await else { return };
    let args = [
        "-p",
        "--input-format=stream-json",
        "--output-format=stream-json",
        "--verbose",
        "--setting-sources=",
        "--permission-prompt-tool=stdio",
        "--strict-mcp-config",
        "--allowedTools=Bash",
    ];
    for response in [
        json!({"subtype": "error", "error": "no"}),
        json!({"subtype": "success", "response": {"hookSpecificOutput": {"permissionDecision": 7}}}),
        json!({"subtype": "success", "response": "garbage"}),
    ] {
        let mut child = alone(&home, &strings(&args), &[]);
        let (mut stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let hooks = json!({"PreToolUse": [{"matcher": null, "hookCallbackIds": ["h"], "onFailure": "block", "timeout": 60}]});
        let mut send = async |frame: Value| {
            stdin.write_all(format!("{frame}\n").as_bytes()).await.unwrap();
        };
        send(json!({"type": "control_request", "request_id": "i", "request": {"subtype": "initialize", "hooks": hooks}})).await;
        send(json!({"type": "user", "message": {"role": "user", "content": CALL}, "parent_tool_use_id": null, "session_id": ""})).await;
        let mut lines = BufReader::new(stdout).lines();
        let mut asked = 0;
        let play = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                let frame: Value = serde_json::from_str(&line).unwrap();
                if frame["type"] == "control_request" {
                    asked += 1;
                    let mut response = response.clone();
                    response["request_id"] = frame["request_id"].clone();
                    send(json!({"type": "control_response", "response": response})).await;
                } else if frame["type"] == "result" {
                    break;
                }
            }
        };
        tokio::time::timeout(PATIENCE, play).await.expect("a result in time");
        assert!(asked > 0, "{response}");
        assert!(!home.project().join("made").exists(), "{response}");
        let _ended = child.kill().await;
    }
}

/// What a hook that is not ours, or is ours in trouble, may do.
#[derive(Clone, Copy, Debug)]
enum Bad {
    Status(u16),
    Body(&'static str),
    Silent,
    Cut,
    Refused,
}

/// A listener that does this to every request.
async fn bad_hook(bad: Bad, tasks: &mut JoinSet<()>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/pre-tool-use", listener.local_addr().unwrap());
    if matches!(bad, Bad::Refused) {
        return url;
    }
    tasks.spawn(async move {
        let mut held: Vec<TcpStream> = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 4096];
            let _read = stream.read(&mut buffer).await;
            let (status, body) = match bad {
                Bad::Status(status) => (status, ""),
                Bad::Body(body) => (200, body),
                Bad::Silent => {
                    held.push(stream);
                    continue;
                }
                Bad::Cut | Bad::Refused => continue,
            };
            let answer = format!(
                "HTTP/1.1 {status} x\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            let _written = stream.write_all(answer.as_bytes()).await;
        }
    });
    url
}

#[tokio::test]
async fn a_hook_over_http_that_fails_blocks_the_tool() {
    let mut running = JoinSet::new();
    for bad in [
        Bad::Status(500),
        Bad::Status(503),
        Bad::Status(403),
        Bad::Status(401),
        Bad::Status(404),
        Bad::Body("garbage"),
        Bad::Body(r#"{"hookSpecificOutput":{"permissionDecision":"maybe"}}"#),
        Bad::Silent,
        Bad::Cut,
        Bad::Refused,
    ] {
        let Some(home) = Home::real().await else { return };
        running.spawn(async move {
            let mut tasks = JoinSet::new();
            let url = bad_hook(bad, &mut tasks).await;
            // As `claude/given.rs` writes it, whose own test pins it.
            let hook = json!({
                "type": "http", "url": url, "timeout": 2, "onFailure": "block",
                "headers": {"Authorization": "Bearer $ACG_HOOK_TOKEN"}, "allowedEnvVars": ["ACG_HOOK_TOKEN"],
            });
            let settings = json!({"hooks": {"PreToolUse": [{"matcher": "*", "hooks": [hook]}]}});
            let settings = format!("--settings={settings}");
            let args = ["-p", "--setting-sources=", "--strict-mcp-config", "--allowedTools=Bash", &settings];
            let mut child = alone(&home, &strings(&args), &[("ACG_HOOK_TOKEN", "token")]);
            let mut stdin = child.stdin.take().unwrap();
            stdin.write_all(CALL.as_bytes()).await.unwrap();
            drop(stdin);
            let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await.unwrap().unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(said.contains("mock:"), "{bad:?}: {said}");
            assert!(!home.project().join("made").exists(), "{bad:?}: {said}");
        });
    }
    while let Some(case) = running.join_next().await {
        case.unwrap();
    }
}

#[tokio::test]
async fn a_process_of_a_guest_is_confined_and_works() {
    let Some(home) = Home::real().await else { return };
    if !acg_agents::confine::support().is_there() {
        return;
    }
    let outside = home.dir.path().join("outside");
    let gateway = home.dir.path().join("gateway");
    for folder in [&outside, &gateway] {
        std::fs::create_dir(folder).unwrap();
        write(&folder.join("secret.txt"), "the note says 42");
    }
    for own_folder in [true, false] {
        let mut home = Home::real().await.unwrap().beneath(&home);
        if !own_folder {
            // Claude's record is beside its folder then.
            home.more_env.push(("CLAUDE_CONFIG_DIR".into(), "".into()));
            write(&home.dir.path().join("home/.claude.json"), "{}");
        }
        let backend = home.backend();
        let id = backend.new_session_id().unwrap();
        for resume in [false, true] {
            let mut spec = spec(&id);
            (spec.inherit, spec.confined, spec.resume) = (false, true, resume);
            let mut session = backend.open(spec).await.unwrap();
            let (inside, outside) = (home.project().join("made"), outside.display());
            let command = format!(
                "echo x > {} && echo y > $TMPDIR/t && cat {outside}/secret.txt {}/secret.txt; echo z > {outside}/made; echo end",
                inside.display(),
                gateway.display()
            );
            let prompt = format!("go [[tool:Bash {}]]", json!({"command": command}));
            let seen = crate::kit::turn(&mut session, &prompt, &Decision::Allow).await;
            let said = seen.messages.concat();
            assert!(said.contains("end") && !said.contains("42") && said.contains("denied"), "{said}");
            assert!(inside.exists() && !Path::new(&format!("{outside}/made")).exists());
            std::fs::remove_file(&inside).unwrap();
            let seen = crate::kit::turn(&mut session, &format!("no {CALL}"), &deny("not in this room")).await;
            assert!(seen.messages.concat().contains("not in this room"));
            drop(session);
            backend.forget(&id).await;
        }
        backend.shutdown().await;
    }
}
