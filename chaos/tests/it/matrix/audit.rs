//! What must hold when all is quiet, judged from the platform's record and the agent's journal. Pure.
//!
//! Owns the words by which answers, questions and the gateway's own notices are told apart. Must never ask the gateway.

use std::collections::BTreeSet;

use acg_chaos::journal::{Entry, What};
use acg_chaos::speech::{Outcome, Task};

use super::stage::Post;

/// How the gateway says that a turn was cut off and is not gone on with.
const GIVEN_UP: &str = "the gateway was interrupted while the agent worked on your message";

/// How the gateway marks a post of which it does not know whether it was there already.
const MARK: &str = "(sent again: it is not known whether the first copy arrived)\n";

/// What became of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Every sign of its answer is there.
    Answered(Outcome),
    /// Some of them are.
    Half(String),
    Nothing,
}

/// Everything said in a room by the gateway, one post after the other.
pub(super) fn text_of(posts: &[Post]) -> String {
    posts.iter().map(|post| post.text.as_str()).collect::<Vec<_>>().join("\n")
}

/// How many posts say that they may be there twice.
pub(super) fn marked(posts: &[Post]) -> usize {
    posts.iter().filter(|post| post.text.starts_with(MARK)).count()
}

/// The posts as a reader takes them who knows what the mark means: a marked one counts only if its first copy never came.
pub(super) fn as_read(posts: &[Post]) -> Vec<Post> {
    let is_there = |text: &str| posts.iter().any(|post| post.text == text);
    let read = |post: &Post| match post.text.strip_prefix(MARK) {
        Some(text) if is_there(text) => None,
        Some(text) => Some(Post { text: text.to_owned(), ..post.clone() }),
        None => Some(post.clone()),
    };
    posts.iter().filter_map(read).collect()
}

/// What a room shows of a request.
pub(super) fn fate(room: &str, task: &Task) -> Fate {
    let mut seen = Vec::new();
    for outcome in [Outcome::Done, Outcome::Refused] {
        let signs = task.signs(outcome);
        let found = signs.iter().filter(|sign| room.contains(*sign)).count();
        if found == signs.len() {
            return Fate::Answered(outcome);
        }
        seen.extend(signs.into_iter().filter(|sign| room.contains(sign)));
    }
    seen.pop().map_or(Fate::Nothing, Fate::Half)
}

/// How often the room was told that a turn is not gone on with.
pub(super) fn given_up(room: &str) -> usize {
    room.matches(GIVEN_UP).count()
}

/// The codes of the permission questions in a room, in order, each as often as it was posted.
pub(super) fn questions(posts: &[Post]) -> Vec<(String, Post)> {
    let code = |post: &Post| {
        let (_, rest) = post.text.strip_prefix("🔐 **Permission required** ")?.split_once("`[")?;
        Some((rest.split_once("]`")?.0.to_owned(), post.clone()))
    };
    posts.iter().filter_map(code).collect()
}

/// How often a question was closed in the room, by a decision or as void.
pub(super) fn closings(room: &str, code: &str) -> usize {
    let words = [
        format!("✅ Permission `{code}` approved."),
        format!("❌ Permission `{code}` denied."),
        format!("⏱️ Permission `{code}` timed out"),
        format!("⚠️ The question `{code}` is void"),
    ];
    words.iter().map(|words| room.matches(words.as_str()).count()).sum()
}

/// What one room is expected to show.
pub(super) struct Expected<'a> {
    pub(super) room: &'a str,
    /// What was asked for there, in order.
    pub(super) tasks: &'a [Task],
    /// What of it may be left without an answer, because its turn was given up.
    pub(super) may_be_left: &'a BTreeSet<String>,
}

/// What is wrong with a room.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Faults {
    /// Something that should be there is not.
    pub(super) missing: Vec<String>,
    /// Something that is there should not be.
    pub(super) wrong: Vec<String>,
}

/// Every fault of a room. Its posts are taken as read.
pub(super) fn room_faults(expected: &Expected<'_>, posts: &[Post]) -> Faults {
    let mut faults = Faults::default();
    let posts = as_read(posts);
    let room = text_of(&posts);
    let name = expected.room;
    let mut last = 0;
    for task in expected.tasks {
        let words = task.words();
        for sign in [task.signs(Outcome::Done), task.signs(Outcome::Refused)].concat() {
            let times = room.matches(&sign).count();
            if times > 1 {
                faults.wrong.push(format!("#{name}: doubled: `{words}` shows {sign} {times} times"));
            }
        }
        match fate(&room, task) {
            Fate::Answered(outcome) => {
                for sign in task.signs(outcome) {
                    let at = room.find(&sign).unwrap_or_default();
                    if at < last {
                        faults
                            .wrong
                            .push(format!("#{name}: out of order: {sign} of `{words}` comes too early"));
                    }
                    last = last.max(at);
                }
            }
            Fate::Half(sign) => {
                faults.missing.push(format!("#{name}: half an answer: `{words}` shows {sign} and no more"));
            }
            Fate::Nothing if expected.may_be_left.contains(&task.mark) => {}
            Fate::Nothing => faults.missing.push(format!("#{name}: lost: `{words}` has no answer")),
        }
    }
    let questions = questions(&posts);
    let codes: BTreeSet<&String> = questions.iter().map(|(code, _)| code).collect();
    for code in codes {
        let times = questions.iter().filter(|(other, _)| other == code).count();
        if times != 1 {
            faults.wrong.push(format!("#{name}: doubled: the question {code} was put {times} times"));
        }
        match closings(&room, code) {
            0 => faults.missing.push(format!("#{name}: the question {code} was never closed")),
            1 => {}
            closed => faults.wrong.push(format!("#{name}: the question {code} was closed {closed} times")),
        }
    }
    let mut ids = BTreeSet::new();
    let twice = posts.iter().filter(|post| !ids.insert(&post.id));
    faults.wrong.extend(twice.map(|post| format!("#{name}: doubled: the post {}", post.id)));
    faults
}

