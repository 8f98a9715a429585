//! The REST endpoints the connector uses, typed.

use acg_types::{MessageId, RoomId, Timestamp};
use serde_json::{Value, json};

use super::account::Account;
use super::date;
use super::documents::{self, Changes, Document};
use super::rest::{Call, RestError};

/// Who we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Me {
    pub(crate) id: String,
    pub(crate) username: String,
}

impl Account {
    /// `GET /api/info`: needs no log-in, answers "6.5" for 6.5.3 without rights.
    pub(crate) async fn server_version(&self) -> Result<Option<String>, RestError> {
        let call = Call { path: "/api/info".to_owned(), ..Call::get("info") };
        let answer = self.rest.call(&call, None).await?;
        let version = text(&answer, "version")
            .or_else(|| answer.get("info").and_then(|info| text(info, "version")))
            .map(|version| version.chars().filter(char::is_ascii_graphic).take(40).collect());
        Ok(version)
    }

    /// `GET me`
    pub(crate) async fn me(&self) -> Result<Me, RestError> {
        let answer = self.call(&Call::get("me")).await?;
        match (text(&answer, "_id"), text(&answer, "username")) {
            (Some(id), Some(username)) => Ok(Me { id: id.to_owned(), username: username.to_owned() }),
            _ => Err(RestError::Garbage("the answer to me names no account; check server.url".to_owned())),
        }
    }

    /// `GET subscriptions.get`: every room of the account.
    pub(crate) async fn subscriptions(&self) -> Result<Vec<Document>, RestError> {
        self.list(&Call::get("subscriptions.get"), documents::update).await
    }

    /// `GET subscriptions.getOne`: `None` if the account is not in the room.
    pub(crate) async fn subscription(&self, room: &RoomId) -> Result<Option<Value>, RestError> {
        let mut answer = self.call(&Call::get("subscriptions.getOne").with("roomId", room.as_str())).await?;
        Ok(answer.get_mut("subscription").map(Value::take).filter(Value::is_object))
    }

    /// `GET rooms.get?updatedSince=`: ids of the rooms in which something happened.
    pub(crate) async fn rooms_changed(&self, since: Timestamp) -> Result<Vec<RoomId>, RestError> {
        let call = Call::get("rooms.get").with("updatedSince", date::iso(since));
        let rooms = self.list(&call, documents::update).await?;
        Ok(rooms.iter().filter_map(|room| text(&room.read(), "_id").map(RoomId::from)).collect())
    }

    /// `GET chat.syncMessages`: everything changed strictly later than `since`, edits, thread replies and
    /// deletions included. The server sets no limit on how much.
    pub(crate) async fn changes(&self, room: &RoomId, since: Timestamp) -> Result<Changes, RestError> {
        let call =
            Call::get("chat.syncMessages").with("roomId", room.as_str()).with("lastUpdate", date::iso(since));
        self.list(&call, documents::changes).await
    }

    /// `GET chat.syncMessages` in pages: at most `count` documents changed later than `since`, oldest change
    /// first. Deletions are not among them.
    pub(crate) async fn changes_page(
        &self,
        room: &RoomId,
        since: Timestamp,
        count: u32,
    ) -> Result<Changes, RestError> {
        let call = Call::get("chat.syncMessages")
            .with("roomId", room.as_str())
            .with("type", "UPDATED")
            .with("next", since.0.to_string())
            .with("count", count.to_string());
        let changes = self.list(&call, documents::changes).await?;
        Ok(Changes { next: changes.next.filter(|next| *next > since), deleted: Vec::new(), ..changes })
    }

    /// `POST chat.sendMessage` with a client-made `_id`: sending it again changes nothing.
    pub(crate) async fn send_message(
        &self,
        id: &MessageId,
        room: &RoomId,
        thread: Option<&str>,
        body: &str,
    ) -> Result<Value, RestError> {
        let mut message = json!({"_id": id.as_str(), "rid": room.as_str(), "msg": body});
        if let (Some(thread), Some(map)) = (thread, message.as_object_mut()) {
            map.insert("tmid".to_owned(), thread.into());
        }
        let call = Call::post("chat.sendMessage", json!({ "message": message })).impatient();
        let mut answer = self.call(&call).await?;
        Ok(answer.get_mut("message").map(Value::take).unwrap_or_default())
    }

    /// `GET chat.getMessage`: `None` if there is none, which the server says by a bare 400.
    pub(crate) async fn message(&self, id: &MessageId) -> Result<Option<Value>, RestError> {
        match self.call(&Call::get("chat.getMessage").with("msgId", id.as_str()).impatient()).await {
            Ok(mut answer) => Ok(answer.get_mut("message").map(Value::take).filter(Value::is_object)),
            Err(RestError::Refused(refusal)) if matches!(refusal.status, 400 | 403 | 404) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// `GET users.info`: the id behind a name; `None` if nobody has it.
    pub(crate) async fn user_id(&self, username: &str) -> Result<Option<String>, RestError> {
        match self.call(&Call::get("users.info").with("username", username).impatient()).await {
            Ok(answer) => {
                let user = answer.get("user");
                // Names are compared exactly; the server's look-up is not trusted to.
                let same = user.and_then(|user| text(user, "username")) == Some(username);
                Ok(user.filter(|_| same).and_then(|user| text(user, "_id")).map(str::to_owned))
            }
            Err(RestError::Refused(refusal)) if matches!(refusal.status, 400 | 404) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// `POST im.create`: finds or makes the direct room with somebody.
    pub(crate) async fn direct_room(&self, username: &str) -> Result<RoomId, RestError> {
        let answer = self.call(&Call::post("im.create", json!({ "username": username })).impatient()).await?;
        let room = answer.get("room");
        room.and_then(|room| text(room, "_id").or_else(|| text(room, "rid")))
            .map(RoomId::from)
            .ok_or_else(|| RestError::Garbage("the answer to im.create names no room".to_owned()))
    }

    /// A channel or group by name or id, whether the account is in it or not.
    pub(crate) async fn room_info(&self, name: &str) -> Result<Option<Value>, RestError> {
        for (route, parameter, key) in [
            ("channels.info", "roomName", "channel"),
            ("groups.info", "roomName", "group"),
            ("rooms.info", "roomId", "room"),
        ] {
            match self.call(&Call::get(route).with(parameter, name).impatient()).await {
                Ok(mut answer) => {
                    if let Some(room) = answer.get_mut(key).map(Value::take).filter(Value::is_object) {
                        return Ok(Some(room));
                    }
                }
                Err(RestError::Refused(refusal)) if matches!(refusal.status, 400 | 403 | 404) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}

/// A text field.
pub(crate) fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}
