//! How JSON is read, no deeper than it stands.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

/// Any JSON, every key of it taken for a key.
///
/// `Value` itself takes an object with `serde_json`'s own key for raw JSON as a text to be read in its turn. A text
/// within a text has its depth counted anew: some hundred of them, in one message, overflow the stack.
pub struct Json(pub Value);

/// Reads a text.
///
/// # Errors
/// When it is not JSON, or more than 127 levels deep. The error tells where, with nothing of the text.
pub fn read(text: &str) -> serde_json::Result<Value> {
    serde_json::from_str(text).map(|Json(value)| value)
}

/// Finds what a JSON pointer points at, as [`Value::pointer`] does, but with no allocation for each of its names.
pub fn at<'a>(value: &'a Value, pointer: &str) -> Option<&'a Value> {
    // A name with a slash in it.
    let plain = pointer.strip_prefix('/').filter(|path| !path.contains('~'));
    let Some(path) = plain else { return value.pointer(pointer) };
    path.split('/').try_fold(value, |value, name| match value {
        Value::Object(fields) => fields.get(name),
        Value::Array(_) => value.pointer(&format!("/{name}")),
        _ => None,
    })
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(Self)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Json(value)) = elements.next_element()? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some((name, Json(value))) = entries.next_entry()? {
            fields.insert(name, value);
        }
        Ok(Value::Object(fields))
    }
}
