//! The state of the connection as people see it: for `status`, and one line of log at every change.

use std::sync::Arc;

use acg_core::connector::{Health, Link};
use acg_types::{Clock, ConnectorName};
use tokio::sync::watch;
use tracing::{info, warn};

/// Keeps the state and tells of its changes.
#[derive(Debug)]
pub(crate) struct Board {
    state: watch::Sender<Health>,
    connector: ConnectorName,
    clock: Arc<dyn Clock>,
}

impl Board {
    pub(crate) fn new(connector: ConnectorName, clock: Arc<dyn Clock>) -> Self {
        let state = Health {
            link: Link::Starting,
            reason: None,
            account: None,
            server_version: None,
            version_note: None,
            since: clock.now(),
        };
        Self { state: watch::Sender::new(state), connector, clock }
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Health> {
        self.state.subscribe()
    }

    /// The server told its version.
    pub(crate) fn version(&self, version: Option<&str>) {
        self.state.send_if_modified(|health| {
            let changed = health.server_version.as_deref() != version;
            health.server_version = version.map(str::to_owned);
            health.version_note = version.and_then(version_note);
            changed
        });
    }

    pub(crate) fn connected(&self, account: &str, server: &str) {
        if self.change(Link::Connected, None, Some(account)) {
            let version = self.state.borrow().server_version.clone().unwrap_or_else(|| "unknown".to_owned());
            info!(connector = %self.connector, "Rocket.Chat: connected as @{} to {server} (version {version})", account.escape_debug());
        }
    }

    pub(crate) fn retrying(&self, reason: &str) {
        if self.change(Link::Retrying, Some(reason), None) {
            warn!(connector = %self.connector, "Rocket.Chat: not connected: {reason}; trying again");
        }
    }

    pub(crate) fn refused(&self, reason: &str) {
        if self.change(Link::Refused, Some(reason), None) {
            warn!(connector = %self.connector, "Rocket.Chat: log-in refused: {reason}");
        }
    }

    pub(crate) fn stopped(&self) {
        if self.change(Link::Stopped, None, None) {
            info!(connector = %self.connector, "Rocket.Chat: stopped");
        }
    }

    fn change(&self, link: Link, reason: Option<&str>, account: Option<&str>) -> bool {
        self.state.send_if_modified(|health| {
            let changed = health.link != link || health.reason.as_deref() != reason;
            if health.link != link {
                health.since = self.clock.now();
            }
            health.link = link;
            health.reason = reason.map(str::to_owned);
            if let Some(account) = account {
                health.account = Some(account.to_owned());
            }
            changed
        })
    }
}

/// What is to be said about a version. Real traffic was recorded from 6.5.3 only; the error shapes and routes
/// of 6 to 9 are handled as the server's source and release notes tell.
fn version_note(version: &str) -> Option<String> {
    if version == "6.5" || version.starts_with("6.5.") {
        return None;
    }
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    Some(match major {
        Some(6..=9) => {
            format!("{version} was not tested against a real server (6.5 was); 6 to 9 are expected to work")
        }
        _ => format!("{version} is not among the versions that are expected to work (6 to 9)"),
    })
}

#[cfg(test)]
mod tests {
    use acg_types::SystemClock;

    use super::*;

    #[test]
    fn changes_are_told_once_and_the_account_stays() {
        let board = Board::new("rc".into(), Arc::new(SystemClock));
        let mut watch = board.watch();
        board.version(Some("6.5"));
        board.connected("bot", "http://x");
        assert!(watch.has_changed().unwrap());
        let health = watch.borrow_and_update().clone();
        assert_eq!(
            (health.link, health.account.as_deref(), health.version_note),
            (Link::Connected, Some("bot"), None)
        );
        board.connected("bot", "http://x");
        assert!(!watch.has_changed().unwrap());
        board.retrying("down");
        let health = watch.borrow_and_update().clone();
        assert_eq!(
            (health.link, health.reason.as_deref(), health.account.as_deref()),
            (Link::Retrying, Some("down"), Some("bot"))
        );
    }

    #[test]
    fn untested_versions_are_said_to_be_so() {
        assert_eq!(version_note("6.5.3"), None);
        assert!(version_note("9.0.0").unwrap().contains("not tested"));
        for odd in ["5.4", "10.0", "x"] {
            assert!(version_note(odd).unwrap().contains("not among"), "{odd}");
        }
    }
}
