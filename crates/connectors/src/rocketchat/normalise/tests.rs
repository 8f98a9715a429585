//! Recorded documents (6.5.3), and variations of them.

use acg_types::RoomKind;
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn reader() -> Reader {
    Reader {
        connector: "rc".into(),
        me: Me { id: "9PTBgB2TrYnRmWZAr".into(), username: "bot_2q77s".into() },
        self_chat: false,
    }
}

fn recorded(name: &str) -> Value {
    let all: Value = serde_json::from_str(include_str!("../../../tests/fixtures/messages.json")).unwrap();
    all[name].clone()
}

fn room(document: &Value, kind: RoomKind) -> Room {
    Room { id: document["rid"].as_str().unwrap().into(), name: "r".into(), kind, parent: None }
}

fn person(document: &Value, kind: RoomKind) -> Said {
    match read(&reader(), &room(document, kind), document) {
        Meaning::Person(said) => *said,
        other => panic!("{other:?}"),
    }
}

#[test]
fn recorded_messages_of_people() {
    use Addressed::{All, Me, Nobody};
    for (name, kind, text, addressed, thread) in [
        ("mention", RoomKind::Channel, "hello @bot_2q77s in public", Me, None),
        ("plain", RoomKind::Channel, "by #name", Nobody, None),
        ("all", RoomKind::Group, "@all in private", All, None),
        ("direct", RoomKind::Direct, "hi in the DM", Nobody, None),
        ("direct_three", RoomKind::Direct, "hi in the three-way DM", Nobody, None),
        ("discussion", RoomKind::Channel, "hi in the discussion", Nobody, None),
        ("thread_root", RoomKind::Channel, "thread root", Nobody, None),
        ("file", RoomKind::Channel, "the caption", Nobody, None),
        ("file_in_thread", RoomKind::Channel, "", Nobody, Some("mGFKTxiPfASmgEGo8")),
    ] {
        let said = person(&recorded(name), kind);
        assert_eq!(said.message.text, text, "{name}");
        assert_eq!(said.message.addressed, addressed, "{name}");
        assert_eq!(said.message.thread, thread.map(ThreadId::from), "{name}");
        assert_eq!(said.message.sender.id, UserIdText("p6kjpCDYbzBTqfgdC").into(), "{name}");
        assert_eq!(said.message.sender.username, "alice_2q77s", "{name}");
        assert!(!said.edited, "{name}");
    }
    let said = person(&recorded("mention"), RoomKind::Channel);
    assert_eq!(said.message.sent_at, Timestamp(1_795_227_171_576));
    assert_eq!(said.message.sender.display_name.as_deref(), Some("Alice"));
}

