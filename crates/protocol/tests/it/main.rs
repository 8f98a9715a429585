//! The wire frames, byte for byte: scripts written for the Python program read and write them.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]

use acg_protocol::{
    AgentLine, Answer, BudgetLine, BudgetOf, BudgetUnit, CollectLine, ConnectorFailure, ConnectorLine,
    ContextState, LimitsLine, LinkState, QueueCounts, RateLine, Request, RunningTurn, SendParams, StatusData,
    Unconfirmed, WatcherLine, WatcherParams, to_line,
};
use insta::assert_snapshot;

fn line<T: serde::Serialize>(frame: &T) -> String {
    String::from_utf8(to_line(frame).unwrap()).unwrap()
}

fn of_watcher(connector: Option<&str>) -> WatcherParams {
    WatcherParams { watcher_name: "w0".to_owned(), connector: connector.map(str::to_owned) }
}

fn watcher() -> WatcherLine {
    WatcherLine {
        watcher_name: "w0".to_owned(),
        room_name: "general".to_owned(),
        connector: "rc".to_owned(),
        agent_name: "claude".to_owned(),
        session_id: Some("5f0c".to_owned()),
        paused: false,
        active: true,
        context_injection_state: ContextState::Injected,
        trouble: None,
    }
}

#[test]
fn requests_on_the_wire() {
    let requests = [
        Request::List { connector: None },
        Request::List { connector: Some("rc".to_owned()) },
        Request::Pause(of_watcher(None)),
        Request::Resume(of_watcher(Some("rc"))),
        Request::Reset(of_watcher(None)),
        Request::Send(SendParams {
            room: "general".to_owned(),
            text: "two\nlines".to_owned(),
            attachment_path: None,
            connector: None,
        }),
        Request::Send(SendParams {
            room: "@alice".to_owned(),
            text: String::new(),
            attachment_path: Some("/tmp/a.png".to_owned()),
            connector: Some("rc".to_owned()),
        }),
        Request::Status,
        Request::UsersConfirm { username: "alice".to_owned(), connector: None },
    ];
    let lines: String = requests.iter().map(line).collect();
    assert_snapshot!(lines, @r#"
    {"cmd":"list"}
    {"cmd":"list","connector":"rc"}
    {"cmd":"pause","watcher_name":"w0"}
    {"cmd":"resume","watcher_name":"w0","connector":"rc"}
    {"cmd":"reset","watcher_name":"w0"}
    {"cmd":"send","room":"general","text":"two\nlines"}
    {"cmd":"send","room":"@alice","text":"","attachment_path":"/tmp/a.png","connector":"rc"}
    {"cmd":"status"}
    {"cmd":"users-confirm","username":"alice"}
    "#);
    for request in requests {
        assert_eq!(Request::parse(line(&request).as_bytes()).unwrap(), request);
    }
}

#[test]
fn answers_on_the_wire() {
    let mut troubled = watcher();
    troubled.session_id = None;
    troubled.active = false;
    troubled.context_injection_state = ContextState::NotStarted;
    troubled.trouble = Some("room not found".to_owned());
    let status = StatusData {
        version: "0.6.0".to_owned(),
        pid: 42,
        uptime_ms: 3_723_000,
        watchers: 1,
        connectors: vec![ConnectorLine {
            name: "rc".to_owned(),
            kind: "rocketchat".to_owned(),
            link: LinkState::Retrying,
            reason: Some("connection refused".to_owned()),
            account: None,
            server_version: Some("6.5.3".to_owned()),
            version_note: None,
            since: 1_700_000_000_000,
        }],
        agents: vec![AgentLine {
            name: "claude".to_owned(),
            kind: "claude".to_owned(),
            version: Some("2.1.0".to_owned()),
            can: Some(vec!["streaming".to_owned(), "resume".to_owned()]),
            trouble: None,
            confinement: None,
        }],
        queues: QueueCounts { inbox_waiting: 1, ..QueueCounts::default() },
        unconfirmed: vec![Unconfirmed { connector: "rc".to_owned(), username: "alice".to_owned() }],
        running_turns: vec![RunningTurn { room: "general".to_owned(), for_ms: 1500 }],
        storage: None,
        limits: Some(LimitsLine {
            max_queue_depth: 100,
            max_concurrent_turns: 8,
            max_turns_per_room: 4,
            rate_limit: Some(RateLine { messages: 20, per_ms: 60_000 }),
            collect: Some(CollectLine { messages: 50, characters: 20_000 }),
        }),
        budgets: vec![
            BudgetLine {
                of: BudgetOf::Agent,
                name: "claude".to_owned(),
                connector: None,
                unit: BudgetUnit::MicroUsd,
                spent: 1_250_000,
                limit: 5_000_000,
                turns: 3,
                untold: 1,
            },
            BudgetLine {
                of: BudgetOf::Room,
                name: "general".to_owned(),
                connector: Some("rc".to_owned()),
                unit: BudgetUnit::Tokens,
                spent: 0,
                limit: 1000,
                turns: 0,
                untold: 0,
            },
        ],
        budgets_left_out: 2,
    };
    let lines = [
        line(&Answer::<()>::done()),
        line(&Answer::<()>::refused("Unknown command: bogus")),
        line(&Answer::with(vec![watcher(), troubled])),
        line(&Answer::with(Vec::<WatcherLine>::new())),
        line(&Answer::with(status)),
    ]
    .concat();
    assert_snapshot!(lines, @r#"
    {"ok":true}
    {"ok":false,"error":"Unknown command: bogus"}
    {"ok":true,"data":[{"watcher_name":"w0","room_name":"general","connector":"rc","agent_name":"claude","session_id":"5f0c","paused":false,"active":true,"context_injection_state":"injected"},{"watcher_name":"w0","room_name":"general","connector":"rc","agent_name":"claude","session_id":null,"paused":false,"active":false,"context_injection_state":"not_started","trouble":"room not found"}]}
    {"ok":true,"data":[]}
    {"ok":true,"data":{"version":"0.6.0","pid":42,"uptime_ms":3723000,"watchers":1,"connectors":[{"name":"rc","type":"rocketchat","link":"retrying","reason":"connection refused","account":null,"server_version":"6.5.3","version_note":null,"since":1700000000000}],"agents":[{"name":"claude","type":"claude","version":"2.1.0","can":["streaming","resume"],"trouble":null}],"queues":{"inbox_waiting":1,"inbox_running":0,"inbox_refused":0,"refused":{"queue_full":0,"share_full":0,"rate_limited":0,"budget_spent":0,"missed":0},"outbox_pending":0,"outbox_failed":0,"outbox_ambiguous":0,"outbox_expired":0},"unconfirmed":[{"connector":"rc","username":"alice"}],"running_turns":[{"room":"general","for_ms":1500}],"limits":{"max_queue_depth":100,"max_concurrent_turns":8,"max_turns_per_room":4,"rate_limit":{"messages":20,"per_ms":60000},"collect":{"messages":50,"characters":20000}},"budgets":[{"of":"agent","name":"claude","unit":"micro_usd","spent":1250000,"limit":5000000,"turns":3,"untold":1},{"of":"room","name":"general","connector":"rc","unit":"tokens","spent":0,"limit":1000,"turns":0,"untold":0}],"budgets_left_out":2}}
    "#);
}

#[test]
fn answers_of_the_python_program_are_read() {
    let partial: Answer<Vec<WatcherLine>> = serde_json::from_str(
        r#"{"ok":false,"data":[{"watcher_name":"w0","room_name":"general","connector":"rc","agent_name":"claude","session_id":"5f0c","paused":false,"active":true,"context_injection_state":"injected"}],"errors":[{"connector":"b","error":"down"}]}"#,
    )
    .unwrap();
    assert_eq!(
        partial,
        Answer {
            ok: false,
            data: Some(vec![watcher()]),
            error: None,
            errors: vec![ConnectorFailure { connector: "b".to_owned(), error: "down".to_owned() }],
        }
    );
}
