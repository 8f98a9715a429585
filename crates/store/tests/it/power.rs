//! Kills and power cuts: what was answered is there, and what is cut off is as if it had never been.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use acg_store::{AcceptOutcome, InboxState, Store};
use acg_types::{Role, Timestamp};
use proptest::prelude::*;
use rusqlite::Connection;
use tokio::task::JoinSet;

use crate::support::{NOW, message, part, record};

/// Set for the child that is killed: where its database is, and where its names begin.
const CHILD: &str = "ACG_STORE_TEST_CHILD";

/// One message on its whole way, all of which is on the disk when this returns.
async fn answer(store: &Store, name: &str) {
    let room = format!("room {}", name.len() % 3);
    let AcceptOutcome::New(row, conversation) =
        store.accept(message(&room, "agent", name), 0, Some(Timestamp(5)), NOW).await.unwrap()
    else {
        panic!("{name} is not new");
    };
    let turn = store.begin_turn(conversation, &[row], &Role::owner(), NOW).await.unwrap().unwrap();
    store.turn_sent(turn, &"session".into()).await.unwrap();
    store.end_turn(record(turn, vec![part(&room, name, Some(turn))])).await.unwrap();
}

/// The child: answers messages, four at a time, and says so on its standard output after each commit. Not a test of its
/// own: without the variable it does nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_that_writes_until_it_is_killed() {
    let Ok(setting) = std::env::var(CHILD) else { return };
    let (first, path) = setting.split_once(' ').unwrap();
    let store = Store::open(Path::new(path)).unwrap();
    let mut tasks = JoinSet::new();
    for lane in 0..4 {
        let store = store.clone();
        let first = first.to_owned();
        tasks.spawn(async move {
            // Bounded, should nobody kill it.
            for number in 0..5000 {
                let name = format!("{first}-{lane}-{number}");
                answer(&store, &name).await;
                let mut stdout = std::io::stdout().lock();
                stdout.write_all(format!("\nanswered {name}\n").as_bytes()).unwrap();
                stdout.flush().unwrap();
            }
        });
    }
    tasks.join_all().await;
}

/// A number that looks random, the same in every run.
fn scattered(seed: u64, below: u64) -> u64 {
    (seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407) >> 33) % below
}

fn name_in(line: &str) -> Option<String> {
    line.strip_prefix("answered ").map(str::to_owned)
}

#[test]
fn everything_answered_is_there_after_each_of_many_kills() {
    const KILLS: u64 = 30;
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("acg.db");
    let mut answered = Vec::new();
    for kill in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["power::child_that_writes_until_it_is_killed", "--exact", "--nocapture"])
            .env(CHILD, format!("{kill} {}", path.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let before = answered.len();
        let wanted = 1 + usize::try_from(scattered(kill, 60)).unwrap();
        while answered.len() < before + wanted {
            let line = lines.next().expect("the child lives until it is killed").unwrap();
            answered.extend(name_in(&line));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it had said by then, and we had not read.
        answered.extend(lines.map_while(Result::ok).filter_map(|line| name_in(&line)));
        whole(&path, &answered);
    }
    assert!(answered.len() >= usize::try_from(KILLS).unwrap());
}

/// Every answered message is done and its part is there; of the others, every commit is there as a whole or not at all.
fn whole(path: &Path, answered: &[String]) {
    // Opened as the gateway does, which looks for damage after an unclean end.
    drop(Store::open(path).unwrap());
    let raw = Connection::open(path).unwrap();
    let check: String = raw.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
    let names = |sql: &str| -> std::collections::BTreeSet<String> {
        let mut statement = raw.prepare(sql).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let done = names("SELECT message FROM inbox WHERE state = 'done'");
    let parts = names("SELECT part_key FROM outbox");
    assert_eq!(done, parts, "a turn's end and its parts are one commit");
    let ended = names(
        "SELECT i.message FROM inbox i JOIN turns t ON t.id = i.turn WHERE t.state = 'ended' AND t.ended_at IS NOT NULL",
    );
    assert_eq!(done, ended);
    for name in answered {
        assert!(done.contains(name), "{name} was answered and is not there");
    }
}

/// A database with its log as they are on the disk at some moment, and where each commit ends in the log.
struct Moment {
    database: Vec<u8>,
    log: Vec<u8>,
    /// Length of the log when the commit of message n was acknowledged.
    ends: Vec<usize>,
}

const COMMITS: usize = 12;

fn moment() -> Moment {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("acg.db");
        let log = home.path().join("acg.db-wal");
        // All of the schema in the file, so that every cut has it.
        Store::open(&path).unwrap().close().await.unwrap();
        let store = Store::open(&path).unwrap();
        let mut ends = Vec::new();
        for number in 0..COMMITS {
            let outcome =
                store.accept(message("r", "agent", &number.to_string()), 0, None, NOW).await.unwrap();
            assert!(matches!(outcome, AcceptOutcome::New(..)));
            ends.push(usize::try_from(fs::metadata(&log).unwrap().len()).unwrap());
        }
        assert!(ends.windows(2).all(|pair| pair[0] < pair[1]), "each commit made the log longer: {ends:?}");
        Moment { database: fs::read(&path).unwrap(), log: fs::read(&log).unwrap(), ends }
    })
}