struct UserIdText(&'static str);

impl From<UserIdText> for acg_types::UserId {
    fn from(text: UserIdText) -> Self {
        Self::new(text.0)
    }
}

#[test]
fn recorded_documents_that_are_not_for_us() {
    let reading = |name: &str| {
        let document = recorded(name);
        read(&reader(), &room(&document, RoomKind::Channel), &document)
    };
    assert_eq!(reading("own_with_alias"), Meaning::Own);
    assert_eq!(reading("system_discussion"), Meaning::System);
    assert_eq!(reading("system_topic"), Meaning::System);
}

#[test]
fn variations() {
    let base = || recorded("mention");
    let with = |key: &str, value: Value| {
        let mut document = base();
        document[key] = value;
        document
    };
    let reading = |document: &Value| read(&reader(), &room(&base(), RoomKind::Channel), document);
    assert_eq!(reading(&with("bot", json!({"i": "x"}))), Meaning::Bot);
    assert_eq!(reading(&with("t", json!("e2e"))), Meaning::Encrypted);
    assert_eq!(reading(&with("t", json!(5))), Meaning::System);
    assert!(matches!(reading(&with("t", json!(""))), Meaning::Person(_)));
    assert!(matches!(reading(&with("rid", json!("other"))), Meaning::Garbage(_)));
    assert!(matches!(reading(&with("u", json!("alice"))), Meaning::Garbage(_)));
    assert!(matches!(reading(&with("ts", json!("never"))), Meaning::Garbage(_)));
    // An alias is shown identity only.
    let posing = with("alias", json!("bot_2q77s"));
    assert_eq!(person(&posing, RoomKind::Channel).message.sender.username, "alice_2q77s");
    let edited = with("editedAt", json!({"$date": 1_795_227_185_669_i64}));
    assert!(person(&edited, RoomKind::Channel).edited);
    let both = with(
        "mentions",
        json!([{"_id":"9PTBgB2TrYnRmWZAr","username":"renamed"},{"_id":"all","username":"all"}]),
    );
    assert_eq!(person(&both, RoomKind::Channel).message.addressed, Addressed::MeAndAll);
    // @here is nobody's call, and a mention of another name is not ours.
    let mut here = with("mentions", json!([{"_id":"here","username":"here"}]));
    here["msg"] = json!("@here @bot_2q77sx hi");
    assert_eq!(person(&here, RoomKind::Channel).message.addressed, Addressed::Nobody);
    assert_eq!(person(&with("msg", json!("  \n")), RoomKind::Channel).message.text, "(empty message)");
}

#[test]
fn files_are_named_and_their_caption_stands_for_an_empty_text() {
    let said = person(&recorded("file"), RoomKind::Channel);
    assert_eq!(
        said.message.warnings,
        ["[⚠️ Attachment 'notes.txt' was not downloaded: attachments are not supported yet]"]
    );
    let mut document = recorded("file");
    document["msg"] = json!("");
    document["attachments"][0]["description"] = json!("@bot_2q77s: look");
    let said = person(&document, RoomKind::Channel);
    assert_eq!((said.message.text.as_str(), said.message.addressed), ("look", Addressed::Me));
}

#[test]
fn one_leading_mention_goes_and_later_ones_stay() {
    for (text, expected) in [
        ("@bot_2q77s hello", "hello"),
        ("  @bot_2q77s: hello", "hello"),
        ("@bot_2q77s, hello @bot_2q77s", "hello @bot_2q77s"),
        ("@bot_2q77s-hello", "@bot_2q77s-hello"),
        ("@bot_2q77s - hello", "- hello"),
        ("@bot_2q77s.x hello", "@bot_2q77s.x hello"),
        ("@all hello", "@all hello"),
        ("hello", "hello"),
        ("@bot_2q77s", "(empty message)"),
    ] {
        let mut document = recorded("mention");
        document["msg"] = json!(text);
        assert_eq!(person(&document, RoomKind::Channel).message.text, expected, "{text:?}");
    }
}

#[test]
fn mentions_in_a_text_are_whole_words() {
    for (text, expected) in [
        ("hey @bot!", true),
        ("@bot", true),
        ("(@bot)", true),
        ("@bot.", true),
        ("@bot. Next", true),
        ("@bot-2", false),
        ("@bot.x", false),
        ("@bots", false),
        ("@bot_x", false),
        ("me@bot", false),
        ("@@bot", false),
        ("é@bot", false),
        ("@botty and @bot", true),
        ("", false),
    ] {
        assert_eq!(mentions_in_text(text, "bot"), expected, "{text:?}");
    }
    assert!(!mentions_in_text("@", ""));
}

#[test]
fn a_message_of_a_megabyte_is_cut_with_a_warning() {
    let mut document = recorded("direct");
    document["msg"] = json!("é".repeat(500_000));
    document["u"]["name"] = json!("n\u{7}".repeat(5000));
    let said = person(&document, RoomKind::Direct);
    assert_eq!(said.message.text.len(), LONGEST_TEXT);
    assert!(said.message.warnings[0].contains("too long"), "{:?}", said.message.warnings);
    assert!(said.message.sender.display_name.unwrap().len() <= LONGEST_NAME);
}

proptest! {
    #[test]
    fn any_document_is_read_without_panic(document in value(), text in any::<String>()) {
        let room = room(&recorded("mention"), RoomKind::Channel);
        read(&reader(), &room, &document);
        let mut near = recorded("mention");
        for key in ["msg", "mentions", "files", "attachments", "u", "t", "bot", "tmid", "editedAt"] {
            near[key] = document.clone();
            read(&reader(), &room, &near);
            near = recorded("mention");
        }
        near["msg"] = json!(text);
        read(&reader(), &room, &near);
        mentions_in_text(&text, "bot");
    }
}

fn value() -> impl Strategy<Value = Value> {
    let keys = || {
        prop::sample::select(vec!["_id", "rid", "u", "username", "ts", "$date", "name", "description", "msg"])
    };
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((keys(), inner), 0..4)
                .prop_map(|pairs| Value::Object(pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())),
        ]
    })
}
