//! A hermetic home for one test: a mock model, a working directory, and a backend that knows nothing else.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use acg_agents::claude::ClaudeSettings;
use acg_agents::lineage::Lineage;
use acg_agents::{BuildParts, build};
use acg_config::{AgentConfig, Confinement, Settings};
use acg_core::agent::{AgentBackend, AgentError, AgentSession, Prompt, SessionSpec};
use acg_policy::{Otherwise, RolePolicy, Rule};
use acg_testing::model_api::MockModel;
use acg_types::{AgentEvent, ConversationId, Decision, Role, SessionId, TurnEnd};

/// How long anything may take before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) struct Home {
    pub(crate) model: MockModel,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) settings: ClaudeSettings,
    pub(crate) logged_in: bool,
    pub(crate) lineage: Lineage,
    /// More of the gateway's own environment.
    pub(crate) more_env: Vec<(OsString, OsString)>,
}

impl Home {
    /// With the real Claude Code; `None` if it is not installed.
    pub(crate) async fn real() -> Option<Self> {
        let program = acg_testing::tools::require("claude")?;
        Some(Self::with(&program).await)
    }

    pub(crate) async fn with(program: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["home/.claude", "project"] {
            std::fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        let command = program.to_str().unwrap().to_owned();
        let settings = ClaudeSettings { command, ..ClaudeSettings::default() };
        Self {
            model: MockModel::start().await,
            dir,
            settings,
            logged_in: true,
            lineage: Lineage::new(),
            more_env: Vec::new(),
        }
    }

    /// In folders beneath another's.
    pub(crate) fn beneath(self, other: &Self) -> Self {
        let dir = tempfile::Builder::new().tempdir_in(other.dir.path()).unwrap();
        for name in ["home/.claude", "project"] {
            std::fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        Self { dir, ..self }
    }

    /// With a shell script instead of Claude Code.
    pub(crate) async fn with_script(script: &str) -> Self {
        let home = Self::with(Path::new("/nowhere")).await;
        let path = home.dir.path().join("fake-claude");
        write(&path, &format!("#!/bin/sh\n{script}\n"));
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        Self { settings: ClaudeSettings { command: path.to_str().unwrap().into(), ..home.settings }, ..home }
    }

    pub(crate) fn project(&self) -> PathBuf {
        self.dir.path().join("project").canonicalize().unwrap()
    }

    pub(crate) fn backend(&self) -> Arc<dyn AgentBackend> {
        let home = self.dir.path().join("home");
        let mut environment: Vec<(OsString, OsString)> = vec![
            ("PATH".into(), std::env::var_os("PATH").unwrap_or_default()),
            ("HOME".into(), home.clone().into()),
            ("CLAUDE_CONFIG_DIR".into(), home.join(".claude").into()),
            ("ANTHROPIC_BASE_URL".into(), self.model.url().into()),
            ("CLAUDE_CODE_MAX_RETRIES".into(), "1".into()),
            // Not on the list of what is passed on: the tests would notice.
            ("IS_SANDBOX".into(), "1".into()),
        ];
        for name in [
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
            "DISABLE_AUTOUPDATER",
            "DISABLE_TELEMETRY",
            "DISABLE_ERROR_REPORTING",
        ] {
            environment.push((name.into(), "1".into()));
        }
        if self.logged_in {
            environment.push(("ANTHROPIC_API_KEY".into(), "sk-ant-mock".into()));
        }
        environment.extend(self.more_env.iter().cloned());
        let config =
            agent("claude", "claude", Some(Settings(Arc::new(self.settings.clone()))), self.project());
        let parts = BuildParts {
            lineage: self.lineage.clone(),
            ..parts(environment, Some(self.dir.path().join("gateway")))
        };
        build(&config, parts).unwrap()
    }
}

/// An agent without rules, and without confinement.
pub(crate) fn agent(
    name: &str,
    kind: &str,
    settings: Option<Settings>,
    working_directory: PathBuf,
) -> AgentConfig {
    let config = AgentConfig::new(name.into(), kind, working_directory);
    AgentConfig { settings, confinement: Confinement::Off, ..config }
}

/// What a backend gets from the program it runs in.
pub(crate) fn parts(environment: Vec<(OsString, OsString)>, gateway_home: Option<PathBuf>) -> BuildParts {
    let launcher = env!("CARGO_BIN_EXE_acg-launch").into();
    BuildParts { launcher, environment, gateway_home, lineage: Lineage::new() }
}

pub(crate) fn write(path: &Path, text: &str) {
    acg_types::fs::write_private(path, text.as_bytes()).unwrap();
}

pub(crate) fn spec(session: &SessionId) -> SessionSpec {
    SessionSpec {
        session: Some(session.clone()),
        resume: false,
        role: Role::owner(),
        allowed_tools: vec!["Read".into()],
        policy: everything(),
        inherit: true,
        confined: false,
        conversation: ConversationId(1),
        title: Some("agent-chat:general".into()),
        context: None,
        watcher: "w".into(),
    }
}

/// May use every tool; the test decides about each call.
pub(crate) fn everything() -> Arc<RolePolicy> {
    Arc::new(RolePolicy { otherwise: Otherwise::Ask, ..RolePolicy::default() })
}

/// The user's own settings decide about what no rule allows.
pub(crate) fn own_settings() -> Arc<RolePolicy> {
    Arc::new(RolePolicy { otherwise: Otherwise::OwnSettings, ..RolePolicy::default() })
}

/// May use the tools that match, and is refused the rest.
pub(crate) fn only(tools: &str) -> Arc<RolePolicy> {
    let rules = if tools.is_empty() { Vec::new() } else { vec![Rule::new(tools, None).unwrap()] };
    Arc::new(RolePolicy { rules, ..RolePolicy::default() })
}

/// A turn as it was seen.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) messages: Vec<String>,
    pub(crate) deltas: String,
    pub(crate) asked: Vec<acg_types::ToolCall>,
    pub(crate) finished: Vec<bool>,
    pub(crate) end: TurnEnd,
}

pub(crate) async fn next(session: &mut Box<dyn AgentSession>) -> Result<AgentEvent, AgentError> {
    tokio::time::timeout(PATIENCE, session.next_event()).await.expect("an event in time")
}

/// Runs a turn to its end, with one decision for every question.
pub(crate) async fn turn(session: &mut Box<dyn AgentSession>, prompt: &str, decision: &Decision) -> Seen {
    session.prompt(&Prompt::from(prompt)).await.unwrap();
    let (mut messages, mut deltas) = (Vec::new(), String::new());
    let (mut asked, mut finished) = (Vec::new(), Vec::new());
    loop {
        match next(session).await.unwrap() {
            AgentEvent::Message(text) => messages.push(text),
            AgentEvent::TextDelta(text) => deltas.push_str(&text),
            AgentEvent::Permission { id, call, .. } => {
                asked.push(call);
                session.answer(&id, decision.clone()).await.unwrap();
            }
            AgentEvent::ToolFinished { is_error, .. } => finished.push(is_error),
            AgentEvent::End(end) => return Seen { messages, deltas, asked, finished, end },
            AgentEvent::Thought
            | AgentEvent::Plan(_)
            | AgentEvent::Usage { .. }
            | AgentEvent::Question { .. }
            | AgentEvent::ToolStarted(_)
            | AgentEvent::Retrying(_)
            | AgentEvent::PermissionWithdrawn { .. } => {}
        }
    }
}

pub(crate) fn deny(reason: &str) -> Decision {
    Decision::Deny { reason: reason.into() }
}

/// Waits for a condition that nothing announces.
pub(crate) async fn until<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Every living process as (id, command line). From `/proc` where there is one: small systems have no `ps`.
fn living() -> Vec<(i32, String)> {
    if let Ok(entries) = std::fs::read_dir("/proc") {
        let read = |pid: i32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let zombie = stat.rsplit_once(')')?.1.trim_start().starts_with('Z');
            let args = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            (!zombie).then(|| (pid, String::from_utf8_lossy(&args).replace('\0', " ")))
        };
        let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        return pids.filter_map(read).collect();
    }
    let output = std::process::Command::new("ps").args(["-A", "-o", "pid=,stat=,args="]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines()
        .filter_map(|line| {
            let (pid, rest) = line.trim_start().split_once(' ')?;
            let (stat, args) = rest.trim_start().split_once(' ')?;
            (!stat.starts_with('Z')).then(|| Some((pid.parse().ok()?, args.to_owned())))?
        })
        .collect()
}

/// Living processes whose command line holds all of `words`.
pub(crate) fn processes(words: &[&str]) -> Vec<i32> {
    let fits = |args: &str| words.iter().all(|word| args.contains(word));
    living().into_iter().filter(|(_, args)| fits(args)).map(|(pid, _)| pid).collect()
}

pub(crate) fn is_alive(pid: i32) -> bool {
    living().iter().any(|(living, _)| *living == pid)
}

pub(crate) fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}
