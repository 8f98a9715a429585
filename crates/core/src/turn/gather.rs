//! Which of the messages that wait become one turn. Pure.
//!
//! Owns the rule. Must never change the order, leave one out, or put messages into one turn that differ in role,
//! thread or watcher; nor those of several people where a person may be asked about the turn's calls: a question
//! names one asker, and who else's words led to the call could then approve it.

use std::collections::{BTreeSet, HashSet};

use acg_config::{Collect, Config};
use acg_policy::{Otherwise, RolePolicy};
use acg_store::{InboxRow, NewMessage};
use acg_types::{AgentName, Role, WatcherName};

/// The rule with what the configuration says of it.
#[derive(Debug)]
pub(crate) struct Gathering {
    collect: Option<Collect>,
    /// Agent and role for which messages of several people may be one turn.
    together: HashSet<(AgentName, Role)>,
}

impl Gathering {
    pub(crate) fn new(config: &Config) -> Self {
        let roles = config.agents.iter().flat_map(|agent| {
            agent.policies.iter().map(move |(role, policy)| (&agent.name, role, policy.as_ref()))
        });
        let together = roles.filter(|(.., policy)| !may_ask(policy));
        Self {
            collect: config.limits.collect,
            together: together.map(|(agent, role, _)| (agent.clone(), role.clone())).collect(),
        }
    }

    /// How many messages, and characters, need to be looked at.
    pub(crate) fn window(&self) -> (u32, u32) {
        self.collect.map_or((1, 1), |collect| (collect.messages, collect.characters))
    }

    /// How many of the first of these become the turn; 0: the watcher is paused.
    pub(crate) fn choose(&self, rows: &[InboxRow], paused: &BTreeSet<WatcherName>) -> usize {
        let Some(first) = rows.first().map(|row| &row.message) else { return 0 };
        if paused.contains(&first.watcher) {
            return 0;
        }
        let key = (first.key.agent.clone(), first.role.clone());
        gather(rows.iter().map(|row| &row.message), self.collect, self.together.contains(&key))
    }
}

/// Whether people may be asked about a call under this policy.
fn may_ask(policy: &RolePolicy) -> bool {
    policy.otherwise == Otherwise::Ask && !policy.everything
}

/// How many of the first messages become one turn: at least one. `together`: those of several people may.
fn gather<'a>(
    messages: impl IntoIterator<Item = &'a NewMessage>,
    collect: Option<Collect>,
    together: bool,
) -> usize {
    let mut messages = messages.into_iter();
    let Some(first) = messages.next() else { return 0 };
    let Some(collect) = collect else { return 1 };
    let fits = |message: &NewMessage| {
        message.role == first.role
            && message.thread == first.thread
            && message.watcher == first.watcher
            && (together || message.sender.id == first.sender.id)
    };
    let mut characters = length(first);
    let mut taken = 1;
    for message in messages {
        characters = characters.saturating_add(length(message));
        let room = taken < collect.messages as usize && characters <= collect.characters as usize;
        if !room || !fits(message) {
            break;
        }
        taken += 1;
    }
    taken
}

fn length(message: &NewMessage) -> usize {
    message.text.chars().count()
}

#[cfg(test)]
mod tests {
    use acg_store::ConversationKey;
    use acg_types::{Addressed, Room, RoomKind, Sender, Timestamp};
    use proptest::prelude::*;

    use super::*;

    fn message(sender: &str, role: &str, thread: Option<&str>, text: &str) -> NewMessage {
        NewMessage {
            key: ConversationKey {
                connector: "rc".into(),
                room: "R".into(),
                agent: "a".into(),
                thread: None,
            },
            watcher: "w".into(),
            room: Room { id: "R".into(), name: "general".into(), kind: RoomKind::Channel, parent: None },
            message: "m".into(),
            thread: thread.map(Into::into),
            sender: Sender { id: sender.into(), username: sender.into(), display_name: None },
            role: Role::new(role),
            text: text.into(),
            addressed: Addressed::Me,
            sent_at: Timestamp(0),
            warnings: vec![],
        }
    }

    fn gathered(messages: &[NewMessage], most: u32, characters: u32, together: bool) -> usize {
        gather(messages, Some(Collect { messages: most, characters }), together)
    }

