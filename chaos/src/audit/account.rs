//! Every message that has no answer is accounted for by what the room was told.
//!
//! The gateway's words name no message. But turns of a conversation end in order, and each ends with its answer or one
//! word, in that order too: between two answers there are as many words as messages without an answer. Where a fault has
//! left no order to go by, there are as many in all.

use std::collections::BTreeSet;

use super::order;
use super::words::{self, Kind};
use super::{Conversation, Post, Report, Scene, Violation};

/// A room is told that its queue is full at most every 30 seconds; and a little more, for posting it. Milliseconds.
const SAID_AGAIN: i64 = 40_000;

pub(super) fn check(scene: &Scene<'_>, report: &mut Report) {
    for post in scene.seen.posts.iter().filter(|post| post.ours) {
        match words::kind(&post.text) {
            Kind::Answer => {}
            Kind::Unknown => {
                let (room, text) = (post.room.clone(), post.text.clone());
                report.add(Violation::UnknownWords { room, text });
            }
            Kind::Refused if !scene.rules.refusals => {
                let (room, text) = (post.room.clone(), post.text.clone());
                report.add(Violation::UnknownWords { room, text });
            }
            Kind::Question => report.counts.questions += 1,
            Kind::Ended | Kind::Refused | Kind::Aside => report.counts.notices += 1,
        }
    }
    for (conversation, marks) in &scene.conversations {
        let gaps = Gaps::new(scene, *conversation);
        if order::nobody_can_tell(scene, marks) {
            let (answered, unanswered): (Vec<&str>, Vec<&str>) =
                marks.iter().map(String::as_str).partition(|mark| scene.answered_at(mark).is_some());
            report.counts.answered += answered.len();
            gaps.settle(report, unanswered, 0, scene.seen.posts.len());
            continue;
        }
        let mut unanswered: Vec<&str> = Vec::new();
        let mut from = 0;
        for mark in marks {
            match scene.answered_at(mark) {
                // Answered out of order: that is a finding of its own, and no gap can be told.
                Some(at) if at < from => report.counts.answered += 1,
                Some(at) => {
                    report.counts.answered += 1;
                    gaps.settle(report, std::mem::take(&mut unanswered), from, at);
                    from = at;
                }
                None => unanswered.push(mark),
            }
        }
        gaps.settle(report, unanswered, from, scene.seen.posts.len());
    }
    report.counts.gathered = gathered(scene);
}

/// How many messages share a post of their answers.
fn gathered(scene: &Scene<'_>) -> usize {
    let marks = |post: &Post| {
        words::signs(&post.text).into_iter().map(|(_, mark)| mark).collect::<BTreeSet<_>>().len()
    };
    scene.seen.posts.iter().filter(|post| post.ours).map(marks).filter(|marks| *marks > 1).sum()
}

/// The words between the answers of one conversation.
struct Gaps<'a> {
    /// The places of the words that a turn ended badly.
    ended: Vec<usize>,
    /// The places of the words that somebody is not heard.
    refused: Vec<usize>,
    conversation: Conversation<'a>,
    scene: &'a Scene<'a>,
}

impl<'a> Gaps<'a> {
    fn new(scene: &'a Scene<'a>, conversation: Conversation<'a>) -> Self {
        let ours = || scene.seen.posts.iter().enumerate().filter(|(_, post)| post.ours);
        let ended = ours()
            .filter(|(_, post)| {
                words::kind(&post.text) == Kind::Ended && scene.conversation(post) == conversation
            })
            .map(|(at, _)| at)
            .collect();
        // A room is told once for all its threads.
        let told = |post: &Post| post.room == conversation.0 && words::kind(&post.text) == Kind::Refused;
        let refused =
            ours().filter(|(_, post)| scene.rules.refusals && told(post)).map(|(at, _)| at).collect();
        Self { ended, refused, conversation, scene }
    }

    /// Accounts for the messages without an answer between two places of the platform's list.
    fn settle(&self, report: &mut Report, unanswered: Vec<&str>, from: usize, to: usize) {
        let room = self.conversation.0.to_owned();
        let words = self.ended.iter().filter(|at| (from..to).contains(at)).count();
        let excess = words.saturating_sub(unanswered.len());
        if excess > self.cut_off(from, to) {
            let unanswered = unanswered.len();
            report.add(Violation::TooManyNotices { room: room.clone(), notices: words, unanswered });
        }
        let told = if self.scene.rules.gathered && words > 0 { unanswered.len() } else { words };
        for (place, mark) in unanswered.into_iter().enumerate() {
            if place < told {
                report.counts.told += 1;
            } else if self.was_refused(mark) {
                report.counts.refused += 1;
            } else {
                report.add(Violation::Lost { mark: mark.to_owned(), room: room.clone() });
            }
        }
    }

    /// Whether the room was told about then: later, or a little before, as it is not told for every message.
    fn was_refused(&self, mark: &str) -> bool {
        let asked = &self.scene.asked[mark];
        self.refused.iter().any(|at| {
            let word = &self.scene.seen.posts[*at];
            *at > asked.at || asked.post.at - word.at <= SAID_AGAIN
        })
    }

    /// How many answers that begin between two places are not whole: each has a word of its own.
    fn cut_off(&self, from: usize, to: usize) -> usize {
        let answers = self.scene.answers.iter().filter(|(mark, found)| {
            let asked = self.scene.asked.get(*mark);
            let here = asked.is_some_and(|asked| self.scene.conversation(asked.post) == self.conversation);
            let begins = found.first().is_some_and(|first| (from..to).contains(&first.at));
            let whole = asked.is_none_or(|asked| found.len() >= words::wanted(&asked.tasks).len());
            here && begins && !whole
        });
        answers.count()
    }
}
