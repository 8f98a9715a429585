//! From the `rocketchat` block of a clawdbot.json or openclaw.json to a config.yaml of ours.
//!
//! Pure: text to text. Must never give anybody a role that the file does not name a person for, and never show a
//! value of a key that it does not know: it may be a secret.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Map, Value};

/// Deepest nesting that is read; the parser itself knows no limit.
const DEEPEST: usize = 64;
/// Most entries of `allowFrom`.
const MOST_ROOMS: usize = 500;

/// What came of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Converted {
    /// The whole config.yaml. Holds secrets.
    pub(crate) yaml: String,
    /// What was not taken, and why.
    pub(crate) not_taken: Vec<String>,
    /// What is left to do.
    pub(crate) next: Vec<String>,
}

/// Why there is no result: one line each.
pub(crate) type Faults = Vec<String>;

/// What a block says.
#[derive(Default)]
struct Block {
    url: String,
    username: Option<String>,
    password: Option<String>,
    token: Option<String>,
    user_id: Option<String>,
    allow: Vec<String>,
}

/// Converts a file's text. `work`: where the agent is to work, an absolute path.
pub(crate) fn convert(text: &str, work: &Path) -> Result<Converted, Faults> {
    if is_too_deep(text) {
        return Err(vec![format!("it is nested more than {DEEPEST} levels deep")]);
    }
    // JSON with comments and trailing commas, as people write it.
    let file: Value =
        json5::from_str(text).map_err(|error| vec![format!("it is not valid JSON5: {error}")])?;
    let mut converted = Converted::default();
    let block = find(&file, &mut converted)?;
    let block = read(block, &mut converted)?;
    write(&block, work, &mut converted);
    Ok(converted)
}

/// Whether brackets outside of texts and comments nest too deep.
fn is_too_deep(text: &str) -> bool {
    let mut depth = 0_usize;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' | '\'' => {
                while let Some(inner) = characters.next() {
                    match inner {
                        '\\' => drop(characters.next()),
                        _ if inner == character => break,
                        _ => {}
                    }
                }
            }
            '/' if characters.peek() == Some(&'/') => {
                // The ends of a line, as JSON5 knows them.
                for inner in characters.by_ref() {
                    if matches!(inner, '\n' | '\r' | '\u{2028}' | '\u{2029}') {
                        break;
                    }
                }
            }
            '/' if characters.next_if_eq(&'*').is_some() => {
                let mut before = ' ';
                for inner in characters.by_ref() {
                    if before == '*' && inner == '/' {
                        break;
                    }
                    before = inner;
                }
            }
            '{' | '[' => {
                depth += 1;
                if depth > DEEPEST {
                    return true;
                }
            }
            '}' | ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

fn find<'a>(file: &'a Value, converted: &mut Converted) -> Result<&'a Map<String, Value>, Faults> {
    let top = file.as_object().ok_or_else(|| vec!["it does not hold an object".to_owned()])?;
    let mut others: Vec<String> = top.keys().map(|key| shown(key)).collect();
    let block = match (top.get("rocketchat"), top.get("channels").and_then(Value::as_object)) {
        (Some(block), _) => {
            others.retain(|key| key != "rocketchat");
            block
        }
        (None, Some(channels)) => {
            others.retain(|key| key != "channels");
            others.extend(
                channels
                    .keys()
                    .filter(|key| *key != "rocketchat")
                    .map(|key| format!("channels.{}", shown(key))),
            );
            channels.get("rocketchat").ok_or_else(no_block)?
        }
        (None, None) => return Err(no_block()),
    };
    if !others.is_empty() {
        converted.not_taken.push(format!("{}: only the rocketchat block is read", others.join(", ")));
    }
    block.as_object().ok_or_else(|| vec!["its 'rocketchat' is not an object".to_owned()])
}

fn no_block() -> Faults {
    vec!["it has no 'rocketchat' block".to_owned()]
}

