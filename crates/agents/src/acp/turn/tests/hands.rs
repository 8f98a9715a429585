//! What a program has done by us: only when it was allowed, and no longer than its turn lasts.

use super::super::super::files::FileCall;
use super::super::super::shelf::Deed;
use super::super::super::terminals::Exit;
use super::*;

fn request(machine: &mut Machine, id: u64, method: &str, params: Value) -> Vec<Effect> {
    let mut frame = json!({"jsonrpc": "2.0", "id": id, "method": method});
    frame["params"] = params;
    frame["params"]["sessionId"] = "s".into();
    machine.line(frame.to_string().as_bytes())
}

/// What it was sent, as JSON without the frame around it.
fn sent(effects: &[Effect]) -> Value {
    let [Effect::Send(line)] = effects else { panic!("{effects:?}") };
    let mut frame: Value = serde_json::from_str(line).unwrap();
    frame.as_object_mut().unwrap().remove("jsonrpc");
    frame
}

#[test]
fn files_are_read_and_written_only_when_allowed() {
    let read = |machine: &mut Machine, id: u64| {
        request(machine, id, "fs/read_text_file", json!({"path": "/w/a", "line": 3, "limit": 4}))
    };
    let mut machine = running();
    assert_eq!(all_shown(&read(&mut machine, 1)), [r#"asks Read {"file_path":"/w/a","offset":3,"limit":4}"#]);
    let id = "p/1".to_owned();
    let wanted = Deed::File(FileCall::Read { path: "/w/a".into(), line: Some(3), limit: Some(4) });
    assert_eq!(machine.shelf.wanted(&id), Some(wanted));
    machine.shelf.put(&id, Ok(json!({"content": "text"})));
    let effects = machine.answer(&id, &Decision::Allow);
    assert_eq!(sent(&effects)["result"], json!({"content": "text"}));

    let effects = request(&mut machine, 2, "fs/write_text_file", json!({"path": "/w/a", "content": "new"}));
    assert_eq!(all_shown(&effects), [r#"asks Write {"file_path":"/w/a","content":"new"}"#]);
    let id = "p/2".to_owned();
    let effects = machine.answer(&id, &Decision::Deny { reason: "the moon".into() });
    assert_eq!(sent(&effects)["error"]["message"], "refused: the moon");
    assert_eq!(machine.shelf.wanted(&id), None, "it is forgotten");

    // Allowed, but not carried out; outside of a turn; not offered.
    read(&mut machine, 3);
    assert_eq!(sent(&machine.answer(&"p/3".to_owned(), &Decision::Allow))["error"]["code"], -32603);
    assert_eq!(sent(&read(&mut open(), 4))["error"]["code"], -32603);
    let mut machine = running();
    machine.opening.dialect = Arc::new(Plain { files: false });
    assert_eq!(sent(&read(&mut machine, 5))["error"]["code"], -32601);
}

/// A terminal in which a command runs.
fn ls(machine: &mut Machine, id: u64) -> String {
    let effects = request(machine, id, "terminal/create", json!({"command": "ls", "args": ["a b"]}));
    assert_eq!(all_shown(&effects), [r#"asks Bash {"command":"ls 'a b'"}"#]);
    let name = format!("p/{id}");
    let Some(Deed::Command { terminal, line }) = machine.shelf.wanted(&name) else { panic!("no command") };
    assert_eq!(line, "ls 'a b'");
    machine.shelf.put(&name, Ok(wire::terminal_created(&terminal)));
    let effects = machine.answer(&name, &Decision::Allow);
    assert_eq!(sent(&effects)["result"]["terminalId"], terminal.as_str());
    terminal
}

fn of(machine: &mut Machine, id: u64, method: &str, terminal: &str) -> Vec<Effect> {
    request(machine, id, &format!("terminal/{method}"), json!({"terminalId": terminal}))
}

#[test]
fn a_command_is_a_question_and_its_terminal_tells_how_it_went() {
    let mut machine = running();
    let id = ls(&mut machine, 1);
    let terminal = machine.shelf.terminals.get(&id).unwrap();
    terminal.push(b"hello");
    let told = sent(&of(&mut machine, 2, "output", &id));
    assert_eq!(told, json!({"id": 2, "result": {"output": "hello", "truncated": false}}));

    assert_eq!(of(&mut machine, 3, "wait_for_exit", &id), [], "it is answered later");
    assert_eq!(machine.woken(), [], "nothing has ended");
    assert_eq!(sent(&of(&mut machine, 4, "kill", &id))["result"], json!({}));
    assert!(terminal.kill.is_cancelled());
    terminal.end(Exit(Some(3)));
    assert_eq!(sent(&machine.woken()), json!({"id": 3, "result": {"exitCode": 3}}));
    assert_eq!(machine.woken(), [], "once");
    let told = sent(&of(&mut machine, 5, "wait_for_exit", &id));
    assert_eq!(told, json!({"id": 5, "result": {"exitCode": 3}}));
    let told = sent(&of(&mut machine, 6, "output", &id));
    assert_eq!(told["result"]["exitStatus"]["exitCode"], 3, "a killed terminal is still there");

    let other = ls(&mut machine, 7);
    assert_eq!(of(&mut machine, 8, "wait_for_exit", &other), []);
    let effects = of(&mut machine, 9, "release", &other);
    assert!(
        matches!(&effects[..], [Effect::Send(wait), Effect::Send(release)]
        if wait.contains("released") && release.contains("result")),
        "{effects:?}"
    );
    assert_eq!(sent(&of(&mut machine, 10, "output", &other))["error"]["code"], -32603);
}

#[test]
fn what_is_not_allowed_has_no_terminal() {
    for decision in [Decision::Deny { reason: "the moon".into() }, Decision::Defer, Decision::Allow] {
        let mut machine = running();
        request(&mut machine, 1, "terminal/create", json!({"command": "ls"}));
        // Allowed, but not started.
        let effects = machine.answer(&"p/1".to_owned(), &decision);
        assert_eq!(sent(&effects)["error"]["code"], -32603, "{decision:?}");
        assert!(machine.shelf.terminals.get("p/t1").is_none(), "{decision:?}");
        assert_eq!(sent(&of(&mut machine, 2, "output", "p/t1"))["error"]["code"], -32603);
    }
    for (params, code) in [
        (json!({"command": "ls", "cwd": "/etc"}), -32602),
        (json!({"command": "ls", "env": [{"name": "A;ls", "value": ""}]}), -32602),
        (json!({}), -32602),
    ] {
        let mut machine = running();
        assert_eq!(sent(&request(&mut machine, 1, "terminal/create", params))["error"]["code"], code);
    }
    let create = |machine: &mut Machine| request(machine, 1, "terminal/create", json!({"command": "ls"}));
    assert_eq!(sent(&create(&mut open()))["error"]["code"], -32603, "outside of a turn");
    let mut machine = running();
    machine.opening.dialect = Arc::new(Plain { files: false });
    assert_eq!(sent(&create(&mut machine))["error"]["code"], -32601, "not offered");
    assert!(machine.waker().is_none());
    let mut machine = running();
    for id in 1..=32 {
        ls(&mut machine, id);
    }
    let refused = sent(&request(&mut machine, 33, "terminal/create", json!({"command": "ls"})));
    assert!(refused["error"]["message"].as_str().unwrap().contains("too many"), "{refused}");
}

#[test]
fn a_terminal_ends_with_its_turn_and_is_nobody_elses() {
    for how in ["end", "cancel", "fault", "drop"] {
        let mut machine = running();
        let id = ls(&mut machine, 1);
        let shelf = Arc::clone(&machine.shelf);
        let terminal = shelf.terminals.get(&id).unwrap();
        assert_eq!(of(&mut machine, 2, "wait_for_exit", &id), []);
        // Asked about, but not answered yet.
        request(&mut machine, 3, "terminal/create", json!({"command": "ls"}));
        let effects = match how {
            "end" => answers(&mut machine, &json!({"stopReason": "end_turn"})),
            "cancel" => machine.interrupt(),
            "fault" => machine.line(b"nonsense"),
            _ => {
                drop(machine);
                Vec::new()
            }
        };
        let refusals = effects
            .iter()
            .filter(|effect| matches!(effect, Effect::Send(line) if line.contains("the turn is over")));
        assert_eq!(
            refusals.count(),
            if matches!(how, "end" | "cancel") { 2 } else { 0 },
            "{how}: {effects:?}"
        );
        assert!(terminal.kill.is_cancelled(), "{how}");
        assert!(shelf.terminals.get(&id).is_none() && shelf.terminals.get("p/t2").is_none(), "{how}");
    }
    // Machines share a shelf.
    let mut machine = running();
    machine.shelf.terminals.open("q/t1", None, &Arc::default());
    for method in ["output", "wait_for_exit", "kill", "release"] {
        assert_eq!(sent(&of(&mut machine, 1, method, "q/t1"))["error"]["code"], -32603, "{method}");
    }
    assert!(!machine.shelf.terminals.get("q/t1").unwrap().kill.is_cancelled());
}
