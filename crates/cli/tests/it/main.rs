//! The real binary, from outside: texts, exit codes, files, and what is left behind.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail where it stands")]

mod ask;
mod audit;
mod chat;
mod config;

mod control;
mod end_to_end;
mod harness;
mod import;
mod import_openclaw;
mod lifecycle;
mod logs;
mod no_faults;
mod outage;
mod policy;
mod rig;
mod script;
mod self_chat;
mod shutdown;
mod storage;
mod texts;
mod usage;
