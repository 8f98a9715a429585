//! `logs`: the last lines of the gateway's log, and what comes after them.
//!
//! Owns following a file that is rotated. Must never change it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::failure::Failure;
use crate::home::Home;
use crate::lock::pause;
use crate::output::{Output, printable};

/// How often a followed file is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// Most that is read back from the end of the file.
const MAX_BACK: u64 = 16 * 1024 * 1024;
/// Longest piece that is kept while its line's end is waited for.
const MAX_LINE: usize = 1024 * 1024;

pub(crate) fn logs(home: &Home, follow: bool, lines: usize, output: &Output) -> Result<ExitCode, Failure> {
    let path = home.log();
    match show(&path, follow, lines, output.json) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        // Whoever read this has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(Failure::new(format!("there is no log at {}", path.display()))
                .next("it is made by 'agent-chat-gateway start'; name another home directory with --home"))
        }
        Err(error) => Err(Failure::new(format!("the log {} cannot be read", path.display())).because(&error)),
    }
}

fn show(path: &Path, follow: bool, lines: usize, raw: bool) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut printer = Printer { raw, rest: Vec::new() };
    let (last, end) = last_lines(&mut file, lines)?;
    printer.take(&last)?;
    if !follow {
        return printer.finish();
    }
    let mut position = end;
    loop {
        position += copy(&mut file, &mut printer)?;
        let now = match std::fs::metadata(path) {
            Ok(metadata) => metadata,
            // Between two steps of a rotation.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                pause(LOOK);
                continue;
            }
            Err(error) => return Err(error),
        };
        let own = file.metadata()?;
        if (now.dev(), now.ino()) != (own.dev(), own.ino()) {
            // Rotated: what was written between the last look and the rotation is still in the old file.
            copy(&mut file, &mut printer)?;
            file = File::open(path)?;
            position = 0;
        } else if now.len() < position {
            file.seek(SeekFrom::Start(0))?;
            position = 0;
        } else {
            pause(LOOK);
        }
    }
}

/// The last lines of a file and where it ends; the file stands at its end afterwards.
fn last_lines(file: &mut File, lines: usize) -> io::Result<(Vec<u8>, u64)> {
    let length = file.metadata()?.len();
    let mut window = 64 * 1024;
    loop {
        let from = length.saturating_sub(window);
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.take(length - from).read_to_end(&mut bytes)?;
        // The byte before the window belongs to a line that began earlier, unless it is a line's end: the first
        // line of the window counts only if it is known to be whole.
        let mut starts: Vec<usize> =
            bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1).collect();
        starts.retain(|start| *start < bytes.len());
        if from == 0 {
            starts.insert(0, 0);
        }
        if starts.len() >= lines || from == 0 || window >= MAX_BACK {
            let first = starts.len().checked_sub(lines).map_or(Some(&0), |skip| starts.get(skip));
            let text = first.map(|start| bytes.split_off(*start)).unwrap_or_default();
            return Ok((text, length));
        }
        window *= 4;
    }
}

fn copy(file: &mut File, printer: &mut Printer) -> io::Result<u64> {
    let mut buffer = [0_u8; 16 * 1024];
    let mut copied = 0;
    loop {
        let length = file.read(&mut buffer)?;
        if length == 0 {
            return Ok(copied);
        }
        printer.take(&buffer[..length])?;
        copied += length as u64;
    }
}

/// Prints whole lines: as they are, or made readable.
struct Printer {
    raw: bool,
    rest: Vec<u8>,
}

impl Printer {
    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.rest.extend_from_slice(bytes);
        let whole = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        if whole > 0 {
            let lines: Vec<u8> = self.rest.drain(..whole).collect();
            self.print(&lines)?;
        } else if self.rest.len() > MAX_LINE {
            self.finish()?;
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        let rest = std::mem::take(&mut self.rest);
        if rest.is_empty() { Ok(()) } else { self.print(&rest) }
    }

    fn print(&self, lines: &[u8]) -> io::Result<()> {
        if self.raw {
            return Output::raw(lines);
        }
        let mut text = String::new();
        for line in String::from_utf8_lossy(lines).lines() {
            text.push_str(&readable(line));
            text.push('\n');
        }
        Output::raw(text.as_bytes())
    }
}

/// A JSON line as `time LEVEL target: message key=value`; any other line as it is, made harmless.
fn readable(line: &str) -> String {
    let Ok(Value::Object(mut fields)) = serde_json::from_str::<Value>(line) else { return printable(line) };
    let (Some(time), Some(level)) = (text(&mut fields, "timestamp"), text(&mut fields, "level")) else {
        return printable(line);
    };
    let target = text(&mut fields, "target").unwrap_or_default();
    let message = text(&mut fields, "message").unwrap_or_default();
    let mut out = format!("{time} {level:>5} {target}: {message}");
    for (key, value) in fields {
        let value = match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        out.extend([" ", &key, "=", &value]);
    }
    printable(&out)
}

fn text(fields: &mut Map<String, Value>, key: &str) -> Option<String> {
    // `shift_remove` keeps the order of what stays.
    match fields.shift_remove(key)? {
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn tail(content: &str, lines: usize) -> String {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content.as_bytes()).unwrap();
        let (bytes, end) = last_lines(&mut file, lines).unwrap();
        assert_eq!(end, content.len() as u64);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_last_lines_are_whole() {
        assert_eq!(tail("", 3), "");
        assert_eq!(tail("a\nb\nc\n", 2), "b\nc\n");
        assert_eq!(tail("a\nb\nc\n", 9), "a\nb\nc\n");
        assert_eq!(tail("a\nb\nc\n", 0), "");
        assert_eq!(tail("a\nb\nhalf", 2), "b\nhalf");
        let numbered =
            |from: u32| (from..50_000).flat_map(|n| ["line ".to_owned(), n.to_string(), "\n".to_owned()]);
        let long: String = numbered(0).collect();
        assert_eq!(tail(&long, 2), "line 49998\nline 49999\n");
        let wanted: String = numbered(10_000).collect();
        assert_eq!(tail(&long, 40_000), wanted);
    }

    #[test]
    fn json_becomes_text_and_nothing_reaches_the_terminal_raw() {
        assert_eq!(
            readable(
                r#"{"timestamp":"T","level":"INFO","message":"two\nlines","room":"g\u001b[2J","n":3,"target":"acg_core"}"#
            ),
            "T  INFO acg_core: two\\nlines room=g\\u{1b}[2J n=3"
        );
        assert_eq!(readable("not json \u{7}"), "not json \\u{7}");
        assert_eq!(readable(r#"{"other":1}"#), r#"{"other":1}"#);
    }
}
