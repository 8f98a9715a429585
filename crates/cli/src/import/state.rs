//! A `state.<connector>.json` of the Python program, of any version, in any condition.
//!
//! Pure. Reads what can be read and says what cannot; must never fail as a whole because of a part.

use acg_types::RoomKind;
use serde_json::{Map, Value};

use super::watermark::Watermark;

/// More watchers than this have never been in one file.
const MOST_RECORDS: usize = 10_000;
/// Longest name or id that is taken for one.
const LONGEST: usize = 256;

/// What a file holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct StateFile {
    /// One for each watcher, in the file's order; each name once.
    pub(crate) records: Vec<Record>,
    /// What could not be read.
    pub(crate) faults: Vec<String>,
    /// Not even its outer form could be read: a repaired file may be taken over later.
    pub(crate) broken: bool,
}

/// How a record says which watcher it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Called {
    /// By the watcher's name.
    Watcher(String),
    /// By a room, as before watchers had names.
    Room(String),
}

impl Called {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Watcher(name) | Self::Room(name) => name,
        }
    }
}

/// What is kept of one watcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) called: Called,
    /// Absent while none was made.
    pub(crate) session: Option<String>,
    /// The platform's id, absent while the room was never found.
    pub(crate) room: Option<String>,
    /// Absent if the word is unknown.
    pub(crate) kind: Option<RoomKind>,
    pub(crate) paused: bool,
    pub(crate) mark: Watermark,
    /// What of this record could not be read.
    pub(crate) faults: Vec<String>,
}

/// Reads a file's content.
pub(crate) fn parse(content: &[u8]) -> StateFile {
    let mut file = StateFile::default();
    let content = content.strip_prefix("\u{feff}".as_bytes()).unwrap_or(content);
    match serde_json::from_slice::<Value>(content) {
        Ok(value) => {
            if let Some(entries) = entries(&value) {
                file.read(entries);
            } else {
                file.broken = true;
                file.faults.push("it does not hold a list of watchers".to_owned());
            }
        }
        Err(error) => {
            let whole = salvage(content);
            file.broken = true;
            file.faults.push(match whole.len() {
                0 => format!("it is not valid JSON: {error}"),
                count => {
                    format!("it is not valid JSON ({error}); the {count} whole entries before that are read")
                }
            });
            file.read(whole.iter().map(|entry| (None, entry)).collect());
        }
    }
    file
}

type Entries<'a> = Vec<(Option<&'a str>, &'a Value)>;

/// The records: `{"watchers": [..]}` as every released version writes it, the bare list, and maps by name.
fn entries(value: &Value) -> Option<Entries<'_>> {
    match value {
        Value::Array(list) => Some(list.iter().map(|entry| (None, entry)).collect()),
        Value::Object(object) => match object.get("watchers") {
            Some(Value::Array(list)) => Some(list.iter().map(|entry| (None, entry)).collect()),
            Some(Value::Object(map)) => Some(by_name(map)),
            None if object.values().all(is_record) => Some(by_name(object)),
            _ => None,
        },
        _ => None,
    }
}

fn by_name(map: &Map<String, Value>) -> Entries<'_> {
    map.iter().map(|(name, entry)| (Some(name.as_str()), entry)).collect()
}

fn is_record(value: &Value) -> bool {
    ["session_id", "room_id"].iter().any(|key| value.get(key).is_some())
}

