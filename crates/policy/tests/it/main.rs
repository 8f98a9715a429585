//! Tests of the policy as its callers see it, and against a real bash.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "helpers of tests fail as tests do"
)]

mod bash_answers;
mod bash_corpus;
mod bash_docs;
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
