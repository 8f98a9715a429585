//! A random walk: the store against a model of a few lines, with restarts in between.

use std::collections::BTreeMap;
use std::path::Path;

use acg_store::{AcceptOutcome, InboxState, PartState, Refusal, Store, TurnState};
use acg_types::{ConversationId, InboxId, OutboxId, Role, TurnId};
use proptest::prelude::*;

use crate::support::{NOW, message, part, record};

const ROOMS: [&str; 2] = ["r0", "r1"];
const LIMIT: u32 = 3;

#[derive(Clone, Debug)]
enum Step {
    Accept { room: usize, id: u8 },
    Withdraw { room: usize, id: u8 },
    Begin { room: usize },
    Sent { turn: usize },
    Requeue { turn: usize },
    Defer { turn: usize },
    TakeUp { turn: usize },
    End { turn: usize, parts: u8 },
    Attempt { part: usize },
    Deliver { part: usize },
    Fail { part: usize, ambiguous: bool },
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let room = 0..ROOMS.len();
    prop_oneof![
        6 => (room.clone(), 0..20_u8).prop_map(|(room, id)| Step::Accept { room, id }),
        1 => (room.clone(), 0..20_u8).prop_map(|(room, id)| Step::Withdraw { room, id }),
        4 => room.prop_map(|room| Step::Begin { room }),
        3 => (0..6_usize).prop_map(|turn| Step::Sent { turn }),
        1 => (0..6_usize).prop_map(|turn| Step::Requeue { turn }),
        2 => (0..6_usize).prop_map(|turn| Step::Defer { turn }),
        1 => (0..6_usize).prop_map(|turn| Step::TakeUp { turn }),
        4 => (0..6_usize, 0..3_u8).prop_map(|(turn, parts)| Step::End { turn, parts }),
        2 => (0..8_usize).prop_map(|part| Step::Attempt { part }),
        2 => (0..8_usize).prop_map(|part| Step::Deliver { part }),
        1 => (0..8_usize, any::<bool>()).prop_map(|(part, ambiguous)| Step::Fail { part, ambiguous }),
        1 => Just(Step::Reopen),
    ]
}

/// What the store should hold.
#[derive(Default)]
struct Model {
    /// By (room, message): row, state, turn.
    inbox: BTreeMap<(usize, u8), (InboxId, InboxState, Option<TurnId>)>,
    conversations: BTreeMap<usize, ConversationId>,
    turns: Vec<(TurnId, Option<TurnState>)>,
    /// Row, state, attempts, in order.
    outbox: Vec<(OutboxId, PartState, u32)>,
    keys: u32,
}

impl Model {
    fn set_turn(&mut self, turn: TurnId, state: InboxState, keep: bool) {
        for row in self.inbox.values_mut().filter(|row| row.2 == Some(turn)) {
            row.1 = state;
            row.2 = row.2.filter(|_| keep);
        }
    }

    fn oldest(&self, room: usize) -> Option<InboxId> {
        let waiting = |((of, _), row): (&(usize, u8), &(InboxId, InboxState, Option<TurnId>))| {
            (*of == room && row.1 == InboxState::Waiting).then_some(row.0)
        };
        self.inbox.iter().filter_map(waiting).min()
    }

