//! Uploading a file: `rooms.media` and `rooms.mediaConfirm` since 6.10, `rooms.upload` before.
//!
//! The file is streamed. Neither way can be repeated safely once the server may have posted it: an unknown
//! outcome of the posting step is ambiguous.

use std::path::Path;
use std::time::Duration;

use acg_core::connector::{Intake, IntakeError, SendError};
use acg_types::{RoomId, ThreadId, Timestamp};
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use tokio::fs::File;

use super::account::Login;
use super::api::text;
use super::backfill::OVERLAP;
use super::normalise;
use super::own;
use super::rest::{Call, RestError};
use super::send;
use super::shared::Shared;

/// For the whole file.
const TIMEOUT: Duration = Duration::from_mins(10);

/// What to upload, and where to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Upload<'a> {
    pub(crate) room: &'a RoomId,
    pub(crate) thread: Option<&'a ThreadId>,
    pub(crate) file: &'a Path,
    pub(crate) caption: &'a str,
}

pub(crate) async fn post(shared: &Shared, upload: &Upload<'_>) -> Result<(), SendError> {
    let account = &shared.account;
    // Only where the account is a person's own must its uploads be told apart.
    let own = match (shared.self_chat, account.keeper()) {
        (false, _) => None,
        (true, Some(intake)) => Some(intake),
        (true, None) => return Err(SendError::Auth { reason: "the connector is not running".to_owned() }),
    };
    let login = account.login().await.map_err(|error| SendError::Auth { reason: error.to_string() })?;
    match media(shared, &login, upload, own.as_deref()).await {
        Err(Step::Rest(RestError::Unauthorized(_))) => {
            let login =
                account.renew(&login).await.map_err(|error| SendError::Auth { reason: error.to_string() })?;
            media(shared, &login, upload, own.as_deref()).await.map_err(Step::into_error)
        }
        other => other.map_err(Step::into_error),
    }
}

enum Step {
    Rest(RestError),
    Done(SendError),
}

impl Step {
    fn into_error(self) -> SendError {
        match self {
            Self::Rest(error) => send::error(error),
            Self::Done(error) => error,
        }
    }
}

impl From<IntakeError> for Step {
    /// Nothing has been posted when an id cannot be kept.
    fn from(error: IntakeError) -> Self {
        Self::Done(SendError::Retry { after: None, reason: error.to_string() })
    }
}

async fn media(
    shared: &Shared,
    login: &Login,
    upload: &Upload<'_>,
    own: Option<&dyn Intake>,
) -> Result<(), Step> {
    let rest = &shared.account.rest;
    let room = segment(upload.room.as_str());
    let form = Form::new().part("file", part(upload.file).await?);
    let path = format!("/api/v1/rooms.media/{room}");
    let answer = match rest.upload("rooms.media", &path, form, &login.token, TIMEOUT).await {
        Ok(answer) => answer,
        Err(RestError::Refused(refusal)) if matches!(refusal.status, 404 | 405) => {
            return match own {
                None => posted(whole(shared, login, upload).await).map(drop),
                Some(intake) => whole_as_person(shared, login, upload, intake).await,
            };
        }
        // An unconfirmed file is seen by nobody: all of this may be tried again.
        Err(error) => return Err(Step::Rest(error)),
    };
    let Some(id) = answer.get("file").and_then(|file| text(file, "_id")) else {
        return Err(Step::Rest(RestError::Garbage("the answer to rooms.media names no file".to_owned())));
    };
    if let Some(intake) = own {
        intake.remember_own(id).await?;
    }
    let mut body = json!({ "msg": upload.caption });
    if let (Some(thread), Some(map)) = (upload.thread, body.as_object_mut()) {
        map.insert("tmid".to_owned(), thread.as_str().into());
    }
    let mut call = Call::post("rooms.mediaConfirm", body).impatient();
    call.path = format!("/api/v1/rooms.mediaConfirm/{room}/{}", segment(id));
    posted(Ok(rest.call(&call, Some(&login.token)).await)).map(drop)
}

/// File and message in one request; its answer is the first word about the message's id.
async fn whole(
    shared: &Shared,
    login: &Login,
    upload: &Upload<'_>,
) -> Result<Result<Value, RestError>, Step> {
    // Fields go before the file: the server reads them in order.
    let mut form = Form::new();
    if !upload.caption.is_empty() {
        form = form.text("msg", upload.caption.to_owned());
    }
    if let Some(thread) = upload.thread {
        form = form.text("tmid", thread.to_string());
    }
    let form = form.part("file", part(upload.file).await?);
    let path = format!("/api/v1/rooms.upload/{}", segment(upload.room.as_str()));
    Ok(shared.account.rest.upload("rooms.upload", &path, form, &login.token, TIMEOUT).await)
}

