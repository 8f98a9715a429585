//! Login, logout, tokens, users, presence.

use serde_json::{Value, json};

use super::super::doc::{date, text};
use super::super::refusal::{Kind, Refusal};
use super::super::totp::totp_matches;
use super::super::world::{Token, User, World};
use super::{Call, Reply, Route, get, post};

pub(super) const ROUTES: &[Route] = &[
    Route { method: "POST", name: "login", auth: false, handler: login },
    post("logout", logout),
    get("me", me),
    Route { method: "GET", name: "/api/info", auth: false, handler: info },
    post("users.generatePersonalAccessToken", generate_token),
    post("users.regeneratePersonalAccessToken", regenerate_token),
    post("users.removePersonalAccessToken", remove_token),
    get("users.getPersonalAccessTokens", list_tokens),
    get("users.info", users_info),
    get("users.list", users_list),
    get("users.presence", presence),
    get("users.getPresence", get_presence),
    get("users.getPreferences", preferences),
    post("users.setStatus", set_status),
];

fn profile(world: &World, uid: &str) -> Value {
    Value::Object(world.own_profile(world.must_user(uid)))
}

fn login(world: &mut World, call: &Call) -> Result<Reply, Refusal> {
    let body = if let Some(token) = call.text("resume") {
        json!({ "resume": token })
    } else {
        let who = call.body.get("user").or(call.body.get("username")).or(call.body.get("email"));
        json!({ "user": who, "password": call.body["password"] })
    };
    let outcome = world.login(&body, call.text("code"));
    // Who is not known at all gets a shorter answer [R].
    let unauthorized =
        || Kind::Login { error: json!("Unauthorized"), message: "Unauthorized".into(), details: None };
    let (uid, token, _) = outcome.map_err(|refusal| match &*refusal.kind {
        Kind::Login { message, .. } if message == "User not found" => Refusal::of(unauthorized()),
        Kind::Meteor { .. } => Refusal::of(unauthorized()),
        _ => refusal,
    })?;
    let me = profile(world, &uid);
    Ok(Reply::Raw(
        json!({ "status": "success", "data": { "userId": uid, "authToken": token.value, "me": me } }),
    ))
}

fn logout(world: &mut World, call: &Call) -> Result<Reply, Refusal> {
    world.revoke_token(&call.token);
    Ok(Reply::Raw(json!({ "status": "success", "data": { "message": "You've been logged out!" } })))
}

fn me(world: &mut World, call: &Call) -> Result<Reply, Refusal> {
    let mut me = profile(world, &call.user);
    // A login shows the hash, `me` only that there is one [R].
    me["services"]["password"] = json!({ "exists": true });
    Ok(Reply::Ok(me))
}

fn info(world: &mut World, _: &Call) -> Result<Reply, Refusal> {
    let minimum = json!({ "desktop": "3.9.6", "mobile": "4.39.0" });
    Ok(Reply::Ok(json!({ "version": world.settings.version.text(), "minimumClientVersions": minimum })))
}

/// The second look before a token is made: the password's digest, or a code.
fn second_factor(world: &World, user: &User, call: &Call) -> Result<(), Refusal> {
    let known = world.token_owner(&call.token).is_some_and(|(_, token): (_, &Token)| token.bypass);
    if known || user.digest.is_none() {
        return Ok(());
    }
    let method = if user.totp.is_some() { "totp" } else { "password" };
    let code = call.header("x-2fa-code");
    let good = code.is_some_and(|code| match call.header("x-2fa-method").unwrap_or(method) {
        "totp" => user.totp.as_deref().is_some_and(|secret| totp_matches(secret, code, world.now())),
        _ => user.digest.as_deref() == Some(code),
    });
    // A login or registration of the last half hour counts as a right code [S].
    let fresh = user.last_login.is_some_and(|at| world.now() - at < 1_800_000);
    if good || (fresh && code.is_none()) {
        return Ok(());
    }
    let error =
        if code.is_none() { ("totp-required", "TOTP Required") } else { ("totp-invalid", "TOTP Invalid") };
    let details = json!({ "method": method, "codeGenerated": false, "availableMethods": [method] });
    Err(Refusal::meteor(error.0, error.1, Some(details)))
}

fn may_make_tokens(world: &World, call: &Call) -> Result<(), Refusal> {
    let user = world.must_user(&call.user);
    if !user.is("user") && !user.is("admin") {
        let details = json!({ "method": "personalAccessTokens:generateToken" });
        return Err(Refusal::meteor("not-authorized", "Not Authorized", Some(details)).forbidden());
    }
    second_factor(world, user, call)
}

fn token_name(call: &Call) -> Result<String, Refusal> {
    let name = call.text("tokenName").map(str::to_owned);
    name.ok_or_else(|| Refusal::plain("The 'tokenName' param is required"))
}

fn has_token(world: &World, uid: &str, name: &str) -> bool {
    world.must_user(uid).tokens.iter().any(|token| token.pat.as_deref() == Some(name))
}

fn generate_token(world: &mut World, call: &Call) -> Result<Reply, Refusal> {
    let name = token_name(call)?;
    may_make_tokens(world, call)?;
    if has_token(world, &call.user, &name) {
        let details = json!({ "method": "personalAccessTokens:generateToken" });
        return Err(Refusal::meteor(
            "error-token-already-exists",
            "A token with this name already exists",
            Some(details),
        ));
    }
    let bypass = call.body["bypassTwoFactor"].as_bool().unwrap_or_default();
    let token = world.add_token(&call.user, None, Some(name), bypass);
    Ok(Reply::Ok(json!({ "token": token })))
}

