//! JSON read strictly, and written in the two forms that others compare.
//!
//! Owns finding what a lenient reader would hide: a key given twice, a depth that hurts. Must never hand on a value
//! that two readers could see differently.

use std::fmt;
use std::io;

use serde::Serialize as _;
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Deepest nesting of an input.
const MAX_DEPTH: usize = 64;

/// Reads one JSON text, in which every key of an object must be there once. The error is a part of a sentence.
pub(crate) fn strict(text: &str) -> Result<Value, String> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Strict { depth: 0 }.deserialize(&mut deserializer).map_err(|error| reason(&error))?;
    deserializer.end().map_err(|error| reason(&error))?;
    Ok(value)
}

fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    // The place is of no use to anybody who does not see the bytes.
    text.split(" at line ").next().unwrap_or(&text).to_owned()
}

/// One value that is at this depth.
struct Strict {
    depth: usize,
}

impl Strict {
    fn below<E: serde::de::Error>(&self) -> Result<usize, E> {
        if self.depth >= MAX_DEPTH {
            return Err(E::custom(format!("it is nested more than {MAX_DEPTH} deep")));
        }
        Ok(self.depth + 1)
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number is too large"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let depth = self.below()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Strict { depth })? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let depth = self.below()?;
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            // To serde_json these are not keys but orders.
            if key.starts_with("$serde_json::private::") {
                return Err(A::Error::custom("it has a reserved key"));
            }
            let value = entries.next_value_seed(Strict { depth })?;
            if map.insert(key, value).is_some() {
                return Err(A::Error::custom("it has a key twice"));
            }
        }
        Ok(Value::Object(map))
    }
}

/// The one text of a value: no blanks, keys in order. Two values have the same if they are the same.
pub(crate) fn canonical(value: &Value) -> String {
    fn sorted(value: &Value) -> Value {
        match value {
            Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
            Value::Object(map) => {
                let mut entries: Vec<_> =
                    map.iter().map(|(key, value)| (key.clone(), sorted(value))).collect();
                entries.sort_by(|one, other| one.0.cmp(&other.0));
                Value::Object(entries.into_iter().collect())
            }
            other => other.clone(),
        }
    }
    sorted(value).to_string()
}

/// JSON as Python's `json.dumps(…, ensure_ascii=False)` writes it, which is what people wrote their rules for.
pub(crate) fn python(value: &Value) -> Option<String> {
    let mut out = Vec::new();
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, PythonSeparators)).ok()?;
    String::from_utf8(out).ok()
}

/// Separators `", "` and `": "`.
struct PythonSeparators;

impl serde_json::ser::Formatter for PythonSeparators {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_readers_could_see_differently_is_refused() {
        for (text, expected) in [
            (r#"{"a":1,"a":2}"#, "a key twice"),
            (r#"{"x":[{"a":1,"b":{"c":1,"c":1}}]}"#, "a key twice"),
            (r#"{"a":1,"\u0061":2}"#, "a key twice"),
            (r#"{"$serde_json::private::RawValue":"{}"}"#, "reserved"),
            (r#"{"a":"\ud800"}"#, "hex escape"),
            (r#"{"a":1e999}"#, "out of range"),
            ("{} {}", "trailing"),
            ("", "EOF"),
            ("{'a':1}", "key must be a string"),
        ] {
            let error = strict(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
        let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(strict(&deep(MAX_DEPTH)).is_ok());
        assert!(strict(&deep(MAX_DEPTH + 1)).unwrap_err().contains("nested"));
        assert!(strict(&deep(100_000)).is_err());
    }

    #[test]
    fn what_is_read_is_what_serde_json_reads() {
        for text in
            [r#"{"b":[1,-2,2.5,-0,null,true,"ä\n\u0000"],"a":{}}"#, "18446744073709551615", "1e3", "\"\""]
        {
            assert_eq!(strict(text).unwrap(), serde_json::from_str::<Value>(text).unwrap(), "{text}");
        }
    }

    #[test]
    fn forms() {
        let value = json!({"b": [1, {"d": 1, "c": "ä\n"}], "a": true});
        assert_eq!(canonical(&value), r#"{"a":true,"b":[1,{"c":"ä\n","d":1}]}"#);
        assert_eq!(python(&value).unwrap(), r#"{"b": [1, {"d": 1, "c": "ä\n"}], "a": true}"#);
    }
}