fn read(block: &Map<String, Value>, converted: &mut Converted) -> Result<Block, Faults> {
    let mut faults = Vec::new();
    let mut found = Block::default();
    for (key, value) in block {
        let mut text = || match value {
            Value::Null => None,
            Value::String(text) if text.trim().is_empty() => None,
            Value::String(text) if text.chars().any(char::is_control) => {
                faults.push(format!("rocketchat.{key} holds control characters"));
                None
            }
            Value::String(text) => Some(text.trim().to_owned()),
            _ => {
                faults.push(format!("rocketchat.{key} is not a text"));
                None
            }
        };
        match key.as_str() {
            "serverUrl" => found.url = text().unwrap_or_default(),
            "username" => found.username = text().map(|name| name.trim_start_matches('@').to_owned()),
            "password" => found.password = text(),
            "personalAccessToken" => found.token = text(),
            "userId" => found.user_id = text(),
            "allowFrom" => match texts(value) {
                Ok(texts) => found.allow = texts,
                Err(why) => faults.push(format!("rocketchat.allowFrom {why}")),
            },
            "enabled" => match value {
                Value::Bool(true) => {}
                Value::Bool(false) => converted.next.push(
                    "the block is switched off there (enabled: false); started with this file it is on"
                        .to_owned(),
                ),
                _ => faults.push("rocketchat.enabled is neither true nor false".to_owned()),
            },
            other => converted
                .not_taken
                .push(format!("rocketchat.{}: there is no such setting here", shown(other))),
        }
    }
    if found.url.is_empty() && faults.is_empty() {
        faults.push("rocketchat.serverUrl is missing".to_owned());
    }
    log_in(&mut found, converted, &mut faults);
    if faults.is_empty() { Ok(found) } else { Err(faults) }
}

/// One way to log in: the token, if it is whole.
fn log_in(found: &mut Block, converted: &mut Converted, faults: &mut Faults) {
    let with_token = found.token.is_some() && found.user_id.is_some();
    let with_password = found.password.is_some() && found.username.is_some();
    if with_token {
        if found.password.take().is_some() {
            converted.not_taken.push("rocketchat.password: the personal access token is used".to_owned());
        }
        return;
    }
    if with_password {
        for (key, value) in [("personalAccessToken", &mut found.token), ("userId", &mut found.user_id)] {
            if value.take().is_some() {
                let other = if key == "userId" { "personalAccessToken" } else { "userId" };
                converted
                    .not_taken
                    .push(format!("rocketchat.{key}: it needs {other} beside it; the password is used"));
            }
        }
        return;
    }
    if faults.is_empty() {
        faults.push(
            "there is nothing to log in with: username and password, or personalAccessToken and userId"
                .to_owned(),
        );
    }
}

fn texts(value: &Value) -> Result<Vec<String>, &'static str> {
    let list = match value {
        Value::Null => return Ok(Vec::new()),
        Value::Array(list) if list.len() <= MOST_ROOMS => list,
        Value::Array(_) => return Err("has more than 500 entries"),
        _ => return Err("is not a list"),
    };
    let mut texts: Vec<String> = Vec::new();
    for entry in list {
        let text = entry.as_str().map(str::trim).ok_or("holds an entry that is not a text")?;
        if text.len() > 256 || text.chars().any(char::is_control) {
            return Err("holds an entry that cannot be a room or a person");
        }
        if !text.is_empty() && !texts.iter().any(|known| known == text) {
            texts.push(text.to_owned());
        }
    }
    Ok(texts)
}

