//! Users, tokens, second factors, presence.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::super::doc::{Doc, date, doc};
use super::super::refusal::{Kind, Refusal};
use super::super::totp::totp_matches;
use super::{Event, World};

/// What a new user is made with.
#[derive(Debug, Clone)]
pub struct AddUser {
    /// Display name; the username if `None`.
    pub name: Option<String>,
    /// Password in clear; `None` means no login by password.
    pub password: Option<String>,
    /// Roles, `["user"]` by default.
    pub roles: Vec<String>,
    /// A TOTP secret (base 32): logins by password then need a code.
    pub totp: Option<String>,
    /// `<username>@example.test` if `None`.
    pub email: Option<String>,
    /// A verified address turns the e-mail code on, as on the real server.
    pub email_verified: bool,
}

impl Default for AddUser {
    fn default() -> Self {
        Self {
            name: None,
            password: None,
            roles: vec!["user".into()],
            totp: None,
            email: None,
            email_verified: false,
        }
    }
}

impl AddUser {
    /// A user with a password.
    pub fn password(password: &str) -> Self {
        Self { password: Some(password.to_owned()), ..Self::default() }
    }

    /// A bot account: roles `user` and `bot`, with a password.
    pub fn bot(password: &str) -> Self {
        Self { roles: vec!["user".into(), "bot".into()], ..Self::password(password) }
    }

    /// An administrator with a password.
    pub fn admin(password: &str) -> Self {
        Self { roles: vec!["admin".into()], ..Self::password(password) }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) id: String,
    pub(crate) username: String,
    pub(crate) name: String,
    pub(crate) roles: Vec<String>,
    pub(crate) email: String,
    pub(crate) email_verified: bool,
    pub(crate) email_code: String,
    pub(crate) digest: Option<String>,
    pub(crate) totp: Option<String>,
    pub(crate) totp_pending: Option<String>,
    pub(crate) active: bool,
    pub(crate) status_default: String,
    pub(crate) status_text: String,
    pub(crate) created: i64,
    pub(crate) updated: i64,
    pub(crate) last_login: Option<i64>,
    pub(crate) tokens: Vec<Token>,
    pub(crate) rooms: Vec<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) value: String,
    /// `None`: never.
    pub(crate) expires: Option<i64>,
    /// Set for a personal access token: its name.
    pub(crate) pat: Option<String>,
    pub(crate) bypass: bool,
    pub(crate) created: i64,
}

pub(crate) fn sha256_hex(text: &str) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(text.as_bytes()))
}

impl User {
    pub(crate) fn is(&self, role: &str) -> bool {
        self.roles.iter().any(|mine| mine == role)
    }

    pub(crate) fn emails(&self) -> Value {
        json!([{ "address": self.email, "verified": self.email_verified }])
    }

    /// `{_id, username, name}`.
    pub(crate) fn author(&self) -> Value {
        json!({ "_id": self.id, "username": self.username, "name": self.name })
    }

    fn two_factor_methods(&self, email_on: bool) -> Vec<&'static str> {
        let mut methods = Vec::new();
        if self.totp.is_some() {
            methods.push("totp");
        }
        if email_on && self.email_verified {
            methods.push("email");
        }
        methods
    }
}

impl World {
    /// Makes a user.
    pub fn add_user(&mut self, username: &str, add: AddUser) -> String {
        assert!(self.user_named(username).is_none(), "there is a user {username} already");
        let id = self.ids.short();
        let now = self.now;
        self.users.push(User {
            id: id.clone(),
            username: username.to_owned(),
            name: add.name.unwrap_or_else(|| username.to_owned()),
            roles: add.roles,
            email: add.email.unwrap_or_else(|| format!("{username}@example.test")),
            email_verified: add.email_verified,
            email_code: "246802".into(),
            digest: add.password.map(|password| sha256_hex(&password)),
            totp: add.totp,
            totp_pending: None,
            active: true,
            status_default: "online".into(),
            status_text: String::new(),
            created: now,
            updated: now,
            last_login: None,
            tokens: Vec::new(),
            rooms: Vec::new(),
        });
        id
    }

    pub(crate) fn user(&self, uid: &str) -> Option<&User> {
        self.users.iter().find(|user| user.id == uid)
    }

    pub(crate) fn user_named(&self, username: &str) -> Option<&User> {
        self.users.iter().find(|user| user.username == username)
    }

    pub(crate) fn user_mut(&mut self, uid: &str) -> Option<&mut User> {
        self.users.iter_mut().find(|user| user.id == uid)
    }

    /// The user, or a panic that names it: for test code.
    pub(crate) fn must_user(&self, uid: &str) -> &User {
        self.user(uid).unwrap_or_else(|| panic!("no user with the id {uid}"))
    }

    /// The id of a username.
    pub fn user_id(&self, username: &str) -> Option<String> {
        self.user_named(username).map(|user| user.id.clone())
    }

