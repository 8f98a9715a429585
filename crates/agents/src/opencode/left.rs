//! How turns have left their sessions: what the next prompt of each would else have to ask the server for.
//!
//! What is kept serves one prompt and is then forgotten, so nothing that was done with a session in between goes unseen
//! for longer. Must never keep what a turn has left that was cancelled or let go.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::wire::SessionInfo;

/// Most sessions that are kept.
const MOST: usize = 1000;

/// How a turn has left its session.
#[derive(Debug)]
pub(crate) struct Left {
    pub(crate) last_message: String,
    /// The session as the server told it after the turn, once it has.
    pub(crate) session: OnceLock<SessionInfo>,
}

/// Those of one server.
#[derive(Debug, Default)]
pub(crate) struct Leavings(Mutex<HashMap<String, Arc<Left>>>);

impl Leavings {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Arc<Left>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the end of a turn. What is returned takes the session as the server tells it.
    pub(crate) fn leave(&self, session: &str, last_message: String) -> Arc<Left> {
        let left = Arc::new(Left { last_message, session: OnceLock::new() });
        let mut all = self.all();
        if all.len() >= MOST {
            // They are asked for again.
            all.clear();
        }
        all.insert(session.to_owned(), Arc::clone(&left));
        left
    }

    /// How the last turn has left a session, once. Without what the server tells it is of no use.
    pub(crate) fn take(&self, session: &str) -> Option<(SessionInfo, String)> {
        let left = self.all().remove(session)?;
        let found = left.session.get()?.clone();
        Some((found, left.last_message.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(title: &str) -> SessionInfo {
        SessionInfo {
            id: "ses_1".into(),
            directory: "/w".into(),
            title: title.into(),
            permission: Vec::new(),
            parent: None,
        }
    }

    fn taken(leavings: &Leavings) -> Option<(String, String)> {
        leavings.take("ses_1").map(|(found, last_message)| (found.title, last_message))
    }

    #[test]
    fn what_a_turn_has_left_serves_one_prompt() {
        let leavings = Leavings::default();
        assert_eq!(taken(&leavings), None);
        let left = leavings.leave("ses_1", "msg_1".into());
        left.session.set(info("first")).unwrap();
        assert_eq!(taken(&leavings), Some(("first".into(), "msg_1".into())));
        assert_eq!(taken(&leavings), None);
    }

    #[test]
    fn what_the_server_tells_too_late_is_not_taken_for_a_later_turn() {
        let leavings = Leavings::default();
        let first = leavings.leave("ses_1", "msg_1".into());
        assert_eq!(taken(&leavings), None, "the server has not told yet");
        let second = leavings.leave("ses_1", "msg_2".into());
        first.session.set(info("first")).unwrap();
        second.session.set(info("second")).unwrap();
        assert_eq!(taken(&leavings), Some(("second".into(), "msg_2".into())));
    }

    #[test]
    fn not_everything_is_kept() {
        let leavings = Leavings::default();
        for number in 0..=MOST {
            leavings.leave(&number.to_string(), String::new());
        }
        assert!(leavings.all().len() <= MOST);
    }
}