    async fn take(&mut self, store: &Store, step: &Step) {
        let rc = "rc".into();
        match *step {
            Step::Accept { room, id } => {
                let new = message(ROOMS[room], "agent", &id.to_string());
                let outcome = store.accept(new, LIMIT, None, NOW).await.unwrap();
                let waiting = |row: &&(InboxId, InboxState, Option<TurnId>)| row.1 == InboxState::Waiting;
                let of_room = self.inbox.iter().filter(|(key, _)| key.0 == room).map(|(_, row)| row);
                let full = of_room.filter(waiting).count() >= LIMIT as usize;
                match (outcome, self.inbox.get(&(room, id))) {
                    (AcceptOutcome::Known(row, _, state), Some(known)) => {
                        assert_eq!((row, state), (known.0, known.1));
                    }
                    (AcceptOutcome::Refused(row, conversation, Refusal::QueueFull, false), None) if full => {
                        self.inbox.insert((room, id), (row, InboxState::Refused, None));
                        assert_eq!(*self.conversations.entry(room).or_insert(conversation), conversation);
                    }
                    (AcceptOutcome::New(row, conversation), None) if !full => {
                        self.inbox.insert((room, id), (row, InboxState::Waiting, None));
                        assert_eq!(*self.conversations.entry(room).or_insert(conversation), conversation);
                    }
                    (outcome, known) => panic!("{outcome:?} for {known:?}, full: {full}"),
                }
            }
            Step::Withdraw { room, id } => {
                let done =
                    store.withdraw(&rc, &ROOMS[room].into(), &id.to_string().into()).await.unwrap() > 0;
                let waits = self.inbox.get_mut(&(room, id)).filter(|row| row.1 == InboxState::Waiting);
                assert_eq!(done, waits.is_some());
                if let Some(row) = waits {
                    row.1 = InboxState::Withdrawn;
                }
            }
            Step::Begin { room } => {
                let Some(conversation) = self.conversations.get(&room) else { return };
                let next = store.next_waiting(*conversation).await.unwrap().map(|row| row.id);
                assert_eq!(next, self.oldest(room));
                let Some(next) = next else { return };
                let turn =
                    store.begin_turn(*conversation, &[next], &Role::guest(), NOW).await.unwrap().unwrap();
                assert!(self.turns.iter().all(|(known, _)| *known < turn));
                self.turns.push((turn, Some(TurnState::Begun)));
                for row in self.inbox.values_mut().filter(|row| row.0 == next) {
                    (row.1, row.2) = (InboxState::Running, Some(turn));
                }
            }
            Step::Sent { turn } => {
                let Some((id, state)) = pick(&mut self.turns, turn) else { return };
                let open = !matches!(state, None | Some(TurnState::Ended));
                assert_eq!(store.turn_sent(*id, &"s".into()).await.is_ok(), open);
                if open {
                    *state = Some(TurnState::Sent);
                }
            }
            Step::Requeue { turn } => {
                let Some((id, state)) = pick(&mut self.turns, turn) else { return };
                let (id, open) = (*id, !matches!(state, None | Some(TurnState::Ended)));
                assert_eq!(store.requeue_turn(id).await.is_ok(), open);
                if open {
                    *state = None;
                    self.set_turn(id, InboxState::Waiting, false);
                }
            }
            Step::Defer { turn } => {
                let Some((id, state)) = pick(&mut self.turns, turn) else { return };
                let deferred = store.defer_turn(*id, None).await;
                assert_eq!(deferred.is_err(), matches!(state, None | Some(TurnState::Ended)));
                if deferred.unwrap_or(false) {
                    assert_eq!(*state, Some(TurnState::Sent));
                    *state = Some(TurnState::Deferred);
                } else {
                    assert_ne!(*state, Some(TurnState::Sent));
                }
            }
            Step::TakeUp { turn } => {
                let Some((id, state)) = pick(&mut self.turns, turn) else { return };
                let deferred = *state == Some(TurnState::Deferred);
                assert_eq!(store.take_up_turn(*id, NOW).await.unwrap(), deferred);
                if deferred {
                    *state = Some(TurnState::Sent);
                }
            }
            Step::End { turn, parts } => {
                let Some((id, state)) = pick(&mut self.turns, turn) else { return };
                let (id, before) = (*id, *state);
                let keys = (0..parts).map(|_| {
                    self.keys += 1;
                    part("r0", &self.keys.to_string(), Some(id))
                });
                let ended = store.end_turn(record(id, keys.collect())).await;
                match before {
                    None => assert!(ended.is_err()),
                    Some(TurnState::Ended) => assert!(ended.unwrap().is_empty()),
                    Some(_) => {
                        let ids = ended.unwrap();
                        assert_eq!(ids.len(), usize::from(parts));
                        self.outbox.extend(ids.into_iter().map(|id| (id, PartState::Pending, 0)));
                        *state = Some(TurnState::Ended);
                        self.set_turn(id, InboxState::Done, true);
                    }
                }
            }
            Step::Attempt { part } => {
                let Some((id, state, attempts)) = pick(&mut self.outbox, part) else { return };
                let pending = *state == PartState::Pending;
                assert_eq!(store.attempt(*id).await.is_ok(), pending);
                *attempts += u32::from(pending);
            }
            Step::Deliver { part } => {
                let Some((id, state, _)) = pick(&mut self.outbox, part) else { return };
                let possible = *state != PartState::Failed;
                assert_eq!(store.part_sent(*id, &"remote".into(), NOW).await.is_ok(), possible);
                if possible {
                    *state = PartState::Sent;
                }
            }
            Step::Fail { part, ambiguous } => {
                let Some((id, state, _)) = pick(&mut self.outbox, part) else { return };
                let into = if ambiguous { PartState::Ambiguous } else { PartState::Failed };
                let pending = *state == PartState::Pending;
                assert_eq!(store.part_failed(*id, into, "reason", NOW).await.is_ok(), pending);
                if pending {
                    *state = into;
                }
            }
            Step::Reopen => {}
        }
    }

