//! The one error type of the world, and its two shapes: a DDP error object and a REST answer.

use serde_json::{Value, json};

use super::world::Version;

/// Why the server refused.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) kind: Box<Kind>,
    pub(crate) permission: bool,
}

/// How a refusal is written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    /// A Meteor error: code (number or string), reason, details.
    Meteor { code: Value, reason: Option<String>, details: Option<Value> },
    /// A sentence without an error type.
    Plain(String),
    /// Nothing but `success: false`.
    Bare,
    /// The schema of the request is not met.
    Schema { code: &'static str, text: String },
    /// No token, or a dead one.
    LoggedOut,
    /// A login was refused.
    Login { error: Value, message: String, details: Option<Value> },
    /// No permission, 403 since ever.
    Unauthorized,
    /// An empty answer with this status.
    Empty(u16),
    /// 405 with a sentence.
    NoEndpoint,
}

impl Refusal {
    pub(crate) fn meteor(code: &str, reason: &str, details: Option<Value>) -> Self {
        let reason = (!reason.is_empty()).then(|| reason.to_owned());
        Self::of(Kind::Meteor { code: json!(code), reason, details })
    }

    pub(crate) fn numbered(code: i64, reason: &str) -> Self {
        Self::of(Kind::Meteor { code: json!(code), reason: Some(reason.to_owned()), details: None })
    }

    pub(crate) fn plain(text: &str) -> Self {
        Self::of(Kind::Plain(text.to_owned()))
    }

    pub(crate) fn of(kind: Kind) -> Self {
        Self { kind: Box::new(kind), permission: false }
    }

    /// Marks a refusal that says "you may not": 9.0 writes all of them alike.
    pub(crate) fn forbidden(mut self) -> Self {
        self.permission = true;
        self
    }

    pub(crate) fn room_not_found() -> Self {
        Self::meteor(
            "error-room-not-found",
            "The required \"roomId\" or \"roomName\" param provided does not match any channel",
            None,
        )
    }

    pub(crate) fn param(text: &str) -> Self {
        Self::meteor("error-invalid-params", text, None)
    }

    /// The DDP error object.
    pub(crate) fn ddp(&self) -> Value {
        let (code, reason, details) = match &*self.kind {
            Kind::Meteor { code, reason, details } => (code.clone(), reason.clone(), details.clone()),
            Kind::Login { error, message, details } => {
                (error.clone(), Some(message.clone()), details.clone())
            }
            Kind::Plain(text) => (json!("error-not-allowed"), Some(text.clone()), None),
            _ => (json!(500), Some("Internal server error".to_owned()), None),
        };
        let mut error = json!({ "isClientSafe": true, "error": code });
        if let Some(reason) = &reason {
            error["reason"] = json!(reason);
        }
        if let Some(details) = details {
            error["details"] = details;
        }
        error["message"] = json!(labelled(reason.as_deref(), &code));
        error["errorType"] = json!("Meteor.Error");
        error
    }

    /// Status and body of the REST answer; the body is `None` if it is empty.
    pub(crate) fn rest(&self, version: Version) -> (u16, Option<Value>) {
        if self.permission && version >= Version::V9_0 {
            let text = match &*self.kind {
                Kind::Meteor { reason: Some(reason), .. } => reason.clone(),
                Kind::Plain(text) => text.clone(),
                _ => "User does not have the permissions required for this action".to_owned(),
            };
            let body = json!({ "success": false, "error": format!("{text} [error-forbidden]"),
                "errorType": "error-forbidden" });
            return (403, Some(body));
        }
        match &*self.kind {
            Kind::Meteor { code, reason, details } => {
                let mut body = json!({ "success": false, "error": labelled(reason.as_deref(), code), "errorType": code });
                if let Some(details) = details {
                    body["details"] = details.clone();
                }
                (400, Some(body))
            }
            Kind::Plain(text) => (400, Some(json!({ "success": false, "error": text }))),
            Kind::Bare => (400, Some(json!({ "success": false }))),
            Kind::Schema { code, text } => (
                400,
                Some(json!({ "success": false, "errorType": code, "error": format!("{text} [{code}]") })),
            ),
            Kind::LoggedOut => {
                let text = "You must be logged in to do this.";
                let mut body = json!({ "status": "error", "message": text });
                if version >= Version::V7_0 {
                    body["success"] = json!(false);
                    body["error"] = json!(text);
                }
                (401, Some(body))
            }
            Kind::Login { error, message, details } => {
                let mut body = json!({ "status": "error", "error": error });
                if let Some(details) = details {
                    body["details"] = details.clone();
                }
                body["message"] = json!(message);
                (401, Some(body))
            }
            Kind::Unauthorized => {
                let text = "User does not have the permissions required for this action [error-unauthorized]";
                (403, Some(json!({ "success": false, "error": text })))
            }
            Kind::Empty(status) => (*status, None),
            Kind::NoEndpoint => {
                (405, Some(json!({ "status": "error", "message": "API endpoint does not exist" })))
            }
        }
    }
}

fn labelled(reason: Option<&str>, code: &Value) -> String {
    let code = code.as_str().map_or_else(|| code.to_string(), str::to_owned);
    reason.map_or_else(|| format!("[{code}]"), |reason| format!("{reason} [{code}]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_refusal_has_a_shape_per_version() {
        let refusal = Refusal::plain("error-not-allowed").forbidden();
        assert_eq!(
            refusal.rest(Version::V6_5),
            (400, Some(json!({ "success": false, "error": "error-not-allowed" })))
        );
        let (status, body) = refusal.rest(Version::V9_0);
        assert_eq!((status, body.expect("a body")["errorType"].as_str()), (403, Some("error-forbidden")));
        let (_, body) = Refusal::of(Kind::LoggedOut).rest(Version::V7_0);
        assert_eq!(body.expect("a body")["success"], false);
    }

    #[test]
    fn the_ddp_shape_is_the_recorded_one() {
        assert_eq!(
            Refusal::meteor("not-allowed", "", None).ddp(),
            json!({ "isClientSafe": true, "error": "not-allowed", "message": "[not-allowed]",
                "errorType": "Meteor.Error" })
        );
    }
}
