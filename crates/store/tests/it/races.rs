//! Two answers at the same moment, and the chain after any sequence of what is recorded.

use acg_store::{ApprovalState, AuditCheck, GrantScope, NewAudit, Settlement, Store};
use acg_types::{ApprovalId, GrantId, Timestamp};
use proptest::prelude::*;

use crate::support::{NOW, allowance, answer, asked, command, entry, part, recorded};

const ANSWERS: [ApprovalState; 4] =
    [ApprovalState::Approved, ApprovalState::Denied, ApprovalState::TimedOut, ApprovalState::Withdrawn];

fn settlement(id: ApprovalId, state: ApprovalState, name: &str) -> Settlement {
    let approved = state == ApprovalState::Approved;
    Settlement {
        grant: approved.then(|| allowance(GrantScope::Always)),
        command: Some(command(name)),
        by: Some((name.into(), name.to_owned())),
        ..answer(id, state, vec![part("approvals", name, None)])
    }
}

/// Through one handle the queue orders them, through two (as two processes) the database does.
async fn race(first: ApprovalState, second: ApprovalState, beside: bool, turned: bool) {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("acg.db");
    let store = Store::open(&path).unwrap();
    let (_, id) = asked(&store, "r", "1", "a3k9").await;
    let other = if beside { Store::open_beside(&path).unwrap() } else { store.clone() };
    let one = async { store.settle(settlement(id, first, "one")).await.unwrap() };
    let two = async { other.settle(settlement(id, second, "two")).await.unwrap() };
    let (one, two) = if turned {
        let (two, one) = tokio::join!(two, one);
        (one, two)
    } else {
        tokio::join!(one, two)
    };
    assert!(one ^ two, "{one} {two}");
    let row = store.approval(id).await.unwrap().unwrap();
    let (state, name) = if one { (first, "one") } else { (second, "two") };
    assert_eq!((row.state, row.decided_by), (state, Some(name.into())));
    // The notice and one answer; asked and one decision; both commands.
    assert_eq!(store.counts().await.unwrap().outbox_pending, 2);
    assert_eq!(recorded(&store).await, 2);
    assert_eq!(store.grants(true).await.unwrap().len(), usize::from(state == ApprovalState::Approved));
    for name in ["one", "two"] {
        assert!(store.is_command(&"rc".into(), &"approvals".into(), &name.into()).await.unwrap());
    }
    let uses = (store.use_approval(id), other.use_approval(id));
    let uses = tokio::join!(uses.0, uses.1);
    let applies = u8::from(state != ApprovalState::Withdrawn);
    assert_eq!(u8::from(uses.0.unwrap()) + u8::from(uses.1.unwrap()), applies);
}

#[derive(Clone, Debug)]
enum Step {
    Record { minute: i64, reason: String, user: String },
    Ask,
    Answer { back: usize, state: usize },
    Grant { session: bool },
    Revoke { id: i64 },
    Prune { minute: i64 },
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..100_i64, any::<String>(), any::<String>())
            .prop_map(|(minute, reason, user)| Step::Record { minute, reason, user }),
        2 => Just(Step::Ask),
        3 => (0..3_usize, 0..4_usize).prop_map(|(back, state)| Step::Answer { back, state }),
        1 => any::<bool>().prop_map(|session| Step::Grant { session }),
        1 => (1..5_i64).prop_map(|id| Step::Revoke { id }),
        1 => (0..100_i64).prop_map(|minute| Step::Prune { minute }),
        1 => Just(Step::Reopen),
    ]
}

/// Every step checks that the record grew by as much as it must have, and is whole.
async fn walk(steps: Vec<Step>) {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("acg.db");
    let mut store = Store::open(&path).unwrap();
    let mut questions = Vec::new();
    let mut total = 0;
    for (number, step) in steps.into_iter().enumerate() {
        let minutes = |minute: i64| Timestamp(NOW.0 + minute * 60_000);
        total += match step {
            Step::Record { minute, reason, user } => {
                let new = NewAudit { at: minutes(minute), reason, username: user, ..entry("allowed") };
                store.record(new).await.unwrap();
                1
            }
            Step::Ask => {
                let code = format!("c{number}");
                questions.push(asked(&store, "r", &code, &code).await.1);
                1
            }
            Step::Answer { back, state } => match questions.len().checked_sub(back + 1) {
                Some(index) => {
                    let answer = settlement(questions[index], ANSWERS[state], &format!("m{number}"));
                    u64::from(store.settle(answer).await.unwrap())
                }
                None => 0,
            },
            Step::Grant { session } => {
                let scope = if session { GrantScope::Session("s".into()) } else { GrantScope::Always };
                store.grant(allowance(scope), NOW, entry("granted")).await.unwrap();
                1
            }
            Step::Revoke { id } => {
                u64::from(store.revoke_grant(GrantId(id), NOW, entry("revoked")).await.unwrap())
            }
            Step::Prune { minute } => {
                let expected = store.prunable_audit(minutes(minute)).await.unwrap();
                let removed = store.prune_audit(minutes(minute), entry("pruned")).await.unwrap();
                assert_eq!(removed, expected);
                u64::from(removed > 0)
            }
            Step::Reopen => {
                drop(store);
                store = Store::open(&path).unwrap();
                0
            }
        };
        match store.verify_audit().await.unwrap() {
            AuditCheck::Whole { entries, pruned, last, .. } => {
                assert_eq!((entries + pruned, u64::try_from(last).unwrap()), (total, total));
            }
            AuditCheck::Broken { seq, reason } => panic!("broken at {seq}: {reason}"),
        }
    }
}

fn run(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap().block_on(work);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn of_two_answers_one_counts(
        first in 0..4_usize, second in 0..4_usize, beside in any::<bool>(), turned in any::<bool>(),
    ) {
        run(race(ANSWERS[first], ANSWERS[second], beside, turned));
    }

    #[test]
    fn the_record_is_whole_after_any_sequence(steps in prop::collection::vec(step(), 1..40)) {
        run(walk(steps));
    }
}
