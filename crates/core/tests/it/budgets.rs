//! Budgets of the day: who is refused when one is spent, who is warned before, and when it begins anew.

use std::time::Duration;

use acg_config::DayBudget;
use acg_core::connector::{Accepted, Inbound, Missed};
use acg_core::handle::{BudgetInfo, BudgetOf, BudgetUnit};
use acg_types::{Clock as _, IncomingMessage, Role};
use jiff::tz::TimeZone;

use crate::fakes::{Home, MovedClock, message, room, stop};

const SPENT: &str = "is used up. It is renewed at midnight.";

fn dollars(micro_usd: u64) -> DayBudget {
    DayBudget { micro_usd: Some(micro_usd), tokens: None }
}

fn tokens(tokens: u64) -> DayBudget {
    DayBudget { micro_usd: None, tokens: Some(tokens) }
}

/// A home whose clock is at noon: no test runs over midnight.
fn home() -> Home {
    let home = Home::new();
    until_noon(&home.clock);
    home
}

fn until_noon(clock: &MovedClock) {
    let now = jiff::Timestamp::from_millisecond(clock.now().0).unwrap().to_zoned(TimeZone::system());
    let noon = now.date().tomorrow().unwrap().at(12, 0, 0, 0).to_zoned(TimeZone::system()).unwrap();
    clock.forward(Duration::from_millis((noon.timestamp().as_millisecond() - clock.now().0).unsigned_abs()));
}

fn elsewhere(name: &str, message: IncomingMessage) -> IncomingMessage {
    IncomingMessage { room: room(name), ..message }
}

