//! Which of a server's sessions a conversation has, with the rules of its role in force.
//!
//! Must never hand out a session whose rules are not known to be those of the role, or that belongs to another directory.
//! A confined server keeps its sessions in a folder of its own, so a session that was begun on one side of the confinement
//! has a twin on the other, found by its title, which ends with `[ID]`.

use std::path::Path;

use acg_core::agent::{AgentError, SessionSpec};
use acg_types::SessionId;
use serde::Deserialize as _;
use serde_json::{Value, json};

use super::backend::Shared;
use super::http::{ApiError, is_id};
use super::once::ONCE;
use super::rules;
use super::server::Server;
use super::wire::{SessionInfo, SessionRule};

/// Most rules of a session. Each change of the role adds some; with more the session is copied without them.
const MOST_RULES: usize = 400;
/// What the id of a session begins with that was made by a confined server.
pub(super) const CONFINED: &str = "confined.";

/// The title of a session that is to be found by it.
pub(super) fn titled(spec: &SessionSpec, raw: &str) -> String {
    format!("{} [{raw}]", title(spec))
}

fn title(spec: &SessionSpec) -> String {
    let title = spec.title.as_deref().unwrap_or("agent-chat-gateway");
    title.chars().filter(|c| !c.is_control()).take(200).collect()
}

/// What a session's id tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Named<'a> {
    /// The server's own id, or ours of a session that a process for one turn has begun.
    pub(super) raw: &'a str,
    pub(super) confined: bool,
    pub(super) once: bool,
}

impl<'a> Named<'a> {
    pub(super) fn of(id: &'a str) -> Self {
        let side = id.strip_prefix(CONFINED);
        let rest = side.unwrap_or(id);
        let begun = rest.strip_prefix(ONCE);
        Self { raw: begun.unwrap_or(rest), confined: side.is_some(), once: begun.is_some() }
    }
}

/// A session that may be prompted.
#[derive(Debug)]
pub(super) struct Ready {
    /// As the core knows it.
    pub(super) id: SessionId,
    /// As the server knows it.
    pub(super) session: String,
    pub(super) last_message: String,
}

impl Shared {
    /// The session of the server that `spec` means, with the rules of its role in force, and its last message.
    pub(super) async fn session(&self, server: &Server, spec: &SessionSpec) -> Result<Ready, AgentError> {
        let wanted = rules::of(&spec.policy, &server.facts);
        let Some(id) = &spec.session else {
            let made = self.create(server, &title(spec), &wanted).await?;
            let prefix = if spec.confined { CONFINED } else { "" };
            let id = SessionId::from(format!("{prefix}{}", made.id));
            return Ok(Ready { id, session: made.id, last_message: String::new() });
        };
        let unknown = || AgentError::UnknownSession(id.clone());
        // Begun by a process for one turn, it is known by its title on either side.
        let Named { raw, confined: was_confined, once: is_once } = Named::of(id.as_str());
        if !is_id(raw) {
            return Err(unknown());
        }
        let is_native = was_confined == spec.confined;
        let key = (id.as_str().to_owned(), spec.confined);
        if is_once {
            // From now on it has the rules of a role, which may allow something: no process goes on with it.
            self.runs().remove(&key);
        }
        let twin = self.twins().get(&key).cloned();
        if let Some((found, last_message)) = server.left.take(twin.as_deref().unwrap_or(raw))
            && self.is_fit(&found)
            && rules::are_in_force(&found.permission, &wanted)
        {
            return Ok(Ready { id: id.clone(), session: found.id, last_message });
        }
        let mut found = None;
        if let Some(twin) = twin {
            found = self.look_up(server, &twin).await?;
        } else if is_native && !is_once {
            found = self.look_up(server, raw).await?;
            if found.as_ref().is_some_and(|found| found.permission.len() + wanted.len() > MOST_RULES) {
                found = self.twin_by_title(server, raw).await?.or(found);
            }
        }
        if found.is_none() && (!is_native || is_once) {
            found = self.twin_by_title(server, raw).await?;
        }
        let titled = titled(spec, raw);
        let session = match found {
            Some(found) if rules::are_in_force(&found.permission, &wanted) => found,
            Some(found) if found.permission.len() + wanted.len() > MOST_RULES => {
                self.copy(server, &found, &titled, &wanted).await?
            }
            Some(found) => self.rule(server, &found.id, json!({"permission": wanted}), &wanted).await?,
            // Begun on the other side; here it is new.
            None if !is_native || (is_once && !spec.resume) => self.create(server, &titled, &wanted).await?,
            None if is_once => return Err(AgentError::NotKept(id.clone())),
            None => return Err(unknown()),
        };
        if session.id != raw {
            self.twins().insert(key, session.id.clone());
        }
        let last_message = self.last_message(server, &session.id).await?;
        Ok(Ready { id: id.clone(), session: session.id, last_message })
    }