/// The whole records at the start of a list that breaks off.
fn salvage(content: &[u8]) -> Vec<Value> {
    const KEY: &[u8] = b"\"watchers\"";
    let Some(at) = content.windows(KEY.len()).position(|window| window == KEY) else { return Vec::new() };
    let Some(rest) = content.get(at + KEY.len()..) else { return Vec::new() };
    let skip = |rest: &[u8], wanted: u8| -> Option<usize> {
        let at = rest.iter().position(|byte| !byte.is_ascii_whitespace())?;
        (rest.get(at) == Some(&wanted)).then_some(at + 1)
    };
    let Some(mut rest) = skip(rest, b':')
        .and_then(|at| rest.get(at..))
        .and_then(|rest| skip(rest, b'[').and_then(|at| rest.get(at..)))
    else {
        return Vec::new();
    };
    let mut whole = Vec::new();
    while whole.len() < MOST_RECORDS {
        let mut stream = serde_json::Deserializer::from_slice(rest).into_iter::<Value>();
        let Some(Ok(value @ Value::Object(_))) = stream.next() else { break };
        whole.push(value);
        let after = stream.byte_offset();
        let Some(next) = rest.get(after..).and_then(|rest| skip(rest, b',').and_then(|at| rest.get(at..)))
        else {
            break;
        };
        rest = next;
    }
    whole
}

impl StateFile {
    fn read(&mut self, entries: Entries<'_>) {
        if entries.len() > MOST_RECORDS {
            self.faults.push(format!("only the first {MOST_RECORDS} of {} entries are read", entries.len()));
        }
        for (index, (key, entry)) in entries.into_iter().take(MOST_RECORDS).enumerate() {
            match record(key, entry) {
                Ok(record) => {
                    // As the Python program does: the last one of a name counts.
                    let name = record.called.name();
                    if let Some(known) = self.records.iter().position(|known| known.called.name() == name) {
                        self.faults.push(format!("watcher '{name}' is there twice; the later entry counts"));
                        self.records.remove(known);
                    }
                    self.records.push(record);
                }
                Err(why) => self.faults.push(format!("entry {}: {why}", index + 1)),
            }
        }
    }
}

fn record(key: Option<&str>, entry: &Value) -> Result<Record, String> {
    let Value::Object(entry) = entry else { return Err("it is not an object".to_owned()) };
    let mut faults = Vec::new();
    let mut word = |name: &str| match entry.get(name) {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) if text.is_empty() => None,
        Some(Value::String(text)) if is_word(text) => Some(text.clone()),
        Some(_) => {
            faults.push(format!("'{name}' is not a name or an id"));
            None
        }
    };
    let called = if entry.contains_key("watcher_name") {
        word("watcher_name").map(Called::Watcher)
    } else if entry.contains_key("watcher_id") {
        word("room_name").or_else(|| word("watcher_id")).map(Called::Room)
    } else {
        key.filter(|key| is_word(key)).map(|key| Called::Watcher(key.to_owned()))
    };
    let (session, room) = (word("session_id"), word("room_id"));
    let Some(called) = called else { return Err("it does not say which watcher it belongs to".to_owned()) };
    let kind = match entry.get("room_type").and_then(Value::as_str) {
        Some("channel") => Some(RoomKind::Channel),
        Some("group") => Some(RoomKind::Group),
        Some("dm") => Some(RoomKind::Direct),
        _ => None,
    };
    let paused = match entry.get("paused") {
        // Records from before watchers had names were never paused.
        _ if matches!(called, Called::Room(_)) => false,
        None | Some(Value::Null) => false,
        Some(Value::Bool(paused)) => *paused,
        Some(_) => {
            faults.push("'paused' is neither true nor false; it counts as paused".to_owned());
            true
        }
    };
    let mark = Watermark::read(entry.get("last_processed_ts"));
    Ok(Record { called, session, room, kind, paused, mark, faults })
}

