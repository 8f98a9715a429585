//! What the audit says to small records, one finding each.

use super::*;
use crate::journal::What;

/// `room thread text`, in the platform's order; the gateway's own begin with `<`.
fn seen(lines: &[(&str, &str, &str)]) -> Seen {
    let posts = lines.iter().enumerate().map(|(at, (room, thread, text))| Post {
        id: format!("id{at}"),
        room: (*room).to_owned(),
        thread: Some((*thread).to_owned()).filter(|thread| !thread.is_empty()),
        ours: text.starts_with("< "),
        text: text.trim_start_matches("< ").to_owned(),
        at: i64::try_from(at).unwrap(),
    });
    Seen { posts: posts.collect(), swapped: Vec::new() }
}

fn room(texts: &[&str]) -> Seen {
    seen(&texts.iter().map(|text| ("r", "", *text)).collect::<Vec<_>>())
}

fn marks(seen: &Seen) -> Vec<String> {
    let posts = seen.posts.iter().filter(|post| !post.ours);
    posts.filter_map(|post| speech::tasks(&post.text).into_iter().next()).map(|task| task.mark).collect()
}

fn report(seen: &Seen, rules: &Rules) -> Report {
    audit(seen, &marks(seen), &[], rules)
}

/// What kinds are found in a room with these posts.
#[track_caller]
fn check(texts: &[&str], expected: &[&str]) -> Counts {
    check_by(&Rules::default(), texts, expected)
}

#[track_caller]
fn check_by(rules: &Rules, texts: &[&str], expected: &[&str]) -> Counts {
    let report = report(&room(texts), rules);
    let kinds: Vec<&str> = report.violations.iter().map(Violation::kind).collect();
    assert_eq!(kinds, expected, "{report}");
    report.counts
}

const FAILED: &str = "< ❌ Agent failed to process the request. Please try again. (ref: x)";
const BUSY: &str = "< ⚠️ Server busy — your message was dropped. Please retry.";

#[test]
fn every_message_answered_once_in_order_is_clean() {
    let counts = check(
        &[
            "say m1",
            "< said(m1)",
            "long m2",
            "slow m3",
            "< begun(m2)",
            "< middle(m2)\nended(m2)",
            "< begun(m3) ended(m3)",
        ],
        &[],
    );
    assert_eq!((counts.sent, counts.answered, counts.notices), (3, 3, 0));
    assert!(check(&["hello", "approve a3k9"], &[]) == Counts::default());
}

#[test]
fn what_has_neither_answer_nor_word_is_lost() {
    check(&["say m1"], &["lost"]);
    check(&["say m1", "say m2", "< said(m2)"], &["lost"]);
    // A word after the next answer is about something else.
    check(&["say m1", "say m2", "< said(m2)", FAILED], &["lost", "too many notices"]);
    check(&["say m1", "say m2", FAILED], &["lost"]);
    let lost = audit(&Seen::default(), &["m1".to_owned()], &[], &Rules::default());
    assert_eq!(lost.found("not said"), 1);
}

#[test]
fn a_word_accounts_for_one_message_or_for_a_gathered_turn() {
    let counts = check(&["crash m1", "say m2", FAILED, "< said(m2)"], &[]);
    assert_eq!((counts.told, counts.answered, counts.notices), (1, 1, 1));
    let gathered = Rules { gathered: true, ..Rules::default() };
    let counts = check_by(&gathered, &["crash m1", "say m2", "say m3", FAILED, "say m4", "< said(m4)"], &[]);
    assert_eq!((counts.told, counts.answered), (3, 1));
    let counts = check_by(&gathered, &["say m1", "say m2", "< said(m1)\n\nsaid(m2)"], &[]);
    assert_eq!((counts.answered, counts.gathered), (2, 2));
    check(&["say m1", "< said(m1)", FAILED], &["too many notices"]);
    check(&["crash m1", FAILED, FAILED], &["too many notices"]);
}

#[test]
fn a_refusal_counts_only_where_the_queue_has_an_end() {
    check(&["say m1", BUSY], &["lost", "unknown words"]);
    let rules = Rules { refusals: true, ..Rules::default() };
    let counts = check_by(&rules, &["say m1", "say m2", BUSY, "say m3", "< said(m1)"], &[]);
    assert_eq!((counts.answered, counts.refused), (1, 2));
    check_by(&rules, &["say m1"], &["lost"]);
    let mut late = room(&["say m1", BUSY, "say m2"]);
    assert!(report(&late, &rules).is_clean());
    late.posts[2].at = 60_000;
    assert_eq!(report(&late, &rules).found("lost"), 1);
}

