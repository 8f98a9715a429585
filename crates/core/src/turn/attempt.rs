//! One turn from its session to its end: opening, following, and what becomes of each way it can come out.
//!
//! Owns the order of commits around an agent's work: session before prompt, "sent" before the prompt is handed over.

use std::sync::atomic::Ordering;

use acg_fault::Point;
use acg_store::StoreError;
use acg_types::{EndReason, OutgoingKind, Role, SessionId, Usage};
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::finish::{Ending, end, finish, log_usage, place};
use super::log::TurnLog;
use super::opening::Opening;
use super::slot::{Budget, Slot};
use super::talk::{self, TalkError};
use super::typing::Typing;
use super::{Chain, Start, Turn};
use crate::agent::{AgentError, AgentSession, SessionSpec};
use crate::approvals::{self, texts::Void};
use crate::hub::{CoreError, INNER_RETRY, lock};
use crate::supervise::{self, Pass};
use crate::{notices, prompt};

/// Longest wait for an agent to end a turn that was cancelled; the backend kills it well before.
const CANCEL_WAIT: std::time::Duration = std::time::Duration::from_secs(15);

/// How an attempt to have a turn answered came out.
enum Outcome {
    /// To be ended like this.
    End(Ending),
    /// The agent does not know the session, or keeps none longer than a process (`expected`); nothing ran.
    SessionGone { session: SessionId, expected: bool },
    /// Nothing reached the agent and the gateway is closing: the message waits for the next start.
    Requeue,
    /// The gateway is closing with the turn running: it is gone on with after the next start.
    Leave,
    /// Its calls wait for people, and no process runs.
    Parked,
}

impl Outcome {
    fn notice(outcome: &'static str, text: impl Into<String>) -> Self {
        Self::End(Ending::notice(outcome, text))
    }
}

/// Has the message answered and commits the end.
pub(super) async fn answer(turn: &mut Turn<'_>, slot: &mut Slot) -> Result<(), CoreError> {
    let mut preface = Vec::new();
    let mut replaced = false;
    let ending = loop {
        let outcome = attempt(turn, slot).await;
        match outcome? {
            Outcome::End(ending) => break ending,
            Outcome::Requeue => {
                return Ok(super::requeue(turn.hub, turn.id, &turn.conversation, turn.messages).await?);
            }
            Outcome::Leave => {
                info!(turn = %turn.id, "The turn is left as it is and is gone on with after the next start.");
                return Ok(());
            }
            Outcome::Parked => {
                info!(turn = %turn.id, "The turn waits for people; its process was let go.");
                // Somebody may have answered while it was: the lane looks again before it ends.
                turn.hub.conversations.wake(&turn.conversation.id);
                return Ok(());
            }
            Outcome::SessionGone { session, .. } if turn.watcher.config.session_id.is_some() => {
                error!(watcher = %turn.watcher.name, %session, "The agent does not know the pinned session. Correct session_id in the configuration.");
                break Ending::notice("failed", notices::failed(&session));
            }
            Outcome::SessionGone { session, .. } if turn.going_on() => {
                warn!(watcher = %turn.watcher.name, %session, "A turn cannot be gone on with: the agent does not know its session.");
                forget_session(turn).await?;
                break Ending::notice("interrupted", notices::interrupted(&turn.message.sender.username));
            }
            Outcome::SessionGone { session, expected } if !std::mem::replace(&mut replaced, true) => {
                forget_session(turn).await?;
                if expected {
                    info!(watcher = %turn.watcher.name, %session, "The agent kept the session no longer than its process; a new one takes its place.");
                } else {
                    warn!(watcher = %turn.watcher.name, %session, "The agent no longer knows the session; a new one is started.");
                    let text = match said_before(turn).await? {
                        Some(_) => notices::SESSION_REPLACED_TOLD,
                        None => notices::SESSION_REPLACED,
                    };
                    preface.push((OutgoingKind::Notice, text.to_owned()));
                }
            }
            Outcome::SessionGone { session, .. } => {
                break Ending::notice("failed", notices::failed(&session));
            }
        }
    };
    if turn.asked.load(Ordering::Relaxed) {
        let why = if turn.cancel.is_cancelled() { Void::Reset } else { Void::TurnEnded };
        match approvals::finish_turn(turn.hub, turn.id, &turn.message.room.name, why).await {
            Ok(()) => {}
            Err(CoreError::Store(StoreError::Closed)) => return Err(StoreError::Closed.into()),
            // The answer is worth more; what is open runs out by itself.
            Err(error) => {
                error!(turn = %turn.id, error = %Chain(&error), "The questions of a turn could not be closed.");
            }
        }
    }
    let completed = ending.outcome == "completed";
    end(turn, preface, ending).await?;
    if !completed
        && turn.told.load(Ordering::Relaxed)
        && let Err(error) = begin_anew(turn).await
    {
        error!(turn = %turn.id, error = %Chain(&error), "A session that may not know what was said before could not be replaced.");
    }
    Ok(())
}

