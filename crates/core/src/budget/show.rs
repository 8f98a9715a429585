//! Budgets for `status`.
//!
//! Owns which are shown: those of agents and of named rooms always; of people, and of rooms that are served because all
//! are, only where something was used up today. Never more than a screen can hold.

use acg_store::Spent;
use acg_types::Timestamp;

use super::{DayBudget, Ledger, Unit, limits, percent};
use crate::handle::{BudgetInfo, BudgetOf, BudgetUnit};
use crate::hub::{Hub, lock};

/// Most budgets that are shown.
const MOST: usize = 100;

/// Today's budgets, and how many were left out.
pub(crate) fn show(hub: &Hub) -> (Vec<BudgetInfo>, usize) {
    let Some(ledger) = &hub.ledger else { return (Vec::new(), 0) };
    let now = hub.clock.now();
    // One lock after the other: neither is held while the other is waited for.
    let rooms = rooms(hub);
    let mut ledger = lock(ledger);
    let mut agents = Vec::new();
    for part in hub.agent_order.iter().filter_map(|name| hub.agents.get(name)) {
        let spent = ledger.of_agent(&part.config.name, now);
        agents.extend(lines(&BudgetOf::Agent(part.config.name.clone()), part.config.budget, spent));
    }
    let mut others = Vec::new();
    for Room { of, id, budget, always } in rooms {
        let BudgetOf::Room(connector, _) = &of else { continue };
        let spent = id.map(|id| ledger.of_room(connector, &id, now)).unwrap_or_default();
        if always || spent.turns > 0 {
            others.extend(lines(&of, budget, spent));
        }
    }
    others.extend(people(hub, &mut ledger, now));
    drop(ledger);
    in_order(agents, others)
}

struct Room {
    of: BudgetOf,
    id: Option<acg_types::RoomId>,
    budget: DayBudget,
    always: bool,
}

/// The rooms that have a budget. One that several agents answer in has that of each entry.
fn rooms(hub: &Hub) -> Vec<Room> {
    let watchers = lock(&hub.watchers);
    let with_budget = watchers.iter().filter(|watcher| !watcher.config.budget.is_none());
    with_budget
        .map(|watcher| Room {
            of: BudgetOf::Room(watcher.config.connector.clone(), watcher.room_name.clone()),
            id: watcher.room.as_ref().map(|room| room.id.clone()),
            budget: watcher.config.budget,
            always: matches!(watcher.config.room, acg_config::WatchedRoom::Named(_)),
        })
        .collect()
}

fn people(hub: &Hub, ledger: &mut Ledger, now: Timestamp) -> Vec<BudgetInfo> {
    let of_one = |spender: super::Spender| {
        let budget = hub.roles.get(&spender.role).map(|role| role.budget).unwrap_or_default();
        let of = BudgetOf::Person(spender.connector, spender.username);
        lines(&of, budget, spender.spent).collect::<Vec<_>>()
    };
    ledger.spenders(now).into_iter().flat_map(of_one).collect()
}

fn lines(of: &BudgetOf, budget: DayBudget, spent: Spent) -> impl Iterator<Item = BudgetInfo> {
    limits(budget).map(move |(unit, limit)| BudgetInfo {
        of: of.clone(),
        unit: match unit {
            Unit::MicroUsd => BudgetUnit::MicroUsd,
            Unit::Tokens => BudgetUnit::Tokens,
        },
        spent: unit.of(&spent),
        limit,
        turns: spent.turns,
        untold: unit.untold(&spent),
    })
}

/// Agents as they come; the rest by how much is used up.
fn in_order(mut agents: Vec<BudgetInfo>, mut others: Vec<BudgetInfo>) -> (Vec<BudgetInfo>, usize) {
    let by = |info: &BudgetInfo| {
        (std::cmp::Reverse(percent(info.spent, info.limit)), info.of.clone(), info.unit, info.limit)
    };
    others.sort_by_cached_key(by);
    others.dedup();
    agents.append(&mut others);
    let left_out = agents.len().saturating_sub(MOST);
    agents.truncate(MOST);
    (agents, left_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_nearest_its_end_comes_first_and_there_are_not_too_many() {
        let of = |name: String, spent| BudgetInfo {
            of: BudgetOf::Person("rc".into(), name),
            unit: BudgetUnit::Tokens,
            spent,
            limit: 1000,
            turns: 1,
            untold: 0,
        };
        let agent = BudgetInfo { of: BudgetOf::Agent("a".into()), ..of(String::new(), 0) };
        let mut others: Vec<_> = (0..150).map(|index| of(format!("p{index:03}"), index * 10)).collect();
        others.push(others[149].clone());
        let (shown, left_out) = in_order(vec![agent.clone()], others);
        assert_eq!((shown.len(), left_out), (100, 51), "what is there twice is one");
        assert_eq!(shown[0], agent);
        assert_eq!((shown[1].spent, shown[99].spent), (1490, 510));
    }
}
