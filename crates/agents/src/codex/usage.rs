//! What a turn took, summed up from the count after each of the model's answers. Pure.

use acg_types::Usage;
use serde_json::Value;

/// Counts one turn.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    usage: Usage,
    /// The session's total of the last count: the same total again is the same count.
    total: Option<u64>,
}

impl Meter {
    /// A `tokenUsage`; gives (tokens in the session, most there may be), if it is a new one.
    pub(crate) fn count(&mut self, tokens: &Value) -> Option<(u64, Option<u64>)> {
        let total = tokens["total"]["totalTokens"].as_u64()?;
        if self.total.replace(total) == Some(total) {
            return None;
        }
        let last = &tokens["last"];
        let number = |name: &str| last[name].as_u64().unwrap_or(0);
        let (read, written) = (number("cachedInputTokens"), number("cacheWriteInputTokens"));
        let usage = &mut self.usage;
        let add = |to: &mut u64, more: u64| *to = to.saturating_add(more);
        // The input counts what came from the cache and went into it too.
        add(&mut usage.input_tokens, number("inputTokens").saturating_sub(read).saturating_sub(written));
        add(&mut usage.cache_read_tokens, read);
        add(&mut usage.cache_write_tokens, written);
        add(&mut usage.output_tokens, number("outputTokens"));
        usage.model_turns = Some(usage.model_turns.unwrap_or(0).saturating_add(1));
        Some((number("totalTokens"), tokens["modelContextWindow"].as_u64()))
    }

    /// What the turn took; `None` if the model never answered.
    pub(crate) fn turn(self, duration_ms: Option<u64>) -> Option<Usage> {
        self.usage.model_turns?;
        Some(Usage { duration_ms, ..self.usage })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_are_summed_up_and_none_is_counted_twice() {
        let count = |total: u64| {
            json!({
                "total": {"totalTokens": total}, "modelContextWindow": 258_400,
                "last": {"totalTokens": 1020, "inputTokens": 1000, "cachedInputTokens": 600, "outputTokens": 20},
            })
        };
        let mut meter = Meter::default();
        assert_eq!(meter.count(&count(5000)), Some((1020, Some(258_400))));
        assert_eq!(meter.count(&count(5000)), None);
        meter.count(&count(6020));
        assert_eq!(meter.count(&json!({"total": "many"})), None);
        let usage = meter.turn(Some(7)).unwrap();
        assert_eq!((usage.input_tokens, usage.cache_read_tokens, usage.output_tokens), (800, 1200, 40));
        assert_eq!((usage.model_turns, usage.cost_usd, usage.duration_ms), (Some(2), None, Some(7)));
        assert_eq!(Meter::default().turn(None), None);
    }
}
