//! Logging: text on a terminal, JSON otherwise and in the file; secrets left out of every line.
//!
//! Owns the subscriber. Message bodies are at debug level only, which is for those who log to see to.

mod redact;
mod rotate;

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;

use secrecy::SecretString;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::args::Common;
use crate::failure::Failure;
use crate::home::Home;
use redact::Redactor;
pub(crate) use rotate::LogFile;

/// Where a daemon writes its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Somebody started it in the foreground: stderr as well as the file.
    Foreground,
    /// Nobody: the file only, stderr too.
    Nobody,
    /// Somebody who talks in this terminal: the file only, and stderr stays theirs.
    Chat,
}

/// Starts logging. May be called once in a process.
pub(crate) fn start(
    common: &Common,
    home: &Home,
    audience: Audience,
    secrets: &[SecretString],
) -> Result<Arc<LogFile>, Failure> {
    let named = common.log_level.clone().or_else(|| std::env::var("ACG_LOG").ok());
    let filter = filter(named.as_deref().unwrap_or("info"))?;
    let path = home.log();
    let file = LogFile::open(&path, audience == Audience::Nobody).map(Arc::new).map_err(|error| {
        Failure::new(format!("the log {} cannot be written", path.display())).because(&error)
    })?;
    let redactor = Arc::new(Redactor::new(secrets));
    let to_file = Sink { redactor: Arc::clone(&redactor), target: Target::File(Arc::clone(&file)) };
    let to_stderr = Sink { redactor, target: Target::Stderr };
    let terminal = io::stderr().is_terminal();
    let colours = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let shown = audience == Audience::Foreground;
    tracing_subscriber::registry()
        .with(filter)
        .with(fmt::layer().json().flatten_event(true).log_internal_errors(false).with_writer(to_file))
        .with((shown && terminal).then(|| {
            fmt::layer().with_ansi(colours).log_internal_errors(false).with_writer(to_stderr.clone())
        }))
        .with((shown && !terminal).then(|| {
            fmt::layer().json().flatten_event(true).log_internal_errors(false).with_writer(to_stderr)
        }))
        .try_init()
        .map_err(|error| Failure::new("logging could not be started").because(&error))?;
    // A panic must not bypass the redactor, and must be found where one looks for it.
    std::panic::set_hook(Box::new(|panic| tracing::error!("The gateway has a defect: {panic}")));
    Ok(file)
}

/// A filter from what a person typed. A bare level is meant for this program: what libraries say at debug and
/// trace level are bytes of the wire.
fn filter(text: &str) -> Result<EnvFilter, Failure> {
    let text = text.trim();
    let directives = match text.to_ascii_lowercase().as_str() {
        "" => "info".to_owned(),
        level @ ("debug" | "trace") => format!("info,acg={level}"),
        _ => text.to_owned(),
    };
    EnvFilter::builder().parse(&directives).map_err(|error| {
        Failure::new(format!("'{text}' is not a log level"))
            .because(&error)
            .next("use error, warn, info, debug or trace, or filters such as acg_core=debug")
    })
}

#[derive(Clone, Debug)]
struct Sink {
    redactor: Arc<Redactor>,
    target: Target,
}

#[derive(Clone, Debug)]
enum Target {
    File(Arc<LogFile>),
    Stderr,
}

/// Takes one whole event per `write`, as the formatter gives them.
struct LineWriter<'a>(&'a Sink);

impl Write for LineWriter<'_> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let line = self.0.redactor.clean(event);
        match &self.0.target {
            Target::File(file) => file.write_line(&line),
            // A foreground log that nobody reads any more is no reason to stop.
            Target::Stderr => drop(io::stderr().lock().write_all(&line)),
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = LineWriter<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        LineWriter(self)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn a_bare_level_is_for_this_program_only() {
        assert_eq!(filter("debug").unwrap().to_string(), "acg=debug,info");
        assert_eq!(filter(" WARN ").unwrap().to_string(), "warn");
        assert_eq!(filter("acg_core=trace,info").unwrap().to_string(), "acg_core=trace,info");
        assert!(filter("acg_core=loud").is_err());
    }

    /// What is written for one event, by the same writer chain with a buffer at its end.
    fn logged(json: bool, act: impl FnOnce()) -> String {
        struct Buffer(Arc<Mutex<Vec<u8>>>, Redactor);
        impl Write for &Buffer {
            fn write(&mut self, event: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(&self.1.clean(event));
                Ok(event.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let written = Arc::new(Mutex::new(Vec::new()));
        let secrets = [SecretString::from("hunter2hunter2"), SecretString::from("quo\"te\\secret")];
        let buffer = Buffer(Arc::clone(&written), Redactor::new(&secrets));
        let layer = tracing_subscriber::fmt::layer().with_writer(Arc::new(buffer));
        let subscriber = tracing_subscriber::registry();
        if json {
            let subscriber = subscriber.with(layer.json().flatten_event(true).without_time());
            tracing::subscriber::with_default(subscriber, act);
        } else {
            let subscriber = subscriber.with(layer.with_ansi(true).without_time());
            tracing::subscriber::with_default(subscriber, act);
        }
        String::from_utf8(written.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn no_event_makes_two_lines_or_moves_the_cursor_or_holds_a_secret() {
        let hostile = "a\nINFO forged\r\u{1b}[2Jb\u{9b}31m";
        for json in [true, false] {
            let text = logged(json, || {
                tracing::info!(
                    room = hostile,
                    secret = "xhunter2hunter2x",
                    "said {hostile} with quo\"te\\secret"
                );
                tracing::info!(debugged = ?"quo\"te\\secret", "second");
            });
            assert_eq!(text.matches('\n').count(), 2, "{text:?}");
            assert!(
                !text.contains("\u{1b}[2J") && !text.contains('\u{9b}') && !text.contains('\r'),
                "{text:?}"
            );
            assert!(
                !text.contains("hunter2") && !text.contains("te\\secret") && !text.contains("te\\\\secret"),
                "{text:?}"
            );
            assert!(text.contains("[redacted]"), "{text:?}");
        }
    }
}
