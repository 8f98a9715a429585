//! `budget:` of an agent, a role or a watcher.
//!
//! Owns making exact numbers of what is written. Must never let a budget of nothing pass: who wants to refuse everybody
//! has other means, and 0 is no limit elsewhere.

use crate::model::DayBudget;
use crate::section::Section;

/// Most tokens of a day.
pub(crate) const MOST_TOKENS: u64 = 1_000_000_000_000_000;
/// Most dollars of a day.
const MOST_USD: f64 = 1_000_000_000.0;

/// The `budget:` of an entry. Without one nothing is limited.
pub(crate) fn read(entry: &Section<'_>) -> DayBudget {
    if !entry.has("budget") {
        return DayBudget::default();
    }
    let section = entry.section("budget");
    let micro_usd = section.f64("usd_per_day").and_then(|dollars| {
        let micros = micros(dollars);
        if micros.is_none() {
            let message = "'usd_per_day' must be at least 0.000001, and at most 1000000000.";
            section.error("usd_per_day", message, Some("leave the key out for no limit"));
        }
        micros
    });
    // Its bounds are those of the table of keys.
    DayBudget { micro_usd, tokens: section.u64("tokens_per_day") }
}

/// Dollars as whole millionths.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "within bounds that are checked before, far below those of u64"
)]
fn micros(dollars: f64) -> Option<u64> {
    let micros = (0.0..=MOST_USD).contains(&dollars).then(|| (dollars * 1_000_000.0).round() as u64);
    micros.filter(|micros| *micros > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_are_exact() {
        for (dollars, expected) in [
            (2.5, Some(2_500_000)),
            (0.1, Some(100_000)),
            (19.99, Some(19_990_000)),
            (0.000_001, Some(1)),
            (1e9, Some(1_000_000_000_000_000)),
            (0.0, None),
            (0.000_000_1, None),
            (1e10, None),
            (f64::NAN, None),
        ] {
            assert_eq!(micros(dollars), expected, "{dollars}");
        }
    }
}
