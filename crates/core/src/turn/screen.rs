//! What a connector can show of a turn while it runs.
//!
//! Owns that a turn which was shown to begin is shown to end, however it ends.

use acg_types::{AgentEvent, Usage};

use super::finish::place;
use super::{Turn, log};
use crate::connector::{Connector, Live};
use crate::hub::Place;

/// A turn on the screen of its room.
pub(super) struct Screen<'a> {
    connector: &'a dyn Connector,
    place: Place,
    ended: bool,
}

impl<'a> Screen<'a> {
    /// The turn has reached the agent.
    pub(super) fn begin(turn: &'a Turn<'_>) -> Self {
        let screen = Self { connector: turn.connector.connector.as_ref(), place: place(turn), ended: false };
        screen.show(Live::Begun);
        screen
    }

    pub(super) fn event(&mut self, event: &AgentEvent) {
        match event {
            AgentEvent::TextDelta(text) => self.show(Live::Text(text)),
            AgentEvent::Message(text) => self.show(Live::Message(text)),
            AgentEvent::ToolStarted(call) => self.show(Live::Tool(call)),
            AgentEvent::ToolFinished { is_error, .. } => self.show(Live::ToolDone { is_error: *is_error }),
            AgentEvent::End(end) => self.end(end.usage.as_ref()),
            AgentEvent::Question { text, options, .. } => {
                self.show(Live::Message(&log::question(text, options)));
            }
            AgentEvent::Thought
            | AgentEvent::Plan(_)
            | AgentEvent::Usage { .. }
            | AgentEvent::Retrying(_)
            | AgentEvent::Permission { .. }
            | AgentEvent::PermissionWithdrawn { .. } => {}
        }
    }

    fn end(&mut self, usage: Option<&Usage>) {
        if !std::mem::replace(&mut self.ended, true) {
            self.show(Live::Ended(usage));
        }
    }

    fn show(&self, event: Live<'_>) {
        self.connector.live(&self.place.room, self.place.thread.as_ref(), event);
    }
}

impl Drop for Screen<'_> {
    fn drop(&mut self) {
        self.end(None);
    }
}
