//! The frames of OpenCode that are understood, and what is taken of each. What is not listed is skipped.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One rule of a session. The last one that matches counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SessionRule {
    pub(crate) permission: String,
    pub(crate) pattern: String,
    pub(crate) action: Action,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    Ask,
    Allow,
    Deny,
}

/// A session, as `GET /session/:id` tells it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct SessionInfo {
    pub(crate) id: String,
    pub(crate) directory: String,
    #[serde(default)]
    pub(crate) title: String,
    #[serde(default)]
    pub(crate) permission: Vec<SessionRule>,
    #[serde(rename = "parentID")]
    pub(crate) parent: Option<String>,
}

/// A question about a tool call.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Asked {
    pub(crate) id: String,
    #[serde(rename = "sessionID")]
    pub(crate) session: String,
    pub(crate) permission: String,
    #[serde(default)]
    pub(crate) patterns: Vec<String>,
    #[serde(default)]
    pub(crate) metadata: Map<String, Value>,
    pub(crate) tool: Option<AskedBy>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct AskedBy {
    #[serde(rename = "callID")]
    pub(crate) call: String,
}

/// What a call has used, as a message of the assistant tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Tokens {
    pub(crate) input: u64,
    pub(crate) output: u64,
    pub(crate) reasoning: u64,
    pub(crate) cache: Cache,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Cache {
    pub(crate) read: u64,
    pub(crate) write: u64,
}

/// A message, as `message.updated` tells it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct MessageInfo {
    pub(crate) id: String,
    pub(crate) role: String,
    #[serde(rename = "parentID")]
    pub(crate) parent: Option<String>,
    #[serde(default)]
    pub(crate) cost: f64,
    #[serde(default)]
    pub(crate) tokens: Tokens,
    #[serde(default)]
    pub(crate) time: Times,
    pub(crate) error: Option<Value>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Times {
    pub(crate) completed: Option<f64>,
    pub(crate) end: Option<f64>,
}

/// A part of a message.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Part {
    Text { id: String, message: String, text: String, done: bool },
    Reasoning { id: String },
    Tool(ToolPart),
    Other,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ToolPart {
    pub(crate) call: String,
    pub(crate) tool: String,
    pub(crate) status: ToolStatus,
    pub(crate) input: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ToolStatus {
    Pending,
    Running,
    Completed,
    Failed,
}

/// One event of a session.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    Delta {
        part: String,
        message: String,
        field: String,
        delta: String,
    },
    Part(Part),
    Message(MessageInfo),
    Asked(Asked),
    Replied {
        id: String,
        reply: String,
    },
    /// A question of the program's own.
    Question {
        id: String,
    },
    Error(Value),
    Busy,
    Retry {
        attempt: u64,
        message: String,
    },
    Idle,
    /// A session was made; whose child it is.
    Created {
        parent: Option<String>,
    },
}

/// A frame that cannot be what it says it is.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame of the type `{0}` is not as it must be")]
pub(crate) struct BadFrame(String);

