//! Uploading a file: `rooms.media` and `rooms.mediaConfirm` since 6.10, `rooms.upload` before.
//!
//! The file is streamed. Neither way can be repeated safely once the server may have posted it: an unknown
//! outcome of the posting step is ambiguous.

use std::path::Path;
use std::time::Duration;

use acg_core::connector::SendError;
use acg_types::RoomId;
use reqwest::multipart::{Form, Part};
use serde_json::json;
use tokio::fs::File;

use super::account::{Account, Login};
use super::api::text;
use super::rest::{Call, RestError};
use super::send;

/// For the whole file.
const TIMEOUT: Duration = Duration::from_mins(10);

pub(crate) async fn post(
    account: &Account,
    room: &RoomId,
    file: &Path,
    caption: &str,
) -> Result<(), SendError> {
    let login = account.login().await.map_err(|error| SendError::Auth { reason: error.to_string() })?;
    match media(account, &login, room, file, caption).await {
        Err(Step::Rest(RestError::Unauthorized(_))) => {
            let login =
                account.renew(&login).await.map_err(|error| SendError::Auth { reason: error.to_string() })?;
            media(account, &login, room, file, caption).await.map_err(Step::into_error)
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

async fn media(
    account: &Account,
    login: &Login,
    room: &RoomId,
    file: &Path,
    caption: &str,
) -> Result<(), Step> {
    let form = Form::new().part("file", part(file).await?);
    let path = format!("/api/v1/rooms.media/{}", segment(room.as_str()));
    let answer = match account.rest.upload("rooms.media", &path, form, &login.token, TIMEOUT).await {
        Ok(answer) => answer,
        Err(RestError::Refused(refusal)) if matches!(refusal.status, 404 | 405) => {
            return whole(account, login, room, file, caption).await;
        }
        // An unconfirmed file is seen by nobody: all of this may be tried again.
        Err(error) => return Err(Step::Rest(error)),
    };
    let Some(id) = answer.get("file").and_then(|file| text(file, "_id")) else {
        return Err(Step::Rest(RestError::Garbage("the answer to rooms.media names no file".to_owned())));
    };
    let mut call = Call::post("rooms.mediaConfirm", json!({ "msg": caption })).impatient();
    call.path = format!("/api/v1/rooms.mediaConfirm/{}/{}", segment(room.as_str()), segment(id));
    posted(account.rest.call(&call, Some(&login.token)).await)
}

async fn whole(
    account: &Account,
    login: &Login,
    room: &RoomId,
    file: &Path,
    caption: &str,
) -> Result<(), Step> {
    // Fields go before the file: the server reads them in order.
    let mut form = Form::new();
    if !caption.is_empty() {
        form = form.text("msg", caption.to_owned());
    }
    let form = form.part("file", part(file).await?);
    let path = format!("/api/v1/rooms.upload/{}", segment(room.as_str()));
    posted(account.rest.upload("rooms.upload", &path, form, &login.token, TIMEOUT).await)
}

fn posted(result: Result<serde_json::Value, RestError>) -> Result<(), Step> {
    match result {
        Ok(_) => Ok(()),
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
    let name = path.file_name().map_or_else(|| "file".to_owned(), |name| name.to_string_lossy().into_owned());
    let part = Part::stream_with_length(reqwest::Body::from(file), meta.len())
        .mime_str(media_type(&name))
        .map_err(|error| refuse(error.to_string()))?;
    Ok(part.file_name(name))
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