/// What a session that is begun in this conversation is told of what was said before it. Whatever it takes the place of:
/// nothing is told across a reset.
async fn said_before(turn: &Turn<'_>) -> Result<Option<String>, CoreError> {
    let role = turn.session_role();
    let longest = u32::try_from(prompt::LONGEST).unwrap_or(u32::MAX);
    let history = turn.hub.store.history(turn.conversation.id, role.as_ref(), longest).await?;
    Ok(prompt::record(&super::heading(turn.hub, &turn.connector), &history))
}

/// Agents drop from a session what was said in a turn that failed or was stopped, and with it what was said before.
async fn begin_anew(turn: &mut Turn<'_>) -> Result<(), CoreError> {
    let role = turn.session_role();
    let (known, _) = turn.hub.store.session_of(turn.conversation.id, role.as_ref()).await?;
    forget_session(turn).await?;
    if let Some(session) = known {
        turn.agent.backend.forget(&session).await;
    }
    Ok(())
}

async fn forget_session(turn: &mut Turn<'_>) -> Result<(), CoreError> {
    turn.known = None;
    let role = turn.session_role();
    Ok(turn.hub.store.set_session_of(turn.conversation.id, role.as_ref(), None, false).await?)
}

async fn attempt(turn: &Turn<'_>, slot: &mut Slot) -> Result<Outcome, CoreError> {
    let hub = turn.hub;
    let mut typing = Typing::default();
    typing.on(turn);
    let time = turn_time(turn);
    let deadline = Instant::now() + time;
    let budget = Budget::new(time);
    let (session_id, resume) = session(turn).await?;
    let before = if resume || turn.going_on() { None } else { said_before(turn).await? };
    let spec = session_spec(turn, session_id.clone(), resume);
    let shown = session_id.unwrap_or_else(|| SessionId::from("new"));

    let pass = match supervise::admit(hub, &turn.agent, &turn.message.role) {
        Ok(pass) => pass,
        Err(wait) => {
            warn!(watcher = %turn.watcher.name, ?wait, "The agent does not start and is left alone for now.");
            return Ok(Outcome::notice("failed", notices::paused(&shown, wait)));
        }
    };
    let opened = tokio::select! {
        opened = turn.agent.backend.open(spec) => opened,
        () = tokio::time::sleep_until(deadline) => return Ok(Outcome::notice("timed_out", notices::TIMED_OUT)),
        () = turn.cancel.cancelled() => return Ok(Outcome::notice("cancelled", notices::STOPPED)),
        () = hub.phases.abandon.cancelled() => return Ok(if turn.going_on() { Outcome::Leave } else { Outcome::Requeue }),
    };
    let mut session = match opened {
        Ok(session) => {
            pass.started();
            session
        }
        Err(error) => return Ok(not_reached(turn, &shown, error, pass)),
    };
    if turn.cancel.is_cancelled() {
        return Ok(Outcome::notice("cancelled", notices::STOPPED));
    }
    let session_id = session.id().clone();
    let stored = if turn.start == Start::TakeUp {
        if !hub.store.take_up_turn(turn.id, hub.clock.now()).await? {
            warn!(turn = %turn.id, "A deferred turn was taken up or ended elsewhere.");
            return Ok(Outcome::Leave);
        }
        turn.taken_up.store(true, Ordering::Relaxed);
        hub.store.approvals_of_turn(turn.id).await?
    } else {
        hub.store.turn_sent_as(turn.id, &session_id, turn.session_role().as_ref()).await?;
        acg_fault::point(Point::PromptStored);
        Vec::new()
    };

    turn.told.store(before.is_some(), Ordering::Relaxed);
    let known = talk::Known { before, stored };
    let talk = talk::talk(turn, session.as_mut(), slot, &mut typing, budget, known);
    let ended = tokio::select! {
        ended = talk => ended,
        () = turn.cancel.cancelled() => {
            stop(session.as_mut()).await;
            return Ok(Outcome::notice("cancelled", notices::STOPPED));
        }
        () = hub.phases.abandon.cancelled() => return Ok(Outcome::Leave),
    };
    match ended {
        Ok((log, end)) if end.reason == EndReason::Deferred => {
            // The process goes before its turn is said to wait: nothing of it may run on.
            drop(session);
            if let Some(usage) = &end.usage {
                log_usage(&turn.message.room.name, usage);
            }
            Ok(park(turn, log, &end).await)
        }
        Ok((log, end)) => Ok(Outcome::End(finish(turn, &session_id, log, end))),
        Err(TalkError::TimedOut) => {
            warn!(watcher = %turn.watcher.name, timeout = ?time, "The turn took too long and is cancelled.");
            stop(session.as_mut()).await;
            Ok(Outcome::notice("timed_out", notices::TIMED_OUT))
        }
        Err(TalkError::Leave | TalkError::Agent(AgentError::Closing)) => Ok(Outcome::Leave),
        Err(TalkError::Core(error)) => {
            stop(session.as_mut()).await;
            error!(turn = %turn.id, error = %Chain(&error), "The turn's progress could not be stored; the turn is ended.");
            Ok(Outcome::notice("failed", notices::failed(&session_id)))
        }
        Err(TalkError::Agent(AgentError::UnknownSession(session))) => {
            Ok(Outcome::SessionGone { session, expected: false })
        }
        Err(TalkError::Agent(AgentError::NotKept(session))) => {
            Ok(Outcome::SessionGone { session, expected: true })
        }
        Err(TalkError::Agent(error)) => {
            error!(watcher = %turn.watcher.name, session = %session_id, error = %Chain(&error), "The agent failed during a turn.");
            Ok(Outcome::notice("failed", notices::failed(&session_id)))
        }
    }
}

