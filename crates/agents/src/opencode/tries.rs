//! Whether a server is tried, or turns are run by one process each: a decision of the failures so far. Pure.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::plan::Trust;

/// Failed starts in a row after which turns are run by one process each.
const MOST: u32 = 2;
/// How long they are, before a server is tried once more.
const PAUSE: Duration = Duration::from_mins(10);

/// What a turn is run by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Server,
    /// A server, or else a process of its own.
    ServerAgain,
    Process,
}

/// Failed starts in a row.
#[derive(Debug, Default)]
pub(super) struct Tries(HashMap<Trust, (u32, Instant)>);

impl Tries {
    pub(super) fn next(&self, trust: Trust, now: Instant) -> Next {
        match self.0.get(&trust) {
            Some((count, last)) if *count >= MOST => {
                if now.duration_since(*last) < PAUSE {
                    Next::Process
                } else {
                    Next::ServerAgain
                }
            }
            _ => Next::Server,
        }
    }

    /// A server did not start; how often in a row now.
    pub(super) fn failed(&mut self, trust: Trust, now: Instant) -> u32 {
        let (count, last) = self.0.entry(trust).or_insert((0, now));
        (*count, *last) = (count.saturating_add(1), now);
        *count
    }

    /// One has started: it heals, and each trust is tried again.
    pub(super) fn started(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_fails_twice_is_left_alone_and_tried_again() {
        let owner = Trust { inherit: true, confined: false, own: false };
        let guest = Trust { inherit: false, confined: true, own: false };
        let (mut tries, start) = (Tries::default(), Instant::now());
        assert_eq!(tries.next(guest, start), Next::Server);
        assert_eq!(tries.failed(guest, start), 1);
        assert_eq!(tries.next(guest, start), Next::Server, "once is an accident");
        assert_eq!(tries.failed(guest, start), 2);
        assert_eq!(tries.next(guest, start + PAUSE / 2), Next::Process);
        assert_eq!(tries.next(owner, start), Next::Server, "each for itself");
        let later = start + PAUSE;
        assert_eq!(tries.next(guest, later), Next::ServerAgain);
        assert_eq!(tries.failed(guest, later), 3);
        assert_eq!(tries.next(guest, later + PAUSE / 2), Next::Process);
        tries.started();
        assert_eq!(tries.next(guest, later), Next::Server);
    }
}
