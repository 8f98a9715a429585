//! The commented starter configuration, made from the tables of keys.

use std::fmt::Write as _;

use crate::keys;
use crate::kind::{Key, Kind, Kinds, Shape};

/// Longest line.
const WIDTH: usize = 100;

const HEAD: &str = "\
# Configuration of agent-chat-gateway.
#
# Lines that begin with '# key:' show a default: take the '# ' away to change it.
# Check this file with:  agent-chat-gateway config validate --strict
# Every key:             agent-chat-gateway config schema
";

/// A starter configuration: with the first type of connector and of agent, and one watcher. It loads without
/// errors and warnings once the working directory that it names is there.
pub fn example(kinds: &Kinds) -> String {
    let mut out = HEAD.to_owned();
    for key in keys::TOP {
        match key.name {
            "connectors" => {
                heading(&mut out, key);
                list_entry(&mut out, kinds.connectors.first().copied(), keys::CONNECTOR);
            }
            "agents" => {
                heading(&mut out, key);
                if let Some(kind) = kinds.agents.first().copied() {
                    let _infallible = writeln!(out, "  {}:", kind.name());
                    let mut entry = String::new();
                    keys_of(&mut entry, Some(kind), keys::AGENT, 4);
                    out.push_str(&entry);
                }
            }
            "watchers" => {
                heading(&mut out, key);
                list_entry(&mut out, None, keys::WATCHER);
            }
            _ if matches!(key.shape, Shape::Any) => {}
            _ => {
                out.push('\n');
                emit(&mut out, key, 0, false);
            }
        }
    }
    out
}

fn heading(out: &mut String, key: &Key) {
    out.push('\n');
    comment(out, key.doc, 0);
    out.push_str(key.name);
    out.push_str(":\n");
}

fn list_entry(out: &mut String, kind: Option<&'static dyn Kind>, common: &[Key]) {
    let mut entry = String::new();
    keys_of(&mut entry, kind, common, 4);
    let mut started = false;
    for line in entry.lines() {
        let rest = line.strip_prefix("    ").unwrap_or(line);
        if !started && !rest.starts_with('#') {
            started = true;
            out.push_str("  - ");
        } else {
            out.push_str("    ");
        }
        out.push_str(rest);
        out.push('\n');
    }
}

/// The common keys up to `type`, those of the type, then the rest.
fn keys_of(out: &mut String, kind: Option<&'static dyn Kind>, common: &[Key], indent: usize) {
    let own = kind.map_or(&[] as &[Key], Kind::keys);
    let is_replaced = |key: &Key| own.iter().any(|row| row.name == key.name);
    let split = common.iter().position(|key| key.name == "type").map_or(0, |index| index + 1);
    let (before, after) = common.split_at(split);
    for key in before {
        match (key.name, kind) {
            ("type", Some(kind)) => {
                comment(out, key.doc, indent);
                let _infallible = writeln!(out, "{:indent$}type: {}", "", kind.name());
            }
            _ => emit(out, key, indent, false),
        }
    }
    for key in own.iter().chain(after.iter().filter(|key| !is_replaced(key))) {
        emit(out, key, indent, false);
    }
}

/// Writes one key with its comment: as it is if it has an example, else its default behind a `#`.
fn emit(out: &mut String, key: &Key, indent: usize, off: bool) {
    if key.not_yet || matches!(key.name, "inherits" | "description") {
        return;
    }
    if let Shape::Section(keys) | Shape::People(keys) = key.shape {
        // Half a section would promise what is not served.
        if keys.iter().any(|key| key.not_yet) {
            return;
        }
        let off = off || !keys.iter().any(has_example);
        comment(out, key.doc, indent);
        line(out, indent, off, &format!("{}:", key.name));
        for key in keys {
            if off {
                line(out, indent, true, &format!("  {}: {}", key.name, key.default.unwrap_or_default()));
            } else {
                emit(out, key, indent + 2, false);
            }
        }
        return;
    }
    comment(out, key.doc, indent);
    if matches!(key.shape, Shape::Secret) {
        let name = key.name;
        let ways =
            format!("Also as {name}_env (a variable's name), {name}_file or {name}_credential (systemd).");
        comment(out, &ways, indent);
    }
    match key.example {
        Some(example) => line(out, indent, off, &format!("{}: {example}", key.name)),
        None => line(out, indent, true, &format!("{}: {}", key.name, key.default.unwrap_or_default())),
    }
}

fn has_example(key: &Key) -> bool {
    match key.shape {
        Shape::Section(keys) | Shape::People(keys) => keys.iter().any(has_example),
        _ => key.example.is_some(),
    }
}

fn line(out: &mut String, indent: usize, off: bool, text: &str) {
    let mark = if off { "# " } else { "" };
    let _infallible = writeln!(out, "{:indent$}{mark}{}", "", text.trim_end());
}

fn comment(out: &mut String, text: &str, indent: usize) {
    let _infallible = write!(out, "{:indent$}#", "");
    let mut width = indent + 1;
    for word in text.split_whitespace() {
        if width + 1 + word.len() > WIDTH {
            let _infallible = write!(out, "\n{:indent$}#", "");
            width = indent + 1;
        }
        out.push(' ');
        out.push_str(word);
        width += 1 + word.len();
    }
    out.push('\n');
}
