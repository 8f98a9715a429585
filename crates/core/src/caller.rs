//! The control plane's handle for an agent: what a process below an agent may ask of the gateway.
//!
//! Owns the narrowing to the conversation and role of the turn that runs in that process. An agent may look at its own
//! watcher and post into its own room; it may change nothing, and there is nothing here to approve with. Without a
//! running turn it may do nothing.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use acg_config::BaseRole;
use acg_store::Conversation;
use acg_types::{ConversationId, Role, RoomId};
use async_trait::async_trait;
use tracing::warn;

use crate::handle::{CommandError, Control, SendRequest, StatusReport, WatcherInfo};
use crate::hub::{Hub, lock};
use crate::report::Handle;

/// Why a command of an agent was not carried out.
const OUTSIDE_A_TURN: &str = "no turn of this agent is running";

#[derive(Debug)]
pub(crate) struct AgentHandle {
    hub: Arc<Hub>,
    conversation: ConversationId,
    /// The role that the process serves.
    role: Role,
}

impl AgentHandle {
    pub(crate) fn new(hub: Arc<Hub>, conversation: ConversationId, role: Role) -> Self {
        Self { hub, conversation, role }
    }

    /// The conversation, if a turn of it runs: only then does anything come from an agent.
    async fn current(&self, command: &'static str) -> Result<Conversation, CommandError> {
        if !lock(&self.hub.running).contains_key(&self.conversation) {
            return Err(self.refuse(command, OUTSIDE_A_TURN));
        }
        let found = self.hub.store.conversation_by_id(self.conversation).await?;
        found.ok_or_else(|| self.refuse(command, OUTSIDE_A_TURN))
    }

    fn refuse(&self, command: &'static str, reason: &'static str) -> CommandError {
        warn!(conversation = %self.conversation, role = %self.role, command, reason, "A command of an agent was refused.");
        CommandError::NotForAgents { command, reason }
    }

    fn whole(&self) -> Handle {
        Handle(Arc::clone(&self.hub))
    }

    /// What of the list is the agent's own business.
    async fn own_watchers(
        &self,
        command: &'static str,
        connector: Option<&str>,
    ) -> Result<Vec<WatcherInfo>, CommandError> {
        let conversation = self.current(command).await?;
        let names: Vec<_> = lock(&self.hub.watchers)
            .iter()
            .filter(|watcher| {
                let key = &conversation.key;
                watcher.config.connector == key.connector
                    && watcher.config.agent == key.agent
                    && watcher.room.as_ref().is_some_and(|room| room.id == key.room)
            })
            .map(|watcher| watcher.name.clone())
            .collect();
        let mut list = self.whole().list(connector).await?;
        list.retain(|info| names.contains(&info.name));
        Ok(list)
    }

    /// Where a file really is, if this agent may hand it out: in its working directory. Not for guests at all: the
    /// gateway reads it with its own rights, and a path can change under its hands.
    fn attachment(
        &self,
        conversation: &Conversation,
        file: &Path,
    ) -> Result<std::path::PathBuf, CommandError> {
        if self.hub.base(&self.role) != BaseRole::Owner {
            return Err(self.refuse("send", "guests' agents may not send files this way"));
        }
        let agent = self.hub.agents.get(&conversation.key.agent);
        let directory = agent.and_then(|agent| agent.config.working_directory.canonicalize().ok());
        let real = file.canonicalize().ok();
        match (directory, real) {
            (Some(directory), Some(real)) if real.starts_with(&directory) => Ok(real),
            _ => Err(self.refuse("send", "an agent may only send files of its working directory")),
        }
    }
}

#[async_trait]
impl Control for AgentHandle {
    async fn list(&self, connector: Option<&str>) -> Result<Vec<WatcherInfo>, CommandError> {
        self.own_watchers("list", connector).await
    }

    async fn pause(&self, _watcher: &str, _connector: Option<&str>) -> Result<(), CommandError> {
        Err(self.refuse("pause", "only a person may"))
    }

    async fn resume(&self, _watcher: &str, _connector: Option<&str>) -> Result<(), CommandError> {
        Err(self.refuse("resume", "only a person may"))
    }

    async fn reset(&self, _watcher: &str, _connector: Option<&str>) -> Result<(), CommandError> {
        Err(self.refuse("reset", "only a person may"))
    }

    async fn stop_turn(&self, _watcher: &str) -> Result<bool, CommandError> {
        Err(self.refuse("stop", "only a person may"))
    }

    async fn send(&self, mut request: SendRequest) -> Result<(), CommandError> {
        let conversation = self.current("send").await?;
        let key = &conversation.key;
        if request.connector.as_ref().is_some_and(|named| *named != key.connector) {
            return Err(self.refuse("send", "an agent may only post into the room of its turn"));
        }
        let Some(part) = self.hub.connectors.get(&key.connector) else {
            return Err(CommandError::UnknownConnector(key.connector.to_string()));
        };
        // Found by the connector as for a person, and compared by id: a name may mean another room.
        let room = part.connector.find_room(&request.room).await?;
        if room.id != key.room {
            return Err(self.refuse("send", "an agent may only post into the room of its turn"));
        }
        if let Some(file) = &request.attachment {
            request.attachment = Some(self.attachment(&conversation, file)?);
        }
        request.room = room.id.to_string();
        request.connector = Some(key.connector.clone());
        self.whole().send(request).await
    }

    async fn status(&self) -> Result<StatusReport, CommandError> {
        self.current("status").await?;
        let mut report = self.whole().status().await?;
        // Of other rooms and people it need not know.
        report.running_turns.clear();
        report.unconfirmed.clear();
        report.budgets.clear();
        report.budgets_left_out = 0;
        report.watchers = 1;
        Ok(report)
    }

    async fn confirm_user(&self, _username: &str, _connector: Option<&str>) -> Result<(), CommandError> {
        Err(self.refuse("users confirm", "only a person may"))
    }

    async fn first_outcomes(&self, _wait: Duration) -> Vec<String> {
        Vec::new()
    }

    async fn room_of(&self, watcher: &str) -> Result<Option<RoomId>, CommandError> {
        let own = self.own_watchers("list", None).await?;
        if own.iter().any(|info| info.name.as_str() == watcher) {
            return self.whole().room_of(watcher).await;
        }
        Err(CommandError::UnknownWatcher(watcher.to_owned()))
    }
}
