//! Confinement against the kernel: a shell script in the place of an agent tries what it must not.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use acg_agents::confine::{Confinement, Needs, for_agent, support, to_args};
use acg_agents::launcher::CANNOT_CONFINE;
use acg_testing::model_api::MockModel;

use crate::kit::{is_alive, until, write};

/// A working directory, something beside it, and the home of a gateway.
struct Place(tempfile::TempDir);

/// How a program under the launcher ended.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    out: String,
    said: String,
}

#[expect(clippy::print_stderr, reason = "the count of skipped tests is made from these lines")]
fn skipped(why: &str) {
    eprintln!("skipped: {why}");
}

impl Place {
    /// `None`, and a line that says so, where the kernel cannot confine.
    fn new() -> Option<Self> {
        if !support().is_there() {
            skipped(&support().to_string());
            return None;
        }
        let place = Self(tempfile::tempdir().unwrap());
        for name in ["desk", "beside", "home"] {
            std::fs::create_dir(place.0.path().join(name)).unwrap();
        }
        write(&place.at("desk/note"), "42");
        write(&place.at("desk/tool"), "#!/bin/sh\n");
        std::fs::set_permissions(place.at("desk/tool"), PermissionsExt::from_mode(0o755)).unwrap();
        write(&place.at("beside/secret"), "secret");
        write(&place.at("home/gateway.log"), "secret");
        std::os::unix::fs::symlink(place.at("beside/secret"), place.at("desk/link")).unwrap();
        Some(place)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().canonicalize().unwrap().join(name)
    }

    fn needs(&self) -> Needs {
        Needs {
            working_directory: self.at("desk"),
            programs: vec!["/bin/sh".into()],
            temp: Some(std::env::temp_dir()),
            outside: vec![self.at("home")],
            ..Needs::default()
        }
    }