    /// Replaces the roles of a user.
    pub fn set_roles(&mut self, uid: &str, roles: &[&str]) {
        let user = self.user_mut(uid).unwrap_or_else(|| panic!("no user with the id {uid}"));
        user.roles = roles.iter().map(|&role| role.to_owned()).collect();
    }

    /// Makes a login token, as a login by password does. It lives `login_days`.
    pub fn login_token(&mut self, uid: &str) -> String {
        let expires = self.now + self.settings.login_days * 86_400_000;
        self.add_token(uid, Some(expires), None, false)
    }

    /// Makes a personal access token.
    pub fn personal_token(&mut self, uid: &str, name: &str) -> String {
        self.add_token(uid, None, Some(name.to_owned()), true)
    }

    /// Makes a login token that has expired already.
    pub fn expired_token(&mut self, uid: &str) -> String {
        let past = self.now - 1;
        self.add_token(uid, Some(past), None, false)
    }

    pub(crate) fn add_token(
        &mut self,
        uid: &str,
        expires: Option<i64>,
        pat: Option<String>,
        bypass: bool,
    ) -> String {
        let value = self.ids.token();
        let created = self.now;
        let user = self.user_mut(uid).unwrap_or_else(|| panic!("no user with the id {uid}"));
        user.tokens.push(Token { value: value.clone(), expires, pat, bypass, created });
        value
    }

    /// Kills a token: REST says 401, its sockets close with 1000. False if nobody had it.
    pub fn revoke_token(&mut self, token: &str) -> bool {
        let mut found = false;
        for user in &mut self.users {
            let before = user.tokens.len();
            user.tokens.retain(|mine| mine.value != token);
            found |= before != user.tokens.len();
        }
        if found {
            self.emit(Event::TokenDead(token.to_owned()));
        }
        found
    }

    /// Switches an account off (its tokens die) or on again.
    pub fn set_active(&mut self, uid: &str, active: bool) {
        let Some(user) = self.user_mut(uid) else { return };
        user.active = active;
        if !active {
            let tokens: Vec<String> = user.tokens.drain(..).map(|token| token.value).collect();
            for token in tokens {
                self.emit(Event::TokenDead(token));
            }
        }
    }

    /// Who a live token belongs to.
    pub(crate) fn token_owner(&self, token: &str) -> Option<(&User, &Token)> {
        self.users.iter().filter(|user| user.active).find_map(|user| {
            let mine = user.tokens.iter().find(|mine| mine.value == token)?;
            mine.expires.is_none_or(|at| at > self.now).then_some((user, mine))
        })
    }

    /// Checks a login object (`resume`, or `user` and `password`, or `totp`) and gives the user's id, the token,
    /// and whether it was a resume.
    pub(crate) fn login(
        &mut self,
        request: &Value,
        code: Option<&str>,
    ) -> Result<(String, Token, bool), Refusal> {
        if let Some(totp) = request.get("totp") {
            let code = totp.get("code").and_then(Value::as_str);
            return self.login(totp.get("login").unwrap_or(&Value::Null), code);
        }
        if let Some(token) = request.get("resume").and_then(Value::as_str) {
            let Some((user, token)) = self.token_owner(token) else {
                return Err(Refusal::of(Kind::Login {
                    error: json!(403),
                    message: "You've been logged out by the server. Please log in again.".into(),
                    details: None,
                }));
            };
            return Ok((user.id.clone(), token.clone(), true));
        }
        let (Some(who), Some(password)) = (request.get("user"), request.get("password")) else {
            return Err(Refusal::numbered(400, "Unrecognized options for login request"));
        };
        let given = password
            .get("digest")
            .and_then(Value::as_str)
            .map_or_else(|| sha256_hex(password.as_str().unwrap_or_default()), str::to_owned);
        let found = self.users.iter().find(|user| {
            [who.as_str(), who["username"].as_str()].contains(&Some(&user.username))
                || [who.as_str(), who["email"].as_str()].contains(&Some(&user.email))
        });
        let wrong = |message: &str| {
            Refusal::of(Kind::Login { error: json!(403), message: message.to_owned(), details: None })
        };
        let user = found.ok_or_else(|| wrong("User not found"))?;
        if user.digest.as_deref() != Some(&given) {
            return Err(wrong("Incorrect password"));
        }
        if !user.active {
            return Err(Refusal::of(Kind::Login {
                error: json!("error-user-is-not-activated"),
                message: "User is not activated".into(),
                details: None,
            }));
        }
        self.check_second_factor(user, code)?;
        let uid = user.id.clone();
        let value = self.login_token(&uid);
        let now = self.now;
        let user = self.user_mut(&uid).expect("just found");
        user.last_login = Some(now);
        let token = user.tokens.iter().find(|token| token.value == value).expect("just made").clone();
        Ok((uid, token, false))
    }

