//! One case: people speak, the gateway dies at a point, comes back, and all is judged when it is quiet.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt as _;
use std::sync::Arc;
use std::time::Duration;

use acg_chaos::desk::Desk;
use acg_chaos::gateway::{Gateway, Orders};
use acg_chaos::journal::What;
use acg_chaos::speech::{Task, Verb, tasks};
use acg_fault::{Plant, Point};
use rustix::process::{Pid, test_kill_process};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use super::audit::{self, Expected, Fate, Faults};
use super::stage::{Held, Platform, ROOMS, Stage};

/// Cases that run at the same time: each is a gateway, its agents and a server.
static SLOTS: Semaphore = Semaphore::const_new(4);
/// Longest wait for anything, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_mins(1);
/// The same, where a fault is planted.
const IMPATIENCE: Duration = Duration::from_secs(12);
const LOOK: Duration = Duration::from_millis(20);

/// What happens around the death.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scene {
    /// Three rooms, several messages each, of all kinds; some are said while the gateway is dead.
    Busy,
    /// One message in a room whose session is used already.
    Known,
    /// One message in a room whose session is new.
    New,
    /// The very first run: it is connected and knows no room yet.
    Unlisted,
    /// A message that comes while the one before it waits for people.
    Waiting,
    /// A tool whose question outlives the agent's process, and is answered then.
    Deferred,
    /// A tool that people must allow, in a room whose session is used already.
    Tool,
}

/// How the gateway dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Death {
    /// By its own hand at a point, after it has passed there so many times.
    At(Point, u64),
    /// By ours, while a post of which it knows no outcome is under way.
    Posting(Held),
}

/// One row of the matrix.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    pub(super) platform: Platform,
    pub(super) scene: Scene,
    pub(super) death: Death,
    /// The policy for turns that were cut off.
    pub(super) interrupted: &'static str,
    /// The policy for posts of which nobody knows whether they arrived.
    pub(super) resend: &'static str,
    /// A fault that is in the program, to see that it is found.
    pub(super) plant: Option<Plant>,
}

impl Case {
    pub(super) const fn new(platform: Platform, scene: Scene, death: Death) -> Self {
        Self { platform, scene, death, interrupted: "resume", resend: "mark", plant: None }
    }

    pub(super) const fn interrupted(self, interrupted: &'static str) -> Self {
        Self { interrupted, ..self }
    }

    pub(super) const fn resend(self, resend: &'static str) -> Self {
        Self { resend, ..self }
    }

    pub(super) const fn planted(self, plant: Plant) -> Self {
        Self { plant: Some(plant), ..self }
    }

    /// Longest wait for anything. A planted fault may well be that something never comes.
    fn patience(&self) -> Duration {
        if self.plant.is_some() { IMPATIENCE } else { PATIENCE }
    }

    /// What the gateway is told besides how to die.
    fn orders(&self) -> Orders {
        Orders { plants: self.plant.into_iter().collect(), ..Orders::default() }
    }

    /// Whether somebody must be told that it is not known what became of a post.
    fn leaves_doubt(&self) -> bool {
        let in_doubt = matches!(
            self.death,
            Death::At(Point::AttemptStored | Point::PostConfirmed, _) | Death::Posting(_)
        );
        self.platform == Platform::Script && in_doubt
    }
}

