//! What the calls of one turn have used together. Pure.

use acg_types::Usage;

use super::wire::Tokens;

/// A running sum over the model's answers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sum {
    usage: Usage,
    cost: f64,
    turns: u64,
}

impl Sum {
    /// One answer of the model. Who claims too much must not end the turn.
    pub(crate) fn add(&mut self, tokens: Tokens, cost: f64) {
        let add = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        add(&mut self.usage.input_tokens, tokens.input);
        add(&mut self.usage.output_tokens, tokens.output);
        // Beside `output`, not in it.
        add(&mut self.usage.reasoning_tokens, tokens.reasoning);
        add(&mut self.usage.cache_read_tokens, tokens.cache.read);
        add(&mut self.usage.cache_write_tokens, tokens.cache.write);
        self.cost += cost;
        self.turns += u64::from(tokens != Tokens::default());
    }

    /// `None` if nothing was used.
    pub(crate) fn total(&self) -> Option<Usage> {
        let cost_usd = Some(self.cost).filter(|cost| cost.is_finite());
        let usage = Usage { cost_usd, model_turns: Some(self.turns), ..self.usage.clone() };
        (self.turns > 0).then_some(usage)
    }
}

impl Tokens {
    /// How much of the model's context an answer has filled, in tokens.
    pub(crate) fn in_context(&self) -> u64 {
        let parts = [self.input, self.cache.read, self.cache.write, self.output];
        parts.into_iter().fold(0, u64::saturating_add)
    }
}
