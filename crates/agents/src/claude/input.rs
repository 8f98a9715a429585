//! A tool's input: what it says, and the very bytes that say it.
//!
//! Owns the refusal of an input whose bytes can be read in two ways: a key given twice means one thing to one
//! reader and another thing to the next, so what a person approved might not be what runs.

use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// An input as the program sent it.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    value: Value,
    raw: String,
}

impl Input {
    /// `None` if a key is given twice somewhere in it.
    pub(crate) fn read(raw: &RawValue) -> Option<Self> {
        serde_json::from_str::<Unambiguous>(raw.get()).ok()?;
        let value = serde_json::from_str(raw.get()).ok()?;
        Some(Self { value, raw: raw.get().to_owned() })
    }

    pub(crate) fn value(&self) -> &Value {
        &self.value
    }

    pub(crate) fn raw(&self) -> &str {
        &self.raw
    }
}

/// Two inputs are the same if they say the same; the order of keys says nothing.
impl PartialEq for Input {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

/// JSON in which no object has a key twice.
struct Unambiguous;

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Look)
    }
}

struct Look;

impl<'de> Visitor<'de> for Look {
    type Value = Unambiguous;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_str<E>(self, _: &str) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_unit<E>(self) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Unambiguous, A::Error> {
        while items.next_element::<Unambiguous>()?.is_some() {}
        Ok(Unambiguous)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Unambiguous, A::Error> {
        let mut keys = HashSet::new();
        while let Some(key) = entries.next_key::<String>()? {
            if !keys.insert(key) {
                return Err(A::Error::custom("a key is given twice"));
            }
            entries.next_value::<Unambiguous>()?;
        }
        Ok(Unambiguous)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Input> {
        Input::read(&RawValue::from_string(text.to_owned()).unwrap())
    }

    #[test]
    fn a_key_given_twice_is_no_input() {
        for text in [
            r#"{"command":"ls","command":"rm"}"#,
            r#"{"a":[{"b":1,"b":1}]}"#,
            r#"{"command":"ls","c\u006fmmand":"rm"}"#,
        ] {
            assert_eq!(read(text).map(|input| input.raw), None, "{text}");
        }
        for text in [r#"{"a":{"b":1},"b":[1.5,-1,true,null,"x"]}"#, "{}", "null", "1e400000"] {
            assert_eq!(read(text).map(|input| input.raw), (text != "1e400000").then(|| text.to_owned()));
        }
    }

    #[test]
    fn inputs_are_compared_by_what_they_say() {
        assert_eq!(read(r#"{"a":1,"b":2}"#), read(r#"{ "b": 2, "a": 1 }"#));
        assert_ne!(read(r#"{"a":1}"#), read(r#"{"a":1.5}"#));
        assert_ne!(read(r#"{"a":1}"#), read(r#"{"a":1,"b":null}"#));
    }
}
