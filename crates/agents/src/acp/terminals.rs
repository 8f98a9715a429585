//! The terminals of running turns: what their commands have written so far, and how they ended.
//!
//! A machine opens a terminal when its program asks for one, and releases it, with the turn at the latest; whatever runs
//! in it ends then. Who runs the command only feeds it. Must never hold more of an output than was asked for.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Most bytes of an output that are kept, whatever the program asks for.
pub(crate) const MAX_OUTPUT: usize = 1024 * 1024;

/// How a command ended: with this code, or by a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exit(pub(crate) Option<u32>);

/// What a terminal shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) output: String,
    /// The beginning is not there any more.
    pub(crate) truncated: bool,
    pub(crate) exit: Option<Exit>,
}

/// One terminal, as whoever runs its command sees it.
#[derive(Debug)]
pub(crate) struct Terminal {
    limit: usize,
    state: Mutex<State>,
    /// Ends the command.
    pub(crate) kill: CancellationToken,
    /// Tells the machine that a command has ended.
    wake: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    output: VecDeque<u8>,
    truncated: bool,
    exit: Option<Exit>,
}

impl Terminal {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, bytes: &[u8]) {
        let mut state = self.state();
        state.output.extend(bytes);
        let surplus = state.output.len().saturating_sub(self.limit);
        if surplus > 0 {
            state.output.drain(..surplus);
            state.truncated = true;
        }
    }

    pub(crate) fn end(&self, exit: Exit) {
        self.state().exit = Some(exit);
        self.wake.notify_one();
    }

    pub(crate) fn exit(&self) -> Option<Exit> {
        self.state().exit
    }

    pub(crate) fn seen(&self) -> Seen {
        let state = self.state();
        // What was cut off may have taken the first bytes of a letter with it.
        let is_inside = |byte: &u8| byte & 0b1100_0000 == 0b1000_0000;
        let skipped = if state.truncated {
            state.output.iter().take(3).take_while(|byte| is_inside(byte)).count()
        } else {
            0
        };
        let bytes: Vec<u8> = state.output.iter().skip(skipped).copied().collect();
        Seen {
            output: String::from_utf8_lossy(&bytes).into_owned(),
            truncated: state.truncated,
            exit: state.exit,
        }
    }
}

/// The terminals of a backend's machines, by ids that name the machine.
#[derive(Debug, Default)]
pub(crate) struct Terminals(Mutex<HashMap<String, Arc<Terminal>>>);

impl Terminals {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Arc<Terminal>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A terminal in which nothing runs yet. At most `limit` bytes of its output are kept.
    pub(crate) fn open(&self, id: &str, limit: Option<u64>, wake: &Arc<Notify>) {
        let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(MAX_OUTPUT);
        let terminal = Terminal {
            limit: limit.min(MAX_OUTPUT),
            state: Mutex::default(),
            kill: CancellationToken::new(),
            wake: Arc::clone(wake),
        };
        self.all().insert(id.to_owned(), Arc::new(terminal));
    }

    pub(crate) fn get(&self, id: &str) -> Option<Arc<Terminal>> {
        self.all().get(id).cloned()
    }

    /// Forgets a terminal, and ends what runs in it.
    pub(crate) fn release(&self, id: &str) {
        if let Some(terminal) = self.all().remove(id) {
            terminal.kill.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terminal(limit: u64) -> (Terminals, Arc<Terminal>) {
        let terminals = Terminals::default();
        terminals.open("t", Some(limit), &Arc::default());
        let terminal = terminals.get("t").unwrap();
        (terminals, terminal)
    }

    #[test]
    fn the_end_of_the_output_is_kept_and_begins_with_a_letter() {
        let (_, terminal) = terminal(5);
        let shown = |terminal: &Terminal| (terminal.seen().output, terminal.seen().truncated);
        terminal.push(b"abc");
        assert_eq!(shown(&terminal), ("abc".to_owned(), false));
        terminal.push("dü€".as_bytes());
        assert_eq!(shown(&terminal), ("ü€".to_owned(), true));
        terminal.push(b"x");
        assert_eq!(shown(&terminal), ("€x".to_owned(), true), "half a letter is none");
        let (_, none) = self::terminal(0);
        none.push(b"abc");
        assert_eq!(shown(&none), (String::new(), true));
        let (_, huge) = self::terminal(u64::MAX);
        assert_eq!(huge.limit, MAX_OUTPUT);
    }

    #[test]
    fn what_runs_in_a_released_terminal_ends() {
        let (terminals, terminal) = terminal(5);
        assert_eq!(terminal.exit(), None);
        terminal.end(Exit(Some(3)));
        assert_eq!(terminals.get("t").unwrap().exit(), Some(Exit(Some(3))));
        assert!(!terminal.kill.is_cancelled());
        terminals.release("t");
        assert!(terminal.kill.is_cancelled() && terminals.get("t").is_none());
    }
}
