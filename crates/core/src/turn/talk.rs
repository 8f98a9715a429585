//! Talking to the agent: prompt, events, and decisions as they come.
//!
//! Owns the wait for several things at once. While people are waited for, the turn's time stands still, its place
//! among the running turns is free, and nobody is shown typing.

use acg_fault::Point;
use acg_store::ApprovalRow;
use acg_types::{AgentEvent, EndReason, TurnEnd};
use tokio::time::Instant;

use super::log::{Step, TurnLog};
use super::questions::Questions;
use super::screen::Screen;
use super::slot::{Budget, Slot};
use super::typing::Typing;
use super::{Start, Turn};
use crate::agent::{AgentError, AgentSession, Prompt};
use crate::hub::CoreError;

pub(super) enum TalkError {
    Agent(AgentError),
    Core(CoreError),
    /// The turn's time is up.
    TimedOut,
    /// The gateway is closing, and the turn waits for people.
    Leave,
}

impl From<AgentError> for TalkError {
    fn from(error: AgentError) -> Self {
        Self::Agent(error)
    }
}

impl From<CoreError> for TalkError {
    fn from(error: CoreError) -> Self {
        Self::Core(error)
    }
}

/// What the agent, or the turn, does not know by itself.
pub(super) struct Known {
    /// What was said before the session began, to stand before the prompt.
    pub(super) before: Option<String>,
    /// What people decided while the turn was deferred.
    pub(super) stored: Vec<ApprovalRow>,
}

/// Reaches the agent, and follows the turn to its end, answering every question.
pub(super) async fn talk(
    turn: &Turn<'_>,
    session: &mut dyn AgentSession,
    slot: &mut Slot,
    typing: &mut Typing,
    mut budget: Budget,
    known: Known,
) -> Result<(TurnLog, TurnEnd), TalkError> {
    let reach = async {
        match &turn.start {
            Start::Fresh(prompt) | Start::GoOn(prompt) => {
                let before = known.before.as_deref().unwrap_or_default();
                session.prompt(&Prompt::from(format!("{before}{prompt}").as_str())).await
            }
            Start::TakeUp => session.take_up().await,
        }
    };
    tokio::select! {
        reached = reach => reached?,
        () = budget.over() => return Err(TalkError::TimedOut),
    }
    acg_fault::point(Point::Prompted);
    let mut screen = Screen::begin(turn);
    let mut questions = Questions::new(turn, session.id().clone(), known.stored);
    let mut log = TurnLog::default();
    let mut begun = false;
    let closing = &turn.hub.phases.turns;
    loop {
        if questions.waits() {
            budget.pause();
            typing.off();
            if questions.idle() {
                slot.give_back();
            }
        } else if slot.is_held() {
            budget.run();
            typing.on(turn);
        } else if !questions.is_ready() {
            // It was told to let go, or took its questions back: its time runs.
            budget.run();
        }
        let hold_ends = questions.hold_ends();
        let (waits, holds_up) = (questions.waits(), questions.holds_up());
        let works = !waits && !questions.let_go();
        let wants_slot = !slot.is_held() && (questions.is_ready() || works);
        tokio::select! {
            event = session.next_event() => {
                let event = event?;
                if !std::mem::replace(&mut begun, true) {
                    acg_fault::point(Point::FirstAgentEvent);
                }
                screen.event(&event);
                match event {
                    AgentEvent::Permission { id, call, whole, deferrable } => {
                        questions.consider(turn, id, call, whole, deferrable).await?;
                    }
                    AgentEvent::PermissionWithdrawn { id } => questions.withdrawn(&id),
                    event => {
                        if let AgentEvent::Question { id, .. } = &event {
                            // It is part of the answer; what people say to it is the next turn.
                            session.reply(id, None).await?;
                        }
                        if let AgentEvent::ToolFinished { call_id, .. } = &event {
                            questions.finished(call_id);
                        }
                        match log.on_event(event) {
                            Step::GoOn => {}
                            Step::Note { call_id, tool, finished } => {
                                let noted = turn.hub.store.note_tool(turn.id, &call_id, &tool, finished).await;
                                noted.map_err(CoreError::from)?;
                            }
                            Step::End(end) if end.reason == EndReason::Deferred && !questions.let_go() => {
                                // Nobody told it to: there is nothing to wait for.
                                return Ok((log, TurnEnd { reason: EndReason::Failed, ..end }));
                            }
                            Step::End(end) => return Ok((log, end)),
                        }
                    }
                }
            }
            () = questions.next(turn), if waits => {}
            () = slot.take(), if wants_slot => {}
            () = until(hold_ends) => questions.defer(),
            () = budget.over() => return Err(TalkError::TimedOut),
            () = closing.cancelled(), if holds_up => {
                // A turn that waits for people must not hold up the end.
                if questions.can_defer() {
                    questions.defer();
                } else {
                    return Err(TalkError::Leave);
                }
            }
        }
        // A decision is passed on by a turn that has its place again; letting go needs none.
        if slot.is_held() || !questions.is_ready() {
            questions.pass_on(session).await?;
        }
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
