//! The keys of `type: claude`: what is read, refused and defaulted.

use std::path::Path;
use std::time::Duration;

use acg_config::parse_settings;

use super::*;

fn parse(text: &str) -> (Option<ClaudeSettings>, Vec<String>) {
    let (settings, found) = parse_settings(&ClaudeKind, text, Path::new("/"), &|_| None);
    let settings = settings.and_then(|settings| settings.get::<ClaudeSettings>().cloned());
    (settings, found.into_iter().map(|diagnostic| diagnostic.to_string()).collect())
}

#[test]
fn every_key_has_its_default() {
    assert_eq!(parse("{}"), (Some(ClaudeSettings::default()), vec![]));
}

#[test]
fn every_key_is_read() {
    let (settings, found) = parse(
        "command: /opt/claude\nnew_session_args: [--model, opus]\ntrust_workspace: true\nidle_timeout: 90s\n\
         max_processes: 3\nmode: oneshot\nenv:\n  MINE: x\n",
    );
    assert_eq!(found, [""; 0]);
    assert_eq!(
        settings.unwrap(),
        ClaudeSettings {
            command: "/opt/claude".into(),
            new_session_args: vec!["--model".into(), "opus".into()],
            trust_workspace: true,
            idle_timeout: Duration::from_secs(90),
            max_processes: 3,
            mode: Mode::OneShot,
            longest_question: None,
            env: [("MINE".to_owned(), "x".to_owned())].into(),
        }
    );
}

#[test]
fn what_would_open_a_door_is_refused_by_name_all_at_once() {
    let (settings, found) = parse(
        "new_session_args: [--dangerously-skip-permissions]\nmax_processes: 0\nmode: fast\nenv:\n  IS_SANDBOX: 1\n",
    );
    assert_eq!(settings, None);
    for needle in [
        "--dangerously-skip-permissions may not be given to Claude: the gateway decides what tools may do",
        "'max_processes' must be between 1 and 1000",
        "'mode' must be one of auto, oneshot",
        "'IS_SANDBOX' may not be set for Claude",
    ] {
        assert!(found.iter().any(|found| found.contains(needle)), "{needle}: {found:?}");
    }
    assert_eq!(found.len(), 4, "{found:?}");
}
