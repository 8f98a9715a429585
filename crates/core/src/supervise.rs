//! Keeping agents usable: whether one is started now, the looks that find out when it can be used again, and the
//! processes that are ready before anybody writes.
//!
//! Owns what is known of each agent's health. Must never keep a message waiting: who may not start an agent is told at
//! once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use acg_store::InboxRow;
use acg_types::Role;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::agent::AgentError;
use crate::approvals::notice::duration;
use crate::breaker::{Breaker, pause};
use crate::hub::{AgentPart, CoreError, Hub, lock};
use crate::notices::in_seconds;
use crate::turn::{Chain, Opening, watcher_of};

/// How long the check of an agent may take.
const PROBE_WAIT: Duration = Duration::from_mins(1);
/// How long after a look a good start may bring the next one on.
const SOON: Duration = Duration::from_secs(30);
/// How long the process of one conversation may take to be ready.
const WARM_WAIT: Duration = Duration::from_mins(1);

/// What is known of an agent's starts.
#[derive(Debug, Default)]
pub(crate) struct Starts {
    /// By role: what a guest's process needs (confinement) may be missing where an owner's starts well.
    roles: BTreeMap<Role, OfRole>,
    /// Somebody looks after it until it can be used again.
    healing: bool,
}

#[derive(Debug, Default)]
struct OfRole {
    breaker: Breaker,
    /// Why the last start failed, if it did.
    failure: Option<String>,
}

impl AgentPart {
    /// What is wrong with the agent, and when it is tried again where it is left alone. For `status`.
    pub(crate) fn trouble(&self) -> Option<String> {
        let found = lock(&self.checked).clone().and_then(Result::err);
        let starts = || {
            let starts = lock(&self.starts);
            // It looks well, and yet it did not start.
            starts.roles.iter().find_map(|(role, of_role)| {
                Some(format!("its last start for the role {role} failed: {}", of_role.failure.as_ref()?))
            })
        };
        let reason = found.or_else(starts)?;
        Some(match self.pausing() {
            Some(left) => format!("{reason} (tried again in {})", duration(in_seconds(left))),
            None => reason,
        })
    }

    /// For how long the agent is left alone, for the role for which that is longest.
    fn pausing(&self) -> Option<Duration> {
        let now = Instant::now();
        lock(&self.starts).roles.values().filter_map(|of_role| of_role.breaker.pausing(now)).max()
    }

    fn is_in_trouble(&self) -> bool {
        matches!(&*lock(&self.checked), Some(Err(_)))
    }
}

/// One start of an agent. Dropped without a word it counts as given up.
#[derive(Debug)]
pub(crate) struct Pass<'a> {
    hub: &'a Arc<Hub>,
    part: &'a Arc<AgentPart>,
    role: &'a Role,
}

/// Leave to start the agent for a role. `Err`: for how long it is left alone.
pub(crate) fn admit<'a>(
    hub: &'a Arc<Hub>,
    part: &'a Arc<AgentPart>,
    role: &'a Role,
) -> Result<Pass<'a>, Duration> {
    lock(&part.starts).roles.entry(role.clone()).or_default().breaker.admit(Instant::now())?;
    Ok(Pass { hub, part, role })
}

impl Pass<'_> {
    fn note(&self, change: impl FnOnce(&mut OfRole)) {
        if let Some(of_role) = lock(&self.part.starts).roles.get_mut(self.role) {
            change(of_role);
        }
    }

    /// The agent has started, or has shown that it runs.
    pub(crate) fn started(self) {
        self.note(|of_role| {
            of_role.breaker.started();
            of_role.failure = None;
        });
        if self.part.is_in_trouble() {
            // Whoever looks after it may find the same.
            self.part.look.notify_one();
        }
    }

    /// How the start has failed.
    pub(crate) fn failed(self, error: &AgentError) {
        match error {
            // The session's trouble: the agent itself has answered.
            AgentError::UnknownSession(_) | AgentError::NotKept(_) => self.started(),
            AgentError::Closing => {}
            AgentError::Unusable { .. }
            | AgentError::Died(_)
            | AgentError::Protocol(_)
            | AgentError::Silent(_) => {
                let reason = Chain(error).to_string();
                let mut paused = None;
                self.note(|of_role| {
                    let now = Instant::now();
                    of_role.failure = Some(reason.clone());
                    if of_role.breaker.failed(now) {
                        paused = of_role.breaker.pausing(now);
                    }
                });
                if let Some(pause) = paused {
                    warn!(agent = %self.part.config.name, role = %self.role, ?pause, "The agent does not start; it is left alone for a while.");
                }
                *lock(&self.part.checked) = Some(Err(reason));
                look_after(self.hub, self.part, true);
            }
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        // Nothing, where it was said how it came out.
        self.note(|of_role| of_role.breaker.given_up(Instant::now()));
    }
}

