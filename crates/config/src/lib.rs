//! `config.yaml` of both dialects into typed configuration, with errors that point at the line.
//!
//! Owns reading the file: dialects, `.env`, templates, presets, `rooms:`, secrets, names, and every validation.
//! Must never start anything, and knows no platform's and no agent program's keys: those come in by [`Kinds`].
//! The table of the types that are known but have no factory yet is the one exception.

mod context;
mod diagnostic;
mod kind;
pub mod model;
mod node;
mod secret;
mod section;
mod yaml;

pub use diagnostic::{Diagnostic, DiagnosticKind};
pub use kind::{Key, Kind, Kinds, Shape};
pub use model::*;
pub use section::Section;
