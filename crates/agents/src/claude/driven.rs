//! The Claude machine as the driver sees it.

use acg_core::agent::Prompt;
use acg_types::{Decision, PermissionId};

use super::turn::{Effect, Hello, Machine};
use crate::kit::driver;

impl driver::Machine for Machine {
    type Hello = Hello;

    fn line(&mut self, line: &[u8]) -> Vec<Effect> {
        self.line(line)
    }

    fn prompt(&mut self, id: String, prompt: &Prompt) -> Option<Vec<Effect>> {
        self.prompt(id, &prompt.text_naming_files())
    }

    fn answer(&mut self, id: &PermissionId, decision: &Decision) -> Vec<Effect> {
        self.answer(id, decision)
    }

    fn interrupt(&mut self) -> Vec<Effect> {
        self.interrupt()
    }

    fn in_turn(&self) -> bool {
        self.in_turn()
    }

    fn is_starting(&self) -> bool {
        self.is_starting()
    }
}