/// Looks at an agent until it can be used. `failed`: it could not just now.
pub(crate) fn look_after(hub: &Arc<Hub>, part: &Arc<AgentPart>, failed: bool) {
    if hub.phases.turns.is_cancelled() || std::mem::replace(&mut lock(&part.starts).healing, true) {
        return;
    }
    hub.tasks.spawn(heal(Arc::clone(part), failed, hub.phases.turns.clone()));
}

async fn heal(part: Arc<AgentPart>, failed: bool, stop: CancellationToken) {
    let mut failures = u32::from(failed);
    loop {
        if failures > 0 {
            // At the end of the pause, where there is one: then the next turn may find it well.
            let wait = pause(failures).max(part.pausing().unwrap_or_default());
            let woken = async {
                tokio::time::sleep(SOON).await;
                part.look.notified().await;
            };
            let waited = async {
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = woken => {}
                }
            };
            if stop.run_until_cancelled(waited).await.is_none() {
                return;
            }
        }
        let Some(good) = stop.run_until_cancelled(probe(&part)).await else { return };
        if good {
            let mut starts = lock(&part.starts);
            starts.roles.values_mut().for_each(|of_role| of_role.breaker.proved());
            starts.healing = false;
            return;
        }
        failures = failures.saturating_add(1);
    }
}

/// Asks an agent what it is, so that `status` can say what is wrong before anybody needs it.
async fn probe(part: &AgentPart) -> bool {
    let name = &part.config.name;
    let checked = match tokio::time::timeout(PROBE_WAIT, part.backend.probe()).await {
        Ok(Ok(info)) => {
            info!(agent = %name, version = %info.version, "The agent can be used.");
            Ok(info)
        }
        Ok(Err(AgentError::Closing)) => return true,
        Ok(Err(error)) => Err(Chain(&error).to_string()),
        Err(_) => Err(format!("no answer within {PROBE_WAIT:?}")),
    };
    let good = checked.is_ok();
    let before = lock(&part.checked).replace(checked.clone());
    let silent = part.counts_money && checked.as_ref().is_ok_and(|info| !info.can.cost);
    if silent && before.as_ref() != Some(&checked) {
        warn!(agent = %name, "The agent does not tell what a turn costs: usd_per_day does not count its turns. Set tokens_per_day instead.");
    }
    if let Err(reason) = &checked {
        if before.as_ref() == Some(&checked) {
            debug!(agent = %name, reason = %reason, "The agent still cannot be used.");
        } else {
            warn!(agent = %name, reason = %reason, "The agent cannot be used now.");
        }
    }
    good
}

/// Gets the processes of the most recent conversations ready, as many as each agent's `warm` says. What fails is only
/// logged: the next turn finds out for itself.
pub(crate) async fn warm_up(hub: Arc<Hub>) {
    for part in hub.agent_order.iter().filter_map(|name| hub.agents.get(name)) {
        let most = part.config.life.warm;
        if most == 0 {
            continue;
        }
        let rows = match hub.store.recent(&part.config.name, most).await {
            Ok(rows) => rows,
            Err(error) => {
                warn!(%error, "Which conversations were the most recent could not be read.");
                continue;
            }
        };
        // The latest last: where there is no room for all, the first ones make it.
        for row in rows.into_iter().rev() {
            let warming = tokio::time::timeout(WARM_WAIT, warm(&hub, part, &row));
            match hub.phases.turns.run_until_cancelled(warming).await {
                Some(Ok(Ok(true))) => {
                    debug!(conversation = %row.conversation, "A conversation's agent is ready.");
                }
                Some(Ok(Ok(false))) => {}
                Some(Ok(Err(reason))) => {
                    info!(conversation = %row.conversation, reason = %reason, "An agent could not be made ready before it is needed.");
                }
                Some(Err(_)) => {
                    info!(conversation = %row.conversation, "An agent took too long to be ready before it is needed.");
                }
                None => return,
            }
        }
    }
}

/// Gets the process of one conversation ready; false if there is nothing to be done.
async fn warm(hub: &Arc<Hub>, part: &Arc<AgentPart>, row: &InboxRow) -> Result<bool, String> {
    let said = |error: &dyn std::error::Error| Chain(error).to_string();
    // A turn starts what it needs.
    if lock(&hub.running).contains_key(&row.conversation) {
        return Ok(false);
    }
    let found = hub.store.conversation_by_id(row.conversation).await;
    let Some(conversation) = found.map_err(|error| said(&error))? else { return Ok(false) };
    let watcher = watcher_of(hub, &conversation, &row.message);
    let connector = hub.connectors.get(&conversation.key.connector);
    let (Some(watcher), Some(connector)) = (watcher, connector) else { return Ok(false) };
    let opening = Opening {
        hub,
        agent: part,
        connector,
        watcher: &watcher,
        message: &row.message,
        conversation: row.conversation,
    };
    let session = opening.known().await.map_err(|error: CoreError| said(&error))?;
    // Before its first turn a session has nothing to go on with.
    let (Some(session), true) = session else { return Ok(false) };
    let spec = opening.spec(Some(session), true);
    part.backend.warm(spec).await.map_err(|error| said(&error))?;
    Ok(true)
}
