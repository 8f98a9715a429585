//! `logs`, and the log file's life.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use rustix::process::Signal;

use crate::harness::{Guarded, TestHome, wait_for};

#[test]
fn the_last_lines_are_shown_as_text_or_as_they_are() {
    let home = TestHome::configured();
    home.start();
    home.run(&["stop"]).good();
    wait_for("the last line", || home.log().contains("The gateway has stopped."));
    let text = home.run(&["logs", "-n", "1"]).good();
    assert!(text.contains(" INFO ") && text.ends_with("The gateway has stopped.\n"), "{text}");
    let all = home.run(&["logs", "-n", "1000", "--json"]).good();
    assert_eq!(all, home.log().replace(home.root().to_str().unwrap(), "[root]"));
}

#[test]
fn following_goes_on_in_the_new_file_after_a_rotation() {
    let home = TestHome::configured();
    home.start();
    let child = home.command(&["logs", "-f"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut follower = Guarded(child);
    let (teller, lines) = sync_channel(1024);
    let stdout = follower.0.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            teller.send(line).unwrap();
        }
    });
    let until = |text: &str| {
        while !lines.recv_timeout(Duration::from_secs(20)).unwrap().contains(text) {}
    };
    until("The gateway is ready.");
    std::fs::rename(home.file("gateway.log"), home.file("gateway.log.moved")).unwrap();
    home.signal(Signal::HUP);
    until("The log was opened anew.");
    home.run(&["stop"]).good();
    until("The gateway has stopped.");
    assert!(home.log().contains("The log was opened anew."));
    drop(follower);
    reader.join().unwrap();
}