    #[test]
    fn one_role_one_thread_one_watcher() {
        let plain = || message("A", "owner", None, "x");
        assert_eq!(gathered(&[], 50, 100, true), 0);
        assert_eq!(gathered(&[plain(), plain(), plain()], 50, 100, true), 3);
        assert_eq!(gather(&[plain(), plain()], None, true), 1, "off");
        assert_eq!(gathered(&[plain(), message("A", "guest", None, "x"), plain()], 50, 100, true), 1);
        assert_eq!(gathered(&[plain(), plain(), message("A", "owner", Some("t"), "x")], 50, 100, true), 2);
        let other = NewMessage { watcher: "other".into(), ..plain() };
        assert_eq!(gathered(&[plain(), other], 50, 100, true), 1);
    }

    #[test]
    fn several_people_only_where_nobody_is_asked() {
        let two = [message("A", "owner", None, "x"), message("B", "owner", None, "x")];
        assert_eq!(gathered(&two, 50, 100, true), 2);
        assert_eq!(gathered(&two, 50, 100, false), 1);
        let policy = |otherwise, everything| RolePolicy { otherwise, everything, ..RolePolicy::default() };
        assert!(may_ask(&policy(Otherwise::Ask, false)));
        assert!(!may_ask(&policy(Otherwise::Ask, true)), "the owner's calls need no approval");
        assert!(
            !may_ask(&policy(Otherwise::Deny, false)) && !may_ask(&policy(Otherwise::OwnSettings, false))
        );
    }

    #[test]
    fn limits_are_kept_but_for_a_single_long_message() {
        let of = |length: usize| message("A", "owner", None, &"ü".repeat(length));
        assert_eq!(gathered(&[of(1), of(1), of(1)], 2, 100, true), 2);
        assert_eq!(gathered(&[of(4), of(6), of(1)], 50, 10, true), 2);
        assert_eq!(gathered(&[of(4), of(7)], 50, 10, true), 1);
        assert_eq!(gathered(&[of(1000), of(1)], 50, 10, true), 1);
    }

    fn any_message() -> impl Strategy<Value = NewMessage> {
        (0..2_u8, 0..2_u8, 0..2_u8, 0..2_u8, 0..30_usize).prop_map(
            |(sender, role, thread, watcher, length)| {
                let thread = (thread > 0).then_some("t");
                let text = "x".repeat(length);
                let message = message(&sender.to_string(), &role.to_string(), thread, &text);
                NewMessage { watcher: watcher.to_string().as_str().into(), ..message }
            },
        )
    }

    proptest! {
        /// What becomes one turn is the first so many: none is skipped, none changes its place, by the form of the
        /// answer. That they belong together, that the limits hold, and that there is always progress, is checked.
        #[test]
        fn a_turn_is_a_beginning_of_what_waits(
            messages in prop::collection::vec(any_message(), 0..30),
            most in 1..10_u32, characters in 1..80_u32, together: bool,
        ) {
            let count = gathered(&messages, most, characters, together);
            prop_assert_eq!(count == 0, messages.is_empty());
            prop_assert!(count <= messages.len() && count <= most as usize);
            let turn = &messages[..count];
            let total: usize = turn.iter().map(|message| message.text.len()).sum();
            prop_assert!(count <= 1 || total <= characters as usize);
            for message in turn {
                prop_assert_eq!(&message.role, &turn[0].role);
                prop_assert_eq!(&message.thread, &turn[0].thread);
                prop_assert_eq!(&message.watcher, &turn[0].watcher);
                prop_assert!(together || message.sender == turn[0].sender);
            }
            // As much as may be: the next one would break a rule.
            if let (Some(next), Some(first)) = (messages.get(count), messages.first()) {
                let belongs = next.role == first.role && next.thread == first.thread
                    && next.watcher == first.watcher && (together || next.sender == first.sender);
                let fits = count < most as usize && total + next.text.len() <= characters as usize;
                prop_assert!(!(belongs && fits));
            }
        }

        /// Turn after turn, everything is answered once and in order.
        #[test]
        fn all_of_it_is_answered_in_order(
            messages in prop::collection::vec(any_message(), 0..30), most in 1..10_u32, characters in 1..80_u32,
        ) {
            let mut rest = messages.as_slice();
            let mut seen = 0;
            while !rest.is_empty() {
                let count = gathered(rest, most, characters, true);
                prop_assert!(count > 0);
                seen += count;
                rest = &rest[count..];
            }
            prop_assert_eq!(seen, messages.len());
        }
    }
}
