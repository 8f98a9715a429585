//! What differs between programs that speak the protocol, as pure functions over its frames.
//!
//! A dialect never decides whether a call may run: it says which call is asked about, and whether it is shown whole.
//!
//! To add a program: implement [`Dialect`] (only `asked` has no default), implement [`super::backend::Program`], and give
//! both to [`super::AcpBackend`].

use std::fmt;

use acg_types::{AgentName, EndReason, ToolCall, Usage};

use super::outcome;
use super::wire::{Call, Ended, Hello, RpcError};

/// A question in canonical form.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Asked {
    pub(crate) call: ToolCall,
    /// Whether the call shows everything that would run. If not, no person is asked about it.
    pub(crate) whole: bool,
}

/// One program's way with the protocol.
pub(crate) trait Dialect: fmt::Debug + Send + Sync + 'static {
    /// The call that `session/request_permission` asks about.
    fn asked(&self, agent: &AgentName, call: &Call) -> Asked;

    /// A call that has begun, to be shown.
    fn shown(&self, agent: &AgentName, call: &Call) -> ToolCall {
        self.asked(agent, call).call
    }

    /// Whether a call may be at work at all, however it was decided. If not, the process ends.
    fn may_run(&self, _: &Call) -> bool {
        true
    }

    /// Whether the program is offered to read and write text files through us: each becomes a question about `Read` or
    /// `Write`, and is carried out here, within the working directory.
    fn files(&self) -> bool {
        false
    }

    /// Whether the program is offered to have commands run by us: each becomes a question about `Bash`, and is run here, in
    /// the working directory, for as long as the turn lasts.
    fn terminals(&self) -> bool {
        false
    }

    /// Whether an earlier session is opened again in a new process. If not, that is not even tried.
    fn resumes(&self) -> bool {
        true
    }

    /// Looks at what the program says of itself. `Err`: it is unfit, in words for people.
    fn fit(&self, _: &Hello) -> Result<(), String> {
        Ok(())
    }

    /// Why a turn failed.
    fn reason(&self, error: &RpcError) -> EndReason {
        outcome::reason(error)
    }

    /// What a turn took.
    fn usage(&self, end: &Ended) -> Option<Usage> {
        end.usage.clone()
    }

    /// Whether small text files go along whole, if the program takes them.
    fn embeds(&self) -> bool {
        true
    }

    /// Whether small text files stand in the text of the prompt instead, and no file is linked.
    fn inlines(&self) -> bool {
        false
    }

    /// Whether it says what a turn has cost. What one says of whom that is not known is not taken.
    fn costs(&self) -> bool {
        false
    }

    /// What to do if the program wants somebody to log in. The gateway never does that itself.
    fn login(&self) -> String;
}
