//! The crash matrix: for every step of a message and every kind of connector, the program is killed there, started
//! again, and judged by what the room saw.

mod audit;
mod case;
mod rocket;
mod script;
mod stage;

use acg_fault::{Plant, Point};

use case::{Case, Death, Scene, check};
use stage::{Held, Platform};

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

const fn rocket(point: Point, passes: u64) -> Case {
    Case::new(Platform::RocketChat, Scene::Busy, Death::At(point, passes))
}

const fn script(point: Point, passes: u64) -> Case {
    Case::new(Platform::Script, Scene::Busy, Death::At(point, passes))
}

const fn rocket_in(scene: Scene, point: Point) -> Case {
    Case::new(Platform::RocketChat, scene, Death::At(point, 0))
}

const fn script_in(scene: Scene, point: Point) -> Case {
    Case::new(Platform::Script, scene, Death::At(point, 0))
}

/// The first message is passed by: its question is asked, and the second is stored behind it.
const fn waiting(platform: Platform) -> Case {
    Case::new(platform, Scene::Waiting, Death::At(Point::InboxCommitted, 1))
}

const fn posting(platform: Platform, held: Held) -> Case {
    Case::new(platform, Scene::Busy, Death::Posting(held))
}

rows! {
    rocket_frame_received: rocket(Point::FrameReceived, 0);
    rocket_frame_received_before_its_room_is_known: rocket_in(Scene::Unlisted, Point::FrameReceived);
    rocket_normalised: rocket(Point::Normalised, 0);
    rocket_inbox_committed: rocket(Point::InboxCommitted, 0);
    rocket_inbox_committed_later: rocket(Point::InboxCommitted, 4);
    rocket_cursor_moved: rocket(Point::CursorMoved, 0);
    rocket_turn_started: rocket(Point::TurnStarted, 0);
    rocket_turn_started_later: rocket(Point::TurnStarted, 3);
    rocket_session_stored: rocket(Point::SessionStored, 0);
    rocket_prompt_stored: rocket(Point::PromptStored, 0);
    rocket_prompted: rocket(Point::Prompted, 0);
    rocket_first_agent_event: rocket(Point::FirstAgentEvent, 0);
    rocket_first_agent_event_later: rocket(Point::FirstAgentEvent, 3);
    rocket_approval_asked: rocket(Point::ApprovalAsked, 0);
    rocket_approval_settled: rocket(Point::ApprovalSettled, 0);
    rocket_approval_used: rocket(Point::ApprovalUsed, 0);
    rocket_turn_ending: rocket(Point::TurnEnding, 0);
    rocket_turn_ended: rocket(Point::TurnEnded, 0);
    rocket_attempt_stored: rocket(Point::AttemptStored, 0);
    rocket_attempt_stored_later: rocket(Point::AttemptStored, 2);
    rocket_post_confirmed: rocket(Point::PostConfirmed, 0);
    rocket_post_confirmed_later: rocket(Point::PostConfirmed, 3);
    rocket_post_stored: rocket(Point::PostStored, 0);
    rocket_post_stored_later: rocket(Point::PostStored, 2);
    rocket_notice_posted: rocket(Point::NoticePosted, 0);

    rocket_known_session_prompt_stored: rocket_in(Scene::Known, Point::PromptStored);
    rocket_known_session_prompted: rocket_in(Scene::Known, Point::Prompted);
    rocket_known_session_first_agent_event: rocket_in(Scene::Known, Point::FirstAgentEvent);
    rocket_prompted_ask: rocket_in(Scene::Known, Point::Prompted).interrupted("ask");
    rocket_first_agent_event_ask: rocket_in(Scene::Known, Point::FirstAgentEvent).interrupted("ask");
    rocket_prompted_drop: rocket_in(Scene::Known, Point::Prompted).interrupted("drop");
    rocket_first_agent_event_drop: rocket_in(Scene::Known, Point::FirstAgentEvent).interrupted("drop");
    rocket_new_session_first_agent_event_ask: rocket_in(Scene::New, Point::FirstAgentEvent).interrupted("ask");
    rocket_inbox_committed_behind_a_question: waiting(Platform::RocketChat);

    rocket_tool_ran_turn_ending: rocket_in(Scene::Tool, Point::TurnEnding);
    rocket_tool_ran_turn_ended: rocket_in(Scene::Tool, Point::TurnEnded);
    rocket_deferred_approval_settled: rocket_in(Scene::Deferred, Point::ApprovalSettled);
    rocket_deferred_approval_used: rocket_in(Scene::Deferred, Point::ApprovalUsed);
    rocket_deferred_turn_ended: rocket_in(Scene::Deferred, Point::TurnEnded);

    rocket_posting_applied: posting(Platform::RocketChat, Held::Applied);
    rocket_posting_lost: posting(Platform::RocketChat, Held::Lost);

    script_frame_received: script(Point::FrameReceived, 0);
    script_normalised: script(Point::Normalised, 0);
    script_inbox_committed: script(Point::InboxCommitted, 0);
    script_inbox_committed_later: script(Point::InboxCommitted, 4);
    script_turn_started: script(Point::TurnStarted, 0);
    script_session_stored: script(Point::SessionStored, 0);
    script_prompt_stored: script(Point::PromptStored, 0);
    script_prompted: script(Point::Prompted, 0);
    script_first_agent_event: script(Point::FirstAgentEvent, 0);
    script_first_agent_event_later: script(Point::FirstAgentEvent, 3);
    script_approval_asked: script(Point::ApprovalAsked, 0);
    script_approval_settled: script(Point::ApprovalSettled, 0);
    script_approval_used: script(Point::ApprovalUsed, 0);
    script_turn_ending: script(Point::TurnEnding, 0);
    script_turn_ended: script(Point::TurnEnded, 0);
    script_attempt_stored: script(Point::AttemptStored, 0);
    script_attempt_stored_later: script(Point::AttemptStored, 3);
    script_attempt_stored_never: script(Point::AttemptStored, 0).resend("never");
    script_attempt_stored_later_never: script(Point::AttemptStored, 3).resend("never");
    script_post_confirmed: script(Point::PostConfirmed, 0);
    script_post_confirmed_later: script(Point::PostConfirmed, 3);
    script_post_confirmed_never: script(Point::PostConfirmed, 0).resend("never");
    script_post_confirmed_later_never: script(Point::PostConfirmed, 3).resend("never");
    script_post_stored: script(Point::PostStored, 0);
    script_notice_posted: script(Point::NoticePosted, 0);

    script_known_session_prompted: script_in(Scene::Known, Point::Prompted);
    script_prompted_ask: script_in(Scene::Known, Point::Prompted).interrupted("ask");
    script_first_agent_event_ask: script_in(Scene::Known, Point::FirstAgentEvent).interrupted("ask");
    script_prompted_drop: script_in(Scene::Known, Point::Prompted).interrupted("drop");
    script_first_agent_event_drop: script_in(Scene::Known, Point::FirstAgentEvent).interrupted("drop");
    script_inbox_committed_behind_a_question: waiting(Platform::Script);
    script_tool_ran_turn_ending: script_in(Scene::Tool, Point::TurnEnding);
    script_deferred_approval_settled: script_in(Scene::Deferred, Point::ApprovalSettled);
    script_deferred_approval_used: script_in(Scene::Deferred, Point::ApprovalUsed);

    script_posting_applied: posting(Platform::Script, Held::Applied);
    script_posting_lost: posting(Platform::Script, Held::Lost);
    script_posting_applied_never: posting(Platform::Script, Held::Applied).resend("never");
    script_posting_lost_never: posting(Platform::Script, Held::Lost).resend("never");
}

