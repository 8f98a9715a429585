//! What the link and the senders share: who is waiting for what, and where lines go.
//!
//! Owns the rule what a failed post means: nothing was written, try again; it was written and not answered, the outcome
//! is unknown.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use acg_core::connector::{Health, Link, Receipt, SendError};
use acg_types::{Clock, ConnectorName, MessageId, Timestamp};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{debug, info, warn};

use super::wire::Told;

/// Lines that may wait to be written.
const QUEUE: usize = 1024;

/// What the configuration says of one script connector.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// How long a post waits to be acknowledged.
    pub(crate) ack_timeout: Duration,
    /// The other side drops a repeated id.
    pub(crate) idempotent: bool,
    /// Work in progress is told.
    pub(crate) stream: bool,
}

/// A line on its way out.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) text: String,
    pub(crate) ticket: Arc<Ticket>,
}

/// Whether a line is written: either it is begun, or it was taken back before; never both.
#[derive(Debug, Default)]
pub(crate) struct Ticket(AtomicU8);

impl Ticket {
    const WAITS: u8 = 0;
    const BEGUN: u8 = 1;
    const REVOKED: u8 = 2;

    /// To be called before the first byte is written. False: it must not be.
    pub(crate) fn begin(&self) -> bool {
        self.leave(Self::BEGUN)
    }

    /// Takes the line back. False: it may have been written already.
    fn revoke(&self) -> bool {
        self.leave(Self::REVOKED)
    }