fn write(block: &Block, work: &Path, converted: &mut Converted) {
    let mut owners = Vec::new();
    let mut rooms: Vec<String> = Vec::new();
    // The direct room with oneself is what such an account is for.
    rooms.extend(block.username.iter().map(|name| format!("@{name}")));
    for entry in &block.allow {
        if entry == "*" {
            converted.not_taken.push(
                "rocketchat.allowFrom '*': it would let everybody give orders to an agent that can use your tools; \
                 name the owners, or set filter_sender: false to make the others guests"
                    .to_owned(),
            );
            continue;
        }
        if let Some(name) = entry.strip_prefix('@').filter(|name| !name.is_empty()) {
            owners.push(name.to_owned());
        }
        if !rooms.contains(entry) {
            rooms.push(entry.clone());
        }
    }
    owners.retain(|owner| Some(owner) != block.username.as_ref());
    if block.username.is_none() {
        converted.next.push(
            "the account's login name is not in the file: to be answered in the direct room with yourself, add a watcher with room: '@YOU'"
                .to_owned(),
        );
    }
    if owners.is_empty() && rooms.iter().any(|room| !room.starts_with('@')) {
        converted.next.push(
            "nobody but you has a role yet: put the login names of those who may give orders into allowed_users.owners"
                .to_owned(),
        );
    }
    let yaml = &mut converted.yaml;
    yaml.push_str(
        "# Made by 'agent-chat-gateway config import-openclaw' from a rocketchat block.\n\
         # Check it with: agent-chat-gateway config validate\n\
         dialect: \"0.5\"\n\
         connectors:\n  - name: rocketchat\n    type: rocketchat\n    server:\n",
    );
    let mut line = |text: &str, value: &str| {
        let _infallible = writeln!(yaml, "      {text}: {}", quoted(value));
    };
    line("url", &block.url);
    if let (Some(token), Some(id)) = (&block.token, &block.user_id) {
        line("user_id", id);
        secret(&mut line, "token", token);
    } else {
        line("username", block.username.as_deref().unwrap_or_default());
        secret(&mut line, "password", block.password.as_deref().unwrap_or_default());
    }
    yaml.push_str(
        "    # The account is your own there: what you write in the direct room with yourself is for the agent.\n\
         \x20   # Set this to false if it is an account of the bot's own, and name yourself among the owners.\n\
         \x20   self_chat: true\n\
         \x20   allowed_users:\n\
         \x20     # Login names of those who may give orders to the agent and approve its tools. allowFrom lists rooms,\n\
         \x20     # which give nobody a role: only its entries with @ are people, and are owners here.\n",
    );
    let _infallible = writeln!(
        yaml,
        "      owners: [{}]",
        owners.iter().map(|owner| quoted(owner)).collect::<Vec<_>>().join(", ")
    );
    let _infallible = write!(
        yaml,
        "agents:\n  claude:\n    type: claude\n    # Where the agent works: what it may read is in here.\n    working_directory: {}\n",
        quoted(&work.to_string_lossy())
    );
    if rooms.is_empty() {
        yaml.push_str("watchers: []\n");
        return;
    }
    yaml.push_str("# The rooms of allowFrom, and the direct room with yourself. Rooms go by name or by id.\nwatchers:\n");
    for (index, room) in rooms.iter().enumerate() {
        let _infallible = writeln!(yaml, "  - name: room-{}\n    room: {}", index + 1, quoted(room));
    }
}

/// A secret, or the variable that the file takes it from.
fn secret(line: &mut impl FnMut(&str, &str), key: &str, value: &str) {
    let variable = value.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    let is_name = |name: &&str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    match variable.filter(is_name) {
        Some(name) => line(&format!("{key}_env"), name),
        None => line(key, value),
    }
}

/// A YAML text in double quotes. Everything outside of printable ASCII is escaped.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            ' '..='~' => out.push(character),
            other if other.is_alphanumeric() => out.push(other),
            other => {
                let _infallible = write!(out, "\\U{:08X}", u32::from(other));
            }
        }
    }
    out.push('"');
    out
}

/// A key of somebody else's file, fit for one line.
fn shown(key: &str) -> String {
    let mut short: String = key.chars().take(60).collect();
    if short.len() < key.len() {
        short.push('…');
    }
    crate::output::printable(&short)
}

#[cfg(test)]
mod tests;