/// Points that a connector does not have, and why.
const NOT_THERE: &[(Platform, Point, &str)] =
    &[(Platform::Script, Point::CursorMoved, "it has no cursor: what was not accepted is said again")];

#[test]
fn no_point_is_left_out() {
    for platform in [Platform::RocketChat, Platform::Script] {
        for point in Point::ALL {
            let is_there = |case: &Case| {
                case.platform == platform && matches!(case.death, Death::At(at, _) if at == *point)
            };
            let covered = ALL.iter().any(is_there);
            let excused = NOT_THERE
                .iter()
                .any(|(who, what, why)| (*who, *what) == (platform, *point) && !why.is_empty());
            assert!(covered != excused, "{platform:?}: {}", point.name());
        }
    }
}

/// What the matrix must find: it fails where a fault is planted. (The other faults need scenes of their own: `chaos.rs`.)
macro_rules! planted {
    ($($name:ident: $case:expr, $plant:ident, $found:literal;)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            #[should_panic(expected = $found)]
            async fn $name() {
                check($case.planted(Plant::$plant)).await;
            }
        )+
    };
}

planted! {
    a_message_that_is_taken_twice_is_found:
        rocket(Point::InboxCommitted, 0), NoDedupe, "doubled: ";
    a_post_under_another_id_is_found:
        posting(Platform::RocketChat, Held::Applied), NewIdPerAttempt, "doubled: ";
    parts_the_wrong_way_round_are_found:
        rocket(Point::TurnEnded, 0), OutboxOutOfOrder, "out of order: ";
}
