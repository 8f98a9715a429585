//! What clients sent, for tests to look at. Secrets are taken out before anything is kept.

use serde_json::Value;

/// One REST request.
#[derive(Debug, Clone)]
pub struct RestCall {
    /// `GET`, `POST`, …
    pub method: String,
    /// Path without the query, for example `/api/v1/chat.sendMessage`.
    pub path: String,
    /// The route the path belongs to: `chat.sendMessage`, `rooms.upload`.
    pub route: String,
    /// The query's pairs.
    pub query: Vec<(String, String)>,
    /// The JSON body; `Null` if there was none.
    pub body: Value,
    /// Who called, if the token was good.
    pub user: Option<String>,
    /// The status that was answered.
    pub status: u16,
}

/// One DDP frame from a client.
#[derive(Debug, Clone)]
pub struct DdpFrame {
    /// The connection, counted from 1 over the life of the server.
    pub connection: u64,
    /// Who was logged in when it came.
    pub user: Option<String>,
    /// The frame; text that was no JSON is kept as a string.
    pub frame: Value,
}

/// A typing notice that was let through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Typing {
    /// Room id.
    pub room: String,
    /// Who types.
    pub username: String,
    /// True at `["user-typing"]`, false at `[]`.
    pub on: bool,
    /// The thread, if one was named.
    pub thread: Option<String>,
}

/// Everything clients sent.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// REST requests in the order they were answered.
    pub rest: Vec<RestCall>,
    /// DDP frames in the order they came.
    pub ddp: Vec<DdpFrame>,
    /// Typing notices.
    pub typing: Vec<Typing>,
    /// Messages of one room whose frames changed places on the way to a client: said first, said second.
    pub swapped: Vec<(String, String)>,
    /// DDP connections ever opened.
    pub connections: u64,
}

impl Record {
    /// The calls of one route.
    pub fn calls(&self, route: &str) -> Vec<&RestCall> {
        self.rest.iter().filter(|call| call.route == route).collect()
    }

    /// How often a DDP method was called.
    pub fn methods(&self, name: &str) -> usize {
        self.ddp.iter().filter(|f| f.frame["msg"] == "method" && f.frame["method"] == name).count()
    }

    /// How often a stream was subscribed under an event name.
    pub fn subscriptions(&self, stream: &str, event: &str) -> usize {
        self.ddp
            .iter()
            .filter(|f| f.frame["msg"] == "sub" && f.frame["name"] == stream && f.frame["params"][0] == event)
            .count()
    }
}

const SECRET_KEYS: &[&str] = &["password", "resume", "code", "token", "digest"];

/// The value with every secret replaced; its shape stays.
pub(crate) fn without_secrets(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.iter()
                .map(|(key, value)| {
                    let hidden =
                        SECRET_KEYS.contains(&key.as_str()) && !value.is_null() && !value.is_object();
                    (
                        key.clone(),
                        if hidden { Value::String("<secret>".into()) } else { without_secrets(value) },
                    )
                })
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.iter().map(without_secrets).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets_are_not_kept() {
        let kept =
            without_secrets(&json!([{ "resume": "T" }, { "user": "u", "password": { "digest": "d" } }]));
        let digest = json!({ "digest": "<secret>" });
        assert_eq!(kept, json!([{ "resume": "<secret>" }, { "user": "u", "password": digest }]));
    }
}
