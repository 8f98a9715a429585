//! What an administrator does: users, rooms, settings.

use serde_json::{Value, json};

use super::super::doc::{Doc, date, text};
use super::super::refusal::{Kind, Refusal};
use super::super::world::{AddUser, World};
use super::account::rid;
use super::{Call, Reply, Route, get, post};

pub(super) const ROUTES: &[Route] = &[
    get("settings", setting),
    get("emoji-custom.list", emoji),
    post("users.create", users_create),
    post("users.update", users_update),
    post("users.setActiveStatus", set_active),
    post("users.createToken", create_token),
    post("channels.create", |world, call| create(world, call, true)),
    post("groups.create", |world, call| create(world, call, false)),
    post("rooms.createDiscussion", discussion),
    post("channels.setTopic", set_topic),
    post("groups.setTopic", set_topic),
    post("channels.rename", rename),
    post("groups.rename", rename),
    post("channels.invite", invite),
    post("groups.invite", invite),
    post("channels.kick", kick),
    post("groups.kick", kick),
    post("channels.archive", archive),
    post("groups.archive", archive),
    post("channels.setReadOnly", read_only),
    post("groups.setReadOnly", read_only),
];

fn only_admin(world: &World, call: &Call) -> Result<(), Refusal> {
    if world.must_user(&call.user).is("admin") {
        return Ok(());
    }
    Err(Refusal::of(Kind::Unauthorized).forbidden())
}

/// Administrator, or owner of the room.
fn only_owner(world: &World, call: &Call, room: &Doc) -> Result<(), Refusal> {
    let owner = room.get("u").is_some_and(|u| u["_id"] == call.user.as_str());
    if owner { Ok(()) } else { only_admin(world, call) }
}

fn setting(world: &mut World, call: &Call) -> Result<Reply, Refusal> {
    let settings = &world.settings;
    let value = match call.tail(0) {
        "API_Enable_Rate_Limiter_Limit_Calls_Default" => json!(settings.rest_calls),
        "API_Enable_Rate_Limiter_Limit_Time_Default" => json!(settings.rest_window_ms),
        "API_Enable_Rate_Limiter" => json!(settings.rest_calls > 0),
        "API_Enable_Rate_Limiter_Dev"
        | "FileUpload_ProtectFiles"
        | "Message_AllowEditing"
        | "Accounts_TwoFactorAuthentication_Enabled" => json!(true),
        "Message_MaxAllowedSize" => json!(settings.max_message_size),
        "Accounts_LoginExpiration" => json!(settings.login_days),
        "DDP_Rate_Limit_User_Requests_Allowed" => json!(1200),
        "DDP_Rate_Limit_User_Interval_Time" => json!(60_000),
        "DDP_Rate_Limit_User_By_Method_Requests_Allowed" => json!(20),
        "FileUpload_MaxFileSize" => json!(104_857_600),
        "Message_AllowEditing_BlockEditInMinutes" => json!(0),
        _ => return Err(Refusal::of(Kind::Bare)),
    };
    only_admin(world, call)?;
    Ok(Reply::Ok(json!({ "_id": call.tail(0), "value": value })))
}

fn emoji(_: &mut World, _: &Call) -> Result<Reply, Refusal> {
    Ok(Reply::Ok(json!({ "emojis": { "update": [], "remove": [] } })))
}

fn account(world: &World, uid: &str) -> Value {
    let user = world.must_user(uid);
    let mut shown = json!({ "_id": user.id, "createdAt": date(user.created), "username": user.username,
        "emails": user.emails(), "type": "user", "roles": user.roles, "status": world.status(uid),
        "active": user.active, "_updatedAt": date(user.updated), "name": user.name, "settings": {} });
    if let Some(at) = user.last_login {
        shown["lastLogin"] = date(at);
    }
    if !user.rooms.is_empty() {
        shown["__rooms"] = json!(user.rooms);
    }
    shown
}

fn taken(username: &str) -> Refusal {
    Refusal::meteor("error-field-unavailable", &format!("{username} is already in use :("), None)
}