/// A case under way.
pub(super) struct Run {
    case: Case,
    stage: Stage,
    desk: Arc<Desk>,
    gateway: Gateway,
    /// What was asked for, by room, in order.
    asked: Vec<(&'static str, Task)>,
    /// Questions that bob has answered.
    approved: BTreeSet<String>,
    /// Whether bob is there.
    approving: bool,
    /// What the agent had not heard of when the gateway died.
    unheard: BTreeSet<String>,
    /// How many posts `status` says are in doubt.
    ambiguous: u64,
}

/// Runs a case to its end.
pub(super) async fn check(case: Case) {
    let _slot = SLOTS.acquire().await.unwrap();
    let stage = Stage::open(case.platform).await;
    let config = format!(
        "{connector}agents:\n  claude:\n    type: claude\n    command: $AGENT\n    working_directory: work\n    timeout: 400\n    permissions:\n      enabled: true\n      hold: {hold}\n    owner_allowed_tools:\n      - tool: read\nmax_concurrent_turns: 8\ndrain_timeout: 20\ninterrupted: {interrupted}\nresend: {resend}\nwatchers:\n{watchers}",
        connector = stage.connector(),
        hold = if case.scene == Scene::Deferred { "200ms" } else { "2m" },
        interrupted = case.interrupted,
        resend = case.resend,
        watchers = ROOMS.map(|room| format!("  - name: {room}\n    room: {room}\n")).concat(),
    );
    let desk = Arc::new(Desk::new(&config).unwrap());
    let known = matches!(case.scene, Scene::Known | Scene::Deferred | Scene::Tool);
    let kill = match case.death {
        Death::At(point, passes) => Some((point, passes + 1)),
        Death::Posting(_) => None,
    };
    let deadly = Orders { kill, ..case.orders() };
    let first = if known { case.orders() } else { deadly.clone() };
    stage.hide_rooms(case.scene == Scene::Unlisted);
    let gateway = stage.start(&desk, first);
    let mut run = Run {
        case,
        stage,
        desk,
        gateway,
        asked: Vec::new(),
        approved: BTreeSet::new(),
        approving: !matches!(case.scene, Scene::Deferred | Scene::Waiting),
        unheard: BTreeSet::new(),
        ambiguous: 0,
    };
    run.connected().await;
    if known {
        run.ask("north", "say m0");
        run.until_answered().await;
        run.stop().await;
        run.gateway = run.stage.start(&run.desk, deadly);
        run.connected().await;
    }
    if let Death::Posting(held) = case.death {
        run.stage.hold(Some(held));
    }
    run.speak().await;
    run.until_killed().await;
    run.stage.hold(None);
    run.stage.hide_rooms(false);
    run.speak_to_nobody();
    run.gateway = run.stage.start(&run.desk, case.orders());
    run.connected().await;
    run.approving = true;
    run.ask("south", "say n1");
    run.until_answered().await;
    run.stop().await;
    run.judge();
}

impl Run {
    fn ask(&mut self, room: &'static str, words: &str) {
        self.asked.extend(tasks(words).into_iter().map(|task| (room, task)));
        self.stage.say(room, "alice", words);
    }

    /// What is said before the death.
    async fn speak(&mut self) {
        match self.case.scene {
            Scene::Busy => {
                self.stage.chat("north", "gina", "good morning to all of you");
                for (room, words) in [
                    ("north", "say m1"),
                    ("south", "slow m2"),
                    ("west", "tool m3"),
                    ("north", "long m4"),
                    ("south", "free m5"),
                    ("west", "say m6"),
                    ("north", "say m7"),
                    ("south", "tool m8"),
                ] {
                    self.ask(room, words);
                }
            }
            Scene::Known | Scene::New | Scene::Unlisted => self.ask("north", "slow m1"),
            Scene::Tool => self.ask("north", "tool m1"),
            Scene::Waiting => {
                self.ask("north", "tool m1");
                let asked = |run: &mut Self| !audit::questions(&run.stage.posts("north")).is_empty();
                self.until("the question", asked).await;
                self.ask("north", "say m2");
            }
            Scene::Deferred => {
                self.ask("north", "tool m1");
                let deferred = |run: &mut Self| {
                    let journal = run.desk.journal().unwrap();
                    journal.iter().any(|entry| matches!(entry.what, What::Deferred { .. }))
                };
                self.until("the call to be deferred", deferred).await;
                self.approving = true;
            }
        }
    }

    /// What is said while nothing listens.
    fn speak_to_nobody(&mut self) {
        if self.case.scene == Scene::Busy {
            self.ask("north", "say d1");
            self.ask("west", "free d2");
        }
    }

    async fn connected(&mut self) {
        if let Err(error) = self.gateway.until_connected(self.case.patience()).await {
            self.fail(&error.to_string());
        }
    }

    /// Waits for something, while bob approves what he is asked.
    async fn until(&mut self, what: &str, mut is_so: impl FnMut(&mut Self) -> bool) {
        let deadline = Instant::now() + self.case.patience();
        while !is_so(self) {
            if Instant::now() > deadline {
                self.fail(&format!("waited in vain for {what}"));
            }
            self.approve();
            sleep(LOOK).await;
        }
    }

    fn approve(&mut self) {
        if !self.approving {
            return;
        }
        for room in ROOMS {
            let posts = audit::as_read(&self.stage.posts(room));
            let text = audit::text_of(&posts);
            for (code, post) in audit::questions(&posts) {
                if audit::closings(&text, &code) == 0 && self.approved.insert(code.clone()) {
                    self.stage.reply(room, "bob", &post, &format!("approve {code}"));
                }
            }
        }
    }

