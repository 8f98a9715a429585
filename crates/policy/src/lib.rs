//! Decisions about tool calls, as pure functions of the call, the rules of a role and the working directory.
//!
//! Owns the meaning of `owner_allowed_tools` and `guest_allowed_tools`, and where a path may lead. Must never do
//! I/O of its own (paths are resolved by the function that the caller passes), hold state, or allow what it does
//! not understand: everything unknown is a refusal.

pub mod approval;
pub mod bash;
mod breadth;
mod call;
mod decide;
mod disk;
mod explain;
mod globs;
mod guarded;
mod json;
mod paths;
mod python;
mod role;
mod rule;
mod subject;
mod tool;
mod urls;

pub use decide::{Inspection, Request, Verdict, decide, decide_unseen, inspect};
pub use disk::real_path;
pub use explain::{ExplainedRule, Explanation, explain};
pub use role::{Otherwise, RolePolicy};
pub use rule::{Rule, RuleError, tool_names};
pub use tool::{ALWAYS_ALLOWED, BEYOND_THE_TURN, reaches_beyond_the_turn};
