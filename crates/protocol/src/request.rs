//! What a client may ask of the gateway over the control socket.
//!
//! Owns reading a request from untrusted bytes, with the error texts that scripts know. Must never look
//! anything up: whether a watcher exists is for others to say.

use serde::Serialize;
use serde_json::{Map, Value};

/// Longest request line, newline included. The Python program took 64 KiB; its requests fit.
pub const MAX_REQUEST_BYTES: usize = 4 * 1024 * 1024;

/// Longest piece of a client's own text that an error repeats, in characters.
const MAX_ECHO: usize = 100;

/// One request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "cmd", rename_all = "kebab-case")]
pub enum Request {
    /// The watchers of one connector, or of all.
    List {
        /// Only this connector's.
        #[serde(skip_serializing_if = "Option::is_none")]
        connector: Option<String>,
    },
    /// Stop taking messages for a watcher.
    Pause(WatcherParams),
    /// Take messages again.
    Resume(WatcherParams),
    /// Forget the watcher's session and start afresh.
    Reset(WatcherParams),
    /// Post a text or a file without an agent.
    Send(SendParams),
    /// Facts about the running gateway. Not known to the Python program.
    Status,
    /// Give a configured name's role to the account that holds the name now. Not known to the Python program.
    UsersConfirm {
        /// The name, without `@`.
        username: String,
        /// Which connector, if the name is configured on several.
        #[serde(skip_serializing_if = "Option::is_none")]
        connector: Option<String>,
    },
}

/// Fields of the requests about one watcher.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WatcherParams {
    /// The watcher's name.
    pub watcher_name: String,
    /// Its connector, where the client names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connector: Option<String>,
}

/// Fields of `send`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SendParams {
    /// The room as a person types it: `general`, `#general`, `@alice`, or the platform's id.
    pub room: String,
    /// The text; the caption if there is a file.
    pub text: String,
    /// Absolute path of a file to upload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attachment_path: Option<String>,
    /// Which connector, if there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connector: Option<String>,
}

/// Why a line is not a request. The text goes back to the client as it is.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// Not JSON.
    #[error("Not valid JSON: {0}")]
    NotJson(#[source] serde_json::Error),
    /// JSON, but not an object.
    #[error("Not a request: expected a JSON object with a 'cmd' field")]
    NotAnObject,
    /// No `cmd`.
    #[error("Missing 'cmd'")]
    NoCommand,
    /// A `cmd` that is not served.
    #[error("Unknown command: {0}")]
    UnknownCommand(String),
    /// `pause`, `resume` or `reset` without a watcher.
    #[error("Missing 'watcher_name'")]
    NoWatcher,
    /// `send` without a room.
    #[error("Missing 'room' field in send command")]
    NoRoom,
    /// `send` with neither text nor file.
    #[error("Nothing to send: provide 'text' or 'attachment_path'")]
    NothingToSend,
    /// `users-confirm` without a name.
    #[error("Missing 'username'")]
    NoUser,
    /// A field holds another type than text.
    #[error("'{0}' must be a string")]
    NotText(&'static str),
    /// The gateway runs elsewhere in the file system than the client.
    #[error("'attachment_path' must be an absolute path")]
    RelativePath,
}

impl Request {
    /// Reads one line. Fields that no request knows are ignored, as newer clients may send them.
    pub fn parse(line: &[u8]) -> Result<Self, RequestError> {
        let value: Value = serde_json::from_slice(line).map_err(RequestError::NotJson)?;
        let Value::Object(fields) = value else { return Err(RequestError::NotAnObject) };
        let command = text(&fields, "cmd")?.ok_or(RequestError::NoCommand)?;
        match command.as_str() {
            "list" => Ok(Self::List { connector: text(&fields, "connector")? }),
            "pause" => Ok(Self::Pause(watcher(&fields)?)),
            "resume" => Ok(Self::Resume(watcher(&fields)?)),
            "reset" => Ok(Self::Reset(watcher(&fields)?)),
            "send" => Ok(Self::Send(send(&fields)?)),
            "status" => Ok(Self::Status),
            "users-confirm" => Ok(Self::UsersConfirm {
                username: filled(&fields, "username")?.ok_or(RequestError::NoUser)?,
                connector: text(&fields, "connector")?,
            }),
            _ => Err(RequestError::UnknownCommand(command.chars().take(MAX_ECHO).collect())),
        }
    }
}

fn watcher(fields: &Map<String, Value>) -> Result<WatcherParams, RequestError> {
    Ok(WatcherParams {
        watcher_name: filled(fields, "watcher_name")?.ok_or(RequestError::NoWatcher)?,
        connector: text(fields, "connector")?,
    })
}

fn send(fields: &Map<String, Value>) -> Result<SendParams, RequestError> {
    let room = filled(fields, "room")?.ok_or(RequestError::NoRoom)?;
    let text_field = text(fields, "text")?.unwrap_or_default();
    let attachment_path = filled(fields, "attachment_path")?;
    if text_field.is_empty() && attachment_path.is_none() {
        return Err(RequestError::NothingToSend);
    }
    if attachment_path.as_deref().is_some_and(|path| !path.starts_with('/')) {
        return Err(RequestError::RelativePath);
    }
    Ok(SendParams { room, text: text_field, attachment_path, connector: text(fields, "connector")? })
}

/// A text field; absent and `null` are the same, as in the Python program.
fn text(fields: &Map<String, Value>, key: &'static str) -> Result<Option<String>, RequestError> {
    match fields.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(RequestError::NotText(key)),
    }
}

