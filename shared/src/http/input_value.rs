//! What a caller sent, to be read as a type: a JSON value, or a text of the path or the query.
//!
//! Its errors are [`InputFault`]s. Stricter than `serde_json` in one thing: an object is an object,
//! and no list of its members' values in the order in which a struct has them.

use serde::{
    Deserializer,
    de::{
        Error as _, IntoDeserializer, Unexpected, Visitor,
        value::{MapDeserializer, SeqDeserializer},
    },
    forward_to_deserialize_any,
};
use serde_json::{Number, Value};

use super::{
    input_fault::{InputFault, one_of},
    lenient_integer::TOO_LARGE,
};

/// A value as it was sent.
#[derive(Clone, Debug)]
pub(super) enum InputValue {
    /// A value of the body.
    Json(Value),
    /// A part of the path or the query, which is read as what is wanted there.
    Text(String),
    /// The query: names and values.
    Query(Vec<(String, String)>),
}

impl InputValue {
    fn is(&self) -> Unexpected<'_> {
        match self {
            Self::Json(Value::Null) => Unexpected::Unit,
            Self::Json(Value::Bool(value)) => Unexpected::Bool(*value),
            Self::Json(Value::Number(n)) => number(n),
            Self::Json(Value::String(text)) | Self::Text(text) => Unexpected::Str(text),
            Self::Json(Value::Array(_)) => Unexpected::Seq,
            Self::Json(Value::Object(_)) | Self::Query(_) => Unexpected::Map,
        }
    }
}

fn number(n: &Number) -> Unexpected<'static> {
    match (n.as_u64(), n.as_i64()) {
        (Some(n), _) => Unexpected::Unsigned(n),
        (None, Some(n)) => Unexpected::Signed(n),
        (None, None) => Unexpected::Float(n.as_f64().unwrap_or(f64::NAN)),
    }
}

impl IntoDeserializer<'_, InputFault> for InputValue {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// Whole numbers: of a text by its digits, of JSON by their value.
macro_rules! whole_numbers {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InputFault> {
            let Self::Text(text) = &self else { return self.deserialize_any(visitor) };
            let digits = text.strip_prefix('-').unwrap_or(text);
            match (text.parse::<u64>(), text.parse::<i64>()) {
                (Ok(n), _) => visitor.visit_u64(n),
                (Err(_), Ok(n)) => visitor.visit_i64(n),
                (Err(_), Err(_)) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
                    Err(InputFault::custom(TOO_LARGE))
                }
                (Err(_), Err(_)) => Err(InputFault::invalid_type(self.is(), &"a whole number")),
            }
        })*
    };
}

impl<'de> Deserializer<'de> for InputValue {
    type Error = InputFault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InputFault> {
        match self {
            Self::Json(Value::Null) => visitor.visit_unit(),
            Self::Json(Value::Bool(value)) => visitor.visit_bool(value),
            Self::Json(Value::Number(n)) => match (n.as_u64(), n.as_i64()) {
                (Some(n), _) => visitor.visit_u64(n),
                (None, Some(n)) => visitor.visit_i64(n),
                (None, None) => visitor.visit_f64(n.as_f64().unwrap_or(f64::NAN)),
            },
            Self::Json(Value::String(text)) | Self::Text(text) => visitor.visit_string(text),
            Self::Json(Value::Array(items)) => {
                let mut items = SeqDeserializer::new(items.into_iter().map(Self::Json));
                let value = visitor.visit_seq(&mut items)?;
                items.end()?;
                Ok(value)
            }
            Self::Json(Value::Object(members)) => {
                let members = members.into_iter().map(|(name, value)| (name, Self::Json(value)));
                visitor.visit_map(MapDeserializer::new(members))
            }
            Self::Query(parts) => {
                let parts = parts.into_iter().map(|(name, text)| (name, Self::Text(text)));
                visitor.visit_map(MapDeserializer::new(parts))
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InputFault> {
        if matches!(self, Self::Json(Value::Null)) {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, InputFault> {
        let read = if let Self::Text(text) = &self { text.parse().ok() } else { None };
        match read {
            Some(value) => visitor.visit_bool(value),
            None => self.deserialize_any(visitor),
        }
    }

    whole_numbers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, InputFault> {
        if matches!(self, Self::Json(Value::Object(_)) | Self::Query(_)) {
            return self.deserialize_any(visitor);
        }
        Err(InputFault::other_than("an object", self.is()))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, InputFault> {
        let (Self::Json(Value::String(text)) | Self::Text(text)) = self else {
            return Err(InputFault::other_than(&one_of(names), self.is()));
        };
        visitor.visit_enum(text.into_deserializer())
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, InputFault> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map
        identifier ignored_any
    }
}

#[cfg(test)]
mod tests;
