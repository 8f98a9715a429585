//! What may be used up in a day, by agent, room and person.

use acg_config::{DayBudget, WatchedRoom};
use acg_types::Role;
use insta::assert_snapshot;

use crate::kit::{Place, with, with_agent};

fn budget(micro_usd: Option<u64>, tokens: Option<u64>) -> DayBudget {
    DayBudget { micro_usd, tokens }
}

#[test]
fn without_one_nothing_is_limited() {
    let config = Place::new().config(&with_agent("budget: null"));
    assert!(config.agents[0].budget.is_none());
    assert!(config.roles.values().all(|role| role.budget.is_none()));
    assert!(Place::new().config(&with_agent("budget: {}")).agents[0].budget.is_none());
}

#[test]
fn agents_and_rooms_have_their_own() {
    let text = with_agent("budget: {usd_per_day: 2.5, tokens_per_day: 1000000}")
        + "watchers:\n- {rooms: [one, two], budget: {usd_per_day: 10}}\n- {room: '*', name: all, budget: {tokens_per_day: 5}}\n";
    let config = Place::new().config(&text);
    assert_eq!(config.agents[0].budget, budget(Some(2_500_000), Some(1_000_000)));
    let rooms: Vec<_> = config
        .watchers
        .iter()
        .map(|watcher| (watcher.room == WatchedRoom::Named("two".into()), watcher.budget))
        .collect();
    let ten = budget(Some(10_000_000), None);
    assert_eq!(rooms, [(false, ten), (true, ten), (false, budget(None, Some(5)))]);
}

#[test]
fn roles_inherit_each_figure() {
    let roles = "\
roles:
  guest: {limits: {budget: {usd_per_day: 0.5, tokens_per_day: 1000}}}
  visitor: {limits: {budget: {tokens_per_day: 10}}}
  ops: {inherits: owner}
";
    let config = Place::new().config(&with(roles));
    let of = |role: &str| config.roles[&Role::new(role)].budget;
    assert_eq!(of("guest"), budget(Some(500_000), Some(1000)));
    assert_eq!(of("visitor"), budget(Some(500_000), Some(10)));
    assert_eq!((of("owner"), of("ops")), (budget(None, None), budget(None, None)));
}

#[test]
fn a_budget_is_more_than_nothing_and_a_number() {
    let text = with_agent("budget: {usd_per_day: 0, tokens_per_day: 0}\npermissions: {}")
        + "watchers:\n- {room: a, budget: {usd_per_day: -1, tokens_per_day: 1.5, usd: 3}}\n- {room: b, budget: 5}\n\
         roles:\n  guest: {limits: {budget: {usd_per_day: 10000000000, tokens_per_day: many}}}\n";
    assert_snapshot!(Place::new().check(&text), @r"
    error: config.yaml:9: agents.a.budget.usd_per_day: 'usd_per_day' must be at least 0.000001, and at most 1000000000; leave the key out for no limit
    error: config.yaml:9: agents.a.budget.tokens_per_day: 'tokens_per_day' must be between 1 and 1000000000000000 (got 0).
    error: config.yaml:12: watchers[0].budget.usd_per_day: 'usd_per_day' must be >= 0.
    error: config.yaml:12: watchers[0].budget.tokens_per_day: 'tokens_per_day' must be an integer (got float).
    error: config.yaml:13: watchers[1].budget: 'budget' must be a mapping (got int).
    error: config.yaml:15: roles.guest.limits.budget.usd_per_day: 'usd_per_day' must be at least 0.000001, and at most 1000000000; leave the key out for no limit
    error: config.yaml:15: roles.guest.limits.budget.tokens_per_day: 'tokens_per_day' must be an integer (got str).
    warning: config.yaml:12: watchers[0].budget.usd: unknown key
    ");
}
