//! The real binary while its disk takes nothing: on a file system that is really full, and under a limit of the kernel
//! that fails the same writes where no file system may be mounted.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use acg_testing::rocketchat::{AddUser, FakeServer, Options};
use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use serde_json::Value;

use crate::harness::{Guarded, PASSWORD, TestHome, wait_for};

/// How the disk is made to take nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Means {
    /// A small file system in memory, mounted for the gateway alone, and a file that fills it.
    FileSystem,
    /// No file may get longer.
    Limit,
}

struct Place {
    home: TestHome,
    server: FakeServer,
    alice: String,
    bot: String,
    room: String,
    means: Means,
    gateway: Guarded,
}

/// Whether a file system may be mounted here, and how; else why not.
fn mounts() -> Result<&'static [&'static str], String> {
    let place = tempfile::tempdir().unwrap();
    let mut reasons = String::new();
    // In a name space of our own for everybody who may have one; in root's for root.
    for words in [&["unshare", "-rm"][..], &["unshare", "-m"]] {
        let output = Command::new(words[0])
            .args(&words[1..])
            .args(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs"])
            .arg(place.path())
            .output();
        match output {
            Ok(output) if output.status.success() => return Ok(words),
            Ok(output) => reasons.push_str(&String::from_utf8_lossy(&output.stderr)),
            Err(error) => reasons.push_str(&error.to_string()),
        }
    }
    Err(reasons.trim().replace('\n', "; "))
}

impl Place {
    async fn new(means: Means, prefix: &[&str]) -> Self {
        let server = FakeServer::start(Options::default()).await;
        let world = server.world();
        let alice = world.add_user("alice", AddUser::password("x"));
        let bot = world.add_user("bot", AddUser::bot(PASSWORD));
        let room = world.add_channel("general", &[&alice, &bot]);
        let home = TestHome::new();
        fs::create_dir_all(home.root().join("work")).unwrap();
        fs::create_dir_all(home.path()).unwrap();
        home.write(
            "config.yaml",
            &format!(
                "dialect: '0.5'\ncollect: false\nconnectors:\n- name: rc\n  type: rocketchat\n  server: {{url: '{}', \
                 username: bot, password: '{PASSWORD}'}}\n  allowed_users: {{owners: [alice]}}\nagents:\n  demo: \
                 {{type: demo, pace: 0, working_directory: work}}\nwatchers:\n- {{connector: rc, room: general}}\n",
                server.url()
            ),
        );
        let script = match means {
            Means::FileSystem => "mount -t tmpfs -o size=4m,mode=700 tmpfs \"$1\" && shift && exec \"$@\"",
            // What is written beyond the limit fails, instead of killing the process.
            Means::Limit => "trap '' XFSZ; shift; exec \"$@\"",
        };
        let plain = home.command(&["run"]);
        let mut words: Vec<std::ffi::OsString> = prefix.iter().map(Into::into).collect();
        words.extend(["sh", "-c", script, "sh"].map(Into::into));
        words.extend([home.path().into_os_string(), plain.get_program().to_owned()]);
        words.extend(plain.get_args().map(ToOwned::to_owned));
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).current_dir(home.root()).stdin(Stdio::null()).stdout(Stdio::null());
        command.env_clear().envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").process_group(0);
        command.stderr(fs::File::create(home.root().join("stderr")).unwrap());
        let gateway = Guarded(command.spawn().unwrap());
        Self { home, server, alice, bot, room, means, gateway }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.gateway.0)
    }

    /// The home as the gateway sees it.
    fn inside(&self) -> PathBuf {
        match self.means {
            Means::FileSystem => {
                let root = format!("/proc/{}/root", self.gateway.0.id());
                Path::new(&root).join(self.home.path().strip_prefix("/").unwrap())
            }
            Means::Limit => self.home.path(),
        }
    }

    fn status(&self) -> Option<Value> {
        let output =
            self.home.command(&["status", "--json", "--home", self.inside().to_str()?]).output().ok()?;
        let answer: Value = serde_json::from_slice(&output.stdout).ok()?;
        answer["status"].is_object().then(|| answer["status"].clone())
    }

    fn fill(&self) {
        match self.means {
            Means::FileSystem => {
                let filler = self.inside().join("filler");
                // Down to the last byte.
                for size in [64 * 1024, 4096, 1] {
                    let block = vec![b'x'; size];
                    let mut file = fs::OpenOptions::new().append(true).create(true).open(&filler).unwrap();
                    while std::io::Write::write_all(&mut file, &block).is_ok() {}
                }
            }
            Means::Limit => {
                let longest = fs::metadata(self.inside().join("gateway.db-wal")).unwrap().len();
                self.limit(Some(longest));
            }
        }
    }

    fn free(&self) {
        match self.means {
            Means::FileSystem => fs::remove_file(self.inside().join("filler")).unwrap(),
            Means::Limit => self.limit(None),
        }
    }

    fn limit(&self, bytes: Option<u64>) {
        prlimit(Some(self.pid()), Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
    }

    fn say(&self, text: &str) {
        self.server.world().say(&self.alice, &self.room, &format!("@bot {text}"));
    }

    /// How often this was answered.
    fn answers(&self, word: &str) -> usize {
        let messages = self.server.world().messages(&self.room);
        let posted = messages.iter().filter(|message| message.user == self.bot);
        posted.filter(|message| message.text.contains(word)).count()
    }

    fn stderr(&self) -> String {
        fs::read_to_string(self.home.root().join("stderr")).unwrap()
    }
}