    async fn look_up(&self, server: &Server, id: &str) -> Result<Option<SessionInfo>, AgentError> {
        match server.api.get(&format!("/session/{id}")).await {
            Ok(found) => Ok(self.fit(&found)),
            // An id that is not of its form is refused.
            Err(ApiError::NotFound | ApiError::Refused { status: 400, .. }) => Ok(None),
            Err(error) => Err(self.failed(server, &error)),
        }
    }

    /// The session, if it may be used.
    fn fit(&self, found: &Value) -> Option<SessionInfo> {
        SessionInfo::deserialize(found).ok().filter(|found| self.is_fit(found))
    }

    /// Of this working directory, and not a subagent's.
    fn is_fit(&self, found: &SessionInfo) -> bool {
        is_id(&found.id) && found.parent.is_none() && Path::new(&found.directory) == self.site.cwd
    }

    async fn twin_by_title(&self, server: &Server, raw: &str) -> Result<Option<SessionInfo>, AgentError> {
        let found = server.api.get(&format!("/session?search={raw}&limit=20")).await;
        let found = found.map_err(|error| self.failed(server, &error))?;
        let sessions = found.as_array().into_iter().flatten().filter_map(|session| self.fit(session));
        let end = format!("[{raw}]");
        // Ids go downward in time: the newest is the smallest.
        Ok(sessions.filter(|session| session.title.ends_with(&end)).min_by(|a, b| a.id.cmp(&b.id)))
    }

    async fn create(
        &self,
        server: &Server,
        title: &str,
        wanted: &[SessionRule],
    ) -> Result<SessionInfo, AgentError> {
        let body = json!({"title": title, "permission": wanted});
        let made = server.api.post("/session", &body).await.map_err(|error| self.failed(server, &error))?;
        self.checked(&made, wanted)
    }

    async fn rule(
        &self,
        server: &Server,
        id: &str,
        body: Value,
        wanted: &[SessionRule],
    ) -> Result<SessionInfo, AgentError> {
        let ruled = server.api.patch(&format!("/session/{id}"), &body).await;
        self.checked(&ruled.map_err(|error| self.failed(server, &error))?, wanted)
    }

    /// A copy of a session, with these rules only.
    async fn copy(
        &self,
        server: &Server,
        from: &SessionInfo,
        title: &str,
        wanted: &[SessionRule],
    ) -> Result<SessionInfo, AgentError> {
        let made = server.api.post(&format!("/session/{}/fork", from.id), &json!({})).await;
        let made = made.map_err(|error| self.failed(server, &error))?;
        let made =
            self.fit(&made).ok_or_else(|| self.unusable("OpenCode made a copy that cannot be used"))?;
        self.rule(server, &made.id, json!({"title": title, "permission": wanted}), wanted).await
    }

    /// Only a session whose rules are in force is prompted.
    fn checked(&self, found: &Value, wanted: &[SessionRule]) -> Result<SessionInfo, AgentError> {
        self.fit(found).filter(|session| rules::are_in_force(&session.permission, wanted)).ok_or_else(|| {
            self.unusable(format!(
                "this OpenCode does not take the rules of a session; {} or newer does",
                super::NEEDED_VERSION
            ))
        })
    }

    async fn last_message(&self, server: &Server, session: &str) -> Result<String, AgentError> {
        let found = server.api.get(&format!("/session/{session}/message?limit=1")).await;
        let found = found.map_err(|error| self.failed(server, &error))?;
        let ids = found
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|message| message.get("info")?.get("id")?.as_str());
        Ok(ids.max().unwrap_or_default().to_owned())
    }
}
