//! The lines by table: what is taken, what is refused and in which words, and that none makes it panic.

use proptest::prelude::*;

use super::*;

fn error(line: &str) -> String {
    read(line.as_bytes()).unwrap_err()
}

#[test]
fn the_shortest_message_is_enough() {
    let said =
        read(br#"{"type":"message","id":"m1","room":"general","sender":{"id":"u1"},"text":"hi"}"#).unwrap();
    let Said::Message { sender, sent_at, mention, edited, .. } = said else { panic!() };
    assert_eq!((sender.name, sent_at, mention, edited), (None, None, false, false));
}

#[test]
fn what_is_wrong_with_a_line_is_said() {
    for (line, expected) in [
        ("{", "EOF"),
        (r#"["delete","r","m"]"#, "a line must be a JSON object"),
        ("{}", "missing field `type`"),
        (r#"{"type":"massage"}"#, "unknown variant `massage`"),
        (r#"{"type":"delete","room":"r","id":"m","why":1}"#, "unknown field `why`"),
        (r#"{"type":"delete","room":"r"}"#, "missing field `id`"),
        (r#"{"type":"delete","room":"r","id":"m","id":"n"}"#, "duplicate field `id`"),
        (r#"{"type":"delete","room":"r","id":7}"#, "invalid type: integer"),
        (r#"{"type":"delete","room":"","id":"m"}"#, "`room` must not be empty"),
        (r#"{"type":"delete","room":"r\n","id":"m"}"#, "control characters"),
        (r#"{"type":"hello","protocol":2}"#, "protocol 2 is not spoken here"),
        (
            r#"{"type":"message","id":"m","room":"r","sender":{"id":"u","nick":"x"},"text":"t"}"#,
            "unknown field `nick`",
        ),
        (
            r#"{"type":"message","id":"m","room":"r","sender":{"id":"u"},"text":" "}"#,
            "`text` must not be empty",
        ),
        (
            r#"{"type":"message","id":"m","room":"r","sender":{"id":"u"},"text":"t","sent_at":-1}"#,
            "milliseconds since 1970",
        ),
        (
            r#"{"type":"message","id":"m","room":"r","sender":{"id":"u"},"text":"t","room_kind":"forum"}"#,
            "unknown variant `forum`",
        ),
        (r#"{"type":"reaction","id":"m","room":"r","sender":{"id":"u"},"emoji":""}"#, "one emoji"),
    ] {
        let found = error(line);
        assert!(found.contains(expected), "{line}: {found}");
    }
    let long = "x".repeat(MAX_NAME + 1);
    assert!(error(&format!(r#"{{"type":"delete","room":"r","id":"{long}"}}"#)).contains("longer than 200"));
}

#[test]
fn lines_of_the_gateway_look_as_documented() {
    let text = |told: &Told| serde_json::to_string(told).unwrap();
    let post =
        Told::Post { id: "k".into(), room: "general".into(), thread: None, text: "a\nb".into(), attempt: 1 };
    insta::assert_snapshot!(text(&post), @r#"{"type":"post","id":"k","room":"general","text":"a\nb","attempt":1}"#);
    let live = Told::Live {
        room: "general".into(),
        thread: Some("t".into()),
        event: Live::Tool { tool: "Read".into(), params: serde_json::json!({"file_path": "x"}) },
    };
    insta::assert_snapshot!(text(&live), @r#"{"type":"live","room":"general","thread":"t","event":"tool","tool":"Read","params":{"file_path":"x"}}"#);
    assert_eq!(serde_json::from_str::<Told>(&text(&live)).unwrap(), live);
    let accepted = Told::Accepted { id: "m1".into(), room: "general".into(), result: Outcome::NotAddressed };
    insta::assert_snapshot!(text(&accepted), @r#"{"type":"accepted","id":"m1","room":"general","result":"not_addressed"}"#);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        drop(read(&bytes));
    }

    #[test]
    fn what_is_written_is_read_back(id in "[a-z0-9]{1,20}", room in "@?[a-z]{1,10}", text in ".*[a-z].*", mention: bool) {
        let said = Said::Message {
            id, room, text, mention, sender: Person { id: "u".into(), name: Some("alice".into()), display_name: None },
            thread: None, sent_at: Some(1), room_kind: None, mention_all: false, edited: false,
        };
        prop_assert_eq!(read(serde_json::to_string(&said).unwrap().as_bytes()).unwrap(), said);
    }
}
