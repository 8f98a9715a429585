//! Answers to permission questions: `approve a3k9`, `deny a3k9`, ✅ and ❌.
//!
//! Owns who is heard. Taken before the mention rule and the queue, so that an answer passes when the queue is full;
//! a text of somebody who may not approve is an ordinary one. Must never take a message twice, nor an edited one.

use std::time::Duration;

use acg_config::Person;
use acg_policy::approval::{Answer, Reach, parse};
use acg_store::{ApprovalRow, ApprovalState, CommandMessage, GrantScope, NewGrant, NewPart};
use acg_types::{Addressed, OutgoingKind, Room, RoomKind, Sender, Timestamp, ToolCall};
use tracing::{debug, info};

use super::{ConnectorIntake, failed, stored};
use crate::approvals::state::{self, Effect, Event, Given, Refusal};
use crate::approvals::{self, Asked, Closing, notice, texts};
use crate::connector::{Accepted, Inbound, IntakeError, Reaction};
use crate::hub::{Place, lock};
use crate::watchers::is_called;

/// How exactly the platform's clock is known, once it was heard; and how far it may be from ours before.
const CLOCK_HEARD: Duration = Duration::from_mins(1);
const CLOCK_UNKNOWN: Duration = Duration::from_mins(10);
/// The length of a question's code.
const CODE: usize = 4;

/// What is said to an answer, and done with it.
enum Reply {
    /// It is no answer for the gateway: an ordinary text.
    Ordinary,
    Say(String),
    /// Close the question like this; what is said stands there.
    Close(Box<Closing>, Box<Asked>),
    /// Its time was up.
    Late(Box<Asked>),
}

impl ConnectorIntake {
    /// Ties an approval room that was found to the word it is configured by. True if it is one.
    pub(super) fn open_for_questions(&self, room: &Room) -> bool {
        let words: Vec<_> = self.part.approval_words.iter().filter(|word| is_called(room, word)).collect();
        let mut known = lock(&self.part.approval_rooms);
        for word in &words {
            known.insert((*word).clone(), room.id.clone());
        }
        !words.is_empty()
    }

    /// Takes a message that answers a question. `None`: it is an ordinary one.
    pub(super) async fn answer(&self, inbound: &Inbound) -> Result<Option<Accepted>, IntakeError> {
        let message = &inbound.message;
        let parsed = parse(&message.text);
        if parsed.is_none() && !inbound.edited {
            return Ok(None);
        }
        let (room, id) = (&message.room.id, &message.id);
        if self.hub.store.is_command(&self.name, room, id).await.map_err(stored)? {
            if let Some(cursor) = inbound.cursor {
                self.hub.store.advance(&self.name, room, cursor).await.map_err(stored)?;
            }
            return Ok(Some(Accepted::Known));
        }
        let Some(answer) = parsed else { return Ok(None) };
        if !self.hub.store.known(&self.name, room, id).await.map_err(stored)?.is_empty() {
            // It went to an agent as an ordinary text; it does not become an answer by being read again.
            return Ok(None);
        }
        let command = CommandMessage {
            connector: self.name.clone(),
            room: room.clone(),
            message: id.clone(),
            cursor: inbound.cursor,
        };
        let place =
            Place { connector: self.name.clone(), room: room.clone(), thread: message.thread.clone() };
        // Twice at most: who is late closes the question as timed out, and is then told so.
        for _ in 0..2 {
            match self.reply(inbound, &answer, &place).await? {
                Reply::Ordinary => return Ok(None),
                Reply::Say(text) => {
                    self.say(&command, &place, &text).await?;
                    return Ok(Some(Accepted::Known));
                }
                Reply::Close(closing, asked) => {
                    let closing = Closing { command: Some(command.clone()), ..*closing };
                    let verdict = closing.state;
                    if !approvals::close(&self.hub, &asked, closing).await.map_err(failed)?
                        && !self.said_the_same(&asked, verdict, &message.sender).await?
                        // The store noted the command all the same: what is left is to say who was quicker.
                        && let Reply::Say(text) = self.reply(inbound, &answer, &place).await?
                    {
                        self.hub.notice(&place, &text).await.map_err(failed)?;
                    }
                    return Ok(Some(Accepted::Known));
                }
                Reply::Late(asked) => {
                    approvals::expire(&self.hub, &asked, true).await.map_err(failed)?;
                }
            }
        }
        Ok(None)
    }

    /// Whether the question was closed by this very person in this very way: by the same message, offered twice at
    /// the same time, or by a reaction beside it.
    async fn said_the_same(
        &self,
        asked: &Asked,
        verdict: ApprovalState,
        sender: &Sender,
    ) -> Result<bool, IntakeError> {
        let row = self.hub.store.approval(asked.row.id).await.map_err(stored)?;
        Ok(row.is_some_and(|row| row.state == verdict && row.decided_by.as_ref() == Some(&sender.id)))
    }

