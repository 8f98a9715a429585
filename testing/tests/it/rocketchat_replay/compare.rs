//! Field-by-field comparison of recorded and given answers, with a mapping of ids, tokens and dates.

use std::collections::{BTreeMap, BTreeSet};

use acg_testing::rocketchat::iso;
use serde_json::{Value, json};

/// A difference that is known and accepted.
pub(crate) struct Accepted {
    /// What the answer is to: `GET me`, `stream-notify-user rooms-changed`; `*` for all.
    pub(crate) place: &'static str,
    /// End of the field's path, list positions written as `[]`.
    pub(crate) field: &'static str,
    /// `missing` (the real server has it), `extra` (we have it), `differs`, or `any` of them.
    pub(crate) kind: &'static str,
    /// Why.
    pub(crate) reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Difference {
    place: String,
    path: String,
    kind: &'static str,
    example: String,
}

pub(crate) struct Comparison {
    /// Recorded id, token or other placeholder → the fake's.
    pub(crate) ids: BTreeMap<String, String>,
    taken: BTreeSet<String>,
    dates: BTreeMap<i64, i64>,
    pub(crate) recorded: Vec<Value>,
    place: String,
    differences: Vec<Difference>,
    fields: usize,
    answers: usize,
}

fn is_id(text: &str) -> bool {
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric());
    (plain && (text.len() == 17 || text.len() == 34 || text.len() == 41))
        || (text.len() == 24 && text.bytes().all(|b| b.is_ascii_hexdigit()))
        || (text.starts_with('<') && text.ends_with('>') && !text.ends_with("chars>") && text != "<bcrypt>")
}

fn as_date(value: &Value) -> Option<i64> {
    if let Some(ms) = value.get("$date") {
        return ms.as_i64();
    }
    let text = value.as_str()?;
    let looks = text.len() == 24 && text.ends_with('Z') && text.as_bytes()[10] == b'T';
    looks.then(|| text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond))?
}

/// The last name of a path.
fn field_of(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or_default()
}

/// Epoch milliseconds, as a number or as a text.
fn is_epoch(value: &Value) -> bool {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    text.len() == 13 && text.bytes().all(|b| b.is_ascii_digit())
}

impl Comparison {
    pub(crate) fn new(recorded: Vec<Value>) -> Self {
        Self {
            ids: BTreeMap::new(),
            taken: BTreeSet::new(),
            dates: BTreeMap::new(),
            recorded,
            place: String::new(),
            differences: Vec::new(),
            fields: 0,
            answers: 0,
        }
    }

    pub(crate) fn begin(&mut self, place: &str) {
        place.clone_into(&mut self.place);
    }

    /// The fake's counterpart of an id; an unknown one stays.
    pub(crate) fn id(&self, recorded: &str) -> String {
        self.ids.get(recorded).cloned().unwrap_or_else(|| recorded.to_owned())
    }

    /// Replaces every known id inside a text, longer ones first.
    pub(crate) fn text_to_fake(&self, text: &str) -> String {
        let mut known: Vec<(&String, &String)> =
            self.ids.iter().filter(|(id, _)| text.contains(id.as_str())).collect();
        known.sort_by_key(|(id, _)| std::cmp::Reverse(id.len()));
        known
            .into_iter()
            .fold(text.to_owned(), |text, (recorded, fake)| text.replace(recorded.as_str(), fake))
    }

    /// The fake's moment for a recorded one: that of the last date met before it.
    fn date_to_fake(&self, ms: i64) -> i64 {
        self.dates
            .range(..=ms)
            .next_back()
            .filter(|(known, _)| ms - **known < 600_000)
            .map_or(ms, |(_, fake)| *fake)
    }

    pub(crate) fn to_fake(&self, value: &Value) -> Value {
        match value {
            Value::Object(map) => match as_date(value) {
                Some(ms) => json!({ "$date": self.date_to_fake(ms) }),
                None => Value::Object(map.iter().map(|(k, v)| (k.clone(), self.to_fake(v))).collect()),
            },
            Value::Array(list) => Value::Array(list.iter().map(|item| self.to_fake(item)).collect()),
            Value::String(text) => Value::String(self.text_to_fake(text)),
            other => other.clone(),
        }
    }

