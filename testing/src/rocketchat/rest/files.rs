//! Upload in both manners, and download.

use serde_json::{Value, json};

use super::super::refusal::{Kind, Refusal};
use super::super::world::{File, Upload, Version, World};
use super::{Answer, Body, Call, Form, Reply, Route, post};

pub(super) const ROUTES: &[Route] =
    &[post("rooms.upload", upload), post("rooms.media", media), post("rooms.mediaConfirm", confirm)];

/// `rooms.upload` is gone from 8.0 on, `rooms.media` is there from 6.10 on.
pub(super) fn exists(route: &str, version: Version) -> bool {
    match route {
        "rooms.upload" => version < Version::V8_0,
        "rooms.media" | "rooms.mediaConfirm" => version >= Version::V6_10,
        _ => true,
    }
}

fn open_room(world: &World, call: &Call) -> Result<String, Refusal> {
    let room = world.room(call.tail(0)).filter(|room| world.can_access(room, &call.user));
    match room {
        Some(_) => Ok(call.tail(0).to_owned()),
        None => Err(Refusal::of(Kind::Unauthorized).forbidden()),
    }
}

fn sent_file(world: &mut World, rid: &str, form: &Form) -> Result<File, Refusal> {
    let file = form.file.clone().ok_or_else(|| Refusal::meteor("No file uploaded", "", None))?;
    if file.kind == "image/svg+xml" {
        return Err(Refusal::meteor("error-invalid-file-type", "File type is not accepted.", None));
    }
    Ok(File { id: world.ids.hex(), rid: rid.to_owned(), name: file.name, kind: file.kind, bytes: file.bytes })
}

fn upload(world: &mut World, call: &Call) -> Result<Reply, Refusal> {
    let rid = open_room(world, call)?;
    let form = call.form.clone().unwrap_or_default();
    let file = sent_file(world, &rid, &form)?;
    let field = |key: &str| form.fields.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone());
    let with = Upload {
        msg: field("msg").unwrap_or_default(),
        description: field("description"),
        tmid: field("tmid"),
    };
    let message = world.post_file(&call.user, file, &with)?;
    Ok(Reply::Ok(json!({ "message": message })))
}

fn media(world: &mut World, call: &Call) -> Result<Reply, Refusal> {
    let rid = open_room(world, call)?;
    let form = call.form.clone().unwrap_or_default();
    let file = sent_file(world, &rid, &form)?;
    let url = format!("/file-upload/{}/{}", file.id, file.name);
    let shown = json!({ "_id": file.id, "url": url });
    world.pending_files.insert(file.id.clone(), file);
    Ok(Reply::Ok(json!({ "file": shown })))
}

/// What the body of `rooms.mediaConfirm` may hold beside `description`: texts, and nothing else.
const CONFIRM_KEYS: &[&str] =
    &["msg", "tmid", "avatar", "emoji", "alias", "t", "customFields", "description"];

/// Makes the message of an uploaded file. It is not idempotent: a second call makes a second message [S].
fn confirm(world: &mut World, call: &Call) -> Result<Reply, Refusal> {
    let rid = open_room(world, call)?;
    let id = call.tail(1).to_owned();
    let stored = || world.files.iter().find(|file| file.id == id);
    let file = world.pending_files.get(&id).or_else(stored).cloned();
    let file = file.ok_or_else(|| Refusal::meteor("invalid-file", "", None))?;
    for (key, value) in call.body.as_object().into_iter().flatten() {
        if ["groupable", "content"].contains(&key.as_str()) {
            continue;
        }
        if !CONFIRM_KEYS.contains(&key.as_str()) {
            return Err(Refusal::plain(&format!("Match error: Unknown key in field {key}")));
        }
        if !value.is_string() {
            let found = match value {
                Value::Null => "null",
                Value::Bool(_) => "boolean",
                Value::Number(_) => "number",
                _ => "object",
            };
            return Err(Refusal::plain(&format!("Match error: Expected string, got {found} in field {key}")));
        }
    }
    let with = Upload {
        msg: call.text("msg").unwrap_or_default().to_owned(),
        description: call.text("description").map(str::to_owned),
        tmid: call.text("tmid").map(str::to_owned),
    };
    // The room is the one of the path, whatever room the file was sent to [S].
    let message = world.post_file(&call.user, File { rid, ..file }, &with)?;
    world.pending_files.remove(&id);
    Ok(Reply::Ok(json!({ "message": message })))
}

/// `GET /file-upload/<id>/<name>`: token in the headers, the query or a cookie; 403 and nothing else without access.
pub(super) fn download(world: &World, call: &Call) -> Answer {
    let refused = |status| Answer { status, headers: Vec::new(), body: Body::Empty };
    let cookie = |key: &str| {
        call.header("cookie")?
            .split(';')
            .find_map(|pair| pair.trim().strip_prefix(&format!("{key}=")))
            .map(str::to_owned)
    };
    let given = |key: &str| call.param(key).map(str::to_owned).or_else(|| cookie(key));
    let uid = if call.user.is_empty() {
        let token = given("rc_token").unwrap_or_default();
        let claimed = given("rc_uid").unwrap_or_default();
        world.token_owner(&token).map(|(user, _)| user.id.clone()).filter(|id| *id == claimed)
    } else {
        Some(call.user.clone())
    };
    let Some(uid) = uid else { return refused(403) };
    let id = call.path.split('/').nth(2).unwrap_or_default();
    let Some(file) = world.files.iter().find(|file| file.id == id) else { return refused(404) };
    // Reading a file takes membership: a public room that one could enter is not enough [R].
    if !world.is_member(&file.rid, &uid) {
        return refused(403);
    }
    let headers = vec![
        ("content-type".into(), file.kind.clone()),
        ("content-disposition".into(), format!("attachment; filename*=UTF-8''{}", file.name)),
    ];
    Answer { status: 200, headers, body: Body::Bytes(file.bytes.clone()) }
}