    fn command(&self, confinement: Option<&Confinement>, script: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_acg-launch"));
        command.arg("__launch").args(confinement.into_iter().flat_map(to_args)).args(["--", "/bin/sh", "-c"]);
        command
            .arg(format!("{TRY}\n{script}"))
            .current_dir(self.at("desk"))
            .env("BESIDE", self.at("beside"))
            .env("GATEWAY", self.at("home"))
            .env("PID", std::process::id().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        command
    }

    fn run(&self, confinement: Option<&Confinement>, script: &str) -> Ended {
        ended(self.command(confinement, script))
    }

    fn confined(&self, script: &str) -> Ended {
        self.run(Some(&for_agent(&self.needs()).unwrap()), script)
    }
}

fn ended(mut command: Command) -> Ended {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let output = command.stderr(Stdio::from(std::os::fd::OwnedFd::from(theirs))).output().unwrap();
    drop(command);
    let mut said = String::new();
    std::io::Read::read_to_string(&mut &ours, &mut said).unwrap();
    Ended { code: output.status.code(), out: String::from_utf8(output.stdout).unwrap(), said }
}

/// `try NAME COMMAND…` says whether a command went well.
const TRY: &str = r#"try() { name=$1; shift; if ( "$@" ) >/dev/null 2>&1; then echo "$name: yes"; else echo "$name: no"; fi; }"#;

#[test]
fn files_outside_are_closed_and_those_within_are_open() {
    let Some(place) = Place::new() else { return };
    let script = r#"
        try "read the working directory" cat note
        try "write it" sh -c 'echo x >made && mkdir sub && mv made sub/made && rm sub/made'
        try "run from it" ./tool
        try "read the system" cat /etc/passwd
        try "use /dev/null" sh -c 'echo x >/dev/null && cat /dev/null'
        try "write its own temporary directory" sh -c 'echo x >"$TMPDIR/x"'
        try "read beside" cat "$BESIDE/secret"
        try "list beside" ls "$BESIDE"
        try "make beside" sh -c 'echo x >"$BESIDE/new"'
        try "append beside" sh -c 'echo x >>"$BESIDE/secret"'
        try "truncate beside" truncate -s 0 "$BESIDE/secret"
        try "remove beside" rm -f "$BESIDE/secret"
        try "move in" mv "$BESIDE/secret" stolen
        try "hard link in" ln "$BESIDE/secret" stolen
        try "move out" mv note "$BESIDE/note"
        try "through a link" cat link
        try "through a link of its own" sh -c 'ln -s "$BESIDE/secret" mine && cat mine'
        try "through /proc" cat "/proc/self/root$BESIDE/secret"
        try "in a child's child" sh -c 'sh -c "cat $BESIDE/secret"'
        try "in a session of its own" setsid -w cat "$BESIDE/secret"
        try "the gateway's home" cat "$GATEWAY/gateway.log"
        try "list the gateway's home" ls "$GATEWAY"
        try "what others have in /tmp" ls /tmp
        try "the terminal" sh -c ': </dev/tty'
        try "make a device" mknod null c 1 3
        true
    "#;
    let seen = place.confined(script);
    assert_eq!((seen.code, seen.said.as_str()), (Some(0), ""));
    insta::assert_snapshot!(seen.out, @"
    read the working directory: yes
    write it: yes
    run from it: yes
    read the system: yes
    use /dev/null: yes
    write its own temporary directory: yes
    read beside: no
    list beside: no
    make beside: no
    append beside: no
    truncate beside: no
    remove beside: no
    move in: no
    hard link in: no
    move out: no
    through a link: no
    through a link of its own: no
    through /proc: no
    in a child's child: no
    in a session of its own: no
    the gateway's home: no
    list the gateway's home: no
    what others have in /tmp: no
    the terminal: no
    make a device: no
    ");
    assert_eq!(std::fs::read_to_string(place.at("beside/secret")).unwrap(), "secret");
    let free = place.run(None, r#"try "read beside" cat "$BESIDE/secret"; try "list" ls "$GATEWAY" /tmp"#);
    assert_eq!(free.out, "read beside: yes\nlist: yes\n", "it is the confinement that closes them");
}

#[test]
fn other_processes_are_closed() {
    let Some(place) = Place::new() else { return };
    let script = r#"
        try "its environment" cat "/proc/$PID/environ"
        try "its memory" dd if="/proc/$PID/mem" count=0
        try "its files" readlink "/proc/$PID/fd/1"
        try "its directory" ls "/proc/$PID/cwd/"
        try "its root" ls "/proc/$PID/root/"
        try "a signal to it" kill -0 "$PID"
        try "a signal to the launcher" kill -0 "$PPID"
        try "a signal to itself" kill -0 "$$"
        grep NoNewPrivs /proc/self/status
    "#;
    // Other walls (Yama) may close its memory to everybody but its parents.
    let free = place.run(None, script).out;
    for open in
        ["its environment: yes", "a signal to it: yes", "a signal to the launcher: yes", "NoNewPrivs:\t0"]
    {
        assert!(free.contains(open), "it is the confinement that closes them: {free}");
    }
    let confined = place.confined(script).out;
    if support().gaps().is_empty() {
        insta::assert_snapshot!(confined, @"
        its environment: no
        its memory: no
        its files: no
        its directory: no
        its root: no
        a signal to it: no
        a signal to the launcher: no
        a signal to itself: yes
        NoNewPrivs:	1
        ");
    }
}

#[test]
fn a_program_with_the_setuid_bit_gives_nothing() {
    let Some(place) = Place::new() else { return };
    if !rustix::process::geteuid().is_root() {
        skipped("only root can make a program of another user's");
        return;
    }
    let id = place.at("desk/id");
    std::fs::copy(["/usr/bin/id", "/bin/id"].iter().find(|id| Path::new(id).exists()).unwrap(), &id).unwrap();
    std::os::unix::fs::chown(&id, Some(65534), None).unwrap();
    std::fs::set_permissions(&id, PermissionsExt::from_mode(0o4755)).unwrap();
    std::fs::set_permissions(place.0.path(), PermissionsExt::from_mode(0o755)).unwrap();
    assert_eq!(place.run(None, "./id -u").out, "65534\n");
    assert_eq!(place.confined("./id -u").out, "0\n");
}

#[test]
fn limits_are_set_and_never_raised() {
    let Some(place) = Place::new() else { return };
    let mut confinement = for_agent(&place.needs()).unwrap();
    confinement.limits.open_files = Some(64);
    confinement.limits.file_size = Some(4096);
    let script = r#"
        echo "$(ulimit -Hc) $(ulimit -c) $(ulimit -Hn)"
        try "a small file" dd if=/dev/zero of=small bs=4096 count=1
        try "a large file" dd if=/dev/zero of=large bs=4096 count=2
        ulimit -c unlimited 2>/dev/null || echo "not raised"
    "#;
    let seen = place.run(Some(&confinement), script).out;
    let lines: Vec<&str> = seen.lines().take(3).collect();
    assert_eq!(lines, ["0 0 64", "a small file: yes", "a large file: no"], "{seen}");
    if !rustix::process::geteuid().is_root() {
        assert!(seen.ends_with("not raised\n"), "{seen}");
    }
    confinement.limits.open_files = Some(u64::MAX);
    let most = place.run(None, "ulimit -Hn").out;
    assert_eq!(place.run(Some(&confinement), "ulimit -Hn").out, most);
}

#[test]
fn what_cannot_be_confined_is_not_started() {
    let Some(place) = Place::new() else { return };
    let good = for_agent(&place.needs()).unwrap();
    let with = |change: &dyn Fn(&mut Confinement)| {
        let mut confinement = good.clone();
        change(&mut confinement);
        let seen = place.run(Some(&confinement), "echo ran; echo x >ran");
        assert!(!place.at("desk/ran").exists(), "it ran: {seen:?}");
        assert_eq!((seen.code, seen.out.as_str()), (Some(i32::from(CANNOT_CONFINE)), ""), "{seen:?}");
        seen.said.replace(place.at("").to_str().unwrap(), "PLACE/")
    };
    insta::assert_snapshot!(
        with(&|confinement| confinement.read.push(place.at("none"))),
        @"/bin/sh is not started: it cannot be confined: PLACE/none cannot be opened: No such file or directory (os error 2)"
    );
    // Put there after the rules were made.
    insta::assert_snapshot!(
        with(&|confinement| confinement.write.push(place.at("desk/link"))),
        @"/bin/sh is not started: it cannot be confined: PLACE/desk/link cannot be opened: Too many levels of symbolic links (os error 40)"
    );
    let no_temp = with(&|confinement| {
        if let Some(temp) = &mut confinement.temp {
            temp.parent = place.at("none");
        }
    });
    assert!(no_temp.starts_with("/bin/sh is not started: it cannot be confined: "), "{no_temp}");
    let mut wrong = Command::new(env!("CARGO_BIN_EXE_acg-launch"));
    wrong.args(["__launch", "--confine", "--reed", "/", "--", "/bin/sh"]);
    assert_eq!(ended(wrong).code, Some(2));
}

#[test]
fn exit_codes_pass_through() {
    let Some(place) = Place::new() else { return };
    let seen = place.confined("echo out; echo err >&2; exit 7");
    assert_eq!((seen.code, seen.out.as_str(), seen.said.as_str()), (Some(7), "out\n", "err\n"));
    assert_eq!(place.confined("kill -9 $$").code, Some(137));
    let mut command = Command::new(env!("CARGO_BIN_EXE_acg-launch"));
    command.arg("__launch").args(to_args(&for_agent(&place.needs()).unwrap())).args(["--", "/nowhere/agent"]);
    let seen = ended(command);
    assert_eq!(seen.code, Some(127));
    assert!(seen.said.starts_with("/nowhere/agent cannot be started: "), "{seen:?}");
}

#[tokio::test]
async fn the_temporary_directory_is_private_and_ends_with_the_agent() {
    let Some(place) = Place::new() else { return };
    let seen = place.confined(
        r#"echo "$TMPDIR"; stat -c %a "$TMPDIR"; mkdir "$TMPDIR/a"; ln -s "$BESIDE" "$TMPDIR/a/b""#,
    );
    let (temp, mode) = seen.out.trim().split_once('\n').unwrap();
    assert_eq!(mode, "700");
    assert!(!Path::new(temp).exists() && place.at("beside/secret").exists());

    // The gateway lets go while it runs, with a child that left the group.
    let confinement = for_agent(&place.needs()).unwrap();
    let script = r#"trap '' TERM; setsid sleep 765431 & echo "$TMPDIR $!" >note; while :; do sleep 1; done"#;
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let mut command = place.command(Some(&confinement), script);
    let mut launcher = command.stderr(Stdio::from(std::os::fd::OwnedFd::from(theirs))).spawn().unwrap();
    drop(command);
    let (temp, sleep) = until("the agent to start", || {
        let note = std::fs::read_to_string(place.at("desk/note")).ok()?;
        let (temp, sleep) = note.trim().split_once(' ')?;
        Some((PathBuf::from(temp), sleep.parse::<i32>().ok()?))
    })
    .await;
    assert!(temp.is_dir() && is_alive(sleep));
    drop(ours);
    launcher.wait().unwrap();
    assert!(!temp.exists() && !is_alive(sleep));
}

/// What Claude Code must write of its own directory. Not the rest: its settings name programs that another
/// process of Claude, an unconfined one, would run.
const STATE: &[&str] = &["projects", "session-env", "sessions", "shell-snapshots"];

/// The real program, run once for each prompt.
struct Claude {
    place: Place,
    program: PathBuf,
    model: MockModel,
}

impl Claude {
    async fn new() -> Option<Self> {
        let program = acg_testing::tools::require("claude")?;
        let place = Place::new()?;
        for name in STATE {
            std::fs::create_dir_all(place.at("person/.claude").join(name)).unwrap();
        }
        write(&place.at("person/private"), "secret");
        Some(Self { place, program, model: MockModel::start().await })
    }

    /// What the tool answered.
    async fn tool(&self, tool: &str, input: &serde_json::Value) -> String {
        let needs = Needs {
            state: STATE.iter().map(|name| self.place.at("person/.claude").join(name)).collect(),
            read: vec![self.place.at("person/.claude")],
            programs: vec![self.program.clone()],
            temp_variables: vec!["CLAUDE_CODE_TMPDIR".into()],
            ..self.place.needs()
        };
        let prompt = format!("[[tool:{tool} {input}]]");
        let mut command = Command::new(env!("CARGO_BIN_EXE_acg-launch"));
        command
            .arg("__launch")
            .args(to_args(&for_agent(&needs).unwrap()))
            .arg("--")
            .arg(&self.program)
            .args(["-p", "--permission-mode=default", "--allowedTools=Bash,Read,Write", &prompt])
            .current_dir(self.place.at("desk"))
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.place.at("person"))
            .env("CLAUDE_CONFIG_DIR", self.place.at("person/.claude"))
            .env("ANTHROPIC_BASE_URL", self.model.url())
            .env("ANTHROPIC_API_KEY", "sk-ant-mock")
            .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
            .env("DISABLE_AUTOUPDATER", "1")
            .env("CLAUDE_CODE_MAX_RETRIES", "1")
            .stdin(Stdio::null());
        let seen = tokio::task::spawn_blocking(|| ended(command)).await.unwrap();
        assert_eq!(seen.code, Some(0), "{seen:?}");
        let asked = |request: &acg_testing::model_api::Request| {
            request.prompt() == prompt && !request.tool_results().is_empty()
        };
        self.model.wait_for("the result", asked).await.tool_results()[0].text.clone()
    }
}

#[tokio::test]
async fn the_real_claude_works_confined_and_its_tools_reach_nothing_else() {
    let Some(claude) = Claude::new().await else { return };
    let bash = |command: &str| serde_json::json!({ "command": command });
    let at = |name: &str| claude.place.at(name).display().to_string();
    assert_eq!(claude.tool("Bash", &bash("cat note && echo x >made")).await, "42");
    assert!(claude.place.at("desk/made").exists());
    let read = claude.tool("Read", &serde_json::json!({ "file_path": at("desk/note") })).await;
    assert!(read.contains("42"), "{read}");

    let paths = ["person/private", "home/gateway.log", "beside/secret"];
    for path in paths {
        let said = claude.tool("Bash", &bash(&format!("cat {}", at(path)))).await;
        assert!(said.contains("Permission denied") && !said.contains("secret\n"), "{said}");
    }
    let said = claude.tool("Read", &serde_json::json!({ "file_path": at("home/gateway.log") })).await;
    assert!(said.contains("permission denied"), "{said}");
    let input = serde_json::json!({ "file_path": at("beside/new"), "content": "x" });
    let said = claude.tool("Write", &input).await;
    assert!(said.contains("permission denied"), "{said}");
    assert!(!claude.place.at("beside/new").exists());
    for name in ["settings.json", "CLAUDE.md", ".claude.json"] {
        let path = at(&format!("person/.claude/{name}"));
        // In a script: Claude itself asks about what it sees.
        write(&claude.place.at("desk/script"), &format!("echo x >{path}"));
        let said = claude.tool("Bash", &bash("sh ./script")).await;
        assert!(said.contains("Permission denied"), "{said}");
    }
    let kept = std::fs::read_dir(claude.place.at("person/.claude/projects")).unwrap();
    assert_eq!(kept.count(), 1, "its session is kept");
}