/// A text field where the empty text is the same as none.
fn filled(fields: &Map<String, Value>, key: &'static str) -> Result<Option<String>, RequestError> {
    Ok(text(fields, key)?.filter(|text| !text.is_empty()))
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use proptest::prelude::*;

    use super::*;

    fn refusal(line: &str) -> String {
        Request::parse(line.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn refusals_have_the_texts_that_scripts_know() {
        let lines = [
            "",
            "hello",
            "[]",
            "{}",
            r#"{"cmd":7}"#,
            r#"{"cmd":"bogus"}"#,
            r#"{"cmd":"fetch-history","watcher":"w"}"#,
            r#"{"cmd":"instructions","name":"scheduling"}"#,
            r#"{"cmd":"schedule-list"}"#,
            r#"{"cmd":"schedule-create","watcher":"w"}"#,
            r#"{"cmd":"pause"}"#,
            r#"{"cmd":"resume","watcher_name":""}"#,
            r#"{"cmd":"reset","watcher_name":["w"]}"#,
            r#"{"cmd":"send","text":"hi"}"#,
            r#"{"cmd":"send","room":"general"}"#,
            r#"{"cmd":"send","room":"general","text":"","attachment_path":null}"#,
            r#"{"cmd":"send","room":"general","attachment_path":"notes.txt"}"#,
            r#"{"cmd":"users-confirm"}"#,
            r#"{"cmd":"list","connector":1}"#,
        ];
        let texts: Vec<String> = lines.iter().map(|line| format!("> {line}\n{}", refusal(line))).collect();
        assert_snapshot!(texts.join("\n"), @r#"
        > 
        Not valid JSON: EOF while parsing a value at line 1 column 0
        > hello
        Not valid JSON: expected value at line 1 column 1
        > []
        Not a request: expected a JSON object with a 'cmd' field
        > {}
        Missing 'cmd'
        > {"cmd":7}
        'cmd' must be a string
        > {"cmd":"bogus"}
        Unknown command: bogus
        > {"cmd":"fetch-history","watcher":"w"}
        Unknown command: fetch-history
        > {"cmd":"instructions","name":"scheduling"}
        Unknown command: instructions
        > {"cmd":"schedule-list"}
        Unknown command: schedule-list
        > {"cmd":"schedule-create","watcher":"w"}
        Unknown command: schedule-create
        > {"cmd":"pause"}
        Missing 'watcher_name'
        > {"cmd":"resume","watcher_name":""}
        Missing 'watcher_name'
        > {"cmd":"reset","watcher_name":["w"]}
        'watcher_name' must be a string
        > {"cmd":"send","text":"hi"}
        Missing 'room' field in send command
        > {"cmd":"send","room":"general"}
        Nothing to send: provide 'text' or 'attachment_path'
        > {"cmd":"send","room":"general","text":"","attachment_path":null}
        Nothing to send: provide 'text' or 'attachment_path'
        > {"cmd":"send","room":"general","attachment_path":"notes.txt"}
        'attachment_path' must be an absolute path
        > {"cmd":"users-confirm"}
        Missing 'username'
        > {"cmd":"list","connector":1}
        'connector' must be a string
        "#);
    }

    #[test]
    fn a_long_unknown_command_is_not_repeated_whole() {
        let line = format!(r#"{{"cmd":"{}"}}"#, "x".repeat(10_000));
        assert_eq!(refusal(&line).len(), "Unknown command: ".len() + MAX_ECHO);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_request_or_an_error(line in prop::collection::vec(any::<u8>(), 0..200)) {
            // Only that it returns: the parser must not panic.
            drop(Request::parse(&line));
        }

        #[test]
        fn what_is_written_is_read_back(room in "\\PC{1,20}", body in "\\PC{1,40}", connector in prop::option::of("\\PC{0,10}")) {
            let request = Request::Send(SendParams {
                room, text: body, attachment_path: Some("/tmp/a b".to_owned()), connector,
            });
            let line = crate::to_line(&request).unwrap();
            prop_assert_eq!(Request::parse(&line).unwrap(), request);
        }
    }
}
