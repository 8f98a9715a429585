//! The decision about one tool call.
//!
//! Owns the order in which things count: what is malformed is refused for everyone; then what is allowed to all, to
//! the role, or by a rule; the rest is put to a person, left to the agent's own settings, or refused. Must never
//! allow a call that it has not looked at.

use std::io;
use std::path::{Path, PathBuf};

use acg_types::ToolCall;

use crate::bash::BashReport;
use crate::call;
use crate::paths::Refused;
use crate::role::{Otherwise, RolePolicy};
use crate::subject::{self, Findings};
use crate::tool::{self, Kind};

/// All that a decision hangs on.
pub struct Request<'a> {
    /// The call, as the agent asked.
    pub call: &'a ToolCall,
    /// What the role that the turn is for may do.
    pub role: &'a RolePolicy,
    /// The agent's working directory, absolute.
    pub workspace: &'a Path,
    /// Resolves an existing path through all symbolic links: [`crate::real_path`]. The only I/O there is. `NotFound`
    /// must mean that not even a link is there.
    pub resolve: &'a dyn Fn(&Path) -> io::Result<PathBuf>,
}

impl std::fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request")
            .field("tool", &self.call.tool)
            .field("rules", &self.role.rules.len())
            .field("workspace", &self.workspace)
            .finish_non_exhaustive()
    }
}

/// The answer. Each reason is one sentence, for the agent and for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may run with exactly this input.
    Allow {
        /// The rule that allows it, for the log.
        rule: String,
    },
    /// A person who may approve is to be asked.
    Ask {
        /// Why no rule allows it.
        reason: String,
    },
    /// It may not.
    Deny {
        /// Why.
        reason: String,
    },
    /// The agent's own permission settings decide; what they would ask about is refused.
    OwnSettings,
}

/// A decision with what it was made of, to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// The decision.
    pub verdict: Verdict,
    /// The texts that rules were tried on; for Bash the simple commands. Empty if it did not come to that.
    pub texts: Vec<String>,
    /// For Bash: each command found, and which of them rules with parameters allow.
    pub bash: Option<BashReport>,
}

/// Decides about one tool call.
pub fn decide(request: &Request<'_>) -> Verdict {
    inspect(request).verdict
}

/// Decides about one tool call, and tells what the decision was made of.
pub fn inspect(request: &Request<'_>) -> Inspection {
    let mut findings = Findings::default();
    let verdict = verdict(request, &mut findings);
    let Findings { texts, bash } = findings;
    Inspection { verdict, texts, bash }
}

/// Decides about a call of which the agent did not send the whole input: nobody can be asked about it, and no text
/// of it can be compared. Only a rule that allows the tool with any input allows it; where files are meant, none does,
/// as nobody knows which.
pub fn decide_unseen(request: &Request<'_>) -> Verdict {
    let (tool, policy) = (&request.call.tool, request.role);
    if let Err(Refused(reason)) = call::canonical(request.call) {
        return refused(request, &reason);
    }
    if tool::is_always_allowed(tool) {
        return Verdict::Allow { rule: "always allowed".into() };
    }
    if subject::is_unnamed_beyond_the_turn(request) {
        return refused(request, BEYOND);
    }
    let is_about_files = matches!(Kind::of(tool), Kind::Path { .. } | Kind::Glob | Kind::Grep);
    let mut rules = policy.rules.iter().filter(|rule| !is_about_files && rule.params().is_none());
    match rules.find(|rule| rule.matches_tool(tool)) {
        Some(rule) => Verdict::Allow { rule: rule.to_string() },
        None if policy.everything => Verdict::Allow { rule: "skip_owner_approval".into() },
        None if policy.otherwise == Otherwise::OwnSettings => Verdict::OwnSettings,
        None => refused(
            request,
            "the agent did not show the whole call, and no rule allows the tool with any input",
        ),
    }
}

const BEYOND: &str = "it reaches beyond the turn, and no rule names it";

fn verdict(request: &Request<'_>, findings: &mut Findings) -> Verdict {
    let input = match call::canonical(request.call) {
        Ok(input) => input,
        Err(Refused(reason)) => return refused(request, &reason),
    };
    if tool::is_always_allowed(&request.call.tool) {
        return Verdict::Allow { rule: "always allowed".into() };
    }
    if subject::is_unnamed_beyond_the_turn(request) {
        return refused(request, BEYOND);
    }
    let by_rule = subject::examine(request, input, findings);
    match (by_rule, request.role.otherwise) {
        (Ok(rule), _) => Verdict::Allow { rule },
        (Err(_), _) if request.role.everything => Verdict::Allow { rule: "skip_owner_approval".into() },
        (Err(Refused(reason)), Otherwise::Deny) => refused(request, &reason),
        (Err(Refused(reason)), Otherwise::Ask) => {
            let tool = call::printable(&request.call.tool);
            Verdict::Ask { reason: format!("Tool '{tool}' needs approval: {reason}.") }
        }
        (Err(_), Otherwise::OwnSettings) => Verdict::OwnSettings,
    }
}

fn refused(request: &Request<'_>, reason: &str) -> Verdict {
    let tool = call::printable(&request.call.tool);
    let name = &request.role.name;
    let mut letters = name.chars();
    let reason = match letters.next() {
        Some(first) => {
            let name: String = first.to_uppercase().chain(letters).collect();
            format!("{name}: tool '{tool}' is not permitted: {reason}.")
        }
        None => format!("Tool '{tool}' is not permitted: {reason}."),
    };
    Verdict::Deny { reason }
}

#[cfg(test)]
mod tests;
