//! `chat`: the first minute of a newcomer, with every state that a machine may be in.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use acg_testing::model_api::MockModel;
use acg_testing::tools;
use serde_json::{Value, json};

use crate::harness::{Done, TestHome};

/// A machine with only these programs on its PATH.
struct Machine {
    home: TestHome,
    bin: PathBuf,
}

impl Machine {
    fn new() -> Self {
        let home = TestHome::new();
        let bin = home.root().join("bin");
        fs::create_dir_all(&bin).unwrap();
        fs::create_dir_all(home.root().join("desk")).unwrap();
        Self { home, bin }
    }

    fn script(self, name: &str, text: &str) -> Self {
        let path = self.bin.join(name);
        fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    /// The real program.
    fn claude(self, program: &Path) -> Self {
        let text = format!("#!/bin/sh\nexec '{}' \"$@\"\n", program.display());
        self.script("claude", &text)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.home.command(&["chat"]);
        command.args(args).current_dir(self.home.root().join("desk")).env("PATH", &self.bin);
        command
    }

    fn chat(&self, args: &[&str], input: &str) -> Done {
        self.feed(self.command(args), input)
    }

    fn feed(&self, mut command: Command, input: &str) -> Done {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        self.home.done(&child.wait_with_output().unwrap())
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.home.root().join("desk").join(name)).unwrap_or_default()
    }
}

/// Codes of questions and times are other ones each time.
fn steady(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let line = match line {
            _ if line.starts_with("🔐") => "🔐 …",
            _ if line.starts_with("Reply `approve") => "Reply …",
            _ if line.contains(" session` allows") => "… session …",
            _ if line.contains(" always` allows") => "… always …",
            _ if line.starts_with("✅ Permission") => "✅ Permission … approved.",
            _ if line.starts_with("❌ Permission") => "❌ Permission … denied.",
            _ if line.starts_with("I did not do it: Denied") => "I did not do it: Denied …",
            _ if line.starts_with("· ") && line.contains(" tokens in") => "· usage",
            _ => line,
        };
        out.push_str(line);
        out.push('\n');
    }
    out
}

#[test]
fn without_any_agent_the_demo_shows_everything_and_says_what_it_is() {
    let machine = Machine::new();
    machine.home.write("desk/letter.txt", "Dear all,\nhello\n");
    let input =
        "hello there\nnote buy milk\ny\nread\nnote never\nn\n/attach letter.txt\nlook at this\n/quit\n";
    let done = machine.chat(&[], input);
    assert_eq!(machine.file("demo-note.txt"), "buy milk\n");
    insta::assert_snapshot!(steady(&done.text()));
}

#[test]
fn a_chat_goes_on_with_its_session_until_it_is_told_not_to() {
    let machine = Machine::new();
    let introduces = |done: &Done| done.stdout.contains("This is the demo agent. There is no model");
    assert!(introduces(&machine.chat(&[], "one\n")));
    let sessions = |done: &Done| done.text().matches("Session").count();
    let again = machine.chat(&[], "two\n");
    assert_eq!((again.code, sessions(&again)), (0, 0), "{}", again.text());
    assert!(introduces(&machine.chat(&["--new"], "three\n")));
}

#[test]
fn scripts_speak_json_lines() {
    let machine = Machine::new();
    let done = machine.chat(&["--json"], "{\"text\": \"hello\"}\n");
    assert_eq!(done.code, 0, "{}", done.text());
    let events: Vec<Value> = done.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<&str> = events.iter().filter_map(|event| event["event"].as_str()).collect();
    assert_eq!(kinds.len(), events.len(), "{}", done.stdout);
    for kind in ["remark", "ready", "begun", "text", "message", "ended", "post", "idle"] {
        assert!(kinds.contains(&kind), "{kind}: {kinds:?}");
    }
    assert_eq!(kinds.last(), Some(&"idle"));
    let bad = machine.chat(&["--json"], "not json\n");
    assert_eq!(bad.code, 1);
    assert!(bad.stdout.contains("a line of the input is not understood"), "{}", bad.text());
}