    async fn compare(&self, store: &Store) {
        for ((room, id), row) in &self.inbox {
            let known =
                store.known(&"rc".into(), &ROOMS[*room].into(), &id.to_string().into()).await.unwrap();
            assert_eq!(known, [(row.0, row.1)]);
        }
        let mut unfinished = store.unfinished_turns().await.unwrap();
        assert!(unfinished.iter().all(|turn| turn.state != TurnState::Deferred));
        unfinished.extend(store.deferred_turns().await.unwrap());
        unfinished.sort_by_key(|turn| turn.turn);
        let found: Vec<_> = unfinished.iter().map(|turn| (turn.turn, Some(turn.state))).collect();
        let open = |turn: &&(TurnId, Option<TurnState>)| !matches!(turn.1, None | Some(TurnState::Ended));
        assert_eq!(found, self.turns.iter().filter(open).copied().collect::<Vec<_>>());
        for turn in &unfinished {
            assert!(turn.messages.iter().all(|row| row.state == InboxState::Running));
            assert_eq!(turn.messages.len(), 1);
        }
        for (id, state, attempts) in &self.outbox {
            let row = store.part(*id).await.unwrap().unwrap();
            assert_eq!((row.state, row.attempts), (*state, *attempts));
        }
        let next = store.next_part(&"rc".into(), &"r0".into()).await.unwrap().map(|row| row.id);
        assert_eq!(next, self.outbox.iter().find(|row| row.1 == PartState::Pending).map(|row| row.0));
        let counts = store.counts().await.unwrap();
        let inbox = |state| self.inbox.values().filter(|row| row.1 == state).count() as u64;
        let outbox = |state| self.outbox.iter().filter(|row| row.1 == state).count() as u64;
        assert_eq!(counts.inbox_waiting, inbox(InboxState::Waiting));
        assert_eq!(counts.inbox_running, inbox(InboxState::Running));
        assert_eq!(counts.inbox_refused, inbox(InboxState::Refused));
        assert_eq!(counts.outbox_pending, outbox(PartState::Pending));
        assert_eq!(counts.outbox_failed, outbox(PartState::Failed));
        assert_eq!(counts.outbox_ambiguous, outbox(PartState::Ambiguous));
    }
}

/// One of the latest entries.
fn pick<T>(entries: &mut [T], back: usize) -> Option<&mut T> {
    let count = entries.len();
    entries.get_mut(count.checked_sub(back + 1)?)
}

async fn walk(path: &Path, steps: &[Step]) {
    let mut store = Store::open(path).unwrap();
    let mut model = Model::default();
    for step in steps {
        if matches!(step, Step::Reopen) {
            drop(store);
            store = Store::open(path).unwrap();
            model.compare(&store).await;
        }
        model.take(&store, step).await;
    }
    model.compare(&store).await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_store_agrees_with_its_model(steps in prop::collection::vec(step(), 1..80)) {
        let home = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(walk(&home.path().join("acg.db"), &steps));
    }
}
