//! Reactions that answer a question: which stand on a document, and whose they are.
//!
//! A document names those who reacted by login name only, so the id is looked up at that moment; a look-up that
//! fails is no answer. Must never take the account's own reaction for a person's.

use acg_core::connector::{Reaction, SendError};
use acg_types::{MessageId, RoomId, Sender};
use serde_json::Value;

use super::api::Me;
use super::normalise;
use super::shared::Shared;

/// The two reactions that mean something to the gateway, as Rocket.Chat names them.
const MEANT: [(&str, &str); 4] =
    [(":white_check_mark:", "✅"), (":x:", "❌"), ("white_check_mark", "✅"), ("x", "❌")];
/// Most names read per reaction.
const MOST_NAMES: usize = 50;
/// Longest name read.
const LONGEST_NAME: usize = 200;

/// The reactions on one document that may answer a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Votes {
    pub(crate) message: MessageId,
    /// Emoji and login name.
    pub(crate) list: Vec<(&'static str, String)>,
}

/// Reads a document's reactions (`{":x:": {"usernames": ["alice"]}}`); `None` if none is meant for us. A refusal
/// goes first: of two answers that are there at once it is the safe one.
pub(crate) fn read(document: &Value) -> Option<Votes> {
    let reactions = document.get("reactions")?.as_object()?;
    let message = normalise::id_of(document)?;
    let mut list: Vec<(&'static str, String)> = Vec::new();
    for (name, emoji) in MEANT {
        let names =
            reactions.get(name).and_then(|reaction| reaction.get("usernames")).and_then(Value::as_array);
        for name in names.into_iter().flatten().take(MOST_NAMES).filter_map(Value::as_str) {
            if !name.is_empty() && name.len() <= LONGEST_NAME {
                list.push((emoji, name.to_owned()));
            }
        }
    }
    list.sort_by_key(|(emoji, _)| *emoji != "❌");
    (!list.is_empty()).then_some(Votes { message, list })
}

/// Finds out who it is behind a name. `Ok(None)`: nobody, or the account itself.
pub(crate) async fn resolve(
    shared: &Shared,
    me: &Me,
    room: &RoomId,
    message: &MessageId,
    (emoji, username): (&str, &str),
) -> Result<Option<Reaction>, SendError> {
    if username == me.username {
        return Ok(None);
    }
    let id = shared.account.user_id(username).await.map_err(super::send::error)?;
    Ok(id.filter(|id| *id != me.id).map(|id| Reaction {
        room: room.clone(),
        message: message.clone(),
        sender: Sender { id: id.into(), username: username.to_owned(), display_name: None },
        emoji: emoji.to_owned(),
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn votes(reactions: &Value) -> Vec<(&'static str, String)> {
        read(&json!({"_id": "m", "reactions": reactions})).map(|votes| votes.list).unwrap_or_default()
    }

    #[test]
    fn only_the_two_answers_count_and_a_refusal_goes_first() {
        assert_eq!(
            votes(&json!({
                ":white_check_mark:": {"usernames": ["alice"]},
                ":eyes:": {"usernames": ["eve"]},
                ":x:": {"usernames": ["bob", "carol"]},
            })),
            [("❌", "bob".to_owned()), ("❌", "carol".to_owned()), ("✅", "alice".to_owned())]
        );
    }

    #[test]
    fn hostile_shapes_are_nothing() {
        for reactions in [
            json!(null),
            json!([]),
            json!({":x:": null}),
            json!({":x:": {"usernames": "alice"}}),
            json!({":x:": {"usernames": [null, 5, "", "a".repeat(201)]}}),
        ] {
            assert_eq!(votes(&reactions), [], "{reactions}");
        }
        assert_eq!(read(&json!({"reactions": {":x:": {"usernames": ["a"]}}})), None, "no id");
        let many: Vec<String> = (0..500).map(|number| format!("u{number}")).collect();
        assert_eq!(votes(&json!({":x:": {"usernames": many}})).len(), MOST_NAMES);
    }
}