async fn survives(means: Means, prefix: &[&str]) {
    let mut place = Place::new(means, prefix).await;
    tokio::task::block_in_place(|| {
        wait_for("the gateway to connect", || {
            place.status().is_some_and(|status| status["connectors"][0]["link"] == "connected")
        });
        place.say("before");
        wait_for("an answer", || place.answers("before") == 1);

        place.fill();
        for word in ["during1", "during2", "during3"] {
            place.say(word);
        }
        wait_for("the full disk in status", || {
            place.status().is_some_and(|status| status["storage"].is_string())
        });
        let text = place.home.run(&["status", "--home", place.inside().to_str().unwrap()]).good();
        assert!(text.contains("Storage:  ✗ nothing could be written for"), "{text}");
        assert!(text.contains("free space on the disk"), "{text}");
        assert!(place.stderr().contains("The disk is full or cannot be written"), "{}", place.stderr());
        assert!(place.gateway.0.try_wait().unwrap().is_none(), "it goes on");
        let answered: usize = ["during1", "during2", "during3"].map(|word| place.answers(word)).iter().sum();
        // What found a last bit of room is stored, and may be answered; nothing else is.
        let stored = place.status().unwrap()["queues"]["inbox_waiting"].as_u64().unwrap();
        assert!(answered < 3 && stored < 3, "{answered} answered, {stored} stored on a full disk");

        place.free();
        for word in ["during1", "during2", "during3"] {
            wait_for("what was said meanwhile to be answered", || place.answers(word) > 0);
        }
        place.say("after");
        wait_for("the answer to what came later", || place.answers("after") > 0);
        wait_for("status to be well again", || {
            place.status().is_some_and(|status| status["storage"].is_null())
        });
        assert!(place.stderr().contains("The disk can be written again."), "{}", place.stderr());
        for word in ["before", "during1", "during2", "during3", "after"] {
            assert_eq!(place.answers(word), 1, "{word}");
        }
        rustix::process::kill_process(place.pid(), Signal::TERM).unwrap();
        wait_for("the gateway to stop", || place.gateway.0.try_wait().unwrap().is_some());
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_file_system_is_survived_and_reported() {
    match mounts() {
        Ok(prefix) => survives(Means::FileSystem, prefix).await,
        Err(reason) => {
            // The count of skipped tests is made from these lines.
            eprintln!("skipped: no file system may be mounted here ({reason}), only the limit is tested");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_that_fail_are_survived_and_reported_without_a_file_system_of_ones_own() {
    survives(Means::Limit, &[]).await;
}
