//! What one turn took, from a result frame whose money is a running total.
//!
//! Claude's `total_cost_usd` grows over the life of a process, and a resumed process may start from what an
//! earlier one had reached. `model_usage_since_last_result` is exact and includes subagents, so it is preferred.
//! Its output tokens include those of thinking, which are told apart beside.

use acg_types::Usage;

use super::wire::ResultFrame;

/// Remembers the running total of one process.
#[derive(Debug)]
pub(crate) struct Meter {
    /// `None`: the session was resumed and its first total is not known yet.
    total: Option<f64>,
}

impl Meter {
    /// A process of a new session starts at nothing; one of a resumed session at an unknown sum.
    pub(crate) fn new(resumed: bool) -> Self {
        Self { total: (!resumed).then_some(0.0) }
    }

    /// The usage of the turn that `result` ends.
    pub(crate) fn turn(&mut self, result: &ResultFrame) -> Usage {
        let difference = match (self.total, result.total_cost_usd) {
            (Some(before), Some(now)) if now >= before => Some(now - before),
            _ => None,
        };
        self.total = result.total_cost_usd.or(self.total);
        let mut usage = Usage {
            cost_usd: difference,
            duration_ms: result.duration_ms,
            model_turns: result.num_turns,
            ..Usage::default()
        };
        if let Some(models) = &result.model_usage_since_last_result {
            for model in models.values() {
                usage.input_tokens = usage.input_tokens.saturating_add(model.input_tokens);
                let thought = model.thinking_tokens.min(model.output_tokens);
                usage.output_tokens = usage.output_tokens.saturating_add(model.output_tokens - thought);
                usage.reasoning_tokens = usage.reasoning_tokens.saturating_add(thought);
                usage.cache_read_tokens =
                    usage.cache_read_tokens.saturating_add(model.cache_read_input_tokens);
                usage.cache_write_tokens =
                    usage.cache_write_tokens.saturating_add(model.cache_creation_input_tokens);
            }
            usage.cost_usd = Some(models.values().fold(0.0, |sum, model| sum + model.cost_usd));
        } else if let Some(tokens) = &result.usage {
            usage.input_tokens = tokens.input_tokens;
            let thought = tokens.output_tokens_details.thinking_tokens.min(tokens.output_tokens);
            usage.output_tokens = tokens.output_tokens - thought;
            usage.reasoning_tokens = thought;
            usage.cache_read_tokens = tokens.cache_read_input_tokens;
            usage.cache_write_tokens = tokens.cache_creation_input_tokens;
        }
        usage
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn costs(resumed: bool, frames: &[serde_json::Value]) -> Vec<Option<f64>> {
        let mut meter = Meter::new(resumed);
        frames
            .iter()
            .map(|frame| meter.turn(&serde_json::from_value(frame.clone()).unwrap()).cost_usd)
            .map(|cost| cost.map(|cost| (cost * 10_000.0).round() / 10_000.0))
            .collect()
    }

    #[test]
    fn three_turns_of_one_process_cost_their_differences() {
        let totals = [
            json!({"total_cost_usd": 0.0044}),
            json!({"total_cost_usd": 0.0132}),
            json!({"total_cost_usd": 0.022}),
        ];
        assert_eq!(costs(false, &totals), [Some(0.0044), Some(0.0088), Some(0.0088)]);
        assert_eq!(
            costs(true, &totals),
            [None, Some(0.0088), Some(0.0088)],
            "what came before is not guessed"
        );
    }

    #[test]
    fn the_programs_own_difference_is_preferred_and_a_falling_total_is_not_believed() {
        let since = json!({
            "total_cost_usd": 1.0,
            "usage": {"input_tokens": 1},
            "model_usage_since_last_result": {
                "a": {"costUSD": 0.25, "inputTokens": 10, "outputTokens": 2},
                "b": {"costUSD": 0.5, "inputTokens": 5, "cacheReadInputTokens": 7},
            },
        });
        assert_eq!(
            costs(true, &[since.clone(), json!({"total_cost_usd": 0.5}), json!({})]),
            [Some(0.75), None, None]
        );
        let usage = Meter::new(false).turn(&serde_json::from_value(since).unwrap());
        assert_eq!((usage.input_tokens, usage.output_tokens, usage.cache_read_tokens), (15, 2, 7));
    }

    #[test]
    fn thinking_is_told_apart_and_counted_once() {
        for (frame, expected) in [
            (
                json!({"usage": {"output_tokens": 40, "output_tokens_details": {"thinking_tokens": 15}}}),
                (25, 15),
            ),
            (json!({"usage": {"output_tokens": 40, "output_tokens_details": null}}), (40, 0)),
            (
                json!({"usage": {"output_tokens": 4, "output_tokens_details": {"thinking_tokens": 15}}}),
                (0, 4),
            ),
            (
                json!({"usage": {"output_tokens": 1}, "model_usage_since_last_result": {
                    "a": {"outputTokens": 40, "thinkingTokens": 15},
                    "b": {"outputTokens": 4, "thinkingTokens": 5},
                    "c": {"outputTokens": 7},
                }}),
                (32, 19),
            ),
        ] {
            let usage = Meter::new(false).turn(&serde_json::from_value(frame.clone()).unwrap());
            assert_eq!((usage.output_tokens, usage.reasoning_tokens), expected, "{frame}");
        }
    }
}
