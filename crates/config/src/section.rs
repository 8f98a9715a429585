//! A typed view of one mapping, for the factories of types and for this crate's own readers.
//!
//! Owns turning values into Rust types, with one error per wrong value. A key that is missing or null is `None`
//! without an error, unless a method says otherwise.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;

use crate::context::Context;
use crate::diagnostic::DiagnosticKind;
use crate::model::Dialect;
use crate::node::{Mark, Node, Scalar};
use crate::secret;

/// A typed view of one mapping. Every method takes the key's name within this mapping.
#[derive(Clone)]
pub struct Section<'a> {
    pub(crate) context: &'a Context<'a>,
    pub(crate) node: Option<&'a Node>,
    /// Where to point if the mapping itself is missing.
    pub(crate) at: Mark,
    pub(crate) path: String,
}

impl fmt::Debug for Section<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Section").field("path", &self.path).finish_non_exhaustive()
    }
}

impl<'a> Section<'a> {
    /// A view of `node`, which must be a mapping; anything else is an error and reads as empty.
    pub(crate) fn of(context: &'a Context<'a>, node: Option<&'a Node>, at: Mark, path: String) -> Self {
        let node = node.filter(|node| !node.is_null()).filter(|node| {
            let fits = node.entries().is_some();
            if !fits {
                let name = path.rsplit('.').next().unwrap_or(&path);
                let message = format!("'{name}' must be a mapping (got {}).", node.type_name());
                context.error(node.at, &path, DiagnosticKind::Type, message);
            }
            fits
        });
        Self { context, at: node.map_or(at, |node| node.at), node, path }
    }

    /// The dotted path of this mapping, such as `connectors[0]`.
    pub fn path_text(&self) -> &str {
        &self.path
    }

    /// Which dialect the file is read in.
    pub fn dialect(&self) -> Dialect {
        self.context.dialect.get()
    }

    /// Whether the file has the key, with a value other than null.
    pub fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Whether the file has the key with an explicit null.
    pub fn is_null(&self, key: &str) -> bool {
        self.node.and_then(|node| node.entry(key)).is_some_and(|entry| entry.value.is_null())
    }

    /// The names of all keys in the file, in its order.
    pub fn keys(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.node.and_then(Node::entries).unwrap_or_default().iter().map(|entry| &*entry.key)
    }

