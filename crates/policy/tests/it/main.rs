//! Tests of the policy as its callers see it, and against a real bash.

mod bash_corpus;
mod bash_fuzz;
mod bash_lists;
#[path = "../../../../fuzz/src/bash_property.rs"]
mod bash_property;
mod bash_shell;
#[path = "../../../../fuzz/src/commands_property.rs"]
mod commands_property;
#[path = "../../../../fuzz/src/rules_property.rs"]
mod rules_property;
#[path = "../../../../fuzz/src/second_opinion.rs"]
mod second_opinion;
