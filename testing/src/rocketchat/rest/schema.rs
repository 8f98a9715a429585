//! Which keys a request may have from 8.8 on, when the server began to refuse what it does not know [T].
//!
//! Owns the keys only: the real server makes texts of numbers and the like before it looks, so types say little.
//! `tests/it/independent_clients/schemas.rs` holds this table against the makers' own validators.

use serde_json::Value;

use super::super::refusal::{Kind, Refusal};
use super::Call;

/// One form of a request. A request must have all of `needed`, and nothing that stands in neither list.
struct Form {
    needed: &'static [&'static str],
    allowed: &'static [&'static str],
}

const fn form(needed: &'static [&'static str], allowed: &'static [&'static str]) -> Form {
    Form { needed, allowed }
}

const WINDOW: &[&str] =
    &["latest", "showThreadMessages", "oldest", "inclusive", "unreads", "count", "offset", "sort"];
const ABOUT_USER: &[&str] = &["includeUserRooms", "fields"];

const FORMS: &[(&str, &[Form])] = &[
    (
        "chat.postMessage",
        &[
            form(
                &["roomId"],
                &["text", "alias", "emoji", "avatar", "attachments", "tmid", "customFields", "parseUrls"],
            ),
            form(
                &["channel"],
                &["text", "alias", "emoji", "avatar", "attachments", "customFields", "parseUrls"],
            ),
        ],
    ),
    ("chat.sendMessage", &[form(&["message"], &["previewUrls"])]),
    (
        "chat.update",
        &[
            form(&["roomId", "msgId", "text"], &["previewUrls", "customFields"]),
            form(&["roomId", "msgId", "content"], &["e2eMentions"]),
        ],
    ),
    (
        "chat.delete",
        &[
            form(&["msgId", "roomId"], &["fileId", "asUser"]),
            form(&["fileId"], &["msgId", "roomId", "asUser"]),
        ],
    ),
    (
        "chat.react",
        &[
            form(&["emoji", "messageId"], &["shouldReact"]),
            form(&["reaction", "messageId"], &["shouldReact"]),
        ],
    ),
    ("im.create", &[form(&["usernames"], &["excludeSelf"]), form(&["username"], &["excludeSelf"])]),
    ("subscriptions.read", &[form(&["rid"], &["readThreads"]), form(&["roomId"], &["readThreads"])]),
    (
        "chat.syncMessages",
        &[form(&["roomId"], &["lastUpdate", "fromTs", "count", "next", "previous", "type"])],
    ),
    ("chat.getMessage", &[form(&["msgId"], &[])]),
    ("chat.getThreadMessages", &[form(&["tmid"], &["aroundId", "count", "offset", "sort"])]),
    ("channels.history", &[form(&["roomId"], WINDOW), form(&["roomName"], WINDOW)]),
    ("im.history", &[form(&["roomId"], WINDOW)]),
    ("rooms.info", &[form(&["roomId"], &[]), form(&["roomName"], &[])]),
    ("groups.info", &[form(&["roomId"], &[]), form(&["roomName"], &[])]),
    ("subscriptions.get", &[form(&[], &["updatedSince"])]),
    ("subscriptions.getOne", &[form(&["roomId"], &[])]),
    ("users.info", &[form(&["userId"], ABOUT_USER), form(&["username"], ABOUT_USER)]),
];

/// Refuses a request whose keys fit no form of its route.
pub(super) fn check(call: &Call, route: &str) -> Result<(), Refusal> {
    let Some((_, forms)) = FORMS.iter().find(|(known, _)| *known == route) else { return Ok(()) };
    let keys: Vec<&str> = if call.method == "GET" {
        call.query.iter().map(|(key, _)| key.as_str()).collect()
    } else {
        call.body.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect()
    };
    let fits = |form: &&Form| {
        form.needed.iter().all(|key| keys.contains(key))
            && keys.iter().all(|key| form.needed.contains(key) || form.allowed.contains(key))
    };
    // The server speaks of the last form it tried.
    let Some(last) = forms.last().filter(|_| !forms.iter().any(|form| fits(&form))) else {
        return message(call, route);
    };
    let missing = last.needed.iter().find(|key| !keys.contains(*key));
    Err(missing.map_or_else(
        || invalid("must NOT have additional properties"),
        |key| invalid(&format!("must have required property '{key}'")),
    ))
}

/// The message inside a `chat.sendMessage` may have any key.
fn message(call: &Call, route: &str) -> Result<(), Refusal> {
    if route == "chat.sendMessage" && !call.body.get("message").is_some_and(Value::is_object) {
        return Err(invalid("must be object"));
    }
    Ok(())
}

pub(super) fn invalid(text: &str) -> Refusal {
    Refusal::of(Kind::Schema { code: "invalid-params", text: text.to_owned() })
}
