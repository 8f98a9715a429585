//! Sessions whose turns are run by one process each, without tools: what is left where no server starts.
//!
//! Owns the ids of such sessions and which of the program's each is. Must never go on with a session that a server had:
//! the rules of its role, which may allow something, rank above those that take every tool away. The program makes its
//! id up in the first turn, so ours stands at the end of the title, where a server finds it.

use std::sync::Arc;

use acg_core::agent::{AgentError, AgentSession, Prompt, SessionSpec};
use acg_types::{AgentEvent, Decision, PermissionId, SessionId, TurnEnd};
use async_trait::async_trait;

use super::attach;
use super::backend::Shared;
use super::home::Home;
use super::plan::Errand;
use super::run::{Known, RunMachine};
use super::sessions::{CONFINED, Named, titled};
use super::version;
use crate::kit::{self, seat::Seat};

/// What the id of such a session begins with, after the mark of its side.
pub(super) const ONCE: &str = "once.";

/// How a session is opened.
#[derive(Debug, PartialEq, Eq)]
enum Way {
    /// It has begun.
    GoOn,
    /// Nothing was said in it yet, or nothing on this side of the confinement.
    Begin,
    /// A new one in its place, where the program has heard nothing yet.
    Anew,
    /// Its history has to be told to a new one.
    Lost,
}

/// `session`: its id; `begun`: what we know it by has been told; `confined` and `resume` as they are wanted.
fn way(session: &str, begun: bool, confined: bool, resume: bool) -> Way {
    let named = Named::of(session);
    match named.once {
        true if begun => Way::GoOn,
        true if resume && named.confined == confined => Way::Lost,
        true => Way::Begin,
        false if resume => Way::Lost,
        false => Way::Anew,
    }
}

fn new_id(confined: bool) -> SessionId {
    let side = if confined { CONFINED } else { "" };
    SessionId::from(format!("{side}{ONCE}{}", uuid::Uuid::new_v4().simple()))
}

impl Shared {
    /// What the program is asked before its first turn, and whether it is fit.
    pub(super) async fn version(self: &Arc<Self>) -> Result<String, AgentError> {
        let shared = Arc::clone(self);
        let launch = tokio::task::spawn_blocking(move || shared.plan_version()).await;
        let launch = launch.map_err(|error| self.unusable(error.to_string()))?;
        let launch = launch.map_err(|reason| self.unusable(reason))?;
        let Some(version) = kit::version::ask(&launch).await else {
            return Err(self.unusable("OpenCode does not say its version: `--version` failed"));
        };
        match version::unfit(&version) {
            Some(unfit) => Err(self.unusable(format!("OpenCode is not used: {unfit}"))),
            None => Ok(version),
        }
    }

    /// A session whose turns are run by one process each.
    pub(super) async fn open_once(self: &Arc<Self>, spec: SessionSpec) -> Result<OnceSession, AgentError> {
        let found = spec.session.as_ref().map(|id| {
            let known = self.runs().get(&(id.as_str().to_owned(), spec.confined)).cloned();
            let known = known.filter(|known| known.get().is_some());
            (id.clone(), way(id.as_str(), known.is_some(), spec.confined, spec.resume), known)
        });
        let (id, known) = match found {
            Some((id, Way::GoOn | Way::Begin, known)) => (id, known.unwrap_or_default()),
            Some((id, Way::Lost, _)) => return Err(AgentError::NotKept(id)),
            Some((_, Way::Anew, _)) | None => (new_id(spec.confined), Known::default()),
        };
        self.version().await?;
        // One use at a time.
        let (lease, process) = self.keeper.take(&id, &()).await?;
        let mut seat = Seat::new(lease, (), process);
        seat.keep(false);
        Ok(OnceSession {
            shared: Arc::clone(self),
            id,
            spec,
            known,
            seat,
            home: None,
            going_on: false,
            end: None,
        })
    }
}

#[derive(Debug)]
pub(super) struct OnceSession {
    shared: Arc<Shared>,
    id: SessionId,
    spec: SessionSpec,
    known: Known,
    seat: Seat<()>,
    /// Of the process that runs.
    home: Option<Home>,
    /// The turn goes on with what was said before, and nothing has been heard of it yet.
    going_on: bool,
    /// The turn's end, until its process has ended too.
    end: Option<TurnEnd>,
}