/// What a frame means: the session that it is about, and the event. `None` for one that is of no concern.
pub(crate) fn read(frame: &[u8]) -> Result<Option<(String, Event)>, BadFrame> {
    let frame: Value = serde_json::from_slice(frame).map_err(|_| BadFrame("?".into()))?;
    let kind = frame.get("type").and_then(Value::as_str).unwrap_or_default();
    let Some(properties) = frame.get("properties") else { return Ok(None) };
    let session = || text(properties, "sessionID").or_else(|| text(properties.get("info")?, "sessionID"));
    let bad = || BadFrame(kind.to_owned());
    let event = match kind {
        "message.part.delta" => Some(Event::Delta {
            part: text(properties, "partID").ok_or_else(bad)?,
            message: text(properties, "messageID").ok_or_else(bad)?,
            field: text(properties, "field").ok_or_else(bad)?,
            delta: text(properties, "delta").ok_or_else(bad)?,
        }),
        "message.part.updated" => {
            Some(Event::Part(part(properties.get("part").ok_or_else(bad)?).ok_or_else(bad)?))
        }
        "message.updated" => {
            let info = properties.get("info").ok_or_else(bad)?;
            Some(Event::Message(MessageInfo::deserialize(info).map_err(|_| bad())?))
        }
        "permission.asked" => Some(Event::Asked(Asked::deserialize(properties).map_err(|_| bad())?)),
        "permission.replied" => Some(Event::Replied {
            id: text(properties, "requestID").ok_or_else(bad)?,
            reply: text(properties, "reply").ok_or_else(bad)?,
        }),
        "question.asked" => Some(Event::Question { id: text(properties, "id").ok_or_else(bad)? }),
        "session.error" => Some(Event::Error(properties.get("error").cloned().unwrap_or(Value::Null))),
        "session.idle" => Some(Event::Idle),
        "session.status" => status(properties.get("status").ok_or_else(bad)?),
        "session.created" => {
            let info = properties.get("info").ok_or_else(bad)?;
            Some(Event::Created { parent: text(info, "parentID") })
        }
        _ => None,
    };
    match event {
        None => Ok(None),
        // An error of the whole server is about no session.
        Some(Event::Error(_)) if session().is_none() => Ok(None),
        Some(event) => Ok(Some((session().ok_or_else(bad)?, event))),
    }
}

fn text(value: &Value, key: &str) -> Option<String> {
    value.get(key)?.as_str().map(str::to_owned)
}

fn status(status: &Value) -> Option<Event> {
    match status.get("type")?.as_str()? {
        "busy" => Some(Event::Busy),
        "retry" => Some(Event::Retry {
            attempt: status.get("attempt").and_then(Value::as_u64).unwrap_or(u64::MAX),
            message: text(status, "message").unwrap_or_default(),
        }),
        // The end is told by `session.idle`.
        _ => None,
    }
}

/// A part of a message, as it stands in an event.
pub(crate) fn part(part: &Value) -> Option<Part> {
    let id = text(part, "id")?;
    Some(match part.get("type")?.as_str()? {
        "text" => Part::Text {
            id,
            message: text(part, "messageID")?,
            text: text(part, "text")?,
            done: part.get("time").and_then(|time| time.get("end")).is_some(),
        },
        "reasoning" => Part::Reasoning { id },
        "tool" => {
            let state = part.get("state")?;
            let status = match state.get("status")?.as_str()? {
                "pending" => ToolStatus::Pending,
                "running" => ToolStatus::Running,
                "completed" => ToolStatus::Completed,
                "error" => ToolStatus::Failed,
                _ => return None,
            };
            Part::Tool(ToolPart {
                call: text(part, "callID")?,
                tool: text(part, "tool")?,
                status,
                input: state.get("input").cloned().unwrap_or(Value::Null),
            })
        }
        _ => Part::Other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_frame_is_a_fault_and_what_is_new_is_skipped() {
        for bad in [
            "nonsense",
            r#"{"type":"permission.asked","properties":{"sessionID":"s"}}"#,
            r#"{"type":"permission.asked","properties":{"id":"p","permission":"bash"}}"#,
            r#"{"type":"message.part.updated","properties":{"sessionID":"s","part":{"id":"x","type":"tool"}}}"#,
            r#"{"type":"session.idle","properties":{}}"#,
        ] {
            assert!(read(bad.as_bytes()).is_err(), "{bad}");
        }
        for skipped in [
            "{}",
            r#"{"type":"new.kind","properties":{"sessionID":"s"}}"#,
            r#"{"type":"session.status","properties":{"sessionID":"s","status":{"type":"dreaming"}}}"#,
            r#"{"type":"session.error","properties":{"error":{}}}"#,
        ] {
            assert_eq!(read(skipped.as_bytes()), Ok(None), "{skipped}");
        }
    }
}