/// What the disk may hold behind the last byte that was flushed.
#[derive(Clone, Debug)]
enum Tail {
    Nothing,
    Zeros,
    Noise(u8),
    /// The old bytes, some of them lost.
    Holes(Vec<usize>),
}

fn tail() -> impl Strategy<Value = Tail> {
    prop_oneof![
        Just(Tail::Nothing),
        Just(Tail::Zeros),
        any::<u8>().prop_map(Tail::Noise),
        prop::collection::vec(any::<prop::sample::Index>(), 1..40)
            .prop_map(|holes| Tail::Holes(holes.iter().map(|hole| hole.index(1 << 20)).collect())),
    ]
}

/// The log as the power cut left it.
fn torn(log: &[u8], cut: usize, tail: &Tail) -> Vec<u8> {
    let mut torn = log[..cut].to_vec();
    match tail {
        Tail::Nothing => {}
        Tail::Zeros => torn.resize(log.len(), 0),
        Tail::Noise(seed) => {
            let noise = (cut..log.len()).map(|at| scattered(at as u64 ^ (u64::from(*seed) << 32), 256));
            torn.extend(noise.map(|byte| u8::try_from(byte).unwrap()));
        }
        Tail::Holes(holes) => {
            torn.extend_from_slice(&log[cut..]);
            if cut < log.len() {
                // The first byte behind the cut is lost in any case, else the cut is further on.
                torn[cut] = !torn[cut];
                for hole in holes {
                    let at = cut + hole % (log.len() - cut);
                    torn[at] = 0;
                }
            }
        }
    }
    torn
}

fn left_by(moment: &Moment, log: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("acg.db");
    acg_types::fs::write_private(&path, &moment.database).unwrap();
    acg_types::fs::write_private(&home.path().join("acg.db-wal"), log).unwrap();
    (home, path)
}

/// Which of the messages are there; they must be the first ones.
fn present(path: &Path) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let store = Store::open(path).unwrap();
        let mut there = Vec::new();
        for number in 0..COMMITS {
            let rows =
                store.known(&"rc".into(), &"r".into(), &number.to_string().as_str().into()).await.unwrap();
            assert!(rows.iter().all(|row| row.1 == InboxState::Waiting));
            there.push(rows.len());
        }
        let count = there.iter().sum();
        assert!(there[..count].iter().all(|rows| *rows == 1), "a gap: {there:?}");
        // And it goes on from there.
        store.accept(message("r", "agent", "next"), 0, None, NOW).await.unwrap();
        store.close().await.unwrap();
        count
    })
}

#[test]
fn after_a_power_cut_exactly_the_whole_commits_are_there() {
    let moment = moment();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 150,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let cuts = (0..=moment.log.len(), tail());
    runner
        .run(&cuts, |(cut, tail)| {
            let (_home, path) = left_by(&moment, &torn(&moment.log, cut, &tail));
            let whole = moment.ends.iter().filter(|end| **end <= cut).count();
            let there = present(&path);
            prop_assert_eq!(there, whole, "cut at {} of {}", cut, moment.log.len());
            Ok(())
        })
        .unwrap();
}

/// Around the end of every commit, byte by byte: that is where a fault would hide.
#[test]
fn a_commit_that_lacks_its_last_byte_is_not_there_and_one_that_has_it_is() {
    let moment = moment();
    for (number, end) in moment.ends.iter().enumerate() {
        for (cut, there) in [(end - 1, number), (*end, number + 1)] {
            let (_home, path) = left_by(&moment, &moment.log[..cut]);
            assert_eq!(present(&path), there, "cut at {cut}");
        }
    }
}
