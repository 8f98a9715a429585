//! Telling the gateway's posts from those of the person whose account it uses (`self_chat`).
//!
//! Owns the ids that prove it: of messages the gateway chose, of files it uploaded, and a mark for an upload whose
//! message is not known yet. Whatever cannot be told apart counts as the gateway's: better unanswered than an agent
//! that answers itself.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use acg_core::connector::{Intake, IntakeError};
use acg_types::{MessageId, RoomId};
use serde_json::Value;
use tokio::sync::Notify;

use super::api::text;

/// Uploads under way whose message will only be known by their answer, per room.
#[derive(Debug, Default)]
pub(crate) struct Uploads {
    rooms: Mutex<HashMap<RoomId, usize>>,
    ended: Notify,
}

/// One upload under way; ends when dropped.
#[derive(Debug)]
pub(crate) struct UploadGuard<'a> {
    uploads: &'a Uploads,
    room: RoomId,
}

impl Uploads {
    /// Notes that an upload begins.
    pub(crate) fn begin(&self, room: &RoomId) -> UploadGuard<'_> {
        *self.rooms().entry(room.clone()).or_default() += 1;
        UploadGuard { uploads: self, room: room.clone() }
    }

    /// Waits until no upload is under way in the room.
    pub(crate) async fn settled(&self, room: &RoomId) {
        loop {
            let ended = self.ended.notified();
            if !self.rooms().contains_key(room) {
                return;
            }
            ended.await;
        }
    }

    fn rooms(&self) -> MutexGuard<'_, HashMap<RoomId, usize>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for UploadGuard<'_> {
    fn drop(&mut self) {
        let mut rooms = self.uploads.rooms();
        if let Some(count) = rooms.get_mut(&self.room) {
            *count -= 1;
            if *count == 0 {
                rooms.remove(&self.room);
            }
        }
        drop(rooms);
        self.uploads.ended.notify_waiters();
    }
}

/// The mark of an upload whose message is not known: the room and the file's name.
pub(crate) fn mark(room: &RoomId, file_name: &str) -> String {
    format!("upload/{room}/{file_name}")
}

/// A file as a message document names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileRef {
    pub(crate) id: String,
    pub(crate) name: String,
}

/// The files of a message document.
pub(crate) fn files(document: &Value) -> Vec<FileRef> {
    let listed = document.get("files").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut out: Vec<FileRef> = Vec::new();
    for file in listed.iter().chain(document.get("file")).take(50) {
        let Some(id) = text(file, "_id").filter(|id| id.len() <= 256) else { continue };
        if !out.iter().any(|known| known.id == id) {
            let name = text(file, "name").unwrap_or_default();
            out.push(FileRef { id: id.to_owned(), name: name.chars().take(300).collect() });
        }
    }
    out
}

/// Whether the gateway made this message of the account.
pub(crate) async fn is_gateways(
    intake: &dyn Intake,
    uploads: &Uploads,
    room: &RoomId,
    message: &MessageId,
    files: &[FileRef],
) -> Result<bool, IntakeError> {
    if intake.is_own(message.as_str()).await? {
        return Ok(true);
    }
    if files.is_empty() {
        return Ok(false);
    }
    uploads.settled(room).await;
    if intake.is_own(message.as_str()).await? {
        return Ok(true);
    }
    for file in files {
        if intake.is_own(&file.id).await? {
            return Ok(true);
        }
        let mark = mark(room, &file.name);
        if intake.is_own(&mark).await? {
            // The answer never came: this is what it would have told. A second file of that name is the person's.
            intake.remember_own(message.as_str()).await?;
            intake.forget_own(&mark).await?;
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn a_room_is_settled_when_its_last_upload_ends() {
        let uploads = Uploads::default();
        let room = RoomId::from("r");
        uploads.settled(&room).await;
        let (first, second) = (uploads.begin(&room), uploads.begin(&room));
        uploads.settled(&"other".into()).await;
        let mut waiting = std::pin::pin!(uploads.settled(&room));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        drop(first);
        assert!(futures_util::poll!(&mut waiting).is_pending());
        drop(second);
        waiting.await;
    }

    #[test]
    fn files_are_read_once_each() {
        let document = json!({
            "file": {"_id": "f", "name": "a.txt"},
            "files": [{"_id": "f", "name": "a.txt"}, {"_id": "g"}, {"name": "no id"}, null],
        });
        let file = |id: &str, name: &str| FileRef { id: id.into(), name: name.into() };
        assert_eq!(files(&document), [file("f", "a.txt"), file("g", "")]);
        assert_eq!(files(&json!({"msg": "x"})), []);
    }
}