/// The turn waits for people from now on. What the agent has said so far is posted: nobody would see it otherwise.
async fn park(turn: &Turn<'_>, log: TurnLog, end: &acg_types::TurnEnd) -> Outcome {
    let hub = turn.hub;
    // It has reached the agent: whatever the disk does, it must not begin anew.
    let usage = turn.usage(end.usage.clone());
    while let Err(error) = store_parked(turn, usage.as_ref()).await {
        error!(turn = %turn.id, error = %Chain(&error), "A turn that waits for people could not be stored; trying again.");
        let closed = matches!(error, CoreError::Store(StoreError::Closed));
        let wait = tokio::time::sleep(INNER_RETRY);
        if closed || hub.phases.abandon.run_until_cancelled(wait).await.is_none() {
            return Outcome::Leave;
        }
    }
    if let Some(text) = log.answer(end)
        && let Err(error) = hub.post(&place(turn), OutgoingKind::Reply, &text).await
    {
        error!(turn = %turn.id, error = %Chain(&error), "What the agent said before it was let go could not be stored.");
    }
    Outcome::Parked
}

/// Commits that a turn waits, and ties its questions to its conversation. May be done again.
async fn store_parked(turn: &Turn<'_>, usage: Option<&Usage>) -> Result<(), CoreError> {
    let hub = turn.hub;
    hub.store.defer_turn(turn.id, usage).await?;
    let parked = hub.store.deferred_turns().await?.into_iter().find(|parked| parked.turn == turn.id);
    if let Some(parked) = parked {
        // One that was stored in the last moment is not in the table yet.
        approvals::park(hub, &parked).await?;
        lock(&hub.parked).insert(turn.conversation.id, parked);
    }
    Ok(())
}

/// How long the turn may work.
fn turn_time(turn: &Turn<'_>) -> std::time::Duration {
    let agent = turn.agent.config.timeout;
    let role = turn.hub.roles.get(&turn.message.role).and_then(|config| config.timeout);
    role.map_or(agent, |role| role.min(agent))
}

/// The session to run in and whether the agent has seen it. A new id is committed before it is used.
async fn session(turn: &Turn<'_>) -> Result<(Option<SessionId>, bool), CoreError> {
    if let Some((session, _)) = &turn.reached {
        return Ok((Some(session.clone()), true));
    }
    if let Some(pinned) = &turn.watcher.config.session_id {
        return Ok((Some(pinned.clone()), true));
    }
    let role: Option<Role> = turn.session_role();
    let store = &turn.hub.store;
    let (known, used) = match turn.known.clone() {
        Some(known) => known,
        None => store.session_of(turn.conversation.id, role.as_ref()).await?,
    };
    if known.is_some() {
        return Ok((known, used));
    }
    let new = turn.agent.backend.new_session_id();
    if let Some(id) = &new {
        store.set_session_of(turn.conversation.id, role.as_ref(), Some(id), false).await?;
        acg_fault::point(Point::SessionStored);
    }
    Ok((new, false))
}

fn session_spec(turn: &Turn<'_>, session: Option<SessionId>, resume: bool) -> SessionSpec {
    let opening = Opening {
        hub: turn.hub,
        agent: &turn.agent,
        connector: &turn.connector,
        watcher: &turn.watcher,
        message: &turn.message,
        conversation: turn.conversation.id,
    };
    opening.spec(session, resume)
}

/// The agent could not be opened: nothing reached it.
fn not_reached(turn: &Turn<'_>, session: &SessionId, error: AgentError, pass: Pass<'_>) -> Outcome {
    pass.failed(&error);
    match error {
        AgentError::UnknownSession(session) => Outcome::SessionGone { session, expected: false },
        AgentError::NotKept(session) => Outcome::SessionGone { session, expected: true },
        AgentError::Closing if turn.going_on() => Outcome::Leave,
        AgentError::Closing => Outcome::Requeue,
        error => {
            error!(watcher = %turn.watcher.name, error = %Chain(&error), "The agent could not be started.");
            Outcome::notice("failed", notices::unavailable(session))
        }
    }
}

async fn stop(session: &mut dyn AgentSession) {
    drop(tokio::time::timeout(CANCEL_WAIT, session.cancel()).await);
}