/// Every fault of what the agent did. `answered` gives a task's fate in its room.
pub(super) fn journal_faults(journal: &[Entry], tasks: &[(Task, Fate)]) -> Vec<String> {
    let mut faults = Vec::new();
    for (task, fate) in tasks {
        let ran = |entry: &&Entry| matches!(&entry.what, What::Ran { mark, .. } if *mark == task.mark);
        let times = journal.iter().filter(ran).count();
        let said_done = *fate == Fate::Answered(Outcome::Done)
            && task.signs(Outcome::Done).iter().any(|sign| sign.starts_with("did("));
        if times > 1 {
            faults.push(format!("the tool of `{}` ran {times} times", task.words()));
        } else if said_done && times == 0 {
            faults.push(format!("`{}` was said to be done, and its tool did not run", task.words()));
        } else if *fate == Fate::Answered(Outcome::Refused) && times > 0 {
            faults.push(format!("`{}` was said to be refused, and its tool ran", task.words()));
        }
    }
    let mut calls = BTreeSet::new();
    for entry in journal {
        if let What::Ran { call, .. } = &entry.what
            && !calls.insert(call)
        {
            faults.push(format!("the call {call} ran twice"));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use acg_chaos::speech::tasks;

    fn post(id: usize, text: &str) -> Post {
        Post { id: id.to_string(), thread: None, text: text.to_owned() }
    }

    fn faults(asked: &str, texts: &[&str]) -> Vec<String> {
        let posts: Vec<Post> = texts.iter().enumerate().map(|(id, text)| post(id, text)).collect();
        let left = BTreeSet::from(["m9".to_owned()]);
        let expected = Expected { room: "r", tasks: &tasks(asked), may_be_left: &left };
        let Faults { missing, wrong } = room_faults(&expected, &posts);
        [missing, wrong].concat()
    }

    #[test]
    fn every_kind_of_fault_of_a_room_is_seen() {
        let question = "🔐 **Permission required** `[a3k9]`\n…";
        for (asked, texts, expected) in [
            ("say m1 say m2", &["said(m1)", "said(m2)"][..], ""),
            ("say m1 say m2", &["said(m1)\n\nsaid(m2)"], ""),
            ("say m1 say m9", &["said(m1)"], ""),
            ("tool m1", &["refused(m1)"], ""),
            ("tool m1", &[question, "✅ Permission `a3k9` approved.", "did(m1)"], ""),
            ("say m1", &[], "lost: `say m1`"),
            ("say m1", &["said(m11)"], "lost: `say m1`"),
            ("say m1", &["said(m1)", "said(m1)"], "doubled: `say m1`"),
            ("say m1 say m2", &["said(m2)", "said(m1)"], "out of order: said(m2)"),
            ("long m1", &["begun(m1) …", "middle(m1)"], "half an answer: `long m1`"),
            ("long m1", &["begun(m1)", "ended(m1)", "middle(m1)"], "out of order: ended(m1)"),
            ("say m9", &[question], "the question a3k9 was never closed"),
            (
                "say m1 say m2",
                &["said(m1)", "(sent again: it is not known whether the first copy arrived)\nsaid(m2)"],
                "",
            ),
            (
                "say m1",
                &["said(m1)", "(sent again: it is not known whether the first copy arrived)\nsaid(m1)"],
                "",
            ),
            (
                "say m1",
                &[
                    "said(m1)",
                    "said(m1)",
                    "(sent again: it is not known whether the first copy arrived)\nsaid(m1)",
                ],
                "doubled: `say m1`",
            ),
            ("say m9", &[question, question, "❌ Permission `a3k9` denied."], "was put 2 times"),
            (
                "say m9",
                &[question, "✅ Permission `a3k9` approved.", "⚠️ The question `a3k9` is void: x"],
                "was closed 2 times",
            ),
        ] {
            let found = faults(asked, texts);
            assert_eq!(found.len(), usize::from(!expected.is_empty()), "{asked}: {texts:?}: {found:?}");
            assert!(found.concat().contains(expected), "{found:?}");
        }
        let twice = [post(1, "said(m1)"), post(1, "and so on")];
        let expected = Expected { room: "r", tasks: &tasks("say m1"), may_be_left: &BTreeSet::new() };
        assert_eq!(room_faults(&expected, &twice).wrong, ["#r: doubled: the post 1"]);
        assert_eq!((marked(&twice), as_read(&twice).len()), (0, 2));
    }

    #[test]
    fn every_kind_of_fault_of_the_agent_is_seen() {
        let ran = |call: &str| Entry {
            pid: 1,
            session: "s".into(),
            role: "owner".into(),
            what: What::Ran { call: call.into(), mark: "m1".into() },
        };
        let task = |outcome| vec![(tasks("tool m1").remove(0), Fate::Answered(outcome))];
        for (journal, outcome, faults) in [
            (vec![ran("a")], Outcome::Done, 0),
            (vec![], Outcome::Refused, 0),
            (vec![ran("a"), ran("b")], Outcome::Done, 1),
            (vec![], Outcome::Done, 1),
            (vec![ran("a")], Outcome::Refused, 1),
            (vec![ran("a"), ran("a")], Outcome::Done, 2),
        ] {
            assert_eq!(journal_faults(&journal, &task(outcome)).len(), faults, "{journal:?}");
        }
    }
}