fn drop_token(world: &mut World, uid: &str, name: &str, method: &str) -> Result<(), Refusal> {
    let mine = &world.must_user(uid).tokens;
    let found = mine.iter().find(|token| token.pat.as_deref() == Some(name)).map(|token| token.value.clone());
    let value = found.ok_or_else(|| {
        let details = json!({ "method": format!("personalAccessTokens:{method}") });
        Refusal::meteor("error-token-does-not-exists", "Token does not exist", Some(details))
    })?;
    world.revoke_token(&value);
    Ok(())
}

fn regenerate_token(world: &mut World, call: &Call) -> Result<Reply, Refusal> {
    let name = token_name(call)?;
    may_make_tokens(world, call)?;
    drop_token(world, &call.user, &name, "regenerateToken")?;
    let token = world.add_token(&call.user, None, Some(name), true);
    Ok(Reply::Ok(json!({ "token": token })))
}

fn remove_token(world: &mut World, call: &Call) -> Result<Reply, Refusal> {
    let name = token_name(call)?;
    drop_token(world, &call.user, &name, "removeToken")?;
    Ok(Reply::Ok(json!({})))
}

fn list_tokens(world: &mut World, call: &Call) -> Result<Reply, Refusal> {
    let tokens: Vec<Value> = world
        .must_user(&call.user)
        .tokens
        .iter()
        .filter_map(|token| {
            let last = &token.value[token.value.len() - 6..];
            let name = token.pat.as_ref()?;
            Some(json!({ "name": name, "createdAt": date(token.created), "lastTokenPart": last,
                "bypassTwoFactor": token.bypass }))
        })
        .collect();
    Ok(Reply::Ok(json!({ "tokens": tokens })))
}

fn users_info(world: &mut World, call: &Call) -> Result<Reply, Refusal> {
    let found = call
        .param("userId")
        .and_then(|id| world.user(id))
        .or_else(|| call.param("username").and_then(|name| world.user_named(name)));
    let user = found.ok_or_else(|| Refusal::plain("User not found."))?;
    let viewer = world.must_user(&call.user);
    let all = viewer.is("admin");
    let mut shown = json!({ "_id": user.id, "username": user.username, "type": "user",
        "status": world.status(&user.id), "active": user.active, "name": user.name, "canViewAllInfo": all });
    if !user.status_text.is_empty() {
        shown["statusText"] = json!(user.status_text);
    }
    if all {
        shown["roles"] = json!(user.roles);
        shown["emails"] = user.emails();
        shown["createdAt"] = date(user.created);
    }
    Ok(Reply::Ok(json!({ "user": shown })))
}

fn users_list(world: &mut World, call: &Call) -> Result<Reply, Refusal> {
    let (count, offset) = call.page(50);
    let mut users: Vec<&User> = world.users.iter().filter(|user| user.active).collect();
    users.sort_by(|a, b| a.username.cmp(&b.username));
    let total = users.len();
    let shown: Vec<Value> = users
        .into_iter()
        .skip(offset)
        .take(count)
        .map(|user| {
            json!({ "_id": user.id, "username": user.username, "type": "user", "status": world.status(&user.id),
                "active": user.active, "name": user.name, "nameInsensitive": user.name.to_lowercase() })
        })
        .collect();
    Ok(Reply::Ok(json!({ "count": shown.len(), "users": shown, "offset": offset, "total": total })))
}

fn presence(world: &mut World, call: &Call) -> Result<Reply, Refusal> {
    let wanted: Vec<&str> = call
        .query
        .iter()
        .filter(|(key, _)| key.starts_with("ids"))
        .flat_map(|(_, ids)| ids.split(','))
        .collect();
    let users: Vec<Value> = world
        .users
        .iter()
        .filter(|user| wanted.is_empty() || wanted.contains(&user.id.as_str()))
        .filter(|user| world.status(&user.id) != "offline")
        .map(|user| {
            json!({ "_id": user.id, "username": user.username, "name": user.name, "status": world.status(&user.id),
                "utcOffset": 0, "statusText": user.status_text, "avatarETag": null })
        })
        .collect();
    Ok(Reply::Ok(json!({ "users": users, "full": wanted.is_empty() })))
}

fn get_presence(world: &mut World, call: &Call) -> Result<Reply, Refusal> {
    let uid = call.param("userId").unwrap_or(&call.user);
    if world.user(uid).is_none() {
        return Err(Refusal::plain("User not found."));
    }
    Ok(Reply::Ok(json!({ "presence": world.status(uid) })))
}

fn preferences(_: &mut World, _: &Call) -> Result<Reply, Refusal> {
    Ok(Reply::Ok(json!({ "preferences": {} })))
}

fn set_status(world: &mut World, call: &Call) -> Result<Reply, Refusal> {
    let status = call.text("status");
    if status.is_some_and(|status| !["online", "away", "busy", "offline"].contains(&status)) {
        return Err(Refusal::meteor(
            "error-invalid-status",
            "Valid status types include online, away, offline, and busy.",
            None,
        ));
    }
    if status.is_none() && call.text("message").is_none() {
        return Err(Refusal::plain(
            "Match error: Failed Match.OneOf, Match.Maybe or Match.Optional validation",
        ));
    }
    let uid = call.user.clone();
    world.set_status(&uid, call.text("message"), status);
    Ok(Reply::Ok(json!({})))
}

/// The members of a room as `*.members` shows them.
pub(super) fn member(world: &World, uid: &str) -> Value {
    let user = world.must_user(uid);
    let mut shown = json!({ "_id": user.id, "username": user.username, "status": world.status(uid),
        "_updatedAt": date(user.updated), "name": user.name });
    if !user.status_text.is_empty() {
        shown["statusText"] = json!(user.status_text);
    }
    shown
}

/// The room's id, for the routes that only need that.
pub(super) fn rid(room: &super::super::doc::Doc) -> String {
    text(room, "_id").to_owned()
}
