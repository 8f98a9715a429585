//! What was used up today by each agent, in each room and by each person, and whether a budget of the day is spent. Pure.
//!
//! Owns the day's sums. They are what the store holds of today, kept up to date in memory, so that a message is judged
//! without asking the disk. Must never take anything back: a day's sums only grow, so that a budget is warned of once.
//!
//! A turn costs what it costs, and is known when it has ended: a sum may pass its budget by what runs or waits already.

use std::collections::HashMap;
use std::ops::Range;

use acg_config::{Config, DayBudget};
use acg_store::{Spent, UsageSum};
use acg_types::{AgentName, ConnectorName, Role, RoomId, Sender, Timestamp, UserId};
use jiff::tz::TimeZone;

mod apply;
mod show;

pub(crate) use show::show;

/// From so many hundredths on, people are warned.
const WARN_AT: u64 = 80;
const DAY: i64 = 24 * 60 * 60 * 1000;

/// Whose budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Whose {
    /// Of the person who wrote.
    Person,
    /// Of the room.
    Room,
    /// Of the agent.
    Agent,
}

/// What a budget is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Unit {
    /// Millionths of a US dollar.
    MicroUsd,
    /// Tokens, without those that were read from a cache.
    Tokens,
}

impl Unit {
    const ALL: [Self; 2] = [Self::MicroUsd, Self::Tokens];

    pub(crate) fn of(self, spent: &Spent) -> u64 {
        match self {
            Self::MicroUsd => spent.cost_micros,
            Self::Tokens => spent.tokens_but_cached(),
        }
    }

    /// How many turns of the sum did not tell it.
    pub(crate) fn untold(self, spent: &Spent) -> u64 {
        let told = match self {
            Self::MicroUsd => spent.priced,
            Self::Tokens => spent.told,
        };
        spent.turns.saturating_sub(told)
    }

    fn limit(self, budget: DayBudget) -> Option<u64> {
        match self {
            Self::MicroUsd => budget.micro_usd,
            Self::Tokens => budget.tokens,
        }
    }
}

/// The limits that are set in a budget.
pub(crate) fn limits(budget: DayBudget) -> impl Iterator<Item = (Unit, u64)> {
    Unit::ALL.into_iter().filter_map(move |unit| Some((unit, unit.limit(budget)?)))
}

/// Whether anything is limited.
pub(crate) fn is_any(config: &Config) -> bool {
    let agents = config.agents.iter().map(|agent| agent.budget);
    let rooms = config.watchers.iter().map(|watcher| watcher.budget);
    let people = config.roles.values().map(|role| role.budget);
    agents.chain(rooms).chain(people).any(|budget| !budget.is_none())
}

/// Whether a budget in dollars counts an agent's turns.
pub(crate) fn counts_money(config: &Config, agent: &AgentName) -> bool {
    let own = config.agents.iter().filter(|entry| entry.name == *agent).map(|entry| entry.budget);
    let rooms = config.watchers.iter().filter(|entry| entry.agent == *agent).map(|entry| entry.budget);
    let people = config.roles.values().map(|role| role.budget);
    own.chain(rooms).chain(people).any(|budget| budget.micro_usd.is_some())
}

/// What a message, or the turn that answers it, counts towards, each with its budget.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Account<'a> {
    pub(crate) connector: &'a ConnectorName,
    pub(crate) room: (&'a RoomId, DayBudget),
    pub(crate) agent: (&'a AgentName, DayBudget),
    pub(crate) person: (&'a Sender, &'a Role, DayBudget),
}

impl Account<'_> {
    fn scopes(&self) -> [(Whose, Scope, DayBudget); 3] {
        let connector = self.connector;
        [
            (Whose::Person, Scope::Person(connector.clone(), self.person.0.id.clone()), self.person.2),
            (Whose::Room, Scope::Room(connector.clone(), self.room.0.clone()), self.room.1),
            (Whose::Agent, Scope::Agent(self.agent.0.clone()), self.agent.1),
        ]
    }
}

/// A budget that a turn has brought near its end, or over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Crossed {
    pub(crate) whose: Whose,
    pub(crate) unit: Unit,
    /// How much of it is used up, in hundredths, rounded down.
    pub(crate) percent: u64,
}

/// What is summed up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Scope {
    Agent(AgentName),
    Room(ConnectorName, RoomId),
    Person(ConnectorName, UserId),
}

/// A person who has used something up today.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spender {
    pub(crate) connector: ConnectorName,
    pub(crate) username: String,
    /// The role of the last turn.
    pub(crate) role: Role,
    pub(crate) spent: Spent,
}

/// The sums of one day.
#[derive(Debug)]
pub(crate) struct Ledger {
    zone: TimeZone,
    day: Range<Timestamp>,
    sums: HashMap<Scope, Spent>,
    /// Login name and role of those who are in `sums`, in their last turn.
    people: HashMap<(ConnectorName, UserId), (String, Role)>,
}

