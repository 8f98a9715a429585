//! Recorded frames (6.5.3) and hostile ones.

use proptest::prelude::*;

use super::*;

fn frames(effects: &[Effect]) -> Vec<Value> {
    let text = |effect: &Effect| match effect {
        Effect::Send(text) => Some(serde_json::from_str(text).unwrap()),
        _ => None,
    };
    effects.iter().filter_map(text).collect()
}

fn live() -> Ddp {
    let mut ddp = Ddp::new("9PTBgB2TrYnRmWZAr", "bot", "<pat-bot>");
    ddp.step(0, Input::Opened);
    ddp.step(1, Input::Frame(r#"{"msg":"connected","session":"s"}"#));
    ddp.step(2, Input::Frame(r#"{"msg":"result","id":"1","result":{"id":"9PTBgB2TrYnRmWZAr","token":"<pat-bot>","tokenExpires":{"$date":null},"type":"resume"}}"#));
    assert_eq!(ddp.step(3, Input::Frame(r#"{"msg":"ready","subs":["2"]}"#)), [Effect::Subscribed]);
    ddp
}

#[test]
fn the_handshake_is_the_recorded_one() {
    let mut ddp = Ddp::new("9PTBgB2TrYnRmWZAr", "bot", "<pat-bot>");
    assert_eq!(frames(&ddp.step(0, Input::Opened)), [json!({"msg":"connect","version":"1","support":["1"]})]);
    // Old servers speak first.
    assert_eq!(ddp.step(1, Input::Frame(r#"{"server_id":"0"}"#)), []);
    let login = frames(&ddp.step(1, Input::Frame(r#"{"msg":"connected","session":"s"}"#)));
    assert_eq!(login, [json!({"msg":"method","method":"login","id":"1","params":[{"resume":"<pat-bot>"}]})]);
    assert_eq!(ddp.step(2, Input::Frame(r#"{"msg":"updated","methods":["1"]}"#)), []);
    let result = r#"{"msg":"result","id":"1","result":{"id":"9PTBgB2TrYnRmWZAr","token":"t","tokenExpires":{"$date":1803002906253},"type":"resume"}}"#;
    let effects = ddp.step(3, Input::Frame(result));
    assert_eq!(effects[0], Effect::LoggedIn { expires: Some(Timestamp(1_803_002_906_253)) });
    assert_eq!(
        frames(&effects),
        [
            json!({"msg":"sub","id":"2","name":"stream-room-messages","params":["__my_messages__",false]}),
            json!({"msg":"sub","id":"3","name":"stream-notify-user","params":["9PTBgB2TrYnRmWZAr/subscriptions-changed",false]}),
        ]
    );
    assert_eq!(ddp.step(4, Input::Frame(r#"{"msg":"ready","subs":["3"]}"#)), []);
    assert_eq!(ddp.step(4, Input::Frame(r#"{"msg":"ready","subs":["2"]}"#)), [Effect::Subscribed]);
}

#[test]
fn a_refused_login_ends_the_link_with_the_servers_reason() {
    let mut ddp = Ddp::new("u", "bot", "t");
    ddp.step(0, Input::Opened);
    ddp.step(1, Input::Frame(r#"{"msg":"connected"}"#));
    let recorded = r#"{"msg":"result","id":"1","error":{"isClientSafe":true,"error":403,"reason":"You've been logged out by the server. Please log in again.","errorType":"Meteor.Error"}}"#;
    let reason = "You've been logged out by the server. Please log in again.".to_owned();
    assert_eq!(ddp.step(2, Input::Frame(recorded)), [Effect::LoginRefused { reason }]);
    assert_eq!(ddp.step(99_999, Input::Tick), []);
}

#[test]
fn a_failing_server_is_not_taken_for_a_dead_token() {
    for code in [r#""too-many-requests""#, "500"] {
        let mut ddp = Ddp::new("u", "bot", "t");
        ddp.step(0, Input::Opened);
        ddp.step(1, Input::Frame(r#"{"msg":"connected"}"#));
        let result = format!(r#"{{"msg":"result","id":"1","error":{{"error":{code},"reason":"x"}}}}"#);
        assert!(matches!(ddp.step(2, Input::Frame(&result))[..], [Effect::Dead(_)]), "{code}");
    }
}

#[test]
fn another_account_than_ours_is_no_login() {
    let mut ddp = Ddp::new("u", "bot", "t");
    ddp.step(0, Input::Opened);
    ddp.step(1, Input::Frame(r#"{"msg":"connected"}"#));
    let effects = ddp.step(2, Input::Frame(r#"{"msg":"result","id":"1","result":{"id":"other"}}"#));
    assert!(matches!(effects[..], [Effect::LoginRefused { .. }]), "{effects:?}");
}

#[test]
fn heartbeats_go_both_ways_and_silence_is_found_within_35_s() {
    let mut ddp = live();
    assert_eq!(frames(&ddp.step(10, Input::Frame(r#"{"msg":"ping"}"#))), [json!({"msg":"pong"})]);
    assert_eq!(
        frames(&ddp.step(10, Input::Frame(r#"{"msg":"ping","id":"p1"}"#))),
        [json!({"msg":"pong","id":"p1"})]
    );
    assert_eq!(ddp.deadline(), 20_010);
    assert_eq!(frames(&ddp.step(20_010, Input::Tick)), [json!({"msg":"ping"})]);
    assert_eq!(ddp.deadline(), 30_010);
    assert_eq!(ddp.step(25_000, Input::Frame(r#"{"msg":"pong"}"#)), []);
    assert_eq!(ddp.deadline(), 45_000);
    ddp.step(45_000, Input::Tick);
    assert!(matches!(ddp.step(55_000, Input::Tick)[..], [Effect::Dead(_)]));
}

#[test]
fn a_handshake_that_stalls_is_dead() {
    let mut ddp = Ddp::new("u", "bot", "t");
    ddp.step(0, Input::Opened);
    // Pings keep the link alive but are no hand-shake.
    ddp.step(15_000, Input::Frame(r#"{"msg":"ping"}"#));
    assert_eq!(ddp.deadline(), 20_000);
    assert!(matches!(ddp.step(20_000, Input::Tick)[..], [Effect::Dead(_)]));
}

#[test]
fn events_are_told_apart() {
    let mut ddp = live();
    let message = r#"{"msg":"changed","collection":"stream-room-messages","id":"id","fields":{"eventName":"__my_messages__","args":[{"_id":"a"},{"roomParticipant":true,"roomType":"c"}]}}"#;
    assert_eq!(
        ddp.step(5, Input::Frame(message)),
        [Effect::Message { document: json!({"_id":"a"}), participant: Some(true) }]
    );
    let lone = message.replace(r#",{"roomParticipant":true,"roomType":"c"}"#, "");
    assert_eq!(
        ddp.step(5, Input::Frame(&lone)),
        [Effect::Message { document: json!({"_id":"a"}), participant: None }]
    );
    let deleted = r#"{"msg":"changed","collection":"stream-notify-room","id":"id","fields":{"eventName":"R/deleteMessage","args":[{"_id":"a"}]}}"#;
    assert_eq!(
        ddp.step(5, Input::Frame(deleted)),
        [Effect::Deleted { room: "R".into(), message: "a".into() }]
    );
    let joined = r#"{"msg":"changed","collection":"stream-notify-user","id":"id","fields":{"eventName":"9PTBgB2TrYnRmWZAr/subscriptions-changed","args":["inserted",{"rid":"R"}]}}"#;
    assert_eq!(
        ddp.step(5, Input::Frame(joined)),
        [Effect::Membership { action: "inserted".into(), document: json!({"rid":"R"}) }]
    );
    let other = joined.replace("9PTBgB2TrYnRmWZAr/", "somebody/");
    assert_eq!(ddp.step(5, Input::Frame(&other)), []);
}

#[test]
fn deletion_subscriptions_follow_the_waiting_rooms_under_the_limit() {
    let mut ddp = live();
    let rooms: Vec<RoomId> = (0..100).map(|n| RoomId::from(format!("r{n:03}"))).collect();
    let first = frames(&ddp.step(10, Input::Waiting(&rooms)));
    assert_eq!(first.len(), ALL_IN_WINDOW);
    assert_eq!(
        first[0],
        json!({"msg":"sub","id":"4","name":"stream-notify-room","params":["r000/deleteMessage",false]})
    );
    ddp.step(20_000, Input::Frame(r#"{"msg":"pong"}"#));
    assert_eq!(ddp.step(30_000, Input::Tick), []);
    assert_eq!(frames(&ddp.step(40_020, Input::Frame(r#"{"msg":"pong"}"#))).len(), ALL_IN_WINDOW);
    // Refused for its rate: later again. Refused for good: never again.
    ddp.step(50_000, Input::Frame(r#"{"msg":"nosub","id":"4","error":{"error":"too-many-requests","details":{"timeToReset":9976}}}"#));
    ddp.step(50_000, Input::Frame(r#"{"msg":"nosub","id":"5","error":{"error":"not-allowed"}}"#));
    let again = frames(&ddp.step(90_000, Input::Waiting(&rooms[..2])));
    assert!(again.iter().any(|frame| frame["params"][0] == "r000/deleteMessage"), "{again:?}");
    assert!(!again.iter().any(|frame| frame["params"][0] == "r001/deleteMessage"), "{again:?}");
    assert!(again.iter().filter(|frame| frame["msg"] == "unsub").count() > 30);
}

#[test]
fn typing_is_paced_and_needs_a_live_link() {
    let room = RoomId::from("R");
    let thread = ThreadId::from("T");
    let mut early = Ddp::new("u", "bot", "t");
    assert_eq!(early.step(0, Input::Typing { room: &room, thread: None, on: true }), []);
    let mut ddp = live();
    let shown = frames(&ddp.step(9, Input::Typing { room: &room, thread: Some(&thread), on: true }));
    assert_eq!(
        shown,
        [
            json!({"msg":"method","method":"stream-notify-room","id":"4","params":["R/user-activity","bot",["user-typing"],{"tmid":"T"}]})
        ]
    );
    let calls = (0..100).map(|_| ddp.step(10, Input::Typing { room: &room, thread: None, on: true }).len());
    assert_eq!(calls.sum::<usize>(), TYPING_IN_WINDOW - 1);
    assert_eq!(
        ddp.step(10, Input::Typing { room: &room, thread: None, on: false }).len(),
        1,
        "the end comes through"
    );
}

proptest! {
    #[test]
    fn hostile_frames_never_panic_and_never_log_us_in(texts in prop::collection::vec(hostile(), 0..30)) {
        let mut ddp = live();
        for (now, text) in texts.iter().enumerate() {
            for effect in ddp.step(now as u64, Input::Frame(text)) {
                let login = matches!(effect, Effect::LoggedIn { .. });
                prop_assert!(!login);
            }
        }
    }
}

fn hostile() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        prop::sample::select(vec![
            "result",
            "changed",
            "ready",
            "nosub",
            "added",
            "ping",
            "stream-room-messages",
            "__my_messages__",
            "stream-notify-room",
            "R/deleteMessage",
            "1",
            "2",
            "4",
            "9PTBgB2TrYnRmWZAr/subscriptions-changed",
            "",
        ])
        .prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((keys(), inner), 0..5)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    });
    let frame = prop::collection::vec((keys(), value), 0..6)
        .prop_map(|pairs| Value::Object(pairs.into_iter().collect()).to_string());
    prop_oneof![4 => frame, 1 => any::<String>()]
}

fn keys() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "msg",
        "id",
        "collection",
        "fields",
        "eventName",
        "args",
        "error",
        "result",
        "subs",
        "_id",
        "rid",
        "$date",
    ])
    .prop_map(str::to_owned)
}