    fn leave(&self, to: u8) -> bool {
        self.0.compare_exchange(Self::WAITS, to, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}

/// A post that waits for its answer.
#[derive(Debug)]
struct Waiter {
    ticket: Arc<Ticket>,
    answer: oneshot::Sender<Result<Receipt, SendError>>,
}

#[derive(Debug, Default)]
struct State {
    out: Option<mpsc::Sender<Line>>,
    waiting: HashMap<MessageId, Waiter>,
    last: Timestamp,
}

/// One script connector.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) connector: ConnectorName,
    pub(crate) options: Options,
    clock: Arc<dyn Clock>,
    health: watch::Sender<Health>,
    state: Mutex<State>,
}

impl Shared {
    pub(crate) fn new(connector: ConnectorName, options: Options, clock: Arc<dyn Clock>) -> Self {
        let health = Health {
            link: Link::Starting,
            reason: None,
            account: None,
            server_version: None,
            version_note: None,
            since: clock.now(),
        };
        Self { connector, options, clock, health: watch::Sender::new(health), state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Now, but never the same moment twice: the order of what is said must show.
    pub(crate) fn moment(&self) -> Timestamp {
        let now = self.clock.now();
        let mut state = self.state();
        state.last = Timestamp(now.0.max(state.last.0.saturating_add(1)));
        state.last
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    pub(crate) fn set_link(&self, link: Link, reason: Option<&str>) {
        let since = self.clock.now();
        let changed = self.health.send_if_modified(|health| {
            let changed = health.link != link || health.reason.as_deref() != reason;
            if health.link != link {
                health.since = since;
            }
            health.link = link;
            health.reason = reason.map(str::to_owned);
            changed
        });
        match (changed, link, reason) {
            (true, Link::Connected, _) => info!(connector = %self.connector, "Script: connected."),
            (true, Link::Retrying, Some(reason)) => {
                warn!(connector = %self.connector, "Script: not connected: {reason}; trying again");
            }
            (true, Link::Refused, Some(reason)) => warn!(connector = %self.connector, "Script: {reason}"),
            _ => {}
        }
    }

    /// The link is over; whoever supervises it says more.
    pub(crate) fn cut(&self, reason: &str) {
        let since = self.clock.now();
        self.health.send_modify(|health| {
            health.link = Link::Retrying;
            health.reason = Some(reason.to_owned());
            health.since = since;
        });
    }

    /// What the other side says of itself.
    pub(crate) fn introduce(&self, account: Option<String>, version: Option<String>) {
        self.health.send_modify(|health| {
            health.account = account;
            health.server_version = version;
        });
    }

    /// Opens the way out; what is put there comes out of the receiver.
    pub(crate) fn attach(&self) -> mpsc::Receiver<Line> {
        let (out, lines) = mpsc::channel(QUEUE);
        self.state().out = Some(out);
        lines
    }

    /// Closes the way out. Who still waits for an answer is told what is known.
    pub(crate) fn detach(&self) {
        let waiting = {
            let mut state = self.state();
            state.out = None;
            std::mem::take(&mut state.waiting)
        };
        for (_, waiter) in waiting {
            let reason = "the other side ended before it acknowledged the post".to_owned();
            let error = if waiter.ticket.revoke() {
                SendError::Retry { after: None, reason }
            } else {
                SendError::Ambiguous { reason }
            };
            drop(waiter.answer.send(Err(error)));
        }
    }

    /// Puts a line in the queue, waiting for a place up to a limit. False: it will not be written.
    pub(crate) async fn tell(&self, told: &Told, limit: Duration) -> bool {
        self.put(told, limit, Arc::default()).await
    }

    async fn put(&self, told: &Told, limit: Duration, ticket: Arc<Ticket>) -> bool {
        let Some(text) = self.line(told) else { return false };
        let Some(out) = self.state().out.clone() else { return false };
        matches!(tokio::time::timeout(limit, out.send(Line { text, ticket })).await, Ok(Ok(())))
    }

    /// Puts a line in the queue if there is a place at once.
    pub(crate) fn hint(&self, told: &Told) {
        let Some(text) = self.line(told) else { return };
        let Some(out) = self.state().out.clone() else { return };
        drop(out.try_send(Line { text, ticket: Arc::default() }));
    }

    fn line(&self, told: &Told) -> Option<String> {
        match serde_json::to_string(told) {
            Ok(text) => Some(text),
            Err(error) => {
                debug!(connector = %self.connector, %error, "A line could not be made.");
                None
            }
        }
    }

    /// Tells about a post and waits for its answer.
    pub(crate) async fn post(&self, id: &MessageId, told: &Told) -> Result<Receipt, SendError> {
        let ticket = Arc::<Ticket>::default();
        let (answer, mut answered) = oneshot::channel();
        let waiter = Waiter { ticket: Arc::clone(&ticket), answer };
        self.state().waiting.insert(id.clone(), waiter);
        let limit = self.options.ack_timeout;
        if !self.put(told, limit, Arc::clone(&ticket)).await {
            self.state().waiting.remove(id);
            return Err(SendError::Retry { after: None, reason: "the other side takes nothing".to_owned() });
        }
        let result = tokio::time::timeout(limit, &mut answered).await;
        if result.is_err() {
            self.state().waiting.remove(id);
        }
        match result {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) if ticket.revoke() => {
                let reason = format!("the other side did not take the post within {limit:?}");
                Err(SendError::Retry { after: None, reason })
            }
            Ok(Err(_)) | Err(_) => Err(SendError::Ambiguous {
                reason: format!("the other side did not acknowledge the post within {limit:?}"),
            }),
        }
    }

    /// A post was answered. False: nobody waits for it (any more).
    pub(crate) fn answered(&self, id: &MessageId, result: Result<Receipt, SendError>) -> bool {
        let waiter = self.state().waiting.remove(id);
        waiter.is_some_and(|waiter| waiter.answer.send(result).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use acg_types::SystemClock;

    use super::*;

    fn shared(ack_timeout: Duration) -> Shared {
        let options = Options { ack_timeout, idempotent: false, stream: false };
        Shared::new("s".into(), options, Arc::new(SystemClock))
    }

    fn told() -> Told {
        Told::Typing { room: "r".into(), thread: None, on: true }
    }

    #[tokio::test]
    async fn what_a_lost_post_means_hangs_on_whether_it_was_written() {
        let key = MessageId::new("k");
        let shared = shared(Duration::from_secs(20));
        let result = shared.post(&key, &told()).await;
        assert!(matches!(result, Err(SendError::Retry { .. })), "not linked: {result:?}");

        for written in [false, true] {
            let mut lines = shared.attach();
            let message = told();
            let post = shared.post(&key, &message);
            let other = async {
                let line = lines.recv().await.unwrap();
                assert!(!written || line.ticket.begin());
                shared.detach();
                assert!(!line.ticket.begin(), "never written after it was given up");
            };
            let (result, ()) = tokio::join!(post, other);
            assert_eq!(matches!(result, Err(SendError::Ambiguous { .. })), written, "{result:?}");
            assert_eq!(matches!(result, Err(SendError::Retry { .. })), !written, "{result:?}");
        }
    }

    #[tokio::test]
    async fn a_late_answer_changes_nothing() {
        let key = MessageId::new("k");
        let shared = shared(Duration::from_millis(10));
        let mut lines = shared.attach();
        let message = told();
        let (result, line) = tokio::join!(shared.post(&key, &message), async {
            let line = lines.recv().await.unwrap();
            assert!(line.ticket.begin());
            line
        });
        assert!(matches!(result, Err(SendError::Ambiguous { .. })), "{result:?}");
        drop(line);
        let unread = shared.post(&key, &message).await;
        assert!(matches!(unread, Err(SendError::Retry { .. })), "{unread:?}");
        assert!(!lines.recv().await.unwrap().ticket.begin(), "it was taken back");
        assert!(!shared.answered(&key, Ok(Receipt { id: key.clone(), duplicate: false })));
    }

    #[test]
    fn moments_rise() {
        let shared = shared(Duration::from_secs(1));
        assert!(shared.moment() < shared.moment());
    }
}
