//! A YAML document as a tree in which every key and value knows its line.
//!
//! Owns the meaning of plain scalars, as PyYAML (YAML 1.1) has it. Has no Debug: values may be secrets.

use std::rc::Rc;

/// A place in the file, both from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) line: u32,
    pub(crate) column: u32,
}

/// How a scalar was written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Bare: may be null, a boolean or a number.
    Plain,
    /// In quotes or a block: text.
    Quoted,
    /// Made from `$NAME`: never null, but it may be read as a number.
    Expanded,
}

#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) at: Mark,
}

#[derive(Clone)]
pub(crate) enum Value {
    Scalar { text: Rc<str>, style: Style },
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) key: Rc<str>,
    pub(crate) at: Mark,
    pub(crate) value: Node,
}

/// What a scalar stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scalar {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text,
}

impl Node {
    pub(crate) fn empty_map(at: Mark) -> Self {
        Self { value: Value::Map(Vec::new()), at }
    }

    pub(crate) fn entries(&self) -> Option<&[Entry]> {
        match &self.value {
            Value::Map(entries) => Some(entries),
            _ => None,
        }
    }

    pub(crate) fn items(&self) -> Option<&[Node]> {
        match &self.value {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    /// The entry under a key; `None` too if this is no mapping.
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries()?.iter().find(|entry| &*entry.key == key)
    }

    /// The value under a key, unless it is null.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value).filter(|value| !value.is_null())
    }

    /// The text of a scalar, whatever it may stand for.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    pub(crate) fn scalar(&self) -> Option<Scalar> {
        match &self.value {
            Value::Scalar { text, style } => Some(resolve(text, *style)),
            _ => None,
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        self.scalar() == Some(Scalar::Null)
    }

    /// Python's name of the type, as its messages have it.
    pub(crate) fn type_name(&self) -> &'static str {
        match &self.value {
            Value::List(_) => "list",
            Value::Map(_) => "dict",
            Value::Scalar { text, style } => match resolve(text, *style) {
                Scalar::Null => "NoneType",
                Scalar::Bool(_) => "bool",
                Scalar::Int(_) => "int",
                Scalar::Float(_) => "float",
                Scalar::Text => "str",
            },
        }
    }

    /// Whether the value switches nothing on: null, false, an empty text, list or mapping.
    pub(crate) fn is_off(&self) -> bool {
        match &self.value {
            Value::List(items) => items.is_empty(),
            Value::Map(entries) => entries.iter().all(|entry| entry.value.is_off()),
            Value::Scalar { text, style } => match resolve(text, *style) {
                Scalar::Null | Scalar::Bool(false) => true,
                Scalar::Text => text.is_empty(),
                _ => false,
            },
        }
    }
}

fn resolve(text: &str, style: Style) -> Scalar {
    match style {
        Style::Quoted => return Scalar::Text,
        Style::Plain if matches!(text, "" | "~" | "null" | "Null" | "NULL") => return Scalar::Null,
        _ => {}
    }
    match text {
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return Scalar::Bool(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Scalar::Bool(false);
        }
        _ => {}
    }
    let first = text.trim_start_matches(['+', '-']).bytes().next();
    if text.len() > 64 || !first.is_some_and(|byte| byte.is_ascii_digit() || byte == b'.') {
        return Scalar::Text;
    }
    integer(text).map(Scalar::Int).or_else(|| float(text).map(Scalar::Float)).unwrap_or(Scalar::Text)
}

fn split_sign(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

/// Integers of YAML 1.1: `1_000`, `0x1F`, `0b1`, `017` (octal) and `1:30` (base 60).
fn integer(text: &str) -> Option<i64> {
    let (negative, rest) = split_sign(text);
    if !rest.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let digits: String = rest.chars().filter(|character| *character != '_').collect();
    let value = if let Some(hex) = digits.strip_prefix("0x") {
        i64::from_str_radix(hex, 16).ok().filter(|_| !hex.starts_with(['+', '-']))?
    } else if let Some(binary) = digits.strip_prefix("0b") {
        i64::from_str_radix(binary, 2).ok().filter(|_| !binary.starts_with(['+', '-']))?
    } else if digits.contains(':') {
        let mut parts = digits.split(':');
        let first = parts.next().filter(|part| !part.starts_with('0')).and_then(decimal)?;
        parts.try_fold(first, |total, part| {
            let part = decimal(part).filter(|part| *part < 60)?;
            total.checked_mul(60)?.checked_add(part)
        })?
    } else if digits.len() > 1 && digits.starts_with('0') {
        i64::from_str_radix(&digits, 8).ok()?
    } else {
        decimal(&digits)?
    };
    Some(if negative { -value } else { value })
}

fn decimal(text: &str) -> Option<i64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// Floats of YAML 1.1 need a dot, and a sign in the exponent.
fn float(text: &str) -> Option<f64> {
    let (negative, rest) = split_sign(text);
    if matches!(rest, ".inf" | ".Inf" | ".INF") {
        return Some(if negative { f64::NEG_INFINITY } else { f64::INFINITY });
    }
    if matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Some(f64::NAN);
    }
    let digits: String = rest.chars().filter(|character| *character != '_').collect();
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (digits.as_str(), None),
    };
    let (whole, fraction) = mantissa.split_once('.')?;
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    if let Some(exponent) = exponent {
        let power = exponent.strip_prefix(['+', '-'])?;
        if power.is_empty() || !all_digits(power) {
            return None;
        }
    }
    let value: f64 = digits.parse().ok()?;
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_mean_what_pyyaml_says() {
        for (text, expected) in [
            ("", Scalar::Null),
            ("~", Scalar::Null),
            ("null", Scalar::Null),
            ("nUll", Scalar::Text),
            ("yes", Scalar::Bool(true)),
            ("OFF", Scalar::Bool(false)),
            ("y", Scalar::Text),
            ("oN", Scalar::Text),
            ("0", Scalar::Int(0)),
            ("-12", Scalar::Int(-12)),
            ("+1_000", Scalar::Int(1000)),
            ("017", Scalar::Int(15)),
            ("0x1F", Scalar::Int(31)),
            ("0b101", Scalar::Int(5)),
            ("1:30", Scalar::Int(90)),
            ("1:75", Scalar::Text),
            ("089", Scalar::Text),
            ("1.5", Scalar::Float(1.5)),
            (".5", Scalar::Float(0.5)),
            ("5.", Scalar::Float(5.0)),
            ("1.5e+3", Scalar::Float(1500.0)),
            ("1.5e3", Scalar::Text),
            ("1e3", Scalar::Text),
            (".", Scalar::Text),
            ("-", Scalar::Text),
            ("1.2.3", Scalar::Text),
            ("99999999999999999999", Scalar::Text),
            (".inf", Scalar::Float(f64::INFINITY)),
        ] {
            assert_eq!(resolve(text, Style::Plain), expected, "{text:?}");
            assert_eq!(resolve(text, Style::Quoted), Scalar::Text);
        }
        assert_eq!(resolve("null", Style::Expanded), Scalar::Text);
        assert_eq!(resolve("30", Style::Expanded), Scalar::Int(30));
    }
}
