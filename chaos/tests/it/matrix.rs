//! The crash matrix: for every step of a message and every kind of connector, the program is killed there, started
//! again, and judged by what the room saw.

mod audit;
mod case;
mod rocket;
mod stage;

use acg_fault::Point;

use case::{Case, Scene, check};
use stage::Platform;

/// One test for each row. A point that no row names is an error of the last test.
macro_rules! rows {
    ($($name:ident: $case:expr;)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                check($case).await;
            }
        )+

        const ALL: &[Case] = &[$($case),+];
    };
}

const fn rocket(point: Point) -> Case {
    Case::new(Platform::RocketChat, Scene::Busy, point)
}

const fn one(scene: Scene, point: Point) -> Case {
    Case::new(Platform::RocketChat, scene, point)
}

rows! {
    rocket_frame_received: rocket(Point::FrameReceived);
    rocket_normalised: rocket(Point::Normalised);
    rocket_inbox_committed: rocket(Point::InboxCommitted);
    rocket_inbox_committed_later: rocket(Point::InboxCommitted).after(4);
    rocket_cursor_moved: rocket(Point::CursorMoved);
    rocket_turn_started: rocket(Point::TurnStarted);
    rocket_turn_started_later: rocket(Point::TurnStarted).after(3);
    rocket_session_stored: rocket(Point::SessionStored);
    rocket_prompt_stored: rocket(Point::PromptStored);
    rocket_prompted: rocket(Point::Prompted);
    rocket_first_agent_event: rocket(Point::FirstAgentEvent);
    rocket_first_agent_event_later: rocket(Point::FirstAgentEvent).after(3);
    rocket_approval_asked: rocket(Point::ApprovalAsked);
    rocket_approval_settled: rocket(Point::ApprovalSettled);
    rocket_approval_used: rocket(Point::ApprovalUsed);
    rocket_turn_ending: rocket(Point::TurnEnding);
    rocket_turn_ended: rocket(Point::TurnEnded);
    rocket_attempt_stored: rocket(Point::AttemptStored);
    rocket_attempt_stored_later: rocket(Point::AttemptStored).after(2);
    rocket_post_confirmed: rocket(Point::PostConfirmed);
    rocket_post_confirmed_later: rocket(Point::PostConfirmed).after(3);
    rocket_post_stored: rocket(Point::PostStored);
    rocket_post_stored_later: rocket(Point::PostStored).after(2);
    rocket_notice_posted: rocket(Point::NoticePosted);

    rocket_known_session_prompt_stored: one(Scene::Known, Point::PromptStored);
    rocket_known_session_prompted: one(Scene::Known, Point::Prompted);
    rocket_known_session_first_agent_event: one(Scene::Known, Point::FirstAgentEvent);
    rocket_prompted_ask: one(Scene::Known, Point::Prompted).interrupted("ask");
    rocket_first_agent_event_ask: one(Scene::Known, Point::FirstAgentEvent).interrupted("ask");
    rocket_prompted_drop: one(Scene::Known, Point::Prompted).interrupted("drop");
    rocket_first_agent_event_drop: one(Scene::Known, Point::FirstAgentEvent).interrupted("drop");
    rocket_new_session_first_agent_event_ask: one(Scene::New, Point::FirstAgentEvent).interrupted("ask");

    rocket_deferred_approval_settled: one(Scene::Deferred, Point::ApprovalSettled);
    rocket_deferred_approval_used: one(Scene::Deferred, Point::ApprovalUsed);
    rocket_deferred_turn_ended: one(Scene::Deferred, Point::TurnEnded);
}

#[test]
fn no_point_is_left_out() {
    for platform in [Platform::RocketChat] {
        for point in Point::ALL {
            let covered = ALL.iter().any(|case| case.platform == platform && case.point == *point);
            assert!(covered, "{platform:?}: {}", point.name());
        }
    }
}
