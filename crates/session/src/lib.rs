//! An agent for a program of your own: open a session, send, stream, and pipe one agent's answer into another.
//!
//! No connector, no room, no store, no daemon. What the agent asks about its tools is decided by the rules of its
//! configuration, as in the gateway; what those leave to a person is yours to answer, and refused if you do not.
//!
//! Owns the way of one turn for one caller. Must never allow a call that neither a rule nor the caller allows.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), acg_session::SessionError> {
//! # let directory = std::env::temp_dir();
//! use acg_session::{Agent, Open};
//!
//! // Any type that a configuration may name: claude, script, … `demo` needs no program.
//! let agent = Agent::from_entry("type: demo\npace: 0", &directory)?;
//! let mut session = agent.open(Open::new()).await?;
//! let reply = session.send("What is in this directory?").await?;
//! println!("{reply}");
//! agent.close().await;
//! # Ok(()) }
//! ```
//!
//! Agents that are programs run under a launcher, which is a hidden mode of your own program: call [`launch`] first in
//! `main`.

mod agent;
mod error;
mod session;

use std::process::ExitCode;

pub use acg_agents::lineage::Lineage;
pub use acg_agents::{BuildParts, launcher};
pub use acg_core::agent as backend;
pub use acg_types::{
    AgentEvent, Decision, EndReason, PermissionId, PlanStep, SessionId, ToolCall, TurnEnd, Usage,
};
pub use agent::{Agent, Open};
pub use error::SessionError;
pub use session::{Event, Question, Reply, Session, Turn, pipe};

/// To be called first in `main`, before any thread is started: if this process was started to be an agent's launcher, it
/// is one, and the answer is its exit code.
///
/// ```no_run
/// fn main() -> std::process::ExitCode {
///     if let Some(code) = acg_session::launch() {
///         return code;
///     }
///     // … your program
///     std::process::ExitCode::SUCCESS
/// }
/// ```
pub fn launch() -> Option<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    (args.next()? == launcher::SUBCOMMAND).then(|| launcher::main(args))
}
