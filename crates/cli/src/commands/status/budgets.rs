//! Budgets of today, a line for each. Names come from outside and are made harmless.

use acg_protocol::{BudgetLine, BudgetOf, BudgetUnit, StatusData};

use crate::commands::figures::{dollars, grouped};
use crate::output::printable;

/// A heading and the lines; nothing where no budget is configured.
pub(super) fn lines(data: &StatusData) -> Vec<String> {
    if data.budgets.is_empty() {
        return Vec::new();
    }
    let mut lines = vec!["Budgets of today:".to_owned()];
    lines.extend(data.budgets.iter().map(|budget| format!("  {}", line(budget))));
    if data.budgets_left_out > 0 {
        lines.push(format!("  and {} more, of which less is used up", data.budgets_left_out));
    }
    lines
}

fn line(budget: &BudgetLine) -> String {
    let of = match budget.of {
        BudgetOf::Agent => "agent",
        BudgetOf::Room => "room",
        BudgetOf::Person => "person",
    };
    let name = printable(&budget.name);
    let place = budget.connector.as_deref().map(|connector| format!(" ({})", printable(connector)));
    let (spent, limit) = match budget.unit {
        BudgetUnit::MicroUsd => (dollars(budget.spent), format!("{} USD", dollars(budget.limit))),
        BudgetUnit::Tokens => (grouped(budget.spent), format!("{} tokens", grouped(budget.limit))),
    };
    // As in `usage`: nobody told, or not all did.
    let used = match (budget.untold, budget.turns) {
        (0, _) => format!("{spent} of {limit} ({} %)", percent(budget)),
        (untold, turns) if untold >= turns => format!("n/a of {limit}: no turn has told how much it took"),
        _ => format!("≥{spent} of {limit} ({} %)", percent(budget)),
    };
    format!("{of} {name}{}: {used}", place.unwrap_or_default())
}

fn percent(budget: &BudgetLine) -> u128 {
    u128::from(budget.spent) * 100 / u128::from(budget.limit.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_up_is_told_in_the_budgets_own_unit() {
        let budget = |unit, spent, limit, turns, untold| BudgetLine {
            of: BudgetOf::Room,
            name: "gene\nral".to_owned(),
            connector: Some("rc".to_owned()),
            unit,
            spent,
            limit,
            turns,
            untold,
        };
        let agent = BudgetLine {
            of: BudgetOf::Agent,
            connector: None,
            ..budget(BudgetUnit::MicroUsd, 1_250_000, 5_000_000, 3, 0)
        };
        let said = [
            line(&agent),
            line(&budget(BudgetUnit::MicroUsd, 4_400, 500_000, 3, 1)),
            line(&budget(BudgetUnit::MicroUsd, 0, 500_000, 3, 3)),
            line(&budget(BudgetUnit::Tokens, 1_300_000, 1_000_000, 3, 0)),
            line(&budget(BudgetUnit::Tokens, 0, u64::MAX, 0, 0)),
        ];
        insta::assert_snapshot!(said.join("\n"), @r"
        agent gene\nral: 1.25 of 5.00 USD (25 %)
        room gene\nral (rc): ≥0.0044 of 0.50 USD (0 %)
        room gene\nral (rc): n/a of 0.50 USD: no turn has told how much it took
        room gene\nral (rc): 1,300,000 of 1,000,000 tokens (130 %)
        room gene\nral (rc): 0 of 18,446,744,073,709,551,615 tokens (0 %)
        ");
    }
}
