//! Posting, editing, deleting, reacting, pinning.

use serde_json::{Value, json};

use super::super::doc::{Doc, text};
use super::super::refusal::{Kind, Refusal};
use super::super::world::World;
use super::schema::invalid;
use super::{Call, Reply, Route, get, post};

pub(super) const ROUTES: &[Route] = &[
    post("chat.postMessage", post_message),
    post("chat.sendMessage", send_message),
    post("chat.update", update),
    post("chat.delete", delete),
    post("chat.react", react),
    post("chat.pinMessage", pin),
    get("chat.getMessage", get_message),
    post("commands.run", run_command),
    get("commands.list", list_commands),
];

/// The rooms a `channel` or `roomId` means. `#name` finds a room by name, `@name` finds or makes the DM.
fn targets(world: &mut World, call: &Call) -> Result<Vec<String>, Refusal> {
    let no_channel = || Refusal::meteor("invalid-channel", "", None);
    let given = call.body.get("roomId").or(call.body.get("channel")).cloned().unwrap_or_default();
    let names: Vec<String> = match given {
        Value::String(name) => vec![name],
        Value::Array(names) => names.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    let mut found = Vec::new();
    for name in names {
        let rid = if let Some(username) = name.strip_prefix('@') {
            let other = world.user_named(username).map(|user| user.id.clone()).ok_or_else(no_channel)?;
            world.add_dm(&[&call.user, &other])
        } else {
            let bare = name.strip_prefix('#').unwrap_or(&name);
            let room = world.room(&name).or_else(|| world.room_named(bare));
            text(room.ok_or_else(no_channel)?, "_id").to_owned()
        };
        found.push(rid);
    }
    if found.is_empty() { Err(no_channel()) } else { Ok(found) }
}

fn post_message(world: &mut World, call: &Call) -> Result<Reply, Refusal> {
    let mut first: Option<Doc> = None;
    let rooms = targets(world, call)?;
    for rid in &rooms {
        let message = world.post_message(&call.user, rid, &call.body)?;
        first.get_or_insert(message);
    }
    let given = call.body.get("roomId").or(call.body.get("channel")).cloned().unwrap_or_default();
    let channel = given.as_array().map_or(given.clone(), |list| list.first().cloned().unwrap_or_default());
    let message = first.unwrap_or_default();
    Ok(Reply::Ok(json!({ "ts": world.now(), "channel": channel, "message": message })))
}

fn send_message(world: &mut World, call: &Call) -> Result<Reply, Refusal> {
    let Some(message) = call.body.get("message").filter(|message| message.is_object()) else {
        return Err(Refusal::param("The \"message\" parameter must be provided."));
    };
    match world.send_message(&call.user, message)? {
        Some(sent) => Ok(Reply::Ok(json!({ "message": sent }))),
        // A duplicate gives nothing, and the route stumbles over that nothing [R].
        None => Err(Refusal::plain("Cannot read property 'starred' of undefined")),
    }
}

fn needs(call: &Call, keys: &[&str]) -> Result<(), Refusal> {
    for key in keys {
        if call.text(key).is_none() {
            return Err(invalid(&format!("must have required property '{key}'")));
        }
    }
    Ok(())
}

fn update(world: &mut World, call: &Call) -> Result<Reply, Refusal> {
    needs(call, &["roomId", "msgId", "text"])?;
    let field = |key: &str| call.text(key).unwrap_or_default();
    let message = world.update_message(&call.user, field("roomId"), field("msgId"), field("text"))?;
    Ok(Reply::Ok(json!({ "message": message })))
}

fn delete(world: &mut World, call: &Call) -> Result<Reply, Refusal> {
    needs(call, &["roomId", "msgId"])?;
    let field = |key: &str| call.text(key).unwrap_or_default();
    let gone = world.delete_message(&call.user, field("roomId"), field("msgId"))?;
    let message = json!({ "_id": gone["_id"], "u": gone["u"], "rid": gone["rid"] });
    Ok(Reply::Ok(json!({ "_id": gone["_id"], "ts": world.now().to_string(), "message": message })))
}

fn react(world: &mut World, call: &Call) -> Result<Reply, Refusal> {
    let emoji = call.text("emoji").or(call.text("reaction"));
    let emoji = emoji.ok_or_else(|| {
        Refusal::meteor("error-emoji-param-not-provided", "The required \"emoji\" param is missing.", None)
    })?;
    let id = call.text("messageId").ok_or_else(|| {
        Refusal::meteor(
            "error-messageid-param-not-provided",
            "The required \"messageId\" param is missing.",
            None,
        )
    })?;
    world.set_reaction(&call.user, id, emoji, call.body["shouldReact"].as_bool())?;
    Ok(Reply::Ok(json!({})))
}

fn pin(world: &mut World, call: &Call) -> Result<Reply, Refusal> {
    needs(call, &["messageId"])?;
    let message = world.pin_message(&call.user, call.text("messageId").unwrap_or_default())?;
    Ok(Reply::Ok(json!({ "message": message })))
}

fn get_message(world: &mut World, call: &Call) -> Result<Reply, Refusal> {
    let id = call.param("msgId").ok_or_else(|| invalid("must have required property 'msgId'"))?;
    let readable = |message: &&Doc| {
        world.room(text(message, "rid")).is_some_and(|room| world.can_access(room, &call.user))
    };
    let message = world.message(id).filter(readable).ok_or_else(|| Refusal::of(Kind::Bare))?;
    Ok(Reply::Ok(json!({ "message": message })))
}

/// Of the slash commands only `/shrug` does something.
fn run_command(world: &mut World, call: &Call) -> Result<Reply, Refusal> {
    needs(call, &["command", "roomId"])?;
    if call.text("command") != Some("shrug") {
        return Err(Refusal::plain("The command provided does not exist (or is disabled)."));
    }
    let msg = format!("{} ¯\\\\_(ツ)_/¯", call.text("params").unwrap_or_default());
    world.send_message(&call.user, &json!({ "rid": call.text("roomId"), "msg": msg }))?;
    Ok(Reply::Ok(json!({})))
}

fn list_commands(_: &mut World, _: &Call) -> Result<Reply, Refusal> {
    let commands = json!([{ "command": "shrug", "params": "your_message_optional",
        "description": "Slash_Shrug_Description", "clientOnly": false, "providesPreview": false }]);
    Ok(Reply::Ok(json!({ "commands": commands, "offset": 0, "count": 1, "total": 1 })))
}
