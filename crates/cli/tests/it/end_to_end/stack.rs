//! Everything the main job takes: fake Rocket.Chat, mock model, real Claude Code, and the binary between them.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use acg_testing::model_api::MockModel;
use acg_testing::rocketchat::{AddUser, FakeServer, Options, Say};

use super::room::Room;
use crate::harness::{PASSWORD, TestHome};

/// A real agent starts, thinks and is started again within this time, also on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(40);

pub(super) struct Stack {
    pub(super) home: TestHome,
    pub(super) server: FakeServer,
    pub(super) model: MockModel,
    bot: String,
    people: Vec<(&'static str, String)>,
    rooms: Vec<(&'static str, String)>,
    /// The first of the rooms.
    pub(super) room: String,
}

/// One agent and one room, for what needs no more.
const PLAIN: &str = "
agents:
  claude:
    type: claude
    command: $NOTED
    working_directory: work
    owner_allowed_tools:
      - tool: read|glob|grep
watchers:
  - name: w0
    room: general
";

impl Stack {
    /// `None` if Claude Code is not installed.
    pub(super) async fn new() -> Option<Self> {
        Self::with(&["general"], PLAIN).await
    }

    /// With these rooms, and this configuration behind the connector. In it `$CLAUDE` is the program, `$NOTED` a
    /// script that notes each start before it becomes the program. Owners: alice and bob; guest: gina.
    pub(super) async fn with(rooms: &[&'static str], rest: &str) -> Option<Self> {
        let claude = acg_testing::tools::require("claude")?;
        let server = FakeServer::start(Options::default()).await;
        let world = server.world();
        let bot = world.add_user("bot", AddUser::bot(PASSWORD));
        let people: Vec<_> = ["alice", "bob", "gina"]
            .map(|name| (name, world.add_user(name, AddUser::password("x"))))
            .to_vec();
        let members: Vec<&str> = people.iter().map(|(_, id)| id.as_str()).chain([bot.as_str()]).collect();
        let rooms: Vec<_> = rooms.iter().map(|name| (*name, world.add_channel(name, &members))).collect();
        let model = MockModel::start().await;
        let home = TestHome::new();
        std::fs::create_dir_all(home.root().join("work")).unwrap();
        std::fs::create_dir_all(home.root().join("claude")).unwrap();
        home.write(
            "claude.sh",
            &format!(
                "#!/bin/sh\necho \"$$ $*\" >> '{}'\nexec '{}' \"$@\"\n",
                home.root().join("starts").display(),
                claude.display()
            ),
        );
        let script = home.root().join("claude.sh");
        std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
        let rest = rest
            .replace("$CLAUDE", &claude.display().to_string())
            .replace("$NOTED", &script.display().to_string());
        home.write(
            "config.yaml",
            &format!(
                "connectors:\n  - name: rc\n    type: rocketchat\n    server:\n      url: {url}\n      username: bot\n      password: {PASSWORD}\n    allowed_users:\n      owners: [alice, bob]\n      guests: [gina]\n{rest}",
                url = server.url(),
            ),
        );
        let room = rooms[0].1.clone();
        Some(Self { home, server, model, bot, people, rooms, room })
    }

    /// A room by its name.
    pub(super) fn room(&self, name: &str) -> Room<'_> {
        let (name, id) = self.rooms.iter().find(|(known, _)| *known == name).unwrap();
        Room { stack: self, name, id }
    }

    /// The bot's account.
    pub(super) fn bot(&self) -> &str {
        &self.bot
    }

    pub(super) fn id_of(&self, who: &str) -> &str {
        &self.people.iter().find(|(name, _)| *name == who).unwrap().1
    }

    pub(super) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.home.command(args);
        command
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("CLAUDE_CONFIG_DIR", self.home.root().join("claude"))
            .env("ANTHROPIC_BASE_URL", self.model.url())
            .env("ANTHROPIC_API_KEY", "sk-ant-mock")
            .env("CLAUDE_CODE_MAX_RETRIES", "1")
            .env("ACG_LOG", "debug");
        for name in [
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
            "DISABLE_AUTOUPDATER",
            "DISABLE_TELEMETRY",
            "DISABLE_ERROR_REPORTING",
        ] {
            command.env(name, "1");
        }
        command
    }

    #[track_caller]
    pub(super) fn run(&self, args: &[&str]) -> String {
        let output = self.command(args).output().unwrap();
        self.home.done(&output).good()
    }

    /// Starts the gateway and waits until it has connected.
    #[track_caller]
    pub(super) fn start(&self) {
        let text = self.run(&["start", "--wait", "20"]);
        assert!(text.contains("Gateway started successfully."), "{text}\n{}", self.home.log());
    }

    #[track_caller]
    pub(super) fn restart(&self) {
        let text = self.run(&["restart", "--wait", "20"]);
        assert!(text.contains("Gateway started successfully."), "{text}\n{}", self.home.log());
    }

    #[track_caller]
    pub(super) fn stop(&self) {
        assert!(self.run(&["stop"]).contains("Gateway stopped"));
    }

    pub(super) async fn say(&self, text: &str) -> String {
        self.say_as("alice", text).await
    }

    pub(super) async fn say_as(&self, who: &str, text: &str) -> String {
        self.say_with(who, Say { text: text.into(), ..Say::default() }).await
    }

    #[expect(clippy::unused_async, reason = "the fake's world may come to wait for its clients")]
    pub(super) async fn say_with(&self, who: &str, say: Say) -> String {
        self.server.world().say_with(self.id_of(who), &self.room, say)
    }

    /// What the bot has posted, in order.
    pub(super) fn replies(&self) -> Vec<String> {
        let messages = self.server.world().messages(&self.room);
        messages.into_iter().filter(|message| message.user == self.bot).map(|message| message.text).collect()
    }

    pub(super) async fn until_replies(&self, count: usize) {
        let (room, bot) = (self.room.clone(), self.bot.clone());
        let seen = self.server.try_wait_for(
            move |world| world.messages(&room).iter().filter(|message| message.user == bot).count() >= count,
            PATIENCE,
        );
        assert!(seen.await, "{count} replies expected: {:?}\n{}", self.replies(), self.home.log());
    }

    /// One line for each start of Claude Code for the room's session: pid and arguments. (The check of the
    /// program at start has a session of its own.)
    pub(super) fn processes(&self) -> Vec<String> {
        let session = self.session();
        let starts = std::fs::read_to_string(self.home.root().join("starts")).unwrap_or_default();
        starts.lines().filter(|line| line.contains(&session)).map(str::to_owned).collect()
    }

    /// The Claude processes that still live.
    pub(super) fn agents_alive(&self) -> Vec<String> {
        let starts = std::fs::read_to_string(self.home.root().join("starts")).unwrap_or_default();
        let lives = |line: &&str| {
            let pid = line
                .split(' ')
                .next()
                .and_then(|pid| pid.parse().ok())
                .and_then(rustix::process::Pid::from_raw);
            pid.is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok())
        };
        starts.lines().filter(lives).map(str::to_owned).collect()
    }

