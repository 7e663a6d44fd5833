//! Strict JSON: refuses objects with a duplicate name.
//!
//! Readers interpret a duplicate name differently. The value that is fingerprinted, checked and
//! stored has to be the same, so a body with a duplicate name is refused.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

/// What is wrong with an object that has a name twice.
pub(super) const NAME_TWICE: &str = "has one name more than once";

/// A value in which no object has a name twice.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct StrictJson(pub(super) Value);

impl<'de> Deserialize<'de> for StrictJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        StrictReader.deserialize(deserializer).map(Self)
    }
}

#[derive(Clone, Copy)]
struct StrictReader;

impl<'de> DeserializeSeed<'de> for StrictReader {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for StrictReader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, it: bool) -> Result<Value, E> {
        Ok(it.into())
    }

    fn visit_i64<E>(self, it: i64) -> Result<Value, E> {
        Ok(it.into())
    }

    fn visit_u64<E>(self, it: u64) -> Result<Value, E> {
        Ok(it.into())
    }

    fn visit_f64<E>(self, it: f64) -> Result<Value, E> {
        Ok(it.into())
    }

    fn visit_str<E>(self, it: &str) -> Result<Value, E> {
        Ok(it.into())
    }

    fn visit_string<E>(self, it: String) -> Result<Value, E> {
        Ok(it.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = vec![];
        while let Some(item) = items.next_element_seed(self)? {
            array.push(item);
        }
        Ok(array.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            if object.contains_key(&name) {
                return Err(A::Error::custom(NAME_TWICE));
            }
            let value = entries.next_value_seed(self)?;
            object.insert(name, value);
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_that_stands_twice_is_refused_at_every_depth() {
        for text in [r#"{"a":1,"a":1}"#, r#"[{"b":{"a":1,"\u0061":2}}]"#] {
            let error = serde_json::from_str::<StrictJson>(text).unwrap_err();
            assert!(error.to_string().starts_with(NAME_TWICE), "{error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_said_once_is_read_as_it_is(
            names in prop::collection::btree_set("[a-z]{1,3}", 0..5),
            number: i64,
            real in -1e300..1e300,
            text: String,
        ) {
            let leaf = serde_json::json!([number, real, text, null, true, u64::MAX]);
            let object: Map<String, Value> =
                names.into_iter().map(|text| (text, leaf.clone())).collect();
            let value = serde_json::json!({ "outer": object });
            let text = value.to_string();
            let read = serde_json::from_str::<StrictJson>(&text).unwrap();
            prop_assert_eq!(read.0, serde_json::from_str::<Value>(&text).unwrap());
        }
    }
}