    /// Answers a command that decides nothing, once.
    async fn say(&self, command: &CommandMessage, place: &Place, text: &str) -> Result<(), IntakeError> {
        let parts: Vec<NewPart> =
            self.hub.parts(place, OutgoingKind::Notice, text, None).map_err(|error| failed(error.into()))?;
        self.hub.store.command_seen(command.clone(), parts, self.hub.clock.now()).await.map_err(stored)?;
        self.hub.wake_outbox(&place.connector, &place.room);
        Ok(())
    }

    async fn reply(&self, inbound: &Inbound, answer: &Answer, place: &Place) -> Result<Reply, IntakeError> {
        let message = &inbound.message;
        let (code, approve, reach) = match answer {
            Answer::Approve { code, reach } => (code, true, *reach),
            Answer::Deny { code } => (code, false, Reach::Once),
        };
        let asked = match self.hub.broker.by_code(&self.name, code) {
            Some(asked) => Some(asked),
            None if code.len() == CODE => self.stored_question(code).await?,
            None => None,
        };
        let Some(asked) = asked else { return self.unknown(inbound, code).await };
        let list = asked.facts.people.as_deref();
        if !self.approves(list, &message.sender, inbound.own.is_some()).await? {
            return Ok(Reply::Ordinary);
        }
        let given = Given {
            approve,
            by: &message.sender.id,
            room: &message.room.id,
            edited: inbound.edited,
            before: self.said_before(message.sent_at, asked.row.approval.asked_at),
        };
        let now = self.hub.clock.now();
        Ok(match state::step(&asked.row, asked.facts.four_eyes, Event::Answer(given), now, asked.over) {
            Effect::Settle(ApprovalState::Approved) => approval(asked, &message.sender, reach, place.clone()),
            Effect::Settle(state) => {
                let text = texts::denied(&asked.row.approval.code);
                Reply::Close(Box::new(decided(state, &message.sender, place.clone(), text)), Box::new(asked))
            }
            Effect::Late => Reply::Late(Box::new(asked)),
            Effect::Refuse(refusal) => Reply::Say(refused(&asked.row, &refusal)),
            Effect::Nothing | Effect::Remind => Reply::Ordinary,
        })
    }

    /// A code that nobody knows. Only who may approve, and seems to speak to the gateway, is told so.
    async fn unknown(&self, inbound: &Inbound, code: &str) -> Result<Reply, IntakeError> {
        let message = &inbound.message;
        let open = self.hub.broker.in_room(&self.name, &message.room.id);
        let to_us = message.room.kind == RoomKind::Direct || message.addressed != Addressed::Nobody;
        if open.is_empty() && !to_us {
            return Ok(Reply::Ordinary);
        }
        let lists = lock(&self.hub.watchers).all_of(&self.name, &message.room.id);
        let lists = lists.into_iter().map(|watcher| watcher.config.people.clone());
        for list in lists.chain(open.into_iter().map(|asked| asked.facts.people)) {
            if self.approves(list.as_deref(), &message.sender, inbound.own.is_some()).await? {
                let text = if code.len() == CODE { texts::no_pending(code) } else { texts::invalid(code) };
                return Ok(Reply::Say(text));
            }
        }
        Ok(Reply::Ordinary)
    }

    /// A question that is not in the table, with what is known of its room: one that is closed.
    async fn stored_question(&self, code: &str) -> Result<Option<Asked>, IntakeError> {
        let row = self.hub.store.approval_by_code(&self.name, code).await.map_err(stored)?;
        Ok(row.filter(|row| !state::is_open(row.state)).map(|row| {
            let asked = &row.approval;
            let watcher = lock(&self.hub.watchers)
                .all_of(&self.name, &asked.origin)
                .into_iter()
                .find(|watcher| watcher.config.agent == asked.agent);
            let people = watcher.map_or_else(|| Some(Vec::new()), |watcher| watcher.config.people.clone());
            let facts = approvals::Facts { room_name: String::new(), people, four_eyes: true };
            Asked { row, facts, over: false }
        }))
    }

    async fn approves(
        &self,
        list: Option<&[Person]>,
        sender: &Sender,
        own: bool,
    ) -> Result<bool, IntakeError> {
        Ok(self.role(list, sender, own).await?.is_some_and(|role| self.hub.may_approve(&role)))
    }

    /// Whether a message is older than a question. Two clocks are compared: what is nearer than they are known to
    /// agree is not older.
    fn said_before(&self, sent_at: Timestamp, asked_at: Timestamp) -> bool {
        let heard = lock(&self.part.platform_clock).is_some();
        let slack = if heard { CLOCK_HEARD } else { CLOCK_UNKNOWN };
        let ahead = self.hub.platform_now(&self.name).0.saturating_sub(self.hub.clock.now().0);
        sent_at < Timestamp(asked_at.0.saturating_add(ahead)).before(slack)
    }