    /// A path with its query: ids replaced, and dates of the query.
    pub(crate) fn path_to_fake(&self, path: &str) -> String {
        let path = self.text_to_fake(path);
        let Some((path, query)) = path.split_once('?') else { return path };
        let pairs: Vec<String> = query
            .split('&')
            .map(|pair| match pair.split_once('=') {
                Some((key, value)) => {
                    let moment = as_date(&json!(value.replace("%3A", ":")));
                    moment
                        .map_or_else(|| pair.to_owned(), |ms| format!("{key}={}", iso(self.date_to_fake(ms))))
                }
                None => pair.to_owned(),
            })
            .collect();
        format!("{path}?{}", pairs.join("&"))
    }

    /// Learns ids and dates of an answer without comparing it.
    pub(crate) fn learn(&mut self, recorded: &Value, given: &Value) {
        let (kept, fields, answers) = (self.differences.clone(), self.fields, self.answers);
        self.compare("", recorded, given);
        (self.differences, self.fields, self.answers) = (kept, fields, answers);
    }

    fn differs(&mut self, path: &str, kind: &'static str, recorded: &Value, given: &Value) {
        let cut = |value: &Value| value.to_string().chars().take(160).collect::<String>();
        let example = format!("recorded {} given {}", cut(recorded), cut(given));
        self.differences.push(Difference { place: self.place.clone(), path: path.to_owned(), kind, example });
    }

    /// Compares one answer.
    pub(crate) fn compare(&mut self, path: &str, recorded: &Value, given: &Value) {
        if path.is_empty() {
            self.answers += 1;
        }
        if let (Some(old), Some(new)) = (as_date(recorded), as_date(given)) {
            self.fields += 1;
            self.dates.entry(old).or_insert(new);
            return;
        }
        if field_of(path) == "ts" && is_epoch(recorded) && is_epoch(given) {
            self.fields += 1;
            return;
        }
        match (recorded, given) {
            (Value::Object(old), Value::Object(new)) => {
                // Ids first: fields that are built of them can be compared then.
                let mut keys: Vec<&String> = old.keys().collect();
                keys.sort_by_key(|key| (!key.ends_with("id"), !matches!(old[*key], Value::Object(_))));
                for key in keys {
                    let below = format!("{path}.{key}");
                    match new.get(key) {
                        Some(value) => self.compare(&below, &old[key], value),
                        None => self.differs(&below, "missing", &old[key], &Value::Null),
                    }
                }
                for (key, value) in new.iter().filter(|(key, _)| !old.contains_key(*key)) {
                    self.differs(&format!("{path}.{key}"), "extra", &Value::Null, value);
                }
            }
            (Value::Array(old), Value::Array(new)) => self.compare_arrays(path, old, new),
            (Value::String(old), Value::String(new)) => self.compare_texts(path, old, new),
            _ => {
                self.fields += 1;
                if recorded != given {
                    self.differs(path, "differs", recorded, given);
                }
            }
        }
    }

    fn compare_arrays(&mut self, path: &str, old: &[Value], new: &[Value]) {
        let below = format!("{path}[]");
        // A list that the recording cut short: `…<2500 items>`.
        let cut = old
            .last()
            .and_then(Value::as_str)
            .and_then(|text| text.strip_prefix("…<")?.strip_suffix(" items>"));
        let (expected, shown) = match cut {
            Some(count) => (count.parse().expect("a number"), old.len() - 1),
            None => (old.len(), old.len()),
        };
        if expected != new.len() {
            self.differs(
                &below,
                "differs",
                &json!(format!("{expected} items")),
                &json!(format!("{} items", new.len())),
            );
        }
        if field_of(path) == "uids" {
            // Sorted by id, and ids are not those of the recording.
            let mut mapped: Vec<String> =
                old.iter().filter_map(Value::as_str).map(|id| self.id(id)).collect();
            let mut mine: Vec<String> = new.iter().filter_map(Value::as_str).map(str::to_owned).collect();
            mapped.sort();
            mine.sort();
            return self.compare(&below, &json!(mapped.join(" ")), &json!(mine.join(" ")));
        }
        if ["update", "ims", "channels"].contains(&field_of(path)) {
            // Sorted by random names, or in no order that could be told: partners are found by id.
            for old in old {
                let partner = |new: &&Value| {
                    let same =
                        |key: &str| old[key].as_str().map(|id| self.id(id)).as_deref() == new[key].as_str();
                    same("rid") && (old.get("rid").is_some() || same("_id"))
                };
                match new.iter().find(partner).cloned() {
                    Some(new) => self.compare(&below, old, &new),
                    None => self.differs(&below, "missing", old, &Value::Null),
                }
            }
            return;
        }
        for (old, new) in old.iter().take(shown).zip(new) {
            self.compare(&below, old, new);
        }
    }