    /// The mapping under a key. Missing: an empty one. Not a mapping: an error, and an empty one.
    #[must_use]
    pub fn section(&self, key: &str) -> Section<'a> {
        Section::of(self.context, self.get(key), self.at_key(key), self.key_path(key))
    }

    /// A text, as written: `no`, `0123` and `1.5` too.
    pub fn str(&self, key: &str) -> Option<String> {
        let node = self.get(key)?;
        match node.text() {
            Some(text) => Some(text.to_owned()),
            None => self.wrong_type(key, node, "a string"),
        }
    }

    /// A text that must be there and not be empty; otherwise an error and `None`.
    pub fn req_str(&self, key: &str) -> Option<String> {
        if !self.has(key) {
            self.missing(key);
            return None;
        }
        let text = self.str(key)?;
        if text.trim().is_empty() {
            self.error(key, &format!("'{key}' must not be empty."), None);
            return None;
        }
        Some(text)
    }

    /// A boolean.
    pub fn bool(&self, key: &str) -> Option<bool> {
        let node = self.get(key)?;
        match node.scalar() {
            Some(Scalar::Bool(value)) => Some(value),
            _ => self.wrong_type(key, node, "a boolean"),
        }
    }

    /// A whole number not below 0.
    pub fn u64(&self, key: &str) -> Option<u64> {
        let node = self.get(key)?;
        match node.scalar() {
            Some(Scalar::Int(value)) => {
                let value = u64::try_from(value).ok();
                if value.is_none() {
                    self.error(key, &format!("'{key}' must be >= 0."), None);
                }
                value
            }
            _ => self.wrong_type(key, node, "an integer"),
        }
    }

    /// A whole number from 0 to `u32::MAX`.
    pub fn u32(&self, key: &str) -> Option<u32> {
        let value = u32::try_from(self.u64(key)?).ok();
        if value.is_none() {
            self.error(key, &format!("'{key}' must be <= {}.", u32::MAX), None);
        }
        value
    }

    /// A finite number not below 0.
    pub fn f64(&self, key: &str) -> Option<f64> {
        let node = self.get(key)?;
        #[expect(clippy::cast_precision_loss, reason = "sizes and times far below the loss")]
        let value = match node.scalar() {
            Some(Scalar::Int(value)) => value as f64,
            Some(Scalar::Float(value)) => value,
            _ => return self.wrong_type(key, node, "a number"),
        };
        if !value.is_finite() || value < 0.0 {
            self.error(key, &format!("'{key}' must be >= 0."), None);
            return None;
        }
        Some(value)
    }

    /// A span of time: a number of seconds, or a text such as `90s`, `5m`, `2h`, `1d`, `250ms`. At most 10 years.
    pub fn duration(&self, key: &str) -> Option<Duration> {
        const LONGEST: f64 = 10.0 * 366.0 * 86_400.0;
        let node = self.get(key)?;
        let seconds = match node.scalar() {
            Some(Scalar::Int(_) | Scalar::Float(_)) => self.f64(key)?,
            Some(Scalar::Text) => match node.text().and_then(seconds_of) {
                Some(seconds) => seconds,
                None => {
                    return self.wrong_type(
                        key,
                        node,
                        "a number of seconds, or a text such as 90s, 5m or 2h",
                    );
                }
            },
            _ => return self.wrong_type(key, node, "a number of seconds, or a text such as 90s, 5m or 2h"),
        };
        if seconds > LONGEST {
            self.error(key, &format!("'{key}' must be at most 10 years."), None);
            return None;
        }
        Some(Duration::from_secs_f64(seconds))
    }

    /// A number of bytes with its unit, such as `500MB` or `2GB`: in steps of 1024.
    pub fn size(&self, key: &str) -> Option<u64> {
        let node = self.get(key)?;
        let bytes = match node.scalar() {
            Some(Scalar::Text) => node.text().and_then(bytes_of),
            _ => None,
        };
        bytes.or_else(|| self.wrong_type(key, node, "a size with its unit, such as 500MB or 2GB"))
    }

    /// One of a few words; another one is an error that lists them.
    pub fn one_of(&self, key: &str, words: &[&'static str]) -> Option<&'static str> {
        let text = self.str(key)?;
        let found = words.iter().copied().find(|word| *word == text);
        if found.is_none() {
            let help = nearest(&text, words.iter().copied()).map(|word| format!("did you mean '{word}'?"));
            self.error(
                key,
                &format!("'{key}' must be one of {} (got '{text}').", words.join(", ")),
                help.as_deref(),
            );
        }
        found
    }

    /// A list of texts. Each wrong item is an error of its own.
    pub fn list_of_str(&self, key: &str) -> Option<Vec<String>> {
        let node = self.get(key)?;
        let Some(items) = node.items() else { return self.wrong_type(key, node, "a list") };
        let mut texts = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            match item.text().filter(|_| !item.is_null()) {
                Some(text) => texts.push(text.to_owned()),
                None => self.context.error(
                    item.at,
                    &format!("{}[{index}]", self.key_path(key)),
                    DiagnosticKind::Type,
                    format!("'{key}[{index}]' must be a string (got {}).", item.type_name()),
                ),
            }
        }
        Some(texts)
    }

    /// A mapping of any names to texts, in the file's order. A null reads as an empty text.
    pub fn map_of_str(&self, key: &str) -> Option<Vec<(String, String)>> {
        let section = self.has(key).then(|| self.section(key))?;
        let names: Vec<&str> = section.keys().collect();
        Some(
            names
                .into_iter()
                .filter_map(|name| {
                    let text = if section.has(name) { section.str(name)? } else { String::new() };
                    Some((name.to_owned(), text))
                })
                .collect(),
        )
    }

    /// A path, made absolute: `~` is the home directory, a relative one starts at the configuration's directory.
    pub fn path(&self, key: &str) -> Option<PathBuf> {
        let text = self.str(key)?;
        Some(absolute(self.context, &text))
    }

    /// A list of paths, each as in [`Self::path`].
    pub fn paths(&self, key: &str) -> Option<Vec<PathBuf>> {
        Some(self.list_of_str(key)?.iter().map(|text| absolute(self.context, text)).collect())
    }

    /// A secret: the text under `key`, or what `KEY_env` (a variable's name), `KEY_file` (a path) or
    /// `KEY_credential` (a name under systemd's `$CREDENTIALS_DIRECTORY`) stands for. More than one of them, or one
    /// that cannot be read, is an error. An empty text is `None`.
    pub fn secret(&self, key: &str) -> Option<SecretString> {
        secret::read(self, key)
    }

    /// Says that the value of `key` is wrong. `help` is what to do about it.
    pub fn error(&self, key: &str, message: &str, help: Option<&str>) {
        let help = help.map(ToOwned::to_owned);
        let kind = DiagnosticKind::Value;
        self.context.error_help(self.at_value(key), &self.key_path(key), kind, message, help);
    }

    /// Says that the value of `key` is doubtful.
    pub fn warning(&self, key: &str, message: &str, help: Option<&str>) {
        let help = help.map(ToOwned::to_owned);
        self.context.warn(self.at_value(key), &self.key_path(key), DiagnosticKind::Value, message, help);
    }

    /// Says that a required key is missing.
    pub fn missing(&self, key: &str) {
        let message = format!("'{key}' is required.");
        self.context.error(self.at, &self.key_path(key), DiagnosticKind::Missing, message);
    }

    /// Says that something the file asks for is understood but not carried out yet. Told once at start.
    pub fn not_yet(&self, key: &str, what: &str) {
        self.context.not_yet(format!("{}: {what}", self.key_path(key)));
    }

    pub(crate) fn get(&self, key: &str) -> Option<&'a Node> {
        self.node.and_then(|node| node.get(key))
    }

    pub(crate) fn key_path(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Where the value is; where its key is if it spans lines.
    pub(crate) fn at_value(&self, key: &str) -> Mark {
        match self.node.and_then(|node| node.entry(key)) {
            Some(entry) if entry.value.text().is_some() => entry.value.at,
            Some(entry) => entry.at,
            None => self.at,
        }
    }

    fn at_key(&self, key: &str) -> Mark {
        self.node.and_then(|node| node.entry(key)).map_or(self.at, |entry| entry.at)
    }

    fn wrong_type<T>(&self, key: &str, node: &Node, expected: &str) -> Option<T> {
        let message = format!("'{key}' must be {expected} (got {}).", node.type_name());
        self.context.error(self.at_value(key), &self.key_path(key), DiagnosticKind::Type, message);
        None
    }
}

