//! Tests of the policy as its callers see it, and against a real bash.

mod bash_corpus;
mod bash_lists;
mod bash_shell;
