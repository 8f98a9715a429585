//! A place among the turns that run at the same time, and a turn's time.
//!
//! Owns both as things that can be laid down while people are waited for, and taken up again.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

type Claim = Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send>>;

/// One of `max_concurrent_turns`.
pub(super) struct Slot {
    slots: Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
    /// Kept over the wait, so that the place in the line is.
    claim: Option<Claim>,
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").field("held", &self.is_held()).finish_non_exhaustive()
    }
}

impl Slot {
    pub(super) fn new(slots: &Arc<Semaphore>) -> Self {
        Self { slots: Arc::clone(slots), held: None, claim: None }
    }

    pub(super) fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// Another turn may run.
    pub(super) fn give_back(&mut self) {
        self.held = None;
        self.claim = None;
    }

    /// Waits for a place, in the order of asking. Cancel-safe: a later call goes on waiting in the same place.
    pub(super) async fn take(&mut self) {
        if self.held.is_some() {
            return;
        }
        let claim = self.claim.get_or_insert_with(|| Box::pin(Arc::clone(&self.slots).acquire_owned()));
        let permit = claim.as_mut().await;
        self.claim = None;
        match permit {
            Ok(permit) => self.held = Some(permit),
            // The semaphore is never closed.
            Err(_) => std::future::pending().await,
        }
    }
}

/// The time that a turn may take, without the time that it waits for people.
#[derive(Debug)]
pub(super) struct Budget {
    left: Duration,
    since: Option<Instant>,
}

impl Budget {
    pub(super) fn new(time: Duration) -> Self {
        Self { left: time, since: Some(Instant::now()) }
    }

    pub(super) fn run(&mut self) {
        self.since.get_or_insert_with(Instant::now);
    }

    pub(super) fn pause(&mut self) {
        if let Some(since) = self.since.take() {
            self.left = self.left.saturating_sub(since.elapsed());
        }
    }

    /// When it is used up; `None` while it does not run.
    pub(super) fn ends(&self) -> Option<Instant> {
        self.since.map(|since| since + self.left)
    }

    /// Resolves when it is used up.
    pub(super) async fn over(&self) {
        match self.ends() {
            Some(end) => tokio::time::sleep_until(end).await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_place_that_was_given_back_is_waited_for_in_turn() {
        let slots = Arc::new(Semaphore::new(1));
        let (mut first, mut second) = (Slot::new(&slots), Slot::new(&slots));
        first.take().await;
        {
            let waiting = second.take();
            tokio::pin!(waiting);
            assert!(futures_util::poll!(waiting.as_mut()).is_pending());
        }
        first.give_back();
        assert!(!first.is_held());
        {
            let again = first.take();
            tokio::pin!(again);
            assert!(futures_util::poll!(again.as_mut()).is_pending(), "the other one asked first");
        }
        second.take().await;
        assert!(second.is_held());
    }

    #[test]
    fn time_stands_while_it_is_paused() {
        let mut budget = Budget::new(Duration::from_mins(1));
        assert!(budget.ends().is_some());
        budget.pause();
        assert_eq!(budget.ends(), None);
        let left = budget.left;
        assert!(left <= Duration::from_mins(1) && left > Duration::from_secs(50));
        budget.run();
        assert_eq!(budget.left, left);
        assert!(budget.ends().is_some());
    }
}