    async fn until_killed(&mut self) {
        if let Death::Posting(held) = self.case.death {
            self.until_posting(held).await;
            self.gateway.kill().await.unwrap();
        }
        let what = format!("the death: {:?}", self.case.death);
        self.until(&what, |run| run.gateway.has_ended().unwrap().is_some()).await;
        let status = self.gateway.has_ended().unwrap().unwrap();
        if status.signal() != Some(9) {
            self.fail(&format!("it was to be killed and ended with {status}"));
        }
        self.agents_end().await;
        for (task, fate) in self.fates() {
            if task.verb == Verb::Slow && matches!(fate, Fate::Half(_)) {
                self.fail(&format!("half an answer is shown: `{}`", task.words()));
            }
        }
        let journal = self.desk.journal().unwrap();
        let heard: BTreeSet<String> = journal
            .iter()
            .filter_map(|entry| match &entry.what {
                What::Prompt { text } => Some(tasks(text)),
                _ => None,
            })
            .flatten()
            .map(|task| task.mark)
            .collect();
        self.unheard = self
            .asked
            .iter()
            .map(|(_, task)| task.mark.clone())
            .filter(|mark| !heard.contains(mark))
            .collect();
    }

    /// Nothing of the dead gateway may work on beside the next one.
    async fn agents_end(&mut self) {
        let lives = |run: &mut Self| {
            let journal = run.desk.journal().unwrap();
            let pids = journal.iter().filter_map(|entry| Pid::from_raw(entry.pid.cast_signed()));
            !pids.into_iter().any(|pid| test_kill_process(pid).is_ok())
        };
        self.until("the agents of the dead gateway to end", lives).await;
    }

    async fn until_posting(&mut self, held: Held) {
        let deadline = Instant::now() + self.case.patience();
        while !self.stage.holds_one(held, self.passed(Point::AttemptStored)).await {
            if Instant::now() > deadline {
                self.fail("waited in vain for a post that is not answered");
            }
            sleep(LOOK).await;
        }
    }

    /// How often a point was passed so far.
    fn passed(&self, point: Point) -> u64 {
        self.desk.points().get(point.name()).copied().unwrap_or_default()
    }

    fn fates(&self) -> Vec<(Task, Fate)> {
        let rooms = ROOMS.map(|room| (room, audit::text_of(&audit::as_read(&self.stage.posts(room)))));
        let text = |name: &str| rooms.iter().find(|(room, _)| *room == name).map_or("", |(_, text)| text);
        self.asked.iter().map(|(room, task)| (task.clone(), audit::fate(text(room), task))).collect()
    }

    /// What may be without an answer: a turn that is given up in words, or silently by policy. With `resume` that is
    /// one whose prompt the agent never got, in a session that it therefore does not know.
    fn may_be_left(&self, room: &str) -> BTreeSet<String> {
        let text = audit::text_of(&self.stage.posts(room));
        let told = audit::given_up(&text) == 1;
        match (self.case.interrupted, self.case.scene) {
            ("resume", _) if told => self.unheard.clone(),
            ("ask", _) if told => BTreeSet::from(["m1".to_owned()]),
            ("drop", _) => BTreeSet::from(["m1".to_owned()]),
            _ => BTreeSet::new(),
        }
    }

    /// Waits until every request has its answer, and nothing is under way any more.
    async fn until_answered(&mut self) {
        // What is not known to have arrived is never answered for certain: then rest is all there is to wait for.
        let for_certain = self.case.resend != "never";
        let all = |run: &mut Self| {
            if let Some(status) = run.gateway.has_ended().unwrap() {
                run.fail(&format!("the gateway ended ({status})"));
            }
            let left: BTreeSet<String> = ROOMS.iter().flat_map(|room| run.may_be_left(room)).collect();
            let is_answered =
                |(task, fate): &(Task, Fate)| matches!(fate, Fate::Answered(_)) || left.contains(&task.mark);
            run.stage.is_heard() && (!for_certain || run.fates().iter().all(is_answered))
        };
        self.until("every answer", all).await;
        let deadline = Instant::now() + self.case.patience();
        loop {
            self.approve();
            let status = self.desk.status().await.unwrap();
            let queues = &status["queues"];
            let busy = ["inbox_waiting", "inbox_running", "outbox_pending"];
            if busy.iter().all(|name| queues[name] == 0) {
                self.ambiguous = queues["outbox_ambiguous"].as_u64().unwrap();
                return;
            }
            if Instant::now() > deadline {
                self.fail(&format!("it does not come to rest: {status}"));
            }
            sleep(LOOK).await;
        }
    }

    /// Stops it in order, so that nothing can come any more.
    async fn stop(&mut self) {
        if let Err(error) = self.gateway.stop(self.case.patience()).await {
            self.fail(&error.to_string());
        }
    }

