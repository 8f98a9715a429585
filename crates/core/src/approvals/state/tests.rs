//! The rules by table, and one property: however looks and commits interleave, nothing runs that was not approved.

use acg_store::NewApproval;
use acg_types::{ApprovalId, ConversationId, Role, TurnId};
use proptest::prelude::*;

use super::*;

fn row(state: ApprovalState) -> ApprovalRow {
    ApprovalRow {
        id: ApprovalId(1),
        approval: NewApproval {
            code: "a3k9".into(),
            conversation: ConversationId(1),
            turn: TurnId(1),
            session: "s".into(),
            agent: "claude".into(),
            role: Role::owner(),
            asker: "asker".into(),
            asker_name: "asker".into(),
            connector: "rc".into(),
            origin: "origin".into(),
            room: "room".into(),
            thread: None,
            tool: "Bash".into(),
            params: "{}".into(),
            digest: "d".into(),
            sameness: "s".into(),
            call_id: None,
            asked_at: Timestamp(0),
            remind_at: Timestamp(50),
            expires_at: Timestamp(100),
        },
        state,
        reminded: false,
        used: false,
        decided_by: None,
        decided_by_name: None,
        decided_at: None,
        shown: vec![],
    }
}

fn given<'a>(approve: bool, by: &'a UserId, room: &'a RoomId) -> Given<'a> {
    Given { approve, by, room, edited: false, before: false }
}

#[test]
fn answers_are_judged_in_this_order() {
    use ApprovalState::{Approved, Deferred, Denied, TimedOut, Waiting, Withdrawn};
    use Effect::{Late, Refuse, Settle};
    let (other, asker, room, elsewhere) = ("o".into(), "asker".into(), "room".into(), "x".into());
    let yes = given(true, &other, &room);
    for (state, four_eyes, given, now, expected) in [
        (Waiting, true, yes, 0, Settle(Approved)),
        (Deferred, true, yes, 99, Settle(Approved)),
        (Waiting, true, Given { approve: false, ..yes }, 0, Settle(Denied)),
        (Waiting, true, Given { by: &asker, ..yes }, 0, Refuse(Refusal::NotTheAsker)),
        (Waiting, true, Given { by: &asker, approve: false, ..yes }, 0, Settle(Denied)),
        (Waiting, false, Given { by: &asker, ..yes }, 0, Settle(Approved)),
        (Waiting, true, yes, 100, Late),
        (Waiting, true, Given { edited: true, ..yes }, 0, Refuse(Refusal::Edited)),
        (Waiting, true, Given { before: true, ..yes }, 0, Refuse(Refusal::SaidBefore)),
        (Waiting, true, Given { room: &elsewhere, ..yes }, 0, Refuse(Refusal::AnotherRoom)),
        (Approved, true, yes, 0, Refuse(Refusal::Already { approved: true })),
        (Approved, true, Given { approve: false, ..yes }, 0, Refuse(Refusal::Already { approved: true })),
        (Denied, true, yes, 200, Refuse(Refusal::Already { approved: false })),
        (TimedOut, true, yes, 200, Refuse(Refusal::TooLate)),
        (Withdrawn, true, yes, 0, Refuse(Refusal::Void)),
    ] {
        let got = step(&row(state), four_eyes, Event::Answer(given), Timestamp(now), false);
        assert_eq!(got, expected, "{state:?} {given:?} at {now}");
    }
    assert_eq!(
        step(&row(Waiting), false, Event::Answer(yes), Timestamp(0), true),
        Late,
        "the steady clock counts too"
    );
}

#[test]
fn time_reminds_once_and_closes_once() {
    use ApprovalState::{Approved, TimedOut, Waiting};
    let at = |row: &ApprovalRow, now, over| step(row, false, Event::Time, Timestamp(now), over);
    let mut waiting = row(Waiting);
    assert_eq!(at(&waiting, 49, false), Effect::Nothing);
    assert_eq!(at(&waiting, 50, false), Effect::Remind);
    waiting.reminded = true;
    assert_eq!(at(&waiting, 99, false), Effect::Nothing);
    assert_eq!(at(&waiting, 100, false), Effect::Settle(TimedOut));
    assert_eq!(at(&waiting, -1_000_000, true), Effect::Settle(TimedOut), "a clock that jumped back");
    assert_eq!(at(&row(Approved), 1_000, true), Effect::Nothing);
    assert_eq!(step(&row(Approved), false, Event::Withdraw, Timestamp(0), false), Effect::Nothing);
}

#[test]
fn only_the_very_call_is_released_and_once() {
    let session = SessionId::from("s");
    let call = Presented { session: &session, tool: "Bash", digest: "d" };
    assert_eq!(release(&row(ApprovalState::Approved), call), Release::Run);
    for changed in [
        Presented { digest: "e", ..call },
        Presented { tool: "bash", ..call },
        Presented { session: &"t".into(), ..call },
    ] {
        assert_eq!(release(&row(ApprovalState::Approved), changed), Release::Changed);
    }
    let used = ApprovalRow { used: true, ..row(ApprovalState::Approved) };
    assert_eq!(release(&used, call), Release::Used);
    assert_eq!(release(&row(ApprovalState::Deferred), call), Release::Open);
    assert_eq!(release(&row(ApprovalState::TimedOut), call), Release::TimedOut);
    assert_eq!(release(&row(ApprovalState::Withdrawn), call), Release::Void);
}

