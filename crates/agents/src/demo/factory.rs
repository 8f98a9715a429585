//! `type: demo`: its one key and the parser of it.

use std::sync::Arc;
use std::time::Duration;

use acg_config::{Key, Kind, Section, Settings, Shape};

/// The type for `acg_config`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DemoKind;

/// What the type's own keys say.
#[derive(Clone, Debug)]
pub(crate) struct DemoSettings {
    /// The pause between two pieces of a streamed answer.
    pub(crate) pace: Duration,
}

const KEYS: &[Key] =
    &[Key::new("pace", Shape::Duration, "Pause between two words of a streamed answer.").default("0.02")];

impl Kind for DemoKind {
    fn name(&self) -> &'static str {
        "demo"
    }

    fn keys(&self) -> &'static [Key] {
        KEYS
    }

    fn parse(&self, section: &mut Section<'_>) -> Option<Settings> {
        let pace = section.duration("pace").unwrap_or(Duration::from_millis(20));
        if pace > Duration::from_secs(5) {
            section.error("pace", "'pace' must be at most 5 seconds.", None);
            return None;
        }
        Some(Settings(Arc::new(DemoSettings { pace })))
    }
}