    fn judge(&self) {
        let mut faults = Faults::default();
        let mut marked = 0;
        for room in ROOMS {
            let tasks: Vec<Task> =
                self.asked.iter().filter(|(other, _)| *other == room).map(|(_, task)| task.clone()).collect();
            let left = self.may_be_left(room);
            let expected = Expected { room, tasks: &tasks, may_be_left: &left };
            let posts = self.stage.posts(room);
            marked += audit::marked(&posts);
            let found = audit::room_faults(&expected, &posts);
            faults.missing.extend(found.missing);
            faults.wrong.extend(found.wrong);
        }
        // A post that may be missing is counted where people look for it, and each is one.
        let in_doubt = if self.case.resend == "never" { self.ambiguous } else { 0 };
        if faults.missing.len() as u64 <= in_doubt {
            faults.missing.clear();
        }
        let mut wrong = faults.wrong;
        wrong.extend(faults.missing);
        wrong.extend(audit::journal_faults(&self.desk.journal().unwrap(), &self.fates()));
        wrong.extend(self.doubt_faults(marked));
        wrong.extend(self.note_faults());
        wrong.extend(self.policy_faults());
        if let Death::At(point, passes) = self.case.death
            && self.passed(point) <= passes
        {
            wrong.push(format!("the point was reached {} times", self.passed(point)));
        }
        if !wrong.is_empty() {
            self.fail(&wrong.join("\n"));
        }
    }

    /// Whether a turn that is not to be gone on with was left alone, and the room told or not.
    fn policy_faults(&self) -> Vec<String> {
        let expected = match self.case.interrupted {
            "ask" => 1,
            "drop" => 0,
            _ => return Vec::new(),
        };
        let text = audit::text_of(&self.stage.posts("north"));
        let answered = self.fates().iter().any(|(task, fate)| task.mark == "m1" && *fate != Fate::Nothing);
        if audit::given_up(&text) == expected && !answered {
            return Vec::new();
        }
        vec![format!(
            "by `{}` the turn is not gone on with, and the room is told {expected} times",
            self.case.interrupted
        )]
    }

    /// Whether an agent whose tool had run before the death was told so, and not given its prompt once more.
    fn note_faults(&self) -> Vec<String> {
        let killed_after = self.case.death == Death::At(Point::TurnEnding, 0);
        if self.case.scene != Scene::Tool || !killed_after {
            return Vec::new();
        }
        let journal = self.desk.journal().unwrap();
        let texts = journal.iter().filter_map(|entry| match &entry.what {
            What::Prompt { text } if text.contains("tool m1") => Some(text),
            _ => None,
        });
        let texts: Vec<&String> = texts.collect();
        let told = texts.len() == 2 && texts[1].contains("Tool calls so far: Bash (finished)");
        if told { Vec::new() } else { vec![format!("the agent was not told what it had done: {texts:?}")] }
    }

    /// Whether a post of unknown outcome is told of where it must be, and nowhere else.
    fn doubt_faults(&self, marked: usize) -> Vec<String> {
        let mut faults = Vec::new();
        let mut must = |is_so: bool, what: &str| {
            if !is_so {
                faults.push(format!("{what} ({marked} marked, {} in doubt by status)", self.ambiguous));
            }
        };
        let may_mark = self.case.platform == Platform::Script && self.case.resend == "mark";
        must(may_mark || marked == 0, "a post is marked as sent again");
        must(self.case.platform == Platform::Script || self.ambiguous == 0, "a post is said to be in doubt");
        if self.case.leaves_doubt() {
            must(self.ambiguous > 0, "status does not tell of a post in doubt");
            must(!may_mark || marked > 0, "no post is marked as sent again");
            let logged = self.desk.log().contains("It is not known whether this part was posted.");
            must(logged, "the log does not tell of a post in doubt");
        }
        faults
    }

    /// Ends the test with everything that is known.
    fn fail(&self, why: &str) -> ! {
        let rooms: Vec<String> = ROOMS
            .iter()
            .flat_map(|room| {
                let short = |text: &str| text.chars().take(160).collect::<String>();
                self.stage
                    .posts(room)
                    .into_iter()
                    .map(move |post| format!("#{room}: {:?}", short(&post.text)))
            })
            .collect();
        let journal: Vec<String> = self
            .desk
            .journal()
            .unwrap_or_default()
            .iter()
            .map(|entry| format!("{} {} {:?}", entry.pid, entry.session, entry.what))
            .collect();
        panic!(
            "{:?}\n{why}\n--- rooms\n{}\n--- journal\n{}\n--- points {:?}\n--- log\n{}",
            self.case,
            rooms.join("\n"),
            journal.join("\n"),
            self.desk.points(),
            self.desk.log_tail()
        )
    }
}