#[test]
fn a_second_copy_is_doubled() {
    check(&["say m1", "< said(m1)", "< said(m1)"], &["doubled"]);
    check(&["long m1", "< begun(m1)", "< begun(m1)", "< middle(m1)", "< ended(m1)"], &["doubled"]);
    check(
        &[
            "long m1",
            "< begun(m1)",
            "< middle(m1)",
            "< ended(m1)",
            "< begun(m1)",
            "< middle(m1)",
            "< ended(m1)",
        ],
        &["doubled"],
    );
    check(&["tool m1", "< did(m1)", "< refused(m1)"], &["doubled"]);
    check(&["tool m1 tool m1", "< did(m1)\n\nrefused(m1)"], &[]);
}

#[test]
fn a_part_of_an_answer_is_half_of_one_unless_the_room_was_told() {
    check(&["long m1", "< begun(m1)", "< middle(m1)"], &["half answers"]);
    let counts = check(&["long m1", "< begun(m1)", "< middle(m1)", FAILED, "say m2", "< said(m2)"], &[]);
    assert_eq!((counts.cut_off, counts.answered), (1, 2));
    check(&["long m1", "< begun(m1)", "say m2", "< said(m2)", FAILED], &["half answers", "too many notices"]);
}

#[test]
fn order_is_that_of_the_parts_and_of_the_conversation() {
    check(&["long m1", "< ended(m1)", "< middle(m1)", "< begun(m1)"], &["parts out of order"]);
    check(&["say m1", "say m2", "< said(m2)", "< said(m1)"], &["out of order"]);
    let mut swapped = room(&["say m1", "say m2", "say m3", "< said(m2)", "< said(m1)", "< said(m3)"]);
    swapped.swapped.push(("id0".into(), "id1".into()));
    assert!(report(&swapped, &Rules::default()).is_clean());
    let mut jumped = room(&["say m1", "say m2", "< said(m2)", "< said(m1)"]);
    jumped.posts[1].at = -1;
    assert!(report(&jumped, &Rules::default()).is_clean(), "by the clock it was said before");
}

#[test]
fn without_an_order_words_are_counted_in_all() {
    let mut jumped = room(&["say m1", "crash m2", FAILED, "say m3", "< said(m3)", "< said(m1)"]);
    jumped.posts[0].at = 10;
    let told = report(&jumped, &Rules::default());
    assert!(told.is_clean(), "{told}");
    assert_eq!((told.counts.told, told.counts.answered), (1, 2));
    jumped.posts[2].text = "ℹ️ Permission `a3k9` was already approved.".to_owned();
    assert_eq!(report(&jumped, &Rules::default()).found("lost"), 1);
}

#[test]
fn rooms_are_apart_and_threads_where_they_are_conversations() {
    let apart = [("r", "", "say m1"), ("s", "", "say m2"), ("s", "", "< said(m2)"), ("r", "", "< said(m1)")];
    assert!(report(&seen(&apart), &Rules::default()).is_clean());
    let threads =
        [("r", "", "say m1"), ("r", "t", "say m2"), ("r", "t", "< said(m2)"), ("r", "", "< said(m1)")];
    assert_eq!(report(&seen(&threads), &Rules::default()).found("out of order"), 1);
    let rules = Rules { threads: ["r".to_owned()].into(), ..Rules::default() };
    assert!(report(&seen(&threads), &rules).is_clean());
    let elsewhere = [("r", "t", "say m1"), ("r", "", "< said(m1)")];
    assert_eq!(report(&seen(&elsewhere), &rules).found("misplaced"), 1);
}

#[test]
fn nothing_is_explained_by_words_that_nobody_knows() {
    check(&["say m1", "< said(m1)", "< hello there"], &["unknown words"]);
    check(&["say m1", "< said(m1)", "< said(m9)"], &["invented"]);
}

#[test]
fn a_tool_runs_as_often_as_people_allowed_it() {
    let ran = || Entry {
        pid: 1,
        session: "s".into(),
        role: "owner".into(),
        what: What::Ran { call: "c".into(), mark: "m1".into() },
    };
    let question = "< 🔐 **Permission required** `[a3k9]`\n```\ntouch made-m1\n```";
    let allowed =
        room(&["tool m1", question, "approve a3k9", "< ✅ Permission `a3k9` approved.", "< did(m1)"]);
    let found =
        |seen: &Seen, journal: &[Entry]| audit(seen, &marks(seen), journal, &Rules::default()).violations;
    assert_eq!(found(&allowed, &[ran()]), []);
    let twice = Violation::ToolTwice { mark: "m1".into(), runs: 2, approvals: 1 };
    assert_eq!(found(&allowed, &[ran(), ran()]), [twice]);
    let never = room(&["tool m1", question, "< did(m1)"]);
    assert_eq!(found(&never, &[ran()]).len(), 1);
}
