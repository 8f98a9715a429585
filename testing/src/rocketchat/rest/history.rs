//! Reading messages: histories, threads, what changed since.

use serde_json::{Value, json};

use super::super::doc::{Doc, date_ms, parse_date, text};
use super::super::refusal::Refusal;
use super::super::world::{Window, World};
use super::account::rid;
use super::{Call, Reply, Route, get};

pub(super) const ROUTES: &[Route] = &[
    get("channels.history", |world, call| history(world, call, "c")),
    get("groups.history", |world, call| history(world, call, "p")),
    get("im.history", |world, call| history(world, call, "d")),
    get("channels.messages", |world, call| messages(world, call, "c")),
    get("groups.messages", |world, call| messages(world, call, "p")),
    get("im.messages", |world, call| messages(world, call, "d")),
    get("chat.getThreadMessages", thread_messages),
    get("chat.getThreadsList", threads_list),
    get("chat.syncMessages", sync_messages),
];

fn history(world: &mut World, call: &Call, kind: &str) -> Result<Reply, Refusal> {
    let rid = rid(call.readable(world, kind)?);
    let (count, offset) = call.page(20);
    let flag = |key: &str| call.param(key) == Some("true");
    let window = Window {
        latest: call.param("latest").and_then(parse_date),
        oldest: call.param("oldest").and_then(parse_date),
        inclusive: flag("inclusive"),
        count,
        offset,
        thread_messages: flag("showThreadMessages"),
    };
    Ok(Reply::Ok(json!({ "messages": world.history(&rid, window) })))
}

fn page_of(call: &Call, found: Vec<Doc>, key: &str) -> Reply {
    let (count, offset) = call.page(50);
    let total = found.len();
    let page: Vec<Doc> = found.into_iter().skip(offset).take(count).collect();
    let mut answer = json!({ "count": page.len(), "offset": offset, "total": total });
    answer[key] = json!(page);
    Reply::Ok(answer)
}

fn messages(world: &mut World, call: &Call, kind: &str) -> Result<Reply, Refusal> {
    let rid = rid(call.readable(world, kind)?);
    Ok(page_of(call, world.all_messages(&rid), "messages"))
}

fn thread_messages(world: &mut World, call: &Call) -> Result<Reply, Refusal> {
    let missing = || Refusal::plain("The required 'tmid' query param is missing.");
    let tmid = call.param("tmid").ok_or_else(missing)?;
    let root = world
        .message(tmid)
        .ok_or_else(|| Refusal::meteor("error-invalid-message", "Invalid Message", None))?;
    let readable = world.room(text(root, "rid")).is_some_and(|room| world.can_access(room, &call.user));
    if !readable {
        return Err(Refusal::meteor("error-not-allowed", "Not Allowed", None).forbidden());
    }
    Ok(page_of(call, world.replies(tmid), "messages"))
}

fn threads_list(world: &mut World, call: &Call) -> Result<Reply, Refusal> {
    let rid =
        call.param("rid").ok_or_else(|| Refusal::plain("The required 'rid' query param is missing."))?;
    let readable = world.room(rid).is_some_and(|room| world.can_access(room, &call.user));
    if !readable {
        return Err(Refusal::meteor("error-not-allowed", "Not Allowed", None).forbidden());
    }
    Ok(page_of(call, world.threads(rid), "threads"))
}

/// Both forms: everything after `lastUpdate`, or pages of one kind by `next` and `previous`.
fn sync_messages(world: &mut World, call: &Call) -> Result<Reply, Refusal> {
    let rid = call.param("roomId").ok_or_else(|| {
        Refusal::meteor(
            "error-roomId-param-not-provided",
            "The required \"roomId\" query param is missing.",
            None,
        )
    })?;
    if !world.room(rid).is_some_and(|room| world.can_access(room, &call.user)) {
        return Err(Refusal::meteor("error-not-allowed", "Not allowed", None).forbidden());
    }
    if let Some(kind) = call.param("type") {
        return Ok(sync_page(world, call, rid, kind));
    }
    let Some(since) = call.param("lastUpdate") else {
        return Err(Refusal::meteor(
            "error-lastUpdate-param-not-provided",
            "The required \"lastUpdate\" query param is missing.",
            None,
        ));
    };
    let since = parse_date(since).ok_or_else(|| {
        Refusal::meteor(
            "error-roomId-param-invalid",
            "The \"lastUpdate\" query parameter must be a valid date.",
            None,
        )
    })?;
    let (updated, deleted) = (world.updated_since(rid, since), world.deleted_since(rid, since));
    Ok(Reply::Ok(json!({ "result": { "updated": updated, "deleted": deleted } })))
}

fn sync_page(world: &World, call: &Call, rid: &str, kind: &str) -> Reply {
    let deleted = kind == "DELETED";
    let moment = |item: &Value| {
        let key = if deleted { "_deletedAt" } else { "_updatedAt" };
        item.get(key).and_then(date_ms).unwrap_or_default()
    };
    let mut items: Vec<Value> = if deleted {
        world.deleted_since(rid, i64::MIN)
    } else {
        world.updated_since(rid, i64::MIN).into_iter().map(Value::Object).collect()
    };
    items.sort_by_key(moment);
    let (count, _) = call.page(50);
    let cursor = |key: &str| call.param(key).and_then(parse_date);
    let (page, more) = if let Some(before) = cursor("previous") {
        let found: Vec<Value> = items.into_iter().rev().filter(|item| moment(item) < before).collect();
        let more = found.len() > count;
        (found.into_iter().take(count).collect::<Vec<_>>(), more)
    } else {
        let after = cursor("next").unwrap_or(i64::MIN);
        let found: Vec<Value> = items.into_iter().filter(|item| moment(item) > after).collect();
        let more = found.len() > count;
        (found.into_iter().take(count).collect(), more)
    };
    let edge = |item: Option<&Value>| item.map(|item| moment(item).to_string());
    let next = if more { edge(page.last()) } else { None };
    let previous = edge(page.first());
    let mut result =
        json!({ "updated": [], "deleted": [], "cursor": { "next": next, "previous": previous } });
    result[if deleted { "deleted" } else { "updated" }] = json!(page);
    Reply::Ok(json!({ "result": result }))
}