fn users_create(world: &mut World, call: &Call) -> Result<Reply, Refusal> {
    only_admin(world, call)?;
    let field = |key: &str| call.text(key).map(str::to_owned);
    let username = field("username").unwrap_or_default();
    if world.user_named(&username).is_some() {
        return Err(taken(&username));
    }
    let roles: Vec<String> = call.body["roles"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    let add = AddUser {
        name: field("name"),
        password: field("password"),
        roles: if roles.is_empty() { vec!["user".into()] } else { roles },
        totp: None,
        email: field("email"),
        email_verified: call.body["verified"] == json!(true),
    };
    let uid = world.add_user(&username, add);
    Ok(Reply::Ok(json!({ "user": account(world, &uid) })))
}

fn users_update(world: &mut World, call: &Call) -> Result<Reply, Refusal> {
    only_admin(world, call)?;
    let uid = call.text("userId").unwrap_or_default().to_owned();
    let data = call.body["data"].clone();
    if world.user(&uid).is_none() {
        return Err(Refusal::meteor("error-invalid-user", "Invalid user", None));
    }
    if let Some(username) = data["username"].as_str().filter(|name| *name != world.must_user(&uid).username) {
        if world.user_named(username).is_some() {
            return Err(taken(username));
        }
        world.rename_user(&uid, username);
    }
    let now = world.now();
    let Some(user) = world.user_mut(&uid) else { return Err(Refusal::of(Kind::Bare)) };
    if let Some(verified) = data["verified"].as_bool() {
        user.email_verified = verified;
    }
    if let Some(name) = data["name"].as_str() {
        name.clone_into(&mut user.name);
    }
    user.updated = now;
    Ok(Reply::Ok(json!({ "user": account(world, &uid) })))
}

fn set_active(world: &mut World, call: &Call) -> Result<Reply, Refusal> {
    only_admin(world, call)?;
    let uid = call.text("userId").unwrap_or_default();
    let active = call.body["activeStatus"].as_bool().unwrap_or(true);
    world.set_active(uid, active);
    Ok(Reply::Ok(json!({ "user": { "_id": uid, "active": active } })))
}

/// Off for everybody, as on the recorded server.
fn create_token(_: &mut World, _: &Call) -> Result<Reply, Refusal> {
    Err(Refusal::meteor("error-not-authorized", "Not authorized", Some(json!({ "method": "createToken" }))))
}

fn create(world: &mut World, call: &Call, public: bool) -> Result<Reply, Refusal> {
    let name = call.text("name").unwrap_or_default().to_owned();
    if world.room_named(&name).is_some() {
        let text = format!("A channel with name '{name}' exists");
        return Err(Refusal::meteor("error-duplicate-channel-name", &text, None));
    }
    let mut uids = vec![call.user.clone()];
    for member in call.body["members"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        uids.extend(world.user_id(member));
    }
    let members: Vec<&str> = uids.iter().map(String::as_str).collect();
    let rid = if public { world.add_channel(&name, &members) } else { world.add_group(&name, &members) };
    let room = world.room(&rid);
    Ok(Reply::Ok(if public { json!({ "channel": room }) } else { json!({ "group": room }) }))
}

fn discussion(world: &mut World, call: &Call) -> Result<Reply, Refusal> {
    let parent = call.text("prid").unwrap_or_default().to_owned();
    if !world.room(&parent).is_some_and(|room| world.can_access(room, &call.user)) {
        return Err(Refusal::meteor("error-invalid-room", "Invalid room", None));
    }
    let mut uids = vec![call.user.clone()];
    for member in call.body["users"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        uids.extend(world.user_id(member));
    }
    let members: Vec<&str> = uids.iter().map(String::as_str).collect();
    let rid = world.add_discussion(&parent, call.text("t_name").unwrap_or_default(), &members);
    let mut room = world.room(&rid).cloned().unwrap_or_default();
    room.insert("rid".into(), json!(rid));
    room.insert("inserted".into(), json!(true));
    // The answer is the room before its members were counted [R].
    room.insert("usersCount".into(), json!(0));
    Ok(Reply::Ok(json!({ "discussion": room })))
}

/// The room as the answers of these routes carry it.
fn answer(world: &World, id: &str) -> Reply {
    let room = world.room(id).cloned().unwrap_or_default();
    let key = if text(&room, "t") == "p" { "group" } else { "channel" };
    let mut answer = json!({});
    answer[key] = Value::Object(room);
    Reply::Ok(answer)
}

fn owned(world: &World, call: &Call) -> Result<String, Refusal> {
    let room = call.room(world, "cp")?;
    only_owner(world, call, room)?;
    Ok(rid(room))
}

fn set_topic(world: &mut World, call: &Call) -> Result<Reply, Refusal> {
    let id = owned(world, call)?;
    let topic = call.text("topic").unwrap_or_default();
    world.set_topic(&id, topic, &call.user);
    Ok(Reply::Ok(json!({ "topic": topic })))
}

fn rename(world: &mut World, call: &Call) -> Result<Reply, Refusal> {
    let id = owned(world, call)?;
    world.rename_room(&id, call.text("name").unwrap_or_default(), &call.user);
    Ok(answer(world, &id))
}

fn invite(world: &mut World, call: &Call) -> Result<Reply, Refusal> {
    let id = owned(world, call)?;
    world.add_member(&id, call.text("userId").unwrap_or_default(), true);
    Ok(answer(world, &id))
}

fn kick(world: &mut World, call: &Call) -> Result<Reply, Refusal> {
    let id = owned(world, call)?;
    world.kick(&id, call.text("userId").unwrap_or_default(), &call.user);
    Ok(answer(world, &id))
}

fn archive(world: &mut World, call: &Call) -> Result<Reply, Refusal> {
    let id = owned(world, call)?;
    world.archive(&id, &call.user);
    Ok(Reply::Ok(json!({})))
}

fn read_only(world: &mut World, call: &Call) -> Result<Reply, Refusal> {
    let id = owned(world, call)?;
    world.set_read_only(&id, call.body["readOnly"] == json!(true), &call.user);
    Ok(answer(world, &id))
}
