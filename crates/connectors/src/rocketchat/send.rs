//! Posting one part once: `chat.sendMessage` with a client-made `_id`, so that a resend is a no-op.
//!
//! Sending a known `_id` again changes nothing and answers an odd 400, so a refusal is believed only after a look
//! whether the message is there; it counts as delivered only if it is ours and in the right room.

use acg_core::connector::{Receipt, SendError};
use acg_types::{MessageId, Outgoing};
use serde_json::Value;

use super::account::Account;
use super::api::text;
use super::envelope::Refusal;
use super::rest::RestError;

/// Refusals that say plainly that this text or this room can never be.
const FINAL: [&str; 4] =
    ["error-message-size-exceeded", "error-invalid-room", "invalid-params", "error-invalid-params"];

pub(crate) async fn post(account: &Account, part: &Outgoing) -> Result<Receipt, SendError> {
    let thread = part.thread.as_ref().map(acg_types::ThreadId::as_str);
    match account.send_message(&part.key, &part.room, thread, &part.text).await {
        Ok(message) => match text(&message, "_id") {
            Some(id) => Ok(Receipt { id: MessageId::from(id), duplicate: false }),
            // Accepted without a word about what was posted: see for ourselves.
            None => settle(account, part, None).await,
        },
        Err(RestError::Refused(refusal)) if part.attempts == 0 && refusal.is(&FINAL) => {
            Err(refused(&refusal))
        }
        Err(RestError::Refused(refusal)) => settle(account, part, Some(&refusal)).await,
        Err(error) => Err(self::error(error)),
    }
}

/// Finds out whether an earlier attempt posted it.
async fn settle(account: &Account, part: &Outgoing, refusal: Option<&Refusal>) -> Result<Receipt, SendError> {
    let user = account.login().await.map(|login| login.token.user).unwrap_or_default();
    match account.message(&part.key).await {
        Ok(Some(found)) => match whose(&found, part, &user) {
            Whose::Ours => Ok(Receipt { id: part.key.clone(), duplicate: true }),
            Whose::Foreign => {
                Err(SendError::Permanent { reason: "another message on the server has this id".to_owned() })
            }
        },
        Ok(None) => Err(refusal.map_or_else(
            || SendError::Retry { after: None, reason: "the server did not say what it posted".to_owned() },
            refused,
        )),
        Err(error) => Err(self::error(error)),
    }
}

enum Whose {
    Ours,
    Foreign,
}

fn whose(found: &Value, part: &Outgoing, user: &str) -> Whose {
    let author = found.get("u").and_then(|author| text(author, "_id"));
    let same = text(found, "_id") == Some(part.key.as_str())
        && author == Some(user)
        && text(found, "rid") == Some(part.room.as_str());
    if same { Whose::Ours } else { Whose::Foreign }
}

/// What a refusal means for a part that is not on the server.
pub(crate) fn refused(refusal: &Refusal) -> SendError {
    let limited = refusal.is(&["error-too-many-requests", "too-many-requests"]);
    if limited || matches!(refusal.status, 408 | 409 | 423 | 425) {
        return SendError::Retry { after: None, reason: refusal.text.clone() };
    }
    let reason = if refusal.is(&["error-message-size-exceeded"]) {
        format!("{}: the server's limit for one message is lower than this part", refusal.text)
    } else {
        refusal.text.clone()
    };
    SendError::Permanent { reason }
}

/// A call's error in the core's words. Nothing here is posted twice by trying again.
pub(crate) fn error(error: RestError) -> SendError {
    match error {
        RestError::Unreachable(reason) | RestError::TooLarge(reason) | RestError::Garbage(reason) => {
            SendError::Retry { after: None, reason }
        }
        RestError::Limited(after) => {
            SendError::Retry { after: Some(after), reason: "the server's rate limit is used up".to_owned() }
        }
        RestError::Unauthorized(refusal) => SendError::Auth { reason: refusal.text },
        RestError::NoLogin(reason) => SendError::Auth { reason },
        RestError::Refused(refusal) => refused(&refusal),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(status: u16, body: Value) -> Refusal {
        super::super::envelope::read(status, Some(body)).unwrap_err()
    }

    #[test]
    fn refusals_are_final_but_for_the_passing_ones() {
        for (status, body) in [
            (400, json!({"success":false,"error":"You can't send messages because the room is readonly."})),
            (400, json!({"success":false,"error":"error-not-allowed"})),
            (
                400,
                json!({"success":false,"error":"x [error-message-size-exceeded]","errorType":"error-message-size-exceeded"}),
            ),
            (403, json!({"success":false,"error":"No","errorType":"error-forbidden"})),
            (404, json!({"success":false})),
        ] {
            let error = refused(&refusal(status, body));
            assert!(matches!(error, SendError::Permanent { .. }), "{error:?}");
        }
        let passing = refusal(400, json!({"success":false,"error":"x [too-many-requests]"}));
        assert!(matches!(refused(&passing), SendError::Retry { .. }));
    }

    #[test]
    fn a_duplicate_must_be_ours_and_in_the_right_room() {
        let part =
            Outgoing { room: "R".into(), thread: None, key: "K".into(), text: "hello".into(), attempts: 1 };
        for (found, ours) in [
            (json!({"_id":"K","rid":"R","u":{"_id":"me"}}), true),
            (json!({"_id":"K","rid":"R","u":{"_id":"other"}}), false),
            (json!({"_id":"K","rid":"S","u":{"_id":"me"}}), false),
            (json!({"_id":"L","rid":"R","u":{"_id":"me"}}), false),
            (json!({"_id":"K","rid":"R"}), false),
        ] {
            assert_eq!(matches!(whose(&found, &part, "me"), Whose::Ours), ours, "{found}");
        }
    }
}
