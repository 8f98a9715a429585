//! Rooms and subscriptions: finding, listing, opening DMs, marking as read.

use serde_json::{Value, json};

use super::super::doc::{Doc, parse_date, text};
use super::super::refusal::Refusal;
use super::super::world::{World, whole_sub};
use super::account::{member, rid};
use super::{Call, Reply, Route, get, post};

pub(super) const ROUTES: &[Route] = &[
    get("rooms.info", rooms_info),
    get("rooms.get", rooms_get),
    get("subscriptions.get", subscriptions_get),
    get("subscriptions.getOne", subscriptions_get_one),
    post("subscriptions.read", subscriptions_read),
    post("im.create", im_create),
    get("channels.info", |world, call| info(world, call, "c", "channel")),
    get("groups.info", |world, call| info(world, call, "p", "group")),
    get("channels.members", |world, call| members(world, call, "c")),
    get("groups.members", |world, call| members(world, call, "p")),
    get("im.members", |world, call| members(world, call, "d")),
    get("channels.list", channels_list),
    get("channels.list.joined", |world, call| list(world, call, "c", "channels")),
    get("groups.list", |world, call| list(world, call, "p", "groups")),
    get("im.list", |world, call| list(world, call, "d", "ims")),
    post("channels.join", channels_join),
];

/// A DM read by REST carries its usernames twice [R].
fn shown(room: &Doc) -> Doc {
    let mut room = room.clone();
    if text(&room, "t") == "d" {
        let names = room.get("usernames").cloned().unwrap_or_default();
        room.insert("_USERNAMES".into(), names);
    }
    room
}

fn rooms_info(world: &mut World, call: &Call) -> Result<Reply, Refusal> {
    let room = call.readable(world, "cpdlv")?;
    let mut answer = json!({ "room": shown(room) });
    if let Some(parent) = room.get("prid").and_then(Value::as_str).and_then(|id| world.room(id)) {
        answer["parent"] = json!({ "_id": parent["_id"], "name": parent["name"], "fname": parent["fname"], "t": parent["t"] });
    }
    Ok(Reply::Ok(answer))
}

fn since(call: &Call) -> Result<Option<i64>, Refusal> {
    let Some(given) = call.param("updatedSince") else { return Ok(None) };
    let bad = "The \"updatedSince\" query parameter must be a valid date.";
    let read =
        parse_date(given).ok_or_else(|| Refusal::meteor("error-updatedSince-param-invalid", bad, None))?;
    Ok(Some(read))
}

/// `remove` names rooms that were deleted, not those one left [R]; no room is ever deleted here.
fn rooms_get(world: &mut World, call: &Call) -> Result<Reply, Refusal> {
    let since = since(call)?;
    let update: Vec<Doc> = world.rooms_of(&call.user, since);
    Ok(Reply::Ok(json!({ "update": update, "remove": [] })))
}

fn subscriptions_get(world: &mut World, call: &Call) -> Result<Reply, Refusal> {
    let since = since(call)?;
    let remove = since.map_or_else(Vec::new, |since| world.removed_subs_of(&call.user, since));
    Ok(Reply::Ok(json!({ "update": world.subs_of(&call.user, since), "remove": remove })))
}

fn subscriptions_get_one(world: &mut World, call: &Call) -> Result<Reply, Refusal> {
    let id = call.param("roomId").ok_or_else(|| Refusal::param("The 'roomId' param is required"))?;
    Ok(Reply::Ok(json!({ "subscription": world.sub(id, &call.user).map(whole_sub) })))
}

fn subscriptions_read(world: &mut World, call: &Call) -> Result<Reply, Refusal> {
    let id = call.text("rid").or(call.text("roomId")).unwrap_or_default().to_owned();
    world.mark_read(&id, &call.user)?;
    Ok(Reply::Ok(json!({})))
}

fn im_create(world: &mut World, call: &Call) -> Result<Reply, Refusal> {
    let names: Vec<String> = match (call.text("username"), call.text("usernames")) {
        (Some(name), _) => vec![name.to_owned()],
        (None, Some(names)) => names.split(',').map(|name| name.trim().to_owned()).collect(),
        (None, None) => {
            let text = "Body must contain either \"username\" or \"usernames\"";
            return Err(Refusal::meteor("error-invalid-params", text, None));
        }
    };
    let mut uids = vec![call.user.clone()];
    for name in names {
        let unknown = || {
            Refusal::meteor(
                "error-invalid-user",
                "Invalid user",
                Some(json!({ "method": "createDirectMessage" })),
            )
        };
        uids.push(world.user_id(&name).ok_or_else(unknown)?);
    }
    let members: Vec<&str> = uids.iter().map(String::as_str).collect();
    let rid = world.add_dm(&members);
    let usernames = world.room(&rid).map(|room| room["usernames"].clone());
    Ok(Reply::Ok(json!({ "room": { "t": "d", "rid": rid, "usernames": usernames, "_id": rid } })))
}

fn info(world: &mut World, call: &Call, kind: &str, key: &str) -> Result<Reply, Refusal> {
    let room = call.readable(world, kind)?;
    let mut answer = json!({});
    answer[key] = json!(room);
    Ok(Reply::Ok(answer))
}

fn members(world: &mut World, call: &Call, kind: &str) -> Result<Reply, Refusal> {
    let rid = rid(call.readable(world, kind)?);
    let (count, offset) = call.page(50);
    // Those who are there come first, then by username [R].
    let mut all = world.members(&rid);
    all.sort_by_key(|uid| (world.status(uid) == "offline", world.must_user(uid).username.clone()));
    let page: Vec<Value> = all.iter().skip(offset).take(count).map(|uid| member(world, uid)).collect();
    Ok(Reply::Ok(json!({ "count": page.len(), "members": page, "offset": offset, "total": all.len() })))
}

fn page_of(call: &Call, mut rooms: Vec<Doc>, key: &str) -> Reply {
    rooms.sort_by_key(|room| text(room, "name").to_lowercase());
    let (count, offset) = call.page(50);
    let total = rooms.len();
    let page: Vec<Doc> = rooms.iter().skip(offset).take(count).map(shown).collect();
    let mut answer = json!({ "count": page.len(), "offset": offset, "total": total });
    answer[key] = json!(page);
    Reply::Ok(answer)
}

fn list(world: &mut World, call: &Call, kind: &str, key: &str) -> Result<Reply, Refusal> {
    let rooms = world.rooms_of(&call.user, None).into_iter().filter(|room| text(room, "t") == kind).collect();
    Ok(page_of(call, rooms, key))
}

fn channels_list(world: &mut World, call: &Call) -> Result<Reply, Refusal> {
    let rooms = world.rooms.iter().filter(|room| text(room, "t") == "c").cloned().collect();
    Ok(page_of(call, rooms, "channels"))
}

fn channels_join(world: &mut World, call: &Call) -> Result<Reply, Refusal> {
    let id = rid(call.room(world, "c")?);
    world.join(&id, &call.user);
    Ok(Reply::Ok(json!({ "channel": world.room(&id) })))
}
