//! The script machine as the driver sees it.

use acg_core::agent::Prompt;
use acg_types::{Decision, PermissionId};

use super::turn::Machine;
use super::wire;
use crate::kit::driver;

type Effect = driver::Effect<()>;

impl driver::Machine for Machine {
    /// A script says nothing before its first turn.
    type Hello = ();

    const MAX_LINE: usize = wire::MAX_LINE;
    const MAY_ANSWER_UNREAD: bool = true;

    fn line(&mut self, line: &[u8]) -> Vec<Effect> {
        match self.line(line) {
            Ok(events) => events.into_iter().map(Effect::Event).collect(),
            Err(fault) => vec![Effect::Fault(fault)],
        }
    }

    /// The text of the prompt is the whole line: the session has written it.
    fn prompt(&mut self, _: String, prompt: &Prompt) -> Option<Vec<Effect>> {
        if self.is_running() {
            return None;
        }
        self.begin();
        Some(vec![Effect::Send(prompt.text.clone())])
    }

    fn answer(&mut self, id: &PermissionId, decision: &Decision) -> Vec<Effect> {
        let Some((line, event)) = self.answer(id, decision) else { return Vec::new() };
        std::iter::once(Effect::Send(line)).chain(event.map(Effect::Event)).collect()
    }

    fn reply(&mut self, id: &PermissionId, text: Option<&str>) -> Vec<Effect> {
        self.reply(id, text).map(Effect::Send).into_iter().collect()
    }

    fn interrupt(&mut self) -> Vec<Effect> {
        self.cancel().map(Effect::Send).into_iter().collect()
    }

    fn in_turn(&self) -> bool {
        self.is_running()
    }

    fn is_starting(&self) -> bool {
        false
    }
}
