//! Checks that the queries of every message are answered from an index, however much history there is.

use rusqlite::Connection;

use crate::{
    admission, approvals, audit, commands, counts, grants, history, inbox, open, outbox, retention, turns,
    usage,
};

fn plan(connection: &Connection, sql: &str) -> String {
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    // The plan does not depend on the values.
    let values = vec!["x"; statement.parameter_count()];
    let rows = statement.query_map(rusqlite::params_from_iter(values), |row| row.get::<_, String>("detail"));
    rows.unwrap().collect::<Result<Vec<_>, _>>().unwrap().join("; ")
}

#[test]
fn hot_queries_use_an_index() {
    let connection = open::memory().unwrap();
    let queries = [
        inbox::CONVERSATIONS_WAITING.to_owned(),
        inbox::next_rows_sql(),
        admission::RECENT.to_owned(),
        inbox::next_waiting_sql(),
        format!("{} WHERE i.turn = ?1 ORDER BY i.id", inbox::SELECT),
        outbox::ROOMS_WITH_PARTS.to_owned(),
        outbox::next_sql(),
        outbox::MORE.to_owned(),
        outbox::OWES_WORD.to_owned(),
        outbox::ahead_sql(),
        outbox::UNTOLD.to_owned(),
        turns::UNFINISHED.to_owned(),
        counts::INBOX.to_owned(),
        counts::REFUSED.to_owned(),
        counts::OUTBOX.to_owned(),
        turns::DEFERRED.to_owned(),
        approvals::by_code_sql(),
        approvals::open_sql(),
        approvals::of_turn_sql(),
        approvals::SHOWN_BY.to_owned(),
        approvals::CODE_TAKEN.to_owned(),
        approvals::PARTS.to_owned(),
        commands::KNOWN.to_owned(),
        grants::covering_sql(),
        grants::SAME.to_owned(),
        grants::END_OF_SESSION.to_owned(),
        retention::TOOLS_OF_TURN.to_owned(),
    ];
    for query in queries {
        let plan = plan(&connection, &query);
        assert!(plan.contains("INDEX"), "{query}: {plan}");
        assert!(!plan.contains("SCAN"), "{query}: {plan}");
    }
}

/// However long a conversation is: only its newest turns are read, each with its answer.
#[test]
fn history_is_read_from_its_end() {
    let connection = open::memory().unwrap();
    for (query, index) in [(history::TURNS, "turns_by_conversation"), (history::ANSWER, "outbox_answers")] {
        let plan = plan(&connection, query);
        assert!(plan.contains(&format!("INDEX {index} (")), "{query}: {plan}");
        assert!(!plan.contains("SCAN") && !plan.contains("TEMP B-TREE"), "{query}: {plan}");
    }
}

/// Found in order of age, from where the last look ended: no sorting, no row that is not old.
#[test]
fn old_rows_are_found_by_their_own_index() {
    let connection = open::memory().unwrap();
    for (query, index) in [
        (retention::OLD_MESSAGES, "inbox_finished"),
        (retention::OLD_PARTS, "outbox_settled"),
        (retention::OLD_TURNS, "turns_ended"),
    ] {
        let plan = plan(&connection, query);
        assert!(plan.contains(&format!("INDEX {index} (")), "{query}: {plan}");
        assert!(!plan.contains("SCAN") && !plan.contains("TEMP B-TREE"), "{query}: {plan}");
    }
}

/// A report reads the turns of its time, in order, and each row that belongs to one by a key.
#[test]
fn usage_is_summed_from_the_index_of_ended_turns() {
    let connection = open::memory().unwrap();
    let plan = plan(&connection, usage::ENDED);
    assert!(plan.contains("SEARCH t USING INDEX turns_ended ("), "{plan}");
    assert!(plan.contains("INDEX inbox_by_turn ("), "{plan}");
    assert!(!plan.contains("SCAN") && !plan.contains("TEMP B-TREE"), "{plan}");
}

/// The end of the record is looked at for every entry: it is the last of the table, which is ordered by number.
#[test]
fn the_end_of_the_record_needs_no_sorting() {
    let connection = open::memory().unwrap();
    let plan = plan(&connection, audit::LAST);
    assert!(!plan.contains("TEMP B-TREE"), "{plan}");
}

#[test]
fn the_check_would_see_a_scan() {
    let connection = open::memory().unwrap();
    assert!(plan(&connection, "SELECT * FROM inbox WHERE body = ?1").contains("SCAN"));
}