fn is_word(text: &str) -> bool {
    !text.trim().is_empty() && text.len() <= LONGEST && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use acg_types::Timestamp;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(value: &Value) -> StateFile {
        parse(value.to_string().as_bytes())
    }

    fn plain(name: &str) -> Value {
        json!({"watcher_name": name, "session_id": "s", "room_id": "R", "room_type": "group", "last_processed_ts": "1711234567890"})
    }

    fn expected(name: &str) -> Record {
        Record {
            called: Called::Watcher(name.to_owned()),
            session: Some("s".to_owned()),
            room: Some("R".to_owned()),
            kind: Some(RoomKind::Group),
            paused: false,
            mark: Watermark::At(Timestamp(1_711_234_567_890)),
            faults: Vec::new(),
        }
    }

    #[test]
    fn every_outer_form_holds_the_same_records() {
        let nameless = json!({"session_id": "s", "room_id": "R", "room_type": "group", "last_processed_ts": "1711234567890"});
        for value in [
            json!({"watchers": [plain("w")]}),
            json!([plain("w")]),
            json!({"watchers": {"w": nameless}}),
            json!({"w": nameless}),
            json!({"x": plain("w")}),
        ] {
            let file = read(&value);
            assert_eq!(file, StateFile { records: vec![expected("w")], ..StateFile::default() }, "{value}");
        }
        assert_eq!(read(&json!({"watchers": []})), StateFile::default());
        assert_eq!(read(&json!({})), StateFile::default());
    }

    #[test]
    fn records_from_before_watchers_had_names_go_by_their_room() {
        let file = read(&json!({"watchers": [
            {"watcher_id": "0a1b2c3d", "room_name": "general", "session_id": "s", "room_id": "GENERAL", "paused": true},
            {"watcher_id": "deadbeef", "session_id": "s"},
        ]}));
        let called: Vec<_> = file.records.iter().map(|record| record.called.clone()).collect();
        assert_eq!(called, [Called::Room("general".to_owned()), Called::Room("deadbeef".to_owned())]);
        assert!(!file.records[0].paused);
        assert_eq!(file.faults, Vec::<String>::new());
    }

    #[test]
    fn a_wrong_part_costs_only_itself() {
        let file = read(&json!({"watchers": [
            7,
            {"session_id": "s"},
            {"watcher_name": 9},
            {"watcher_name": "a", "session_id": ["s"], "room_id": "R\n", "room_type": "team", "paused": "yes"},
            plain("b"),
            plain("b"),
        ]}));
        assert_eq!(
            file.faults,
            [
                "entry 1: it is not an object",
                "entry 2: it does not say which watcher it belongs to",
                "entry 3: it does not say which watcher it belongs to",
                "watcher 'b' is there twice; the later entry counts",
            ]
        );
        assert!(!file.broken);
        let a = &file.records[0];
        assert_eq!((&a.session, &a.room, a.kind, a.paused), (&None, &None, None, true));
        assert_eq!(a.faults.len(), 3);
        assert_eq!(file.records[1], expected("b"));
    }

    #[test]
    fn whole_entries_of_a_file_that_breaks_off_are_read() {
        let whole =
            serde_json::to_string_pretty(&json!({"watchers": [plain("a"), plain("b"), plain("c")]})).unwrap();
        let cut = &whole[..whole.rfind("session_id").unwrap()];
        let file = parse(cut.as_bytes());
        assert!(
            file.broken && file.faults.len() == 1 && file.faults[0].contains("the 2 whole entries"),
            "{:?}",
            file.faults
        );
        assert_eq!(file.records, [expected("a"), expected("b")]);
        for content in [
            "",
            "{",
            "null",
            "3",
            "\"watchers\"",
            "{\"watchers\":",
            "{\"watchers\": 5}",
            "{\"a\": 1}",
            "\u{0}\u{0}",
        ] {
            let file = parse(content.as_bytes());
            assert!(file.broken && file.records.is_empty() && file.faults.len() == 1, "{content}: {file:?}");
        }
        let deep = "[".repeat(100_000);
        assert!(parse(deep.as_bytes()).broken);
        assert!(parse(format!("{{\"watchers\": [{deep}").as_bytes()).broken);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(content in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _whatever = parse(&content);
        }

        #[test]
        fn any_cut_of_a_real_file_gives_only_real_records(at in 0_usize..700) {
            let whole = json!({"watchers": [plain("a"), plain("b"), plain("c")]}).to_string();
            let file = parse(whole.as_bytes().get(..at).unwrap_or(whole.as_bytes()));
            for (record, name) in file.records.iter().zip(["a", "b", "c"]) {
                prop_assert_eq!(record, &expected(name));
            }
        }
    }
}
