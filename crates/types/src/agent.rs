//! What agents do during a turn, whatever program they are.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::AgentName;

/// An agent program's id of one permission question, opaque.
pub type PermissionId = String;

/// One tool call in canonical form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The agent that wants to call.
    pub agent: AgentName,
    /// The tool's name as the agent has it (`Bash`, `Read`, `mcp__gw__send_file`).
    pub tool: String,
    /// The whole input.
    pub params: Value,
    /// The input as JSON text, exactly as the program sent it. What [`ToolCall::params`] cannot show (a key
    /// given twice) shows here.
    pub raw: String,
    /// The agent program's id of the call, if it has one.
    pub call_id: Option<String>,
}

impl ToolCall {
    /// A call whose input came without a text of its own.
    pub fn new(
        agent: impl Into<AgentName>,
        tool: impl Into<String>,
        params: Value,
        call_id: Option<String>,
    ) -> Self {
        let raw = params.to_string();
        Self { agent: agent.into(), tool: tool.into(), params, raw, call_id }
    }
}

/// The answer to a permission question. What is not allowed is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Run exactly the input that was asked about.
    Allow,
    /// Do not run it; the reason goes to the agent.
    Deny {
        /// For the agent (and the log) to read.
        reason: String,
    },
    /// Nobody has answered yet: end the turn with the call not run. It is asked about anew when the turn is
    /// taken up. Only for a question that says it can be deferred; for any other it is a refusal.
    Defer,
    /// The gateway has no opinion: the user's own settings of the agent program decide, and what those would ask
    /// about is refused. A backend that cannot do just that refuses.
    OwnSettings,
}

/// Tokens and money of one turn.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Fresh input tokens.
    pub input_tokens: u64,
    /// Output tokens, without those in `reasoning_tokens`.
    pub output_tokens: u64,
    /// Output tokens that the model thought with, where the agent tells them apart; else they are in
    /// `output_tokens`.
    #[serde(default)]
    pub reasoning_tokens: u64,
    /// Input tokens read from the provider's cache.
    pub cache_read_tokens: u64,
    /// Input tokens written to the provider's cache.
    pub cache_write_tokens: u64,
    /// What this turn cost in US dollars, if the agent says so.
    pub cost_usd: Option<f64>,
    /// How long the agent says it worked.
    pub duration_ms: Option<u64>,
    /// How many model calls the turn took.
    pub model_turns: Option<u64>,
}

impl Usage {
    /// Both together. What only one of them tells is that one's.
    #[must_use]
    pub fn and(self, other: &Self) -> Self {
        let whole = |one: Option<u64>, more: Option<u64>| match (one, more) {
            (Some(one), Some(more)) => Some(one.saturating_add(more)),
            (one, more) => one.or(more),
        };
        Self {
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
            output_tokens: self.output_tokens.saturating_add(other.output_tokens),
            reasoning_tokens: self.reasoning_tokens.saturating_add(other.reasoning_tokens),
            cache_read_tokens: self.cache_read_tokens.saturating_add(other.cache_read_tokens),
            cache_write_tokens: self.cache_write_tokens.saturating_add(other.cache_write_tokens),
            cost_usd: match (self.cost_usd, other.cost_usd) {
                (Some(one), Some(more)) => Some(one + more),
                (one, more) => one.or(more),
            },
            duration_ms: whole(self.duration_ms, other.duration_ms),
            model_turns: whole(self.model_turns, other.model_turns),
        }
    }
}

/// Why a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The agent finished.
    Completed,
    /// The turn was cancelled.
    Cancelled,
    /// The agent reported an error of its own; [`TurnEnd::error`] has its words.
    Failed,
    /// The provider's usage or rate limit was hit.
    RateLimited,
    /// The provider or the agent's own log-in refused.
    Unauthorised,
    /// The provider is unreachable or overloaded.
    Unavailable,
    /// The provider's quota or credit is used up; waiting a little does not help.
    QuotaExceeded,
    /// The session has grown larger than the model can take.
    ContextOverflow,
    /// The model or its provider refused to answer.
    Refused,
    /// A tool call was deferred ([`Decision::Defer`]); the turn can be taken up.
    Deferred,
}

/// The last event of a turn.
#[derive(Clone, Debug, PartialEq)]
pub struct TurnEnd {
    /// Why it ended.
    pub reason: EndReason,
    /// The answer, if the agent gave one apart from its messages.
    pub text: Option<String>,
    /// The agent's words about what went wrong. Outside data: for the log, not for the room.
    pub error: Option<String>,
    /// What the turn took.
    pub usage: Option<Usage>,
}

/// A step of an agent's plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanStep {
    /// What it is. Outside data.
    pub text: String,
    /// Whether it is done.
    pub done: bool,
}

/// What an agent does during a turn, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum AgentEvent {
    /// A piece of a message that is still being written.
    TextDelta(String),
    /// A whole message of the agent.
    Message(String),
    /// The agent thinks; a sign of life.
    Thought,
    /// The agent has begun a tool call (it may still be refused).
    ToolStarted(ToolCall),
    /// A tool call has a result.
    ToolFinished {
        /// [`ToolCall::call_id`].
        call_id: String,
        /// Whether the tool failed or was refused.
        is_error: bool,
    },
    /// A tool call waits for a [`Decision`]. Every one must be answered.
    Permission {
        /// To be given back with the decision.
        id: PermissionId,
        /// The call in question.
        call: ToolCall,
        /// Whether `call` shows everything that would run. If not, no person can be asked about it.
        whole: bool,
        /// Whether [`Decision::Defer`] may be the answer.
        deferrable: bool,
    },
    /// The agent asks people something, apart from permissions. Must be answered with `AgentSession::reply`.
    Question {
        /// To be given back with the reply.
        id: PermissionId,
        /// What it asks. Outside data.
        text: String,
        /// Answers that it offers, if any. Outside data.
        options: Vec<String>,
    },
    /// What the agent means to do, whole, each time it changes.
    Plan(Vec<PlanStep>),
    /// How full the session is, or what it has used so far; a sign of life. What counts comes with the end.
    Usage {
        /// Tokens in the session now.
        used: u64,
        /// The most there may be, if the agent says so.
        limit: Option<u64>,
    },
    /// The program no longer waits for the answer to this question; the call does not run.
    PermissionWithdrawn {
        /// The question's id.
        id: PermissionId,
    },
    /// The program waits and tries again by itself; a sign of life, with the reason.
    Retrying(String),
    /// The turn is over; nothing follows.
    End(TurnEnd),
}