    /// Living processes of Claude Code that have this in their command line, the launcher not counted.
    pub(super) fn processes_with(word: &str) -> Vec<i32> {
        living()
            .into_iter()
            .filter(|(_, args)| args.contains(word) && args.contains("stream-json"))
            .filter(|(_, args)| !args.contains("agent-chat-gateway"))
            .map(|(pid, _)| pid)
            .collect()
    }

    /// The room's session, as `list` tells it.
    pub(super) fn session(&self) -> String {
        let list = self.home.run(&["list", "--json"]).json();
        let list = list.as_array().or_else(|| list["data"].as_array()).unwrap();
        list[0]["session_id"].as_str().unwrap().to_owned()
    }

    /// The working directory as the agent sees it.
    pub(super) fn work(&self) -> String {
        self.home.root().join("work").canonicalize().unwrap().display().to_string()
    }

    /// Everything tools gave back to the model.
    pub(super) fn tool_results(&self) -> Vec<String> {
        let requests = self.model.requests();
        requests
            .iter()
            .flat_map(acg_testing::model_api::Request::tool_results)
            .map(|result| result.text)
            .collect()
    }
}

/// Every living process as (id, command line). From `/proc` where there is one: small systems have no `ps`.
fn living() -> Vec<(i32, String)> {
    if let Ok(entries) = std::fs::read_dir("/proc") {
        let args = |pid: i32| std::fs::read(format!("/proc/{pid}/cmdline")).ok();
        let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        return pids
            .filter_map(|pid| Some((pid, String::from_utf8_lossy(&args(pid)?).replace('\0', " "))))
            .collect();
    }
    let output = Command::new("ps").args(["-A", "-o", "pid=,args="]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let pair = |line: &str| {
        let (pid, args) = line.trim_start().split_once(' ')?;
        Some((pid.parse().ok()?, args.to_owned()))
    };
    text.lines().filter_map(pair).collect()
}