    fn check_second_factor(&self, user: &User, code: Option<&str>) -> Result<(), Refusal> {
        let methods = user.two_factor_methods(self.settings.email_two_factor);
        let Some(&method) = methods.first() else { return Ok(()) };
        let mut details = json!({ "method": method, "codeGenerated": method == "email" && code.is_none() });
        if method == "email" {
            details["emailOrUsername"] = json!(user.username);
        }
        details["availableMethods"] = json!(methods);
        let refused = |error: &str, message: &str| {
            Err(Refusal::of(Kind::Login {
                error: json!(error),
                message: message.into(),
                details: Some(details.clone()),
            }))
        };
        let Some(code) = code else { return refused("totp-required", "TOTP Required") };
        let good = match (&user.totp, method) {
            (Some(secret), "totp") => totp_matches(secret, code, self.now),
            _ => code == user.email_code,
        };
        if good { Ok(()) } else { refused("totp-invalid", "TOTP Invalid") }
    }

    /// `offline`, `online`, `away`, `busy`. Only a login by resume counts as being there [R].
    pub(crate) fn status(&self, uid: &str) -> String {
        let here = self.online.values().any(|online| online == uid);
        let user = self.user(uid);
        if here { user.map_or("online", |user| &user.status_default).to_owned() } else { "offline".into() }
    }

    pub(crate) fn tell_status(&mut self, uid: &str, text: Option<&str>, chosen: bool) {
        let Some(user) = self.user(uid) else { return };
        let number = match self.status(uid).as_str() {
            "online" => 1,
            "away" => 2,
            "busy" => 3,
            _ => 0,
        };
        // What connections cause has no name in it, what people set has [R].
        let name = chosen.then_some(&user.name);
        let args = vec![json!([uid, user.username, number, text, name, user.roles])];
        self.emit(Event::Logged { name: "user-status", args });
    }

    pub(crate) fn tell_user_data(&mut self, uid: &str, mut diff: Value) {
        diff["_updatedAt"] = date(self.now);
        let args = vec![json!({ "id": uid, "diff": diff, "unset": {}, "type": "updated" })];
        self.emit(Event::User { uid: uid.to_owned(), name: "userData", args });
    }

    /// `users.setStatus`: text and status are told one after the other.
    pub(crate) fn set_status(&mut self, uid: &str, text: Option<&str>, status: Option<&str>) {
        let now = self.now;
        if let Some(text) = text {
            if let Some(user) = self.user_mut(uid) {
                text.clone_into(&mut user.status_text);
                user.updated = now;
            }
            self.tell_user_data(uid, json!({ "statusText": text }));
            self.tell_status(uid, Some(text), true);
        }
        if let Some(status) = status {
            if let Some(user) = self.user_mut(uid) {
                status.clone_into(&mut user.status_default);
            }
            let shown = self.status(uid);
            self.tell_user_data(uid, json!({ "status": shown, "statusDefault": status }));
            self.tell_status(uid, None, true);
        }
    }

    /// The user as the account itself or an administrator sees it (`me`, `login`).
    pub(crate) fn own_profile(&self, user: &User) -> Doc {
        let mut profile = doc(json!({
            "_id": user.id, "username": user.username, "emails": user.emails(), "roles": user.roles,
            "status": self.status(&user.id), "active": user.active, "_updatedAt": date(user.updated),
            "name": user.name,
            "avatarUrl": format!("{}/avatar/{}", self.settings.site_url, user.username),
            "settings": { "profile": {}, "preferences": preferences() },
            "services": { "password": { "bcrypt": "<bcrypt>" }, "email2fa": { "enabled": self.settings.email_two_factor } },
        }));
        if user.totp.is_some() {
            profile["services"]["totp"] = json!({ "enabled": true });
        }
        if user.email_verified {
            profile.insert("email".into(), json!(user.email));
        }
        profile
    }
}

/// The preferences of a user who changed none.
fn preferences() -> Value {
    json!({
        "enableAutoAway": true, "idleTimeLimit": 300, "desktopNotificationRequireInteraction": false,
        "desktopNotifications": "all", "pushNotifications": "all", "unreadAlert": true, "useEmojis": true,
        "convertAsciiEmoji": true, "autoImageLoad": true, "saveMobileBandwidth": true,
        "collapseMediaByDefault": false, "hideUsernames": false, "hideRoles": false, "hideFlexTab": false,
        "displayAvatars": true, "sidebarGroupByType": true, "themeAppearence": "auto",
        "sidebarViewMode": "medium", "sidebarDisplayAvatar": true, "sidebarShowUnread": false,
        "sidebarSortby": "activity", "showThreadsInMainChannel": false, "alsoSendThreadToChannel": "default",
        "sidebarShowFavorites": true, "sendOnEnter": "normal", "emailNotificationMode": "mentions",
        "newRoomNotification": "door", "newMessageNotification": "chime", "muteFocusedConversations": true,
        "notificationsSoundVolume": 100, "omnichannelTranscriptEmail": false, "notifyCalendarEvents": true,
        "enableMobileRinging": true
    })
}
