//! What a conversation's session is opened with.
//!
//! Owns the one place where that is put together: a process that is made ready early must be the one that the turn asks
//! for.

use std::sync::Arc;

use acg_config::{BaseRole, Confinement, SessionScope};
use acg_store::NewMessage;
use acg_types::{ConversationId, Role, SessionId};
use tracing::warn;

use crate::agent::SessionSpec;
use crate::context::{self, Context, Identity};
use crate::hub::{AgentPart, ConnectorPart, CoreError, Hub};
use crate::watchers::Watcher;

/// Whose session it is, and for what message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening<'a> {
    pub(crate) hub: &'a Arc<Hub>,
    pub(crate) agent: &'a AgentPart,
    pub(crate) connector: &'a ConnectorPart,
    pub(crate) watcher: &'a Watcher,
    pub(crate) message: &'a NewMessage,
    pub(crate) conversation: ConversationId,
}

impl Opening<'_> {
    /// The session that the next turn would go on with, and whether the agent has been prompted in it.
    pub(crate) async fn known(&self) -> Result<(Option<SessionId>, bool), CoreError> {
        if let Some(pinned) = &self.watcher.config.session_id {
            return Ok((Some(pinned.clone()), true));
        }
        let own = self.agent.config.session_scope == SessionScope::Role;
        let role: Option<&Role> = own.then_some(&self.message.role);
        Ok(self.hub.store.session_of(self.conversation, role).await?)
    }

    /// For the agent.
    pub(crate) fn spec(&self, session: Option<SessionId>, resume: bool) -> SessionSpec {
        let Context { text, troubles } = self.context();
        for trouble in troubles {
            warn!(watcher = %self.watcher.name, "{trouble}");
        }
        let config = &self.agent.config;
        let prefix = &config.session_prefix;
        let role = &self.message.role;
        let policy = config.policies.get(role).cloned().unwrap_or_default();
        let base = self.hub.base(role);
        SessionSpec {
            session,
            resume,
            role: role.clone(),
            allowed_tools: acg_policy::tool_names(&policy.rules),
            policy,
            inherit: base == BaseRole::Owner || config.guest_inherits,
            confined: match config.confinement {
                Confinement::All => true,
                Confinement::Guests => base == BaseRole::Guest,
                Confinement::Off => false,
            },
            conversation: self.conversation,
            title: (!prefix.is_empty()).then(|| format!("{prefix}:{}", self.message.room.name)),
            context: Some(text),
            watcher: self.watcher.name.clone(),
        }
    }

    fn context(&self) -> Context {
        let files: Vec<_> = [
            &self.connector.config.context_files,
            &self.agent.config.context_files,
            &self.watcher.config.context_files,
        ]
        .into_iter()
        .flatten()
        .cloned()
        .collect();
        let identity = Identity {
            watcher: self.watcher.name.as_str(),
            room: &self.message.room.name,
            connector: self.connector.config.name.as_str(),
            platform: self.connector.capabilities.title,
        };
        context::load(identity, &files)
    }
}
