//! A day's sums by tables, and by properties over any turns in any order.

use acg_store::UsageKey;
use proptest::prelude::*;

use super::*;

/// 2026-11-21, noon in Vienna.
const NOON: Timestamp = Timestamp(1_795_258_800_000);
const HOUR: i64 = 60 * 60 * 1000;

fn vienna() -> TimeZone {
    TimeZone::get("Europe/Vienna").unwrap()
}

fn later(hours: i64) -> Timestamp {
    Timestamp(NOON.0 + hours * HOUR)
}

fn budget(micro_usd: Option<u64>, tokens: Option<u64>) -> DayBudget {
    DayBudget { micro_usd, tokens }
}

fn tokens(limit: u64) -> DayBudget {
    budget(None, Some(limit))
}

fn took(cost_micros: u64, tokens: u64) -> Spent {
    Spent { turns: 1, told: 1, priced: 1, output_tokens: tokens, cost_micros, ..Spent::default() }
}

/// Somebody in a room with an agent; each has a name.
struct Case {
    connector: ConnectorName,
    room: RoomId,
    agent: AgentName,
    sender: Sender,
    role: Role,
    /// Of the person, the room, the agent.
    budgets: [DayBudget; 3],
}

impl Case {
    fn new(user: &str, room: &str, agent: &str, budgets: [DayBudget; 3]) -> Self {
        Self {
            connector: "rc".into(),
            room: room.into(),
            agent: agent.into(),
            sender: Sender { id: user.into(), username: format!("{user}-name"), display_name: None },
            role: Role::guest(),
            budgets,
        }
    }

    fn account(&self) -> Account<'_> {
        Account {
            connector: &self.connector,
            room: (&self.room, self.budgets[1]),
            agent: (&self.agent, self.budgets[2]),
            person: (&self.sender, &self.role, self.budgets[0]),
        }
    }
}

#[test]
fn each_of_the_three_is_counted_by_itself() {
    let mut ledger = Ledger::new(vienna(), NOON);
    let budgets = [tokens(10), tokens(20), tokens(30)];
    let [alice, bob, elsewhere, other] = [
        Case::new("alice", "r", "a", budgets),
        Case::new("bob", "r", "a", budgets),
        Case::new("bob", "s", "a", budgets),
        Case::new("bob", "s", "b", budgets),
    ];
    let mut spent = |case: &Case| ledger.is_spent(&case.account(), NOON);
    assert_eq!([&alice, &bob, &elsewhere].map(&mut spent), [None; 3]);
    ledger.charge(&alice.account(), took(0, 10), NOON);
    let mut spent = |case: &Case| ledger.is_spent(&case.account(), NOON);
    assert_eq!([&alice, &bob, &elsewhere].map(&mut spent), [Some(Whose::Person), None, None]);
    ledger.charge(&alice.account(), took(0, 10), NOON);
    let mut spent = |case: &Case| ledger.is_spent(&case.account(), NOON);
    assert_eq!([&alice, &bob, &elsewhere].map(&mut spent), [Some(Whose::Person), Some(Whose::Room), None]);
    ledger.charge(&alice.account(), took(0, 10), NOON);
    let mut spent = |case: &Case| ledger.is_spent(&case.account(), NOON);
    assert_eq!([&bob, &elsewhere, &other].map(&mut spent), [Some(Whose::Room), Some(Whose::Agent), None]);
    let stranger = Case { connector: "other".into(), ..Case::new("alice", "r", "b", budgets) };
    assert_eq!(ledger.is_spent(&stranger.account(), NOON), None, "another platform's alice, and its room");
}

#[test]
fn a_budget_is_spent_when_either_figure_is() {
    for (budget, cost, used, expected) in [
        (budget(Some(100), Some(100)), 99, 99, false),
        (budget(Some(100), Some(100)), 100, 0, true),
        (budget(Some(100), Some(100)), 0, 100, true),
        (budget(Some(100), None), 99, 1_000_000, false),
        (budget(None, Some(100)), 1_000_000, 99, false),
        (budget(None, None), u64::MAX, u64::MAX, false),
    ] {
        let case = Case::new("alice", "r", "a", [DayBudget::default(), budget, DayBudget::default()]);
        let mut ledger = Ledger::new(vienna(), NOON);
        ledger.charge(&case.account(), took(cost, used), NOON);
        assert_eq!(ledger.is_spent(&case.account(), NOON).is_some(), expected, "{budget:?}, {cost}, {used}");
    }
}

