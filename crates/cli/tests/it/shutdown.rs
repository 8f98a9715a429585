//! The two phases of a stop with the real binary: what is posted before the end, what after the next start.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::harness::wait_for;
use crate::rig::Rig;

/// The demo agent says some eighty words in its first turn.
const SECONDS: &str = "0.04";
const MINUTES: &str = "2";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_that_ends_in_time_is_posted_and_what_is_said_meanwhile_waits_for_the_next_start() {
    let rig = Rig::new("", SECONDS).await;
    rig.start();
    rig.say("one");
    wait_for("a turn", || rig.turns() == 1);
    rig.say("waits already");
    wait_for("the message", || rig.figure("inbox_waiting") == 1);
    let mut stop = rig.begin_stop();
    rig.say("said during the drain");
    assert!(stop.0.wait().unwrap().success());
    let posts = rig.posts();
    assert!(posts.len() == 1 && posts[0].contains("> one\n"), "{posts:#?}");

    rig.configure("", "0");
    rig.start();
    let posts = rig.until_posts(3).await;
    assert!(posts[1].contains("> waits already\n"), "{posts:#?}");
    assert!(posts[2].contains("> said during the drain\n"), "{posts:#?}");
    rig.home.run(&["stop"]).good();
    assert_eq!(rig.posts().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_that_does_not_end_in_time_is_gone_on_with_after_the_next_start() {
    let rig = Rig::new("drain_timeout: 1\n", MINUTES).await;
    rig.start();
    rig.say("one");
    wait_for("a turn", || rig.turns() == 1);
    rig.home.run(&["stop"]).good();
    assert!(rig.posts().is_empty(), "{:#?}", rig.posts());
    rig.configure("", "0");
    rig.start();
    let posts = rig.until_posts(1).await;
    assert!(posts[0].contains("> one\n"), "{posts:#?}");
    assert!(rig.home.log().contains("\"remedy\":\"GoOn\""), "{}", rig.home.log());
    rig.home.run(&["stop"]).good();
    assert_eq!(rig.posts().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_at_once_and_loses_nothing() {
    for second in [Some(Signal::TERM), Some(Signal::INT), None] {
        let rig = Rig::new("drain_timeout: 10m\n", MINUTES).await;
        rig.start();
        rig.say("one");
        wait_for("a turn", || rig.turns() == 1);
        let pid = rustix::process::Pid::from_raw(rig.home.pid().unwrap()).unwrap();
        let mut stop = rig.begin_stop();
        assert!(stop.0.try_wait().unwrap().is_none(), "it waits for the turn");
        let begun = Instant::now();
        match second {
            Some(signal) => rustix::process::kill_process(pid, signal).unwrap(),
            // A second `stop` is a second signal.
            None => drop(rig.home.run(&["stop"]).good()),
        }
        assert!(stop.0.wait().unwrap().success());
        // A second on a machine that has nothing else to do.
        assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
        assert!(rig.posts().is_empty(), "{:#?}", rig.posts());
        rig.configure("", "0");
        rig.start();
        rig.until_posts(1).await;
        rig.say("two");
        let posts = rig.until_posts(2).await;
        assert!(posts[1].contains("> two\n"), "{posts:#?}");
        rig.home.run(&["stop"]).good();
        assert_eq!(rig.posts().len(), 2);
    }
}

/// With nothing to wait for, with or without a server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_gateway_stops_at_once() {
    let rig = Rig::new("", "0").await;
    rig.start();
    rig.say("one");
    rig.until_posts(1).await;
    for away in [false, true] {
        if away {
            rig.start();
            rig.server.faults().go_down().await;
            wait_for("the outage", || !rig.is_connected());
        }
        let begun = Instant::now();
        rig.home.run(&["stop"]).good();
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    }
}