#[test]
fn what_is_installed_and_cannot_be_used_is_said_with_what_to_do() {
    for (name, script, expected) in [
        ("opencode", "#!/bin/sh\necho broken >&2\nexit 3\n", "OpenCode cannot be used"),
        ("codex", "#!/bin/sh\nexit 0\n", "Codex cannot be used"),
        ("gemini", "#!/bin/sh\nexit 0\n", "Gemini CLI cannot be used"),
        ("claude", "#!/bin/sh\necho broken >&2\nexit 3\n", "Claude Code cannot be used"),
    ] {
        let machine = Machine::new().script(name, script);
        let done = machine.chat(&[], "");
        assert_eq!(done.code, 0, "{name}: {}", done.text());
        assert!(done.stdout.contains(expected), "{name}: {}", done.text());
        assert!(done.stdout.contains("So this is the built-in demo agent."), "{name}: {}", done.text());
    }
}

/// Answers the handshake as a version does that lets tools run when its gatekeeper fails.
const OLD_CLAUDE: &str = r#"#!/bin/sh
while read -r line; do
  id=${line#*\"request_id\":\"}; id=${id%%\"*}
  printf '{"type":"control_response","response":{"subtype":"success","request_id":"%s","response":{"claude_code_version":"2.1.197","hooks_applied":true}}}\n' "$id"
done
"#;

#[test]
fn a_claude_that_is_too_old_is_not_used() {
    let machine = Machine::new().script("claude", OLD_CLAUDE);
    let done = machine.chat(&[], "");
    assert_eq!(done.code, 0, "{}", done.text());
    assert!(done.stdout.contains("2.1.197") && done.stdout.contains("install 2.1.329"), "{}", done.text());
    assert!(done.stdout.contains("demo agent"), "{}", done.text());
    let named = machine.chat(&["--agent", "claude"], "");
    assert_eq!(named.code, 1, "who names an agent gets that one or none: {}", named.text());
    assert!(named.stderr.contains("install 2.1.329"), "{}", named.text());
}

#[test]
fn unknown_agents_and_directories_are_refused_with_what_there_is() {
    let machine = Machine::new();
    for (args, expected) in [
        (["--agent", "hal"], "name one of: claude, opencode, codex, gemini, demo"),
        (["--agent", "claude"], "Claude Code was not found on the PATH"),
        (["--agent", "codex"], "Codex was not found on the PATH"),
        (["--agent", "gemini"], "Gemini CLI was not found on the PATH"),
        (["--directory", "nowhere"], "nowhere is not a directory"),
    ] {
        let done = machine.chat(&args, "");
        assert_eq!(done.code, 1, "{args:?}: {}", done.text());
        assert!(done.stderr.contains(expected), "{args:?}: {}", done.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_claude_is_found_asked_and_answers() {
    let Some(program) = tools::require("claude") else { return };
    let model = MockModel::start().await;
    let machine = Machine::new().claude(&program);
    let with_model = |machine: &Machine, key: Option<&str>, args: &[&str]| {
        let mut command = machine.command(args);
        command.env("ANTHROPIC_BASE_URL", model.url());
        command.env("PATH", format!("{}:/usr/bin:/bin", machine.bin.display()));
        for name in [
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
            "DISABLE_AUTOUPDATER",
            "DISABLE_TELEMETRY",
            "DISABLE_ERROR_REPORTING",
        ] {
            command.env(name, "1");
        }
        if let Some(key) = key {
            command.env("ANTHROPIC_API_KEY", key);
        }
        command
    };
    let call = json!({"command": "touch made-by-claude"});
    let input =
        format!("[[tool:Bash {call}]]\ny\n[[tool:Bash {}]]\nn\n", json!({"command": "touch not-made"}));
    let done =
        tokio::task::block_in_place(|| machine.feed(with_model(&machine, Some("sk-ant-mock"), &[]), &input));
    assert_eq!(done.code, 0, "{}", done.text());
    assert!(done.stdout.contains("Chat with claude in"), "{}", done.text());
    assert!(done.stdout.contains("🔐 **Permission required**"), "{}", done.text());
    let made = |name: &str| machine.home.root().join("desk").join(name).exists();
    assert!(made("made-by-claude") && !made("not-made"), "{}", done.text());

    // Not logged in: said, with what to do, and the demo instead.
    let done = tokio::task::block_in_place(|| machine.feed(with_model(&machine, None, &[]), ""));
    assert_eq!(done.code, 0, "{}", done.text());
    assert!(done.stdout.contains("is not logged in; run `claude`"), "{}", done.text());
    assert!(done.stdout.contains("demo agent"), "{}", done.text());
}
