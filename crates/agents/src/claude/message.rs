//! The message of the model that is being answered: which of its tool calls could be deferred.
//!
//! Owns what was measured with 2.1.329: a deferred call is asked about anew when its session is resumed, but of
//! several calls in one message only the last can be: an earlier one is forgotten, or comes back without what
//! was said before. So a call may be deferred only if it is the last of a message that is whole, and every other
//! call of it has its result. Knows no clock and decides about no call.

use std::collections::HashSet;

#[derive(Debug, Default)]
pub(crate) struct Message {
    id: Option<String>,
    /// Its calls in order.
    calls: Vec<String>,
    finished: HashSet<String>,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Not streamed, or broken off: whether more calls follow is not known.
    #[default]
    Unknown,
    /// More calls may follow.
    Streaming,
    Whole,
}

impl Message {
    /// A new message begins to be streamed.
    pub(crate) fn starts(&mut self) {
        *self = Self { state: State::Streaming, ..Self::default() };
    }

    pub(crate) fn stops(&mut self) {
        if self.state == State::Streaming {
            self.state = State::Whole;
        }
    }

    /// The program has gone on without an end of the message.
    pub(crate) fn never_ends(&mut self) {
        if self.state == State::Streaming {
            self.state = State::Unknown;
        }
    }

    /// A block of the message with this id came.
    pub(crate) fn continues(&mut self, id: Option<&str>) {
        let other = self.id.as_deref().is_some_and(|known| Some(known) != id);
        if other || id.is_none() {
            *self = Self::default();
        }
        self.id = id.map(str::to_owned);
    }

    pub(crate) fn calls(&mut self, call: &str) {
        if !self.calls.iter().any(|known| known == call) {
            self.calls.push(call.to_owned());
        }
    }

    pub(crate) fn finished(&mut self, call: &str) {
        if self.calls.iter().any(|known| known == call) {
            self.finished.insert(call.to_owned());
        }
    }

    /// True while more calls may follow.
    pub(crate) fn is_being_written(&self) -> bool {
        self.state == State::Streaming
    }

    /// Whether the program could take this call up after a resume.
    pub(crate) fn may_defer(&self, call: &str) -> bool {
        let Some((last, others)) = self.calls.split_last() else { return false };
        self.state == State::Whole && last == call && others.iter().all(|call| self.finished.contains(call))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(calls: &[&str]) -> Message {
        let mut message = Message::default();
        message.starts();
        for call in calls {
            message.continues(Some("m"));
            message.calls(call);
        }
        message
    }

    #[test]
    fn only_the_last_call_of_a_whole_message_may_be_deferred() {
        let mut one = message(&["a"]);
        assert!(one.is_being_written() && !one.may_defer("a"), "another may follow");
        one.stops();
        assert!(one.may_defer("a") && !one.may_defer("b"));

        let mut two = message(&["a", "b"]);
        two.stops();
        assert!(!two.may_defer("a") && !two.may_defer("b"), "the other has no result yet");
        two.finished("a");
        assert!(!two.may_defer("a") && two.may_defer("b"));
    }

    #[test]
    fn what_is_not_known_to_be_whole_may_not() {
        let mut broken = message(&["a"]);
        broken.never_ends();
        broken.stops();
        assert!(!broken.may_defer("a"));

        let mut at_once = Message::default();
        at_once.continues(Some("m"));
        at_once.calls("a");
        assert!(!at_once.may_defer("a"), "not streamed");

        let mut next = message(&["a"]);
        next.stops();
        next.continues(Some("n"));
        next.calls("b");
        assert!(!next.may_defer("b"), "another message, not streamed");
    }
}
