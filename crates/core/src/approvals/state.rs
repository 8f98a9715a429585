//! What may become of a question, as pure functions of its row, an event and the time.
//!
//! Owns the rules: who answers when, what closes a question, and which decision lets a call run. Must never let a
//! call run that is not the very one that a person approved. Where two events meet, the store's commit says which
//! was first; the other is judged again on what the row says then.

use acg_store::{ApprovalRow, ApprovalState};
use acg_types::{RoomId, SessionId, Timestamp, UserId};

/// An answer of a person who may approve.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Given<'a> {
    pub(crate) approve: bool,
    pub(crate) by: &'a UserId,
    /// Where it was given.
    pub(crate) room: &'a RoomId,
    /// Whether its message was edited.
    pub(crate) edited: bool,
    /// Whether it was said before the question was asked.
    pub(crate) before: bool,
}

/// What happens to a question.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event<'a> {
    Answer(Given<'a>),
    /// Time went by.
    Time,
    /// The call is gone.
    Withdraw,
}

/// What has to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Nothing,
    /// Close it like this, if it is still open by then.
    Settle(ApprovalState),
    /// Close it as timed out, and tell the person that they are late.
    Late,
    Remind,
    /// It stays as it is; tell the person why.
    Refuse(Refusal),
}

/// Why an answer does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    AnotherRoom,
    Edited,
    SaidBefore,
    NotTheAsker,
    TooLate,
    Already { approved: bool },
    Void,
}

/// `four_eyes`: nobody approves what they asked for. `over`: the time is up by a clock that does not jump.
pub(crate) fn step(
    row: &ApprovalRow,
    four_eyes: bool,
    event: Event<'_>,
    now: Timestamp,
    over: bool,
) -> Effect {
    let open = is_open(row.state);
    let late = over || now >= row.approval.expires_at;
    match event {
        Event::Withdraw if open => Effect::Settle(ApprovalState::Withdrawn),
        Event::Time if open && late => Effect::Settle(ApprovalState::TimedOut),
        Event::Time if open && !row.reminded && now >= row.approval.remind_at => Effect::Remind,
        Event::Withdraw | Event::Time => Effect::Nothing,
        Event::Answer(given) => answer(row, four_eyes, given, open, late),
    }
}

fn answer(row: &ApprovalRow, four_eyes: bool, given: Given<'_>, open: bool, late: bool) -> Effect {
    let refusal = if *given.room != row.approval.room {
        Refusal::AnotherRoom
    } else if !open {
        match row.state {
            ApprovalState::Approved => Refusal::Already { approved: true },
            ApprovalState::Denied => Refusal::Already { approved: false },
            ApprovalState::TimedOut => Refusal::TooLate,
            ApprovalState::Withdrawn | ApprovalState::Waiting | ApprovalState::Deferred => Refusal::Void,
        }
    } else if late {
        return Effect::Late;
    } else if given.edited {
        Refusal::Edited
    } else if given.before {
        Refusal::SaidBefore
    } else if given.approve && four_eyes && *given.by == row.approval.asker {
        Refusal::NotTheAsker
    } else if given.approve {
        return Effect::Settle(ApprovalState::Approved);
    } else {
        return Effect::Settle(ApprovalState::Denied);
    };
    Effect::Refuse(refusal)
}

pub(crate) fn is_open(state: ApprovalState) -> bool {
    matches!(state, ApprovalState::Waiting | ApprovalState::Deferred)
}

/// A call that the agent wants to make now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Presented<'a> {
    pub(crate) session: &'a SessionId,
    pub(crate) tool: &'a str,
    pub(crate) digest: &'a str,
}

/// What a question's row says about a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Release {
    /// It may run, once: if the row's use is still free.
    Run,
    Denied,
    TimedOut,
    Void,
    /// Nobody has decided.
    Open,
    /// The decision was applied already.
    Used,
    /// It is another call than the one that was asked about.
    Changed,
}

/// Whether this very call may run by this row.
pub(crate) fn release(row: &ApprovalRow, call: Presented<'_>) -> Release {
    let asked = &row.approval;
    if asked.session != *call.session || asked.tool != call.tool || asked.digest != call.digest {
        return Release::Changed;
    }
    match row.state {
        ApprovalState::Waiting | ApprovalState::Deferred => Release::Open,
        ApprovalState::Withdrawn => Release::Void,
        _ if row.used => Release::Used,
        ApprovalState::Approved => Release::Run,
        ApprovalState::Denied => Release::Denied,
        ApprovalState::TimedOut => Release::TimedOut,
    }
}

#[cfg(test)]
mod tests;