#[test]
fn tokens_read_from_a_cache_are_not_counted() {
    let spent = Spent {
        input_tokens: 1,
        output_tokens: 10,
        cache_write_tokens: 100,
        reasoning_tokens: 1000,
        cache_read_tokens: 1_000_000,
        ..Spent::default()
    };
    assert_eq!(Unit::Tokens.of(&spent), 1111);
    assert_eq!(Unit::Tokens.of(&Spent { input_tokens: u64::MAX, ..spent }), u64::MAX);
}

#[test]
fn a_budget_is_warned_of_once_by_the_turn_that_brings_it_there() {
    let case =
        Case::new("alice", "r", "a", [DayBudget::default(), budget(Some(1000), Some(100)), tokens(1000)]);
    let mut ledger = Ledger::new(vienna(), NOON);
    let mut charge = |cost, used| -> Vec<(Whose, Unit, u64)> {
        let crossed = ledger.charge(&case.account(), took(cost, used), NOON);
        crossed.into_iter().map(|crossed| (crossed.whose, crossed.unit, crossed.percent)).collect()
    };
    assert_eq!(charge(0, 79), []);
    assert_eq!(charge(0, 1), [(Whose::Room, Unit::Tokens, 80)]);
    assert_eq!(charge(0, 1), []);
    assert_eq!(charge(1500, 719), [(Whose::Room, Unit::MicroUsd, 150), (Whose::Agent, Unit::Tokens, 80)]);
    assert_eq!(charge(u64::MAX, u64::MAX), []);
}

#[test]
fn midnight_of_the_zone_begins_a_new_day() {
    let case = Case::new("alice", "r", "a", [tokens(10); 3]);
    let mut ledger = Ledger::new(vienna(), NOON);
    assert_eq!(ledger.day(), later(-12)..later(12));
    assert_eq!(ledger.charge(&case.account(), took(0, 10), later(11)).len(), 3);
    let last = Timestamp(later(12).0 - 1);
    assert_eq!(ledger.is_spent(&case.account(), last), Some(Whose::Person));
    assert_eq!(ledger.is_spent(&case.account(), later(12)), None);
    assert_eq!(ledger.spenders(later(12)), []);
    assert_eq!(ledger.charge(&case.account(), took(0, 8), later(13)).len(), 3, "warned of anew");
    // A clock that is put right by seconds or hours; and one that was wrong by years.
    assert_eq!(ledger.of_room(&case.connector, &case.room, last).output_tokens, 8);
    assert_eq!(ledger.of_room(&case.connector, &case.room, later(-500)).output_tokens, 0);
}

#[test]
fn days_are_as_long_as_the_zone_has_them() {
    // The clocks went back on 25 October 2026, and forward on 29 March.
    for (noon, hours) in [(1_792_926_000_000, 25), (1_774_778_400_000, 23), (NOON.0, 24)] {
        let day = day_of(Timestamp(noon), &vienna());
        assert_eq!(day.end.0 - day.start.0, hours * HOUR, "{noon}");
        assert!(day.contains(&Timestamp(noon)));
    }
    for end in [i64::MIN, i64::MAX] {
        let day = day_of(Timestamp(end), &vienna());
        assert!(day.start <= day.end);
    }
}

#[test]
fn who_used_something_up_is_known_by_name_and_role() {
    let case = Case::new("alice", "r", "a", [tokens(10); 3]);
    let mut ledger = Ledger::new(vienna(), NOON);
    ledger.charge(&case.account(), took(1, 2), NOON);
    let renamed = Sender { username: "anna".into(), ..case.sender.clone() };
    let owner = Role::owner();
    let account = Account { person: (&renamed, &owner, tokens(10)), ..case.account() };
    ledger.charge(&account, Spent::of(None), NOON);
    let spenders = ledger.spenders(NOON);
    let spent = took(1, 2).and(Spent { turns: 1, ..Spent::default() });
    let expected = Spender { connector: "rc".into(), username: "anna".into(), role: owner.clone(), spent };
    assert_eq!(spenders, [expected]);
    assert_eq!((Unit::MicroUsd.untold(&spent), Unit::Tokens.untold(&spent)), (1, 1));
}

/// A turn: user, room, agent, micro-dollars, tokens, minutes after noon.
type Turn = (u8, u8, u8, u64, u64, u8);

fn turn() -> impl Strategy<Value = Turn> {
    let figure = || prop_oneof![8 => 0_u64..60, 1 => Just(u64::MAX), 1 => any::<u64>()];
    (0_u8..3, 0_u8..3, 0_u8..2, figure(), figure(), 0_u8..240)
}

fn budgets() -> impl Strategy<Value = [DayBudget; 3]> {
    let one = (prop::option::of(1_u64..300), prop::option::of(1_u64..300));
    let one = one.prop_map(|(micro_usd, tokens)| DayBudget { micro_usd, tokens });
    [one.clone(), one.clone(), one]
}