async fn answered(home: &Home, id: &str, user: &str, text: &str) {
    assert_eq!(home.platform.say(message(id, user, text)).await, Accepted::New, "{id}");
    home.platform.until_said(&format!("echo: {text}")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spent_budget_refuses_politely_and_once_until_the_next_day() {
    let mut home = home();
    home.config.watchers[0].budget = dollars(1_000_000);
    home.add_room("other");
    home.config.watchers[1].budget = DayBudget::default();
    let gateway = home.start().await;
    answered(&home, "m1", "alice", "cost 0.75").await;
    answered(&home, "m2", "gina", "cost 0.5").await;
    let low = home.platform.until_said("⚠️ All of").await;
    insta::assert_snapshot!(low.text, @"⚠️ All of this room's budget for today, in US dollars, is used up: messages here are not answered until midnight.");
    for id in ["m3", "m4"] {
        assert_eq!(home.platform.say(message(id, "alice", "more")).await, Accepted::Refused);
    }
    assert_eq!(home.platform.say(message("m3", "alice", "more")).await, Accepted::Refused, "offered again");
    let said = home.platform.until_said(SPENT).await;
    insta::assert_snapshot!(said.text, @"⚠️ @alice, your message was not given to the agent: this room's budget for today is used up. It is renewed at midnight.");
    let other = elsewhere("other", message("o1", "alice", "there"));
    assert_eq!(home.platform.say(other).await, Accepted::New, "another room has its own");
    home.platform.until_said("echo: there").await;
    let status = gateway.control().status().await.unwrap();
    assert_eq!((status.counts.inbox_refused, status.counts.refused_budget_spent), (2, 2));
    let expected = BudgetInfo {
        of: BudgetOf::Room("rc".into(), "general".into()),
        unit: BudgetUnit::MicroUsd,
        spent: 1_250_000,
        limit: 1_000_000,
        turns: 2,
        untold: 0,
    };
    assert_eq!(status.budgets, std::slice::from_ref(&expected));
    home.clock.forward(Duration::from_hours(24));
    let status = gateway.control().status().await.unwrap();
    assert_eq!(status.budgets, [BudgetInfo { spent: 0, turns: 0, ..expected }]);
    answered(&home, "m5", "alice", "cost 0.25").await;
    stop(gateway).await;
    assert_eq!((home.platform.count(SPENT), home.platform.count("% of")), (1, 0));
    assert!(!home.prompts().iter().any(|prompt| prompt.contains("more")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn near_its_end_a_budget_is_warned_of_once() {
    let mut home = home();
    // Each turn takes five tokens.
    home.config.agents[0].budget = tokens(25);
    let gateway = home.start().await;
    for index in 1..=4 {
        answered(&home, &format!("m{index}"), "alice", &format!("say {index}")).await;
        if index < 4 {
            assert_eq!(home.platform.count("⚠️"), 0, "after {index} turns");
        }
    }
    let low = home.platform.until_said("⚠️").await;
    insta::assert_snapshot!(low.text, @"⚠️ 80 % of the agent's budget for today, in tokens, is used up. When all of it is, messages for it are not answered until midnight.");
    answered(&home, "m5", "alice", "say 5").await;
    assert_eq!(home.platform.say(message("m6", "gina", "say 6")).await, Accepted::Refused);
    let said = home.platform.until_said(SPENT).await;
    insta::assert_snapshot!(said.text, @"⚠️ @gina, your message was not given to the agent: the agent's budget for today is used up. It is renewed at midnight.");
    stop(gateway).await;
    assert_eq!(home.platform.count("% of"), 1);
    let texts = home.platform.texts();
    let at = |words: &str| texts.iter().position(|text| text.contains(words)).unwrap();
    assert_eq!(at("80 % of"), at("echo: say 4") + 1, "with the answer, after it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_keeps_what_was_used_up() {
    let mut home = home();
    home.config.roles.get_mut(&Role::guest()).unwrap().budget =
        DayBudget { micro_usd: Some(300_000), tokens: Some(1000) };
    let gateway = home.start().await;
    answered(&home, "m1", "gina", "cost 0.1").await;
    answered(&home, "m2", "alice", "cost 5").await;
    stop(gateway).await;
    let gateway = home.start().await;
    answered(&home, "m3", "gina", "cost 0.2").await;
    home.platform.until_said("All of @gina's budget").await;
    crate::fakes::abandon(gateway).await;
    let gateway = home.start().await;
    assert_eq!(home.platform.say(message("m4", "gina", "more")).await, Accepted::Refused);
    home.platform.until_said("@gina, your message was not given to the agent: your budget for today").await;
    answered(&home, "m5", "alice", "an owner has no budget").await;
    let status = gateway.control().status().await.unwrap();
    let shown: Vec<_> = status.budgets.iter().map(|info| (info.unit, info.spent, info.untold)).collect();
    assert_eq!(shown, [(BudgetUnit::MicroUsd, 300_000, 0), (BudgetUnit::Tokens, 10, 0)]);
    assert_eq!(status.budgets[0].of, BudgetOf::Person("rc".into(), "gina".into()));
    stop(gateway).await;
    assert_eq!(home.platform.count("All of"), 1);
}

/// What runs is never cut, and what waits already is answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_accepted_is_answered() {
    let mut home = home();
    home.config.watchers[0].budget = tokens(5);
    let gateway = home.start().await;
    assert_eq!(home.platform.say(message("m1", "alice", "slow one")).await, Accepted::New);
    home.until_busy(1).await;
    assert_eq!(home.platform.say(message("m2", "gina", "two")).await, Accepted::New);
    home.agents.release.send_replace(true);
    home.platform.until_said("echo: two").await;
    assert_eq!(home.platform.say(message("m3", "alice", "three")).await, Accepted::Refused);
    stop(gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_missed_is_not_answered_either_and_told_in_the_one_line() {
    let mut home = home();
    home.config.watchers[0].budget = tokens(5);
    let gateway = home.start().await;
    answered(&home, "m1", "alice", "one").await;
    let now = home.clock.now();
    let said = |id: &str| Inbound {
        message: IncomingMessage {
            sent_at: now.before(Duration::from_mins(1)),
            ..message(id, "alice", "hi")
        },
        edited: false,
        cursor: None,
        own: None,
    };
    let missed = Missed {
        room: room("general").id,
        messages: vec![said("m2"), said("m3")],
        cursor: None,
        found_at: now,
    };
    let outcomes = home.platform.intake().await.settle_missed(&missed).await.unwrap();
    assert_eq!(outcomes, [Accepted::Skipped, Accepted::Skipped]);
    home.platform.until_said("2 messages here were not answered").await;
    assert_eq!(gateway.control().status().await.unwrap().counts.refused_budget_spent, 2);
    stop(gateway).await;
    assert_eq!(home.platform.count(SPENT), 0);
}

/// Nobody asks the store for sums where nothing is limited; `status` says nothing of budgets.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_budget_there_is_nothing_to_show() {
    let home = home();
    let gateway = home.start().await;
    answered(&home, "m1", "alice", "cost 1000000").await;
    let status = gateway.control().status().await.unwrap();
    assert_eq!((status.budgets, status.budgets_left_out), (vec![], 0));
    stop(gateway).await;
}

/// A turn that told nothing is counted as one, and `status` can say that the sum is not the whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn turns_that_tell_nothing_are_counted_as_such() {
    let mut home = home();
    home.config.agents[0].budget = dollars(1);
    let gateway = home.start().await;
    answered(&home, "m1", "alice", "for nothing").await;
    let info = gateway.control().status().await.unwrap().budgets.remove(0);
    assert_eq!((info.spent, info.turns, info.untold), (0, 1, 1));
    stop(gateway).await;
}