/// `~` and relative paths made absolute. Text alone: nothing is looked up.
pub(crate) fn absolute(context: &Context<'_>, text: &str) -> PathBuf {
    if let (Some(rest), Some(home)) = (text.strip_prefix('~'), &context.home)
        && (rest.is_empty() || rest.starts_with('/'))
    {
        let below = rest.trim_start_matches('/');
        return if below.is_empty() { home.clone() } else { home.join(below) };
    }
    if text == "." {
        return context.base.clone();
    }
    context.base.join(Path::new(text.strip_prefix("./").unwrap_or(text)))
}

fn seconds_of(text: &str) -> Option<f64> {
    let text = text.trim();
    let split =
        text.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = match unit.trim() {
        "" | "s" | "sec" => 1.0,
        "ms" => 0.001,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return None,
    };
    number.parse::<f64>().ok().filter(|number| number.is_finite()).map(|number| number * factor)
}

fn bytes_of(text: &str) -> Option<u64> {
    let text = text.trim();
    let split =
        text.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let power = match unit.trim().to_ascii_lowercase().as_str() {
        "b" => 0,
        "kb" | "kib" => 1,
        "mb" | "mib" => 2,
        "gb" | "gib" => 3,
        "tb" | "tib" => 4,
        _ => return None,
    };
    let bytes = number.parse::<f64>().ok()? * 1024_f64.powi(power);
    // Up to 2^53 every whole number is itself.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be in between")]
    (0.0..=9_007_199_254_740_992.0).contains(&bytes).then_some(bytes as u64)
}

/// The known word most like this one, if any is near.
pub(crate) fn nearest<'w>(word: &str, known: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    // Longer words are not typing errors, and comparing costs their product.
    if word.len() > 64 {
        return None;
    }
    let lower = word.to_lowercase();
    known
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| {
            let longer = candidate.len().max(word.len());
            *distance < longer && *distance <= (longer / 3).clamp(1, 3)
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