fn case(turn: &Turn, budgets: [DayBudget; 3]) -> (Case, Spent, Timestamp) {
    let (person, room, agent, cost, used, minutes) = *turn;
    let case = Case::new(&format!("u{person}"), &format!("r{room}"), &format!("a{agent}"), budgets);
    (case, took(cost, used), Timestamp(NOON.0 + i64::from(minutes) * 60_000))
}

/// What the store would say of these turns.
fn stored(turns: &[Turn]) -> Vec<UsageSum> {
    let mut sums: Vec<UsageSum> = turns
        .iter()
        .map(|turn| {
            let (case, spent, at) = case(turn, Default::default());
            UsageSum {
                key: UsageKey {
                    quarter: Timestamp(at.0 / 900_000 * 900_000),
                    connector: case.connector,
                    room: case.room,
                    agent: case.agent,
                    role: case.role,
                    user: Some(case.sender.id),
                },
                room_name: String::new(),
                username: case.sender.username,
                spent,
            }
        })
        .collect();
    sums.sort_by(|one, other| one.key.cmp(&other.key));
    sums
}

proptest! {
    /// However turns come: who is refused at the end depends on the turns alone, is refused from then on, and each
    /// budget is warned of once, if and only if it was brought to its mark. A restart changes nothing.
    #[test]
    fn the_order_of_turns_and_a_restart_change_nothing(
        turns in prop::collection::vec(turn(), 0..30),
        budgets in budgets(),
        cut in 0_usize..30,
    ) {
        let mut forward = Ledger::new(vienna(), NOON);
        let mut backward = Ledger::new(vienna(), NOON);
        let mut warnings: Vec<(String, Whose, Unit)> = Vec::new();
        let mut refused: Vec<(String, Whose)> = Vec::new();
        for turn in &turns {
            let (case, spent, at) = case(turn, budgets);
            for crossed in forward.charge(&case.account(), spent, at) {
                prop_assert!(crossed.percent >= WARN_AT);
                let name = match crossed.whose {
                    Whose::Person => case.sender.id.to_string(),
                    Whose::Room => case.room.to_string(),
                    Whose::Agent => case.agent.to_string(),
                };
                warnings.push((name, crossed.whose, crossed.unit));
            }
            if let Some(Whose::Agent) = forward.is_spent(&case.account(), at) {
                refused.push((case.agent.to_string(), Whose::Agent));
            }
        }
        for turn in turns.iter().rev() {
            let (case, spent, at) = case(turn, budgets);
            backward.charge(&case.account(), spent, at);
        }
        // Some before the restart, the others after it.
        let (before, after) = turns.split_at(cut.min(turns.len()));
        let mut restarted = Ledger::new(vienna(), NOON);
        restarted.load(stored(before));
        for turn in after {
            let (case, spent, at) = case(turn, budgets);
            restarted.charge(&case.account(), spent, at);
        }
        prop_assert_eq!(&forward.sums, &backward.sums);
        prop_assert_eq!(&forward.sums, &restarted.sums);
        let mut unique = warnings.clone();
        unique.sort_by_key(|warning| format!("{warning:?}"));
        unique.dedup();
        prop_assert_eq!(unique.len(), warnings.len(), "warned of twice: {:?}", warnings);
        for turn in &turns {
            let (case, _, at) = case(turn, budgets);
            let spent = forward.is_spent(&case.account(), at);
            prop_assert_eq!(spent, restarted.is_spent(&case.account(), at));
            for (whose, scope, budget) in case.account().scopes() {
                let sum = forward.sums.get(&scope).copied().unwrap_or_default();
                let used_up = limits(budget).any(|(unit, limit)| unit.of(&sum) >= limit);
                prop_assert!(!used_up || spent.is_some());
                prop_assert!(spent != Some(whose) || used_up);
                for (unit, limit) in limits(budget) {
                    let near = u128::from(unit.of(&sum)) * 100 >= u128::from(limit) * u128::from(WARN_AT);
                    let name = match &scope {
                        Scope::Agent(name) => name.to_string(),
                        Scope::Room(_, room) => room.to_string(),
                        Scope::Person(_, user) => user.to_string(),
                    };
                    prop_assert_eq!(warnings.contains(&(name, whose, unit)), near);
                }
            }
        }
        for (agent, _) in refused {
            let case = Case::new("nobody", "nowhere", &agent, [DayBudget::default(), DayBudget::default(), budgets[2]]);
            prop_assert_eq!(forward.is_spent(&case.account(), NOON), Some(Whose::Agent), "for good, today");
        }
        prop_assert_eq!(forward.is_spent(&Case::new("u0", "r0", "a0", budgets).account(), later(12)), None);
    }
}
