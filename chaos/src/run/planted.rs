//! One short scene for each fault that can be planted in the program, in which that fault must matter.
//!
//! Owns that the audit can fail: with the fault planted it has to find it, without it has to find nothing.

use std::time::Duration;

use acg_fault::{Plant, Point};
use acg_testing::rocketchat::{Say, date};
use tokio::time::{Instant, sleep};

use super::plan::{Shape, Wish};
use super::stage::Stage;
use super::{SETTLE, settle};
use crate::Failure;
use crate::audit::{Report, audit, question};
use crate::gateway::{Gateway, Orders};

const LOOK: Duration = Duration::from_millis(50);
/// How long one step of a scene may take.
const STEP: Duration = Duration::from_mins(1);
/// How long a gateway that serves its rooms may take to note that it does.
const CAUGHT_UP: Duration = Duration::from_millis(1_500);
/// By so many milliseconds the clock was ahead: less than what makes the gateway doubt its marks.
const AHEAD: i64 = 50_000;
/// How long a message that may have been lost is waited for.
const PATIENCE: Duration = Duration::from_secs(8);

/// The kind of violation that the audit must find.
pub fn expected(plant: Plant) -> &'static str {
    match plant {
        Plant::AcknowledgeBeforeCommit => "lost",
        Plant::NoDedupe | Plant::NewIdPerAttempt => "doubled",
        Plant::OutboxOutOfOrder => "parts out of order",
        Plant::ApprovalUsedTwice => "tools run twice without a second approval",
    }
}

/// Plays the scene of a fault, with the fault or without.
pub async fn play(plant: Plant, planted: bool) -> Result<Report, Failure> {
    let rooms = vec![false];
    let shape = Shape { rooms, people: 1, collect: false, queue: 0, fresh_end: false };
    let stage = Stage::open(1, &shape).await?;
    let plants = if planted { vec![plant] } else { Vec::new() };
    let scene = Scene { stage: &stage, orders: Orders { plants, ..Orders::default() } };
    match plant {
        Plant::AcknowledgeBeforeCommit => scene.killed_between_mark_and_commit().await?,
        Plant::NoDedupe => scene.every_frame_twice().await?,
        Plant::NewIdPerAttempt => scene.an_answer_lost().await?,
        Plant::OutboxOutOfOrder => scene.a_long_answer().await?,
        Plant::ApprovalUsedTwice => scene.the_same_call_again().await?,
    }
    Ok(audit(&stage.seen(), &stage.sent(), &stage.desk.journal()?, stage.rules()))
}

struct Scene<'a> {
    stage: &'a Stage,
    orders: Orders,
}

impl Scene<'_> {
    async fn start(&self) -> Result<Gateway, Failure> {
        Gateway::connected(&self.stage.desk, self.orders.clone(), STEP).await
    }

    /// Waits until nothing is missing and nothing new comes, and stops the gateway.
    async fn end(&self, mut gateway: Gateway, within: Duration) -> Result<(), Failure> {
        settle(self.stage, within).await?;
        gateway.stop(STEP).await
    }

    /// The gateway dies where it writes down how far it has read the room. Neither that mark nor the last live moment
    /// may lead it back to the message, or the fault would do no harm: the server's clock was ahead for a while, and the
    /// message is by its own account said long after it was stored.
    async fn killed_between_mark_and_commit(&self) -> Result<(), Failure> {
        let faults = self.stage.server.faults();
        for ahead in [0, AHEAD] {
            faults.clock_offset(ahead);
            let mut gateway = self.start().await?;
            self.stage.served().await?;
            sleep(CAUGHT_UP).await;
            gateway.stop(STEP).await?;
        }
        faults.clock_offset(0);
        let now = self.stage.server.world().with(|world| world.now());
        let fields = [("ts".to_owned(), date(now + 2 * AHEAD))].into_iter().collect();
        self.stage.say_as(0, 0, false, Wish::Plain, Say { fields, ..Say::default() });

        let orders = Orders { kill: Some((Point::CursorMoved, 1)), ..self.orders.clone() };
        let room = &self.stage.rooms[0].id;
        let mut gateway = Gateway::start(&self.stage.desk, orders)?;
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline && gateway.has_ended()?.is_none() {
            if self.stage.posts_from(room, 0).last().is_some_and(|post| post.ours) {
                break;
            }
            sleep(LOOK).await;
        }
        gateway.kill().await?;
        let gateway = self.start().await?;
        self.end(gateway, PATIENCE).await
    }

    async fn every_frame_twice(&self) -> Result<(), Failure> {
        let gateway = self.start().await?;
        self.stage.server.faults().duplicate_frames(100);
        for _ in 0..3 {
            self.stage.say(0, 0, false, Wish::Plain);
        }
        self.end(gateway, SETTLE).await
    }

    async fn an_answer_lost(&self) -> Result<(), Failure> {
        let gateway = self.start().await?;
        self.stage.server.faults().lose_answer("chat.sendMessage", 1);
        self.stage.say(0, 0, false, Wish::Plain);
        self.stage.say(0, 0, false, Wish::Plain);
        self.end(gateway, SETTLE).await
    }

    async fn a_long_answer(&self) -> Result<(), Failure> {
        let gateway = self.start().await?;
        self.stage.say(0, 0, false, Wish::Long);
        self.end(gateway, SETTLE).await
    }

    /// The agent wants the same call twice; people allow it once.
    async fn the_same_call_again(&self) -> Result<(), Failure> {
        let gateway = self.start().await?;
        self.stage.say(0, 0, false, Wish::ToolAgain);
        let room = &self.stage.rooms[0].id;
        let deadline = Instant::now() + STEP;
        let mut asked = 0;
        while asked < 2 && Instant::now() < deadline {
            let posts = self.stage.posts_from(room, 0);
            if asked == 1 && posts.last().is_some_and(|post| post.ours && post.text.contains("did(")) {
                break;
            }
            let questions: Vec<_> = posts.iter().filter_map(|post| Some((post, question(post)?.0))).collect();
            if let Some((post, code)) = questions.get(asked) {
                let word = if asked == 0 { "approve" } else { "deny" };
                self.stage.reply(0, post, &format!("{word} {code}"));
                asked += 1;
            }
            sleep(LOOK).await;
        }
        self.end(gateway, SETTLE).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Violation;

    #[test]
    fn every_expected_kind_is_one() {
        for plant in Plant::ALL {
            assert!(Violation::KINDS.contains(&expected(*plant)));
        }
    }
}