/// The same on an account that is a person's own: its messages wait in the room until the answer is here, and a
/// mark stands for the message over a crash.
async fn whole_as_person(
    shared: &Shared,
    login: &Login,
    upload: &Upload<'_>,
    intake: &dyn Intake,
) -> Result<(), Step> {
    // One at a time: two files of one name must not share a mark.
    let _one_at_a_time = shared.whole_uploads.lock().await;
    let name = file_name(upload.file);
    let mark = own::mark(upload.room, &name);
    let begun = shared.account.rest.server_now();
    let _under_way = shared.uploads.begin(upload.room);
    intake.remember_own(&mark).await?;
    let message = match posted(whole(shared, login, upload).await) {
        Ok(answer) => answer.get("message").and_then(|message| text(message, "_id")).map(str::to_owned),
        Err(Step::Done(error @ SendError::Ambiguous { .. })) => {
            match find(shared, login, upload.room, &name, begun).await {
                Some(message) => Some(message),
                // The mark stays: if the message turns up after all, it is the gateway's.
                None => return Err(Step::Done(error)),
            }
        }
        Err(error) => {
            intake.forget_own(&mark).await?;
            return Err(error);
        }
    };
    if let Some(message) = message {
        intake.remember_own(&message).await?;
        intake.forget_own(&mark).await?;
    }
    Ok(())
}

/// Looks whether a file of this name was posted by the account since a moment.
async fn find(shared: &Shared, login: &Login, room: &RoomId, name: &str, begun: Timestamp) -> Option<String> {
    let changes = shared.account.changes(room, begun.before(OVERLAP)).await.ok()?;
    changes.updated.iter().find_map(|document| {
        let document = document.read();
        let author = document.get("u").and_then(|author| text(author, "_id"));
        let named = own::files(&document).iter().any(|file| file.name == name);
        let fresh = normalise::said_at(&document).is_some_and(|at| at >= begun.before(OVERLAP));
        (author == Some(login.token.user.as_str()) && named && fresh)
            .then(|| text(&document, "_id").map(str::to_owned))
            .flatten()
    })
}

fn posted(result: Result<Result<Value, RestError>, Step>) -> Result<Value, Step> {
    match result? {
        Ok(answer) => Ok(answer),
        Err(RestError::Unreachable(reason) | RestError::Garbage(reason) | RestError::TooLarge(reason)) => {
            let reason = format!("the file may or may not have been posted: {reason}");
            Err(Step::Done(SendError::Ambiguous { reason }))
        }
        Err(error) => Err(Step::Rest(error)),
    }
}

async fn part(path: &Path) -> Result<Part, Step> {
    let refuse = |reason: String| Step::Done(SendError::Permanent { reason });
    let shown = path.display();
    let file = File::open(path).await.map_err(|error| refuse(format!("{shown} cannot be read: {error}")))?;
    let meta = file.metadata().await.map_err(|error| refuse(format!("{shown} cannot be read: {error}")))?;
    if !meta.is_file() {
        return Err(refuse(format!("{shown} is not a regular file")));
    }
    let name = file_name(path);
    let part = Part::stream_with_length(reqwest::Body::from(file), meta.len())
        .mime_str(media_type(&name))
        .map_err(|error| refuse(error.to_string()))?;
    Ok(part.file_name(name))
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(|| "file".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// The server believes the type it is told; the common ones by extension.
fn media_type(name: &str) -> &'static str {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    match extension.as_deref().unwrap_or_default() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "pdf" => "application/pdf",
        "txt" | "log" | "diff" | "patch" => "text/plain",
        "md" => "text/markdown",
        "csv" => "text/csv",
        "html" | "htm" => "text/html",
        "json" => "application/json",
        "zip" => "application/zip",
        "mp3" => "audio/mpeg",
        "mp4" => "video/mp4",
        _ => "application/octet-stream",
    }
}

/// An id as one segment of a path: ids are opaque, so nothing in them may end the segment.
fn segment(id: &str) -> String {
    let mut text = String::with_capacity(id.len());
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            text.push(char::from(byte));
        } else {
            text.push('%');
            text.push_str(&data_encoding::HEXUPPER.encode(&[byte]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_stay_one_segment_of_a_path() {
        assert_eq!(segment("6b00fe212e0c0b47834c9ee2"), "6b00fe212e0c0b47834c9ee2");
        assert_eq!(segment("../a?b#c"), "%2E%2E%2Fa%3Fb%23c");
    }

    #[test]
    fn media_types_by_extension() {
        assert_eq!(media_type("Report.PDF"), "application/pdf");
        assert_eq!(media_type("Makefile"), "application/octet-stream");
    }
}
