//! Sums of what turns took.
//!
//! Owns plain data, as [`super`], and adding it up.

use acg_types::{AgentName, ConnectorName, Role, RoomId, Timestamp, Usage, UserId};

/// What the turns of a sum have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UsageKey {
    /// When the quarter of an hour began in which they ended. Every zone's days are made of such quarters.
    pub quarter: Timestamp,
    /// The connector.
    pub connector: ConnectorName,
    /// The room.
    pub room: RoomId,
    /// The agent.
    pub agent: AgentName,
    /// The role they ran with.
    pub role: Role,
    /// Who sent the last message that they answer; `None` if they answer none, or it is gone.
    pub user: Option<UserId>,
}

/// What turns took together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageSum {
    /// What they have in common.
    pub key: UsageKey,
    /// The room's name as it was read last; may be empty.
    pub room_name: String,
    /// The sender's login name in the last of them; empty without one.
    pub username: String,
    /// The sums.
    pub spent: Spent,
}

/// Figures of any number of turns. Sums stop at the largest number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// How many turns.
    pub turns: u64,
    /// How many of them told their tokens.
    pub told: u64,
    /// How many of them told their cost.
    pub priced: u64,
    /// Fresh input tokens.
    pub input_tokens: u64,
    /// Output tokens, without reasoning.
    pub output_tokens: u64,
    /// Input tokens read from the provider's cache.
    pub cache_read_tokens: u64,
    /// Input tokens written to the provider's cache.
    pub cache_write_tokens: u64,
    /// Output tokens that a model thought with, where told apart.
    pub reasoning_tokens: u64,
    /// Millionths of a US dollar, each turn's rounded to the nearest.
    pub cost_micros: u64,
    /// How long the agents say they worked.
    pub duration_ms: u64,
}

impl Spent {
    /// Those of one turn, as they are when it has been stored. `None`: it told nothing.
    #[must_use]
    pub fn of(usage: Option<&Usage>) -> Self {
        let Some(usage) = usage else { return Self { turns: 1, ..Self::default() } };
        let cost = usage.cost_usd.filter(|cost| cost.is_finite()).map(crate::usage::micros);
        Self {
            turns: 1,
            told: 1,
            priced: u64::from(cost.is_some()),
            input_tokens: usage.input_tokens,
            output_tokens: usage.output_tokens,
            cache_read_tokens: usage.cache_read_tokens,
            cache_write_tokens: usage.cache_write_tokens,
            reasoning_tokens: usage.reasoning_tokens,
            cost_micros: cost.unwrap_or(0),
            duration_ms: usage.duration_ms.unwrap_or(0),
        }
    }

    /// All tokens but those that were read from a cache, which cost next to nothing.
    #[must_use]
    pub fn tokens_but_cached(&self) -> u64 {
        self.input_tokens
            .saturating_add(self.output_tokens)
            .saturating_add(self.cache_write_tokens)
            .saturating_add(self.reasoning_tokens)
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            turns: self.turns.saturating_add(other.turns),
            told: self.told.saturating_add(other.told),
            priced: self.priced.saturating_add(other.priced),
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
            output_tokens: self.output_tokens.saturating_add(other.output_tokens),
            cache_read_tokens: self.cache_read_tokens.saturating_add(other.cache_read_tokens),
            cache_write_tokens: self.cache_write_tokens.saturating_add(other.cache_write_tokens),
            reasoning_tokens: self.reasoning_tokens.saturating_add(other.reasoning_tokens),
            cost_micros: self.cost_micros.saturating_add(other.cost_micros),
            duration_ms: self.duration_ms.saturating_add(other.duration_ms),
        }
    }
}