impl Ledger {
    /// An empty day. Days are those of `zone`.
    pub(crate) fn new(zone: TimeZone, now: Timestamp) -> Self {
        let day = day_of(now, &zone);
        Self { zone, day, sums: HashMap::new(), people: HashMap::new() }
    }

    /// From when to when the day lasts.
    pub(crate) fn day(&self) -> Range<Timestamp> {
        self.day.clone()
    }

    /// Adds what the store has of this day. Sums by keys: those of one person come in order of time.
    pub(crate) fn load(&mut self, sums: Vec<UsageSum>) {
        for UsageSum { key, username, spent, .. } in sums {
            self.add(Scope::Agent(key.agent), spent);
            self.add(Scope::Room(key.connector.clone(), key.room), spent);
            if let Some(user) = key.user {
                self.add(Scope::Person(key.connector.clone(), user.clone()), spent);
                self.people.insert((key.connector, user), (username, key.role));
            }
        }
    }

    /// The first budget that is spent, of those that a message counts towards.
    pub(crate) fn is_spent(&mut self, account: &Account<'_>, now: Timestamp) -> Option<Whose> {
        self.turn_page(now);
        account.scopes().into_iter().find_map(|(whose, scope, budget)| {
            let spent = self.sums.get(&scope)?;
            limits(budget).any(|(unit, limit)| unit.of(spent) >= limit).then_some(whose)
        })
    }

    /// Counts a turn that has ended; tells which budgets it brought over the mark.
    pub(crate) fn charge(&mut self, account: &Account<'_>, spent: Spent, now: Timestamp) -> Vec<Crossed> {
        self.turn_page(now);
        let (sender, role, _) = account.person;
        self.people
            .insert((account.connector.clone(), sender.id.clone()), (sender.username.clone(), role.clone()));
        let mut crossed = Vec::new();
        for (whose, scope, budget) in account.scopes() {
            let (before, after) = self.add(scope, spent);
            for (unit, limit) in limits(budget) {
                let percent = percent(unit.of(&after), limit);
                if percent >= WARN_AT && self::percent(unit.of(&before), limit) < WARN_AT {
                    crossed.push(Crossed { whose, unit, percent });
                }
            }
        }
        crossed
    }

    pub(crate) fn of_agent(&mut self, agent: &AgentName, now: Timestamp) -> Spent {
        self.turn_page(now);
        self.sums.get(&Scope::Agent(agent.clone())).copied().unwrap_or_default()
    }

    pub(crate) fn of_room(&mut self, connector: &ConnectorName, room: &RoomId, now: Timestamp) -> Spent {
        self.turn_page(now);
        self.sums.get(&Scope::Room(connector.clone(), room.clone())).copied().unwrap_or_default()
    }

    /// Everybody who has used something up today, in no order.
    pub(crate) fn spenders(&mut self, now: Timestamp) -> Vec<Spender> {
        self.turn_page(now);
        let of = |((connector, user), (username, role)): (&(ConnectorName, UserId), &(String, Role))| {
            let spent = *self.sums.get(&Scope::Person(connector.clone(), user.clone()))?;
            Some(Spender {
                connector: connector.clone(),
                username: username.clone(),
                role: role.clone(),
                spent,
            })
        };
        self.people.iter().filter_map(of).collect()
    }

    /// The sum before, and the sum now.
    fn add(&mut self, scope: Scope, spent: Spent) -> (Spent, Spent) {
        let sum = self.sums.entry(scope).or_default();
        let before = *sum;
        *sum = before.and(spent);
        (before, *sum)
    }

    /// Begins the day of this moment, if that is another one. A clock that is set back a little does not bring the day
    /// before again: its budgets would begin anew, and today's after that.
    fn turn_page(&mut self, now: Timestamp) {
        let Range { start, end } = self.day;
        if now >= end || now.0 < start.0.saturating_sub(DAY) {
            self.day = day_of(now, &self.zone);
            self.sums.clear();
            self.people.clear();
        }
    }
}

/// How much of a limit is used up, in hundredths, rounded down.
fn percent(used: u64, limit: u64) -> u64 {
    let hundredths = u128::from(used) * 100 / u128::from(limit.max(1));
    u64::try_from(hundredths).unwrap_or(u64::MAX)
}

/// The calendar day that a moment is in.
fn day_of(now: Timestamp, zone: &TimeZone) -> Range<Timestamp> {
    let in_zone = || {
        let date = jiff::Timestamp::from_millisecond(now.0).ok()?.to_zoned(zone.clone()).date();
        let start = date.to_zoned(zone.clone()).ok()?.timestamp().as_millisecond();
        let end = date.tomorrow().ok()?.to_zoned(zone.clone()).ok()?.timestamp().as_millisecond();
        Some(Timestamp(start)..Timestamp(end))
    };
    // At the ends of time: days of 24 hours.
    in_zone().unwrap_or_else(|| {
        let start = now.0.div_euclid(DAY).saturating_mul(DAY);
        Timestamp(start)..Timestamp(start.saturating_add(DAY))
    })
}

#[cfg(test)]
mod tests;