    fn compare_texts(&mut self, path: &str, old: &str, new: &str) {
        self.fields += 1;
        if old == "<backup-code>" || (path == ".headers.x-ratelimit-reset" && old.len() == new.len()) {
            return;
        }
        if let Some((start, count)) = old.strip_suffix(" chars>").and_then(|text| text.rsplit_once("…<")) {
            let same = new.starts_with(start) && count.parse() == Ok(new.chars().count());
            if !same {
                self.differs(path, "differs", &json!(old), &json!(new));
            }
            return;
        }
        if is_id(old) && !self.ids.contains_key(old) && old != new && !self.taken.contains(new) {
            // The administrator was made at set-up and has an id of the other shape.
            let shape = is_id(new) || old.starts_with('<');
            if shape {
                self.ids.insert(old.to_owned(), new.to_owned());
                self.taken.insert(new.to_owned());
                return;
            }
        }
        let mapped = self.text_to_fake(old);
        // The seconds to wait depend on the millisecond.
        let without_seconds = |text: &str| {
            text.split_once("You must wait ").map_or(text.to_owned(), |(before, after)| {
                format!("{before}{}", after.trim_start_matches(|c: char| c.is_ascii_digit()))
            })
        };
        if old != new && without_seconds(&mapped) != without_seconds(new) {
            self.differs(path, "differs", &json!(old), &json!(new));
        }
    }

    /// Compares the frames of one stream or one answer.
    pub(crate) fn compare_lists(&mut self, connection: &str, recorded: &[Value], given: &[Value]) {
        if recorded.len() != given.len() {
            let (old, new) = (json!(format!("{connection}: {}", recorded.len())), json!(given.len()));
            self.differs("frames", "differs", &old, &new);
        }
        for (old, new) in recorded.iter().zip(given) {
            self.compare("", old, new);
        }
    }

    /// Sets the differences against the table. Panics at one that is not accepted, and at an entry without use.
    pub(crate) fn finish(self, table: &[Accepted]) -> String {
        let mut used = vec![0_usize; table.len()];
        let mut open: BTreeMap<(String, String, &str), (usize, String)> = BTreeMap::new();
        for difference in &self.differences {
            let entry = table.iter().position(|entry| {
                (entry.place == "*" || entry.place == difference.place)
                    && difference.path.ends_with(entry.field)
                    && (entry.kind == "any" || entry.kind == difference.kind)
            });
            if let Some(at) = entry {
                used[at] += 1;
            } else {
                let key = (difference.place.clone(), difference.path.clone(), difference.kind);
                let seen = open.entry(key).or_insert((0, difference.example.clone()));
                seen.0 += 1;
            }
        }
        for ((place, path, kind), (count, example)) in &open {
            println!("{count:4} {kind:8} {place} {path}\n       {example}");
        }
        let unused: Vec<&str> =
            table.iter().zip(&used).filter(|(_, used)| **used == 0).map(|(entry, _)| entry.reason).collect();
        assert!(open.is_empty(), "{} kinds of difference are not in the table (printed above)", open.len());
        assert!(unused.is_empty(), "entries of the table without use: {unused:#?}");
        let accepted: usize = used.iter().sum();
        format!(
            "{} answers and stream frames, {} fields compared, {accepted} differences accepted by {} entries",
            self.answers,
            self.fields,
            table.len()
        )
    }
}
