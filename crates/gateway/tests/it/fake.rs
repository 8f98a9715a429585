//! A core that notes what it was asked.

use std::sync::{Condvar, Mutex};
use std::time::Duration;

use acg_core::agent::Abilities;
use acg_core::connector::{Health, Link};
use acg_core::handle::{
    AgentInfoLine, BudgetInfo, BudgetOf, BudgetUnit, CommandError, ConnectorInfo, ContextState, Control,
    Limits, SendRequest, StatusReport, WatcherInfo,
};
use acg_store::Counts;
use acg_types::{RoomId, SessionId, Timestamp};
use async_trait::async_trait;

#[derive(Debug, Default)]
pub(crate) struct FakeControl {
    asked: Mutex<Vec<String>>,
    changed: Condvar,
}

impl FakeControl {
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) fn wait_until_asked(&self, what: &str) {
        let asked = self.asked.lock().unwrap();
        let (asked, _) = self
            .changed
            .wait_timeout_while(asked, Duration::from_secs(10), |asked| {
                !asked.iter().any(|entry| entry == what)
            })
            .unwrap();
        assert!(asked.iter().any(|entry| entry == what), "never asked: {what}");
    }

    fn note(&self, entry: String) {
        self.asked.lock().unwrap().push(entry);
        self.changed.notify_all();
    }

    fn watcher(&self, command: &str, name: &str, connector: Option<&str>) -> Result<(), CommandError> {
        self.note(format!(
            "{command} {name}{}",
            connector.map(|name| format!(" on {name}")).unwrap_or_default()
        ));
        if name == "zz" { Err(CommandError::UnknownWatcher(name.to_owned())) } else { Ok(()) }
    }
}

#[async_trait]
impl Control for FakeControl {
    async fn list(&self, connector: Option<&str>) -> Result<Vec<WatcherInfo>, CommandError> {
        self.note(format!("list {connector:?}"));
        if let Some(name) = connector {
            return Err(CommandError::UnknownConnector(name.to_owned()));
        }
        Ok(vec![WatcherInfo {
            name: "w0".into(),
            connector: "rc".into(),
            room: "general".to_owned(),
            agent: "claude".into(),
            session: Some(SessionId::from("5f0c")),
            paused: false,
            active: true,
            trouble: None,
            context: ContextState::Degraded,
        }])
    }

    async fn pause(&self, watcher: &str, connector: Option<&str>) -> Result<(), CommandError> {
        self.watcher("pause", watcher, connector)?;
        if watcher == "slow" {
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    async fn resume(&self, watcher: &str, connector: Option<&str>) -> Result<(), CommandError> {
        self.watcher("resume", watcher, connector)
    }

    async fn reset(&self, watcher: &str, connector: Option<&str>) -> Result<(), CommandError> {
        self.watcher("reset", watcher, connector)
    }

    async fn stop_turn(&self, _watcher: &str) -> Result<bool, CommandError> {
        Ok(false)
    }

    async fn send(&self, request: SendRequest) -> Result<(), CommandError> {
        let length = request.text.len();
        self.note(format!(
            "send {length} bytes to {} {:?} {:?}",
            request.room, request.attachment, request.connector
        ));
        match (request.connector, request.attachment) {
            (None, None) if length < 10 => {
                Err(CommandError::AmbiguousConnector(vec!["a".into(), "b".into()]))
            }
            _ => Ok(()),
        }
    }

    async fn status(&self) -> Result<StatusReport, CommandError> {
        Ok(StatusReport {
            uptime: Duration::from_millis(3_723_004),
            watchers: 1,
            connectors: vec![ConnectorInfo {
                name: "rc".into(),
                kind: "rocketchat".to_owned(),
                health: Health {
                    link: Link::Refused,
                    reason: Some("wrong password".to_owned()),
                    account: Some("bot".to_owned()),
                    server_version: Some("6.5.3".to_owned()),
                    version_note: Some("tested with 6.5 to 9.0".to_owned()),
                    since: Timestamp(1_700_000_000_000),
                },
            }],
            agents: vec![AgentInfoLine {
                name: "claude".into(),
                kind: "claude".to_owned(),
                version: None,
                can: Some(Abilities { streaming: true, mcp: true, ..Abilities::default() }),
                trouble: Some("not found".to_owned()),
                confinement: None,
            }],
            counts: Counts {
                inbox_waiting: 1,
                inbox_running: 2,
                inbox_refused: 3,
                refused_queue_full: 2,
                refused_share_full: 0,
                refused_rate_limited: 1,
                refused_budget_spent: 0,
                refused_missed: 0,
                outbox_pending: 4,
                outbox_failed: 5,
                outbox_ambiguous: 6,
                outbox_expired: 7,
            },
            unconfirmed: vec![("rc".into(), "alice".to_owned())],
            running_turns: vec![("general".to_owned(), Duration::from_millis(1500))],
            storage: Some("disk full".to_owned()),
            limits: Limits::default(),
            budgets: vec![BudgetInfo {
                of: BudgetOf::Person("rc".into(), "alice".to_owned()),
                unit: BudgetUnit::Tokens,
                spent: 900,
                limit: 1000,
                turns: 2,
                untold: 0,
            }],
            budgets_left_out: 0,
        })
    }

    async fn confirm_user(&self, username: &str, connector: Option<&str>) -> Result<(), CommandError> {
        self.note(format!("confirm {username} {connector:?}"));
        Err(CommandError::NothingToConfirm(username.to_owned()))
    }

    async fn first_outcomes(&self, _: Duration) -> Vec<String> {
        Vec::new()
    }

    async fn room_of(&self, _: &str) -> Result<Option<RoomId>, CommandError> {
        Ok(None)
    }
}
