//! What breaks, broken and mended again.
//!
//! Owns the faults of server, links and disk; those of the gateway's process are the keeper's.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::disk::Disk;
use super::keeper::{Bell, Command};
use super::plan::{Fault, Troubles};
use super::stage::Stage;
use crate::Failure;

/// How often each kind of fault struck.
pub(super) type Struck = BTreeMap<&'static str, usize>;

/// Breaks what the plan says until a moment.
pub(super) async fn make(
    stage: &Stage,
    bell: &Bell,
    disk: Option<&Disk>,
    seed: u64,
    until: Instant,
) -> Result<Struck, Failure> {
    let mut struck = Struck::new();
    for (after, fault) in Troubles::of(seed) {
        if Instant::now() + after >= until {
            break;
        }
        sleep(after).await;
        let name = strike(stage, bell, disk, fault).await?;
        *struck.entry(name).or_default() += 1;
    }
    Ok(struck)
}

async fn strike(
    stage: &Stage,
    bell: &Bell,
    disk: Option<&Disk>,
    fault: Fault,
) -> Result<&'static str, Failure> {
    let faults = stage.server.faults();
    Ok(match fault {
        Fault::Kill => {
            bell.ring(Command::Kill).await?;
            "kill"
        }
        Fault::Freeze(time) => {
            bell.ring(Command::Freeze(time)).await?;
            "freeze"
        }
        Fault::Stop => {
            bell.ring(Command::Stop).await?;
            "stop"
        }
        Fault::Restart(time) => {
            stage.down.store(true, Ordering::SeqCst);
            faults.go_down().await;
            sleep(time).await;
            faults.come_up().await;
            stage.down.store(false, Ordering::SeqCst);
            "server restart"
        }
        Fault::Cut => {
            faults.cut_all();
            "cut"
        }
        Fault::HalfOpen(time) => {
            faults.half_open();
            sleep(time).await;
            faults.cut_all();
            "half-open"
        }
        Fault::Slow(by, time) => {
            faults.delay_rest("*", by);
            sleep(time).await;
            faults.delay_rest("*", Duration::ZERO);
            "slow"
        }
        Fault::Status(status, times) => {
            faults.fail_rest("*", status, times);
            if status == 429 { "429" } else { "5xx" }
        }
        Fault::LoseAnswers(times) => {
            faults.lose_answer("chat.sendMessage", times);
            "lost answers to posts"
        }
        Fault::LoseAny(times) => {
            faults.lose_answer("*", times);
            "lost answers"
        }
        Fault::RefuseLinks(times) => {
            faults.refuse_websocket(times);
            faults.cut_all();
            "refused links"
        }
        Fault::Twice(times) => {
            faults.duplicate_frames(times);
            "frames twice"
        }
        Fault::Again(times) => {
            faults.replay_frames(times);
            "old frames again"
        }
        Fault::Reorder(times) => {
            faults.reorder_frames(times);
            "frames out of order"
        }
        Fault::Garbage => {
            faults.garbage_frame("{\"msg\":\"changed\",\"collection\":\"stream-room-mess");
            "garbage frame"
        }
        Fault::Clock(off) => {
            faults.clock_offset(off);
            "clock jump"
        }
        Fault::DiskFull(time) => match disk {
            Some(disk) => {
                stage.disk_full.store(true, Ordering::SeqCst);
                disk.fill().await?;
                sleep(time).await;
                disk.free().await?;
                stage.disk_full.store(false, Ordering::SeqCst);
                "disk full"
            }
            None => "disk full (left out: no file system of our own)",
        },
    })
}

/// Ends every fault that lasts. The clock stays where it is.
pub(super) fn end(stage: &Stage) {
    let faults = stage.server.faults();
    faults.delay_rest("*", Duration::ZERO);
    faults.fail_rest("*", 500, 0);
    faults.lose_answer("chat.sendMessage", 0);
    faults.lose_answer("*", 0);
    faults.refuse_websocket(0);
    faults.duplicate_frames(0);
    faults.reorder_frames(0);
}