/// What the store does, one commit at a time.
struct Model {
    row: ApprovalRow,
    decisions: Vec<(ApprovalState, String)>,
    runs: Vec<String>,
}

#[derive(Clone, Debug)]
enum Act {
    Answer { approve: bool, by: &'static str, here: bool, edited: bool, at: i64 },
    Time(i64),
    Withdraw,
    Defer,
    TakeUp,
    Present(&'static str),
}

/// What was decided on a look at the row, to be committed later.
enum Pending {
    Settle(ApprovalState, String),
    Run(String),
}

impl Model {
    fn look(&self, act: &Act) -> Option<Pending> {
        let (here, elsewhere) = ("room".into(), "x".into());
        let session = SessionId::from("s");
        match act {
            Act::Answer { approve, by, here: is_here, edited, at } => {
                let room = if *is_here { &here } else { &elsewhere };
                let by_id = UserId::from(*by);
                let given = Given { approve: *approve, by: &by_id, room, edited: *edited, before: false };
                match step(&self.row, true, Event::Answer(given), Timestamp(*at), false) {
                    Effect::Settle(state) => Some(Pending::Settle(state, (*by).to_owned())),
                    Effect::Late => Some(Pending::Settle(ApprovalState::TimedOut, String::new())),
                    _ => None,
                }
            }
            Act::Time(at) => match step(&self.row, true, Event::Time, Timestamp(*at), false) {
                Effect::Settle(state) => Some(Pending::Settle(state, String::new())),
                _ => None,
            },
            Act::Withdraw => match step(&self.row, true, Event::Withdraw, Timestamp(0), false) {
                Effect::Settle(state) => Some(Pending::Settle(state, String::new())),
                _ => None,
            },
            Act::Present(digest) => {
                let call = Presented { session: &session, tool: "Bash", digest };
                (release(&self.row, call) == Release::Run).then(|| Pending::Run((*digest).to_owned()))
            }
            Act::Defer | Act::TakeUp => None,
        }
    }

    fn commit(&mut self, pending: Pending) {
        match pending {
            Pending::Settle(state, by) if is_open(self.row.state) => {
                self.row.state = state;
                self.decisions.push((state, by));
            }
            Pending::Run(digest) if !self.row.used && self.row.state == ApprovalState::Approved => {
                self.row.used = true;
                self.runs.push(digest);
            }
            _ => {}
        }
    }

    fn act(&mut self, act: &Act) {
        match (act, self.row.state) {
            (Act::Defer, ApprovalState::Waiting) => self.row.state = ApprovalState::Deferred,
            (Act::TakeUp, ApprovalState::Deferred) => self.row.state = ApprovalState::Waiting,
            _ => {}
        }
    }
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (any::<bool>(), prop::sample::select(vec!["alice", "bob", "asker"]), any::<bool>(), any::<bool>(), 0..200_i64)
            .prop_map(|(approve, by, here, edited, at)| Act::Answer { approve, by, here, edited, at }),
        2 => (0..200_i64).prop_map(Act::Time),
        1 => Just(Act::Withdraw),
        1 => Just(Act::Defer),
        1 => Just(Act::TakeUp),
        4 => prop::sample::select(vec!["d", "e"]).prop_map(Act::Present),
    ]
}

proptest! {
    /// Looks and commits of different actors interleave as they like: answers, deadlines, deferrals, calls.
    #[test]
    fn nothing_runs_that_was_not_approved_exactly(acts in prop::collection::vec((act(), any::<prop::sample::Index>()), 0..40)) {
        let mut model = Model { row: row(ApprovalState::Waiting), decisions: vec![], runs: vec![] };
        let mut pending: Vec<Pending> = Vec::new();
        for (act, which) in &acts {
            model.act(act);
            pending.extend(model.look(act));
            if !pending.is_empty() && which.index(2) == 0 {
                let next = pending.swap_remove(which.index(pending.len()));
                model.commit(next);
            }
        }
        for rest in pending {
            model.commit(rest);
        }
        prop_assert!(model.decisions.len() <= 1, "{:?}", model.decisions);
        prop_assert!(model.runs.len() <= 1);
        if let Some(run) = model.runs.first() {
            prop_assert_eq!(run, "d");
            let (state, by) = &model.decisions[0];
            prop_assert_eq!(*state, ApprovalState::Approved);
            prop_assert!(by == "alice" || by == "bob", "four eyes");
            let approved = acts.iter().any(|(act, _)| matches!(act,
                Act::Answer { approve: true, by: who, here: true, edited: false, at } if who == by && *at < 100));
            prop_assert!(approved);
        }
    }
}
