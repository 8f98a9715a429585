//! The frames about terminals: what a program asks for, and what it is answered. Pure.

use agent_client_protocol_schema::v1 as acp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::terminals::{Exit, Seen};
use super::Frame;

/// What is wanted with a terminal; all but a new one by its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TerminalCall {
    Create(Create),
    Output(String),
    Wait(String),
    Kill(String),
    Release(String),
}

impl TerminalCall {
    /// The terminal's id.
    pub(crate) fn terminal(&self) -> &str {
        match self {
            Self::Create(_) => "",
            Self::Output(id) | Self::Wait(id) | Self::Kill(id) | Self::Release(id) => id,
        }
    }
}

/// A command to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Create {
    pub(crate) command: String,
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) cwd: Option<String>,
    /// Bytes of the output.
    pub(crate) limit: Option<u64>,
}

/// Reads `terminal/*`; any other request is one that nobody does here.
pub(super) fn read(id: Value, method: &str, params: Value) -> Frame {
    /// What all but `terminal/create` say.
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Of {
        session_id: String,
        terminal_id: String,
    }

    let of = |params| serde_json::from_value(params).map(|of: Of| (of.session_id, of.terminal_id));
    let read = match method {
        "terminal/create" => serde_json::from_value(params).map(|request: acp::CreateTerminalRequest| {
            let create = Create {
                command: request.command,
                args: request.args,
                env: request.env.into_iter().map(|it| (it.name, it.value)).collect(),
                cwd: request.cwd.map(|cwd| cwd.to_string_lossy().into_owned()),
                limit: request.output_byte_limit,
            };
            (request.session_id.0.to_string(), TerminalCall::Create(create))
        }),
        "terminal/output" => of(params).map(|(session, id)| (session, TerminalCall::Output(id))),
        "terminal/wait_for_exit" => of(params).map(|(session, id)| (session, TerminalCall::Wait(id))),
        "terminal/kill" => of(params).map(|(session, id)| (session, TerminalCall::Kill(id))),
        "terminal/release" => of(params).map(|(session, id)| (session, TerminalCall::Release(id))),
        _ => {
            return Frame::Foreign { id, code: -32601, why: "this client does not do that".to_owned() };
        }
    };
    match read {
        Ok((session, call)) => Frame::Terminal { id, session, call },
        Err(error) => Frame::Foreign { id, code: -32602, why: error.to_string() },
    }
}

/// The answer to `terminal/create`.
pub(crate) fn terminal_created(id: &str) -> Value {
    json!({"terminalId": id})
}

fn exit_status(exit: Exit) -> acp::TerminalExitStatus {
    acp::TerminalExitStatus::new().exit_code(exit.0)
}

/// The answer to `terminal/wait_for_exit`.
pub(crate) fn terminal_exit(exit: Exit) -> Value {
    serde_json::to_value(acp::WaitForTerminalExitResponse::new(exit_status(exit))).unwrap_or_default()
}

/// The answer to `terminal/output`.
pub(crate) fn terminal_output(seen: Seen) -> Value {
    let response = acp::TerminalOutputResponse::new(seen.output, seen.truncated);
    let response = response.exit_status(seen.exit.map(exit_status));
    serde_json::to_value(response).unwrap_or_default()
}
