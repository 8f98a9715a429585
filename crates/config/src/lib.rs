//! `config.yaml` of both dialects into typed configuration, with errors that point at the line.
//!
//! Owns reading the file: dialects, `.env`, templates, presets, `rooms:`, secrets, names, and every validation.
//! Must never start anything, and knows no platform's and no agent program's keys: those come in by [`Kinds`].
//! The table of the types that are known but have no factory yet is the one exception.

mod agents;
mod budget;
mod check;
mod connectors;
mod context;
mod diagnostic;
mod dialect;
mod dotenv;
mod example;
mod expand;
mod keys;
mod kind;
mod load;
pub mod model;
mod naming;
mod node;
mod people;
mod policies;
mod roles;
mod rules;
mod schema;
mod secret;
mod section;
mod templates;
mod watchers;
mod yaml;

pub use diagnostic::{Diagnostic, DiagnosticKind};
pub use example::example;
pub use kind::{Fault, Key, Kind, Kinds, Shape};
pub use load::{LoadRequest, Loaded, load, parse_settings};
pub use model::*;
pub use naming::watcher_name;
pub use schema::schema;
pub use section::Section;