impl OnceSession {
    fn errand(&self) -> Errand {
        Errand {
            confined: self.spec.confined,
            session: self.known.get().cloned(),
            title: titled(&self.spec, Named::of(self.id.as_str()).raw),
            context: self.spec.context.clone(),
            files: Vec::new(),
        }
    }

    /// What the end of a process means that has told no end of its turn.
    fn died(&self, why: String) -> AgentError {
        if self.going_on && why.contains("Session not found") {
            // Somebody has removed it.
            self.shared.runs().remove(&(self.id.as_str().to_owned(), self.spec.confined));
            return AgentError::NotKept(self.id.clone());
        }
        AgentError::Died(why)
    }
}

#[async_trait]
impl AgentSession for OnceSession {
    fn id(&self) -> &SessionId {
        &self.id
    }

    async fn prompt(&mut self, prompt: &Prompt) -> Result<(), AgentError> {
        self.end = None;
        let (shared, mut errand, prompt) = (Arc::clone(&self.shared), self.errand(), prompt.clone());
        let going_on = errand.session.is_some();
        let planned = tokio::task::spawn_blocking(move || {
            let (text, files) = attach::given(&prompt);
            errand.files = files;
            shared.plan_turn(&errand).map(|(launch, home)| (launch, home, text))
        });
        let planned = planned.await.map_err(|error| self.shared.unusable(error.to_string()))?;
        let (launch, home, text) = planned.map_err(|reason| self.shared.unusable(reason))?;
        let key = (self.id.as_str().to_owned(), self.spec.confined);
        self.shared.runs().insert(key, Arc::clone(&self.known));
        let machine = RunMachine::new(self.shared.site.agent.clone(), Arc::clone(&self.known));
        let process = self.shared.keeper.once(&launch, &self.id, machine, text).await;
        let process = process.map_err(|error| {
            self.shared.unusable(format!("a process for one turn did not start: {error}"))
        })?;
        self.home = Some(home);
        self.going_on = going_on;
        self.seat.put(process);
        self.seat.begin();
        Ok(())
    }

    async fn next_event(&mut self) -> Result<AgentEvent, AgentError> {
        if self.end.is_none() {
            match self.seat.next_event().await {
                Ok(AgentEvent::End(end)) => self.end = Some(end),
                Err(AgentError::Died(why)) => return Err(self.died(why)),
                told => {
                    self.going_on = false;
                    return told;
                }
            }
        }
        // It writes the session down before it ends; the process of the next turn reads that.
        if let Some(process) = self.seat.take() {
            process.close().await;
        }
        match self.end.take() {
            Some(end) => Ok(AgentEvent::End(end)),
            None => Err(AgentError::Died("no turn is running".into())),
        }
    }

    async fn answer(&mut self, id: &PermissionId, decision: Decision) -> Result<(), AgentError> {
        // It has asked nothing.
        self.seat.process()?.answer(id.clone(), decision).await
    }

    async fn cancel(&mut self) {
        // It cannot be asked to end: the whole group goes.
        self.seat.cancel(None).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_begun_by_a_process_of_this_gateway_is_gone_on_with() {
        for (session, begun, confined, resume, expected) in [
            ("once.1", true, false, true, Way::GoOn),
            ("confined.once.1", true, true, true, Way::GoOn),
            // Of an earlier gateway, or a server has had it since.
            ("once.1", false, false, true, Way::Lost),
            ("confined.once.1", false, true, true, Way::Lost),
            ("once.1", false, false, false, Way::Begin),
            // The other side does not see what was said on this one.
            ("once.1", false, true, true, Way::Begin),
            ("confined.once.1", false, false, true, Way::Begin),
            // A server's.
            ("ses_1", false, false, true, Way::Lost),
            ("confined.ses_1", false, true, true, Way::Lost),
            ("ses_1", false, false, false, Way::Anew),
        ] {
            assert_eq!(
                way(session, begun, confined, resume),
                expected,
                "{session} {begun} {confined} {resume}"
            );
        }
        assert!(new_id(true).as_str().starts_with("confined.once."));
        assert_ne!(new_id(false), new_id(false));
    }
}
