//! What the platform saw, against what was said to it: what was lost, doubled, out of order, half, or run twice.
//!
//! A pure function of the fake server's own record and of the agent's journal. Must never look into the gateway: its
//! store and its log may say what they like. Whatever the gateway posted that is in no table here is a finding too, so
//! that nothing is explained away by a word that nobody knows.

mod account;
mod order;
mod parts;
mod report;
#[cfg(test)]
mod tests;
mod tools;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use crate::journal::Entry;
use crate::speech::{self, Task};

pub use report::{Counts, Report};
use words::Sign;

/// A message as the platform holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post {
    /// The platform's id of it.
    pub id: String,
    /// The room's id.
    pub room: String,
    /// The id of the message whose thread it is in.
    pub thread: Option<String>,
    /// The account that said it is the gateway's.
    pub ours: bool,
    /// What is said.
    pub text: String,
    /// By the platform's clock, epoch milliseconds. The clock may have jumped: the order is that of the list.
    pub at: i64,
}

/// Everything that the platform saw.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// In the order in which the platform took them.
    pub posts: Vec<Post>,
    /// Ids of messages that reached the gateway the wrong way round, because a fault wanted it so.
    pub swapped: Vec<(String, String)>,
}

/// What was allowed to happen.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Several messages may become one turn.
    pub gathered: bool,
    /// A full queue, or somebody who says too much, is refused.
    pub refusals: bool,
    /// Rooms in which every thread is a conversation of its own.
    pub threads: BTreeSet<String>,
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Violation {
    /// The harness meant to say it, and the platform does not know it.
    NotSaid { mark: String },
    /// Neither answered nor accounted for by a word in the room.
    Lost { mark: String, room: String },
    /// A sign of an answer is there more often than it was asked for.
    Doubled { mark: String, times: usize },
    /// Signs of an answer are missing, and nobody was told that it was cut off.
    Half { mark: String, have: usize, of: usize },
    /// The parts of one answer stand in another order than they belong.
    PartsOutOfOrder { mark: String },
    /// Two messages of one conversation were answered the wrong way round.
    OutOfOrder { room: String, first: String, second: String },
    /// An answer stands in another room or thread than what it answers.
    Misplaced { mark: String },
    /// An answer to what nobody asked.
    Invented { mark: String },
    /// More words that a turn ended badly than there are messages without an answer.
    TooManyNotices { room: String, notices: usize, unanswered: usize },
    /// A tool ran more often than people allowed it.
    ToolTwice { mark: String, runs: usize, approvals: usize },
    /// The gateway said something that this audit does not know.
    UnknownWords { room: String, text: String },
}

impl Violation {
    /// The kind of it, for counting.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NotSaid { .. } => "not said",
            Self::Lost { .. } => "lost",
            Self::Doubled { .. } => "doubled",
            Self::Half { .. } => "half answers",
            Self::PartsOutOfOrder { .. } => "parts out of order",
            Self::OutOfOrder { .. } => "out of order",
            Self::Misplaced { .. } => "misplaced",
            Self::Invented { .. } => "invented",
            Self::TooManyNotices { .. } => "too many notices",
            Self::ToolTwice { .. } => "tools run twice without a second approval",
            Self::UnknownWords { .. } => "unknown words",
        }
    }

    /// Every kind, in the order in which they are printed.
    pub const KINDS: &'static [&'static str] = &[
        "not said",
        "lost",
        "doubled",
        "out of order",
        "parts out of order",
        "half answers",
        "misplaced",
        "invented",
        "too many notices",
        "tools run twice without a second approval",
        "unknown words",
    ];
}

/// A message that wants an answer.
#[derive(Clone, Debug)]
struct Asked<'a> {
    mark: String,
    tasks: Vec<Task>,
    post: &'a Post,
    /// Its place in the platform's list.
    at: usize,
}

/// A sign of an answer, and where it stands.
#[derive(Clone, Copy, Debug)]
struct Found {
    sign: Sign,
    /// The place of its post in the platform's list.
    at: usize,
}

/// The room, and the thread where threads are conversations of their own.
type Conversation<'a> = (&'a str, Option<&'a str>);

/// The record, sorted for the questions that the audit asks.
#[derive(Debug)]
struct Scene<'a> {
    seen: &'a Seen,
    rules: &'a Rules,
    /// By mark.
    asked: BTreeMap<String, Asked<'a>>,
    /// Marks by conversation, in the platform's order.
    conversations: BTreeMap<Conversation<'a>, Vec<String>>,
    /// Every sign of an answer by mark, as they stand.
    answers: BTreeMap<String, Vec<Found>>,
}

impl<'a> Scene<'a> {
    fn of(seen: &'a Seen, rules: &'a Rules) -> Self {
        let mut scene = Self {
            seen,
            rules,
            asked: BTreeMap::new(),
            conversations: BTreeMap::new(),
            answers: BTreeMap::new(),
        };
        for (at, post) in seen.posts.iter().enumerate() {
            if post.ours {
                for (sign, mark) in words::signs(&post.text) {
                    scene.answers.entry(mark.to_owned()).or_default().push(Found { sign, at });
                }
                continue;
            }
            let tasks = speech::tasks(&post.text);
            if let Some(first) = tasks.first() {
                let mark = first.mark.clone();
                scene.conversations.entry(scene.conversation(post)).or_default().push(mark.clone());
                scene.asked.insert(mark.clone(), Asked { mark, tasks, post, at });
            }
        }
        scene
    }

    fn conversation(&self, post: &'a Post) -> Conversation<'a> {
        let own = self.rules.threads.contains(&post.room);
        (&post.room, post.thread.as_deref().filter(|_| own))
    }

    /// The place of the first sign of an answer.
    fn answered_at(&self, mark: &str) -> Option<usize> {
        self.answers.get(mark)?.first().map(|found| found.at)
    }
}

/// Compares. `sent`: the marks that the harness knows it has said.
pub fn audit(seen: &Seen, sent: &[String], journal: &[Entry], rules: &Rules) -> Report {
    let scene = Scene::of(seen, rules);
    let mut report = Report::default();
    report.counts.sent = sent.len();
    for mark in sent {
        if !scene.asked.contains_key(mark.as_str()) {
            report.add(Violation::NotSaid { mark: mark.clone() });
        }
    }
    parts::check(&scene, &mut report);
    order::check(&scene, &mut report);
    account::check(&scene, &mut report);
    tools::check(&scene, journal, &mut report);
    report.violations.sort();
    report.violations.dedup();
    report
}

/// The code of a question of the gateway, and the mark of what it is about.
pub fn question(post: &Post) -> Option<(&str, &str)> {
    let asks = post.ours && words::kind(&post.text) == words::Kind::Question;
    asks.then(|| words::code(&post.text).zip(words::asked_for(&post.text))).flatten()
}