    /// A reaction on a question. Who may not approve is not answered: anybody can react.
    pub(super) async fn reaction(&self, reaction: Reaction) -> Result<(), IntakeError> {
        let Some(approve) = verdict(&reaction.emoji) else { return Ok(()) };
        if !self.part.capabilities.reactions {
            return Ok(());
        }
        let Some(asked) = self.hub.broker.shown_by(&self.name, &reaction.room, &reaction.message) else {
            return Ok(());
        };
        let sender = &reaction.sender;
        if !self.approves(asked.facts.people.as_deref(), sender, false).await? {
            debug!(connector = %self.name, from = %sender.username, "A reaction of somebody who may not approve.");
            return Ok(());
        }
        let given = Given { approve, by: &sender.id, room: &reaction.room, edited: false, before: false };
        let place = approvals::place(&asked.row);
        let code = asked.row.approval.code.clone();
        let now = self.hub.clock.now();
        match state::step(&asked.row, asked.facts.four_eyes, Event::Answer(given), now, asked.over) {
            Effect::Settle(state) => {
                let text = match state {
                    ApprovalState::Approved => texts::approved(&code, Reach::Once, None),
                    _ => texts::denied(&code),
                };
                let mut closing = decided(state, sender, place, text);
                BY_REACTION.clone_into(&mut closing.reason);
                if !approvals::close(&self.hub, &asked, closing).await.map_err(failed)? {
                    info!(code = %code, "A reaction came after another answer.");
                }
            }
            Effect::Late => {
                approvals::expire(&self.hub, &asked, true).await.map_err(failed)?;
            }
            Effect::Refuse(refusal) if self.hub.broker.tell(asked.row.id, &sender.id) => {
                self.hub.notice(&place, &refused(&asked.row, &refusal)).await.map_err(failed)?;
            }
            Effect::Refuse(_) | Effect::Nothing | Effect::Remind => {}
        }
        Ok(())
    }
}

/// What the record says of how an answer came.
const BY_REACTION: &str = "by reaction";
const BY_MESSAGE: &str = "by message";

/// An approval, as far as it was asked to reach.
fn approval(asked: Asked, sender: &Sender, reach: Reach, place: Place) -> Reply {
    let row = &asked.row.approval;
    let (scope, words) = match reach {
        Reach::Once => (None, None),
        Reach::Session => (Some(GrantScope::Session(row.session.clone())), None),
        Reach::Always => match stored_call(&asked.row).and_then(|call| notice::always(&call)) {
            Ok(words) => (Some(GrantScope::Always), Some(words)),
            Err(why) => return Reply::Say(texts::not_always(&row.code, &why)),
        },
    };
    let text = texts::approved(&row.code, reach, words.as_deref());
    let mut closing = decided(ApprovalState::Approved, sender, place, text);
    let shown = words.unwrap_or_else(|| format!("the same call of {}, in this session", row.tool));
    closing.grant = scope.map(|scope| NewGrant {
        scope,
        connector: row.connector.clone(),
        room: row.origin.clone(),
        agent: row.agent.clone(),
        role: row.role.clone(),
        tool: row.tool.clone(),
        sameness: row.sameness.clone(),
        shown: shown.clone(),
        by: sender.id.clone(),
        by_name: sender.username.clone(),
    });
    if closing.grant.is_some() {
        closing.reason = format!("allowed: {shown}");
    }
    Reply::Close(Box::new(closing), Box::new(asked))
}

fn decided(state: ApprovalState, sender: &Sender, place: Place, text: String) -> Closing {
    Closing {
        state,
        by: Some((sender.id.clone(), sender.username.clone())),
        grant: None,
        say: vec![(place, text)],
        command: None,
        reason: BY_MESSAGE.to_owned(),
    }
}

fn refused(row: &ApprovalRow, refusal: &Refusal) -> String {
    let code = &row.approval.code;
    match refusal {
        Refusal::AnotherRoom => texts::another_room(code),
        Refusal::Edited => texts::edited(code),
        Refusal::SaidBefore => texts::said_before(code),
        Refusal::NotTheAsker => texts::not_the_asker(code),
        Refusal::TooLate => texts::too_late(code),
        Refusal::Already { approved } => texts::already(code, *approved, row.decided_by_name.as_deref()),
        Refusal::Void => texts::was_void(code),
    }
}

/// The call as it was asked about.
fn stored_call(row: &ApprovalRow) -> Result<ToolCall, String> {
    let asked = &row.approval;
    let params =
        serde_json::from_str(&asked.params).map_err(|_| "its input cannot be read any more".to_owned())?;
    Ok(ToolCall {
        agent: asked.agent.clone(),
        tool: asked.tool.clone(),
        params,
        raw: asked.params.clone(),
        call_id: asked.call_id.clone(),
    })
}

/// ✅ and ❌, in any presentation. Everything else says nothing.
fn verdict(emoji: &str) -> Option<bool> {
    match emoji.trim_end_matches(['\u{fe0e}', '\u{fe0f}']) {
        "✅" => Some(true),
        "❌" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_two_reactions_say_something() {
        for (emoji, expected) in [
            ("✅", Some(true)),
            ("❌", Some(false)),
            ("❌\u{fe0f}", Some(false)),
            ("👍", None),
            ("✔️", None),
            ("✅❌", None),
            ("", None),
        ] {
            assert_eq!(verdict(emoji), expected, "{emoji}");
        }
    }
}
