//! What the fuzz targets assert: properties as plain functions of a text, so that stable tests run them too.
//!
//! Owns no property itself. Must never need a nightly compiler.

pub mod bash_property;
pub mod commands_property;
pub mod rules_property;
pub mod second_opinion;
