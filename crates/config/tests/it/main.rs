//! The loader from outside: texts in, diagnostics and configurations out.

mod dialects;
mod entries;
mod faults;
mod generated;
mod kit;
mod limits;
mod secrets;
