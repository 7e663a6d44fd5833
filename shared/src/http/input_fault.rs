//! Why an input cannot be read, in the words of who sent it.
//!
//! serde's own texts name Rust types (`expected u32`, `struct PlaceOrderBody`) and speak of what a
//! program does (`unknown variant`, `missing field`). A deserializer whose error is an
//! [`InputFault`] is told what is wrong piece by piece, and the text is made here. Only what serde
//! and uuid call the value that they expected is matched, name by name; the tests of
//! `input_value` hold each.

use std::fmt::{self, Display};

use serde::de::{Error, Expected, Unexpected};

/// Characters of a value that are repeated in a text.
const SHOWN_CHARS_MAX: usize = 60;

/// What is wrong with an input. Where is known by the one who reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InputFault {
    /// The member of the object there that is concerned, if it is not the place itself.
    pub(super) member: Option<&'static str>,
    /// What is wrong there, without its place.
    pub(super) text: String,
}

impl InputFault {
    fn here(text: String) -> Self {
        Self { member: None, text }
    }

    fn at(member: &'static str, text: &str) -> Self {
        Self { member: Some(member), text: text.to_owned() }
    }

    /// Something else is wanted than what is there.
    pub(super) fn other_than(wanted: &str, is: Unexpected<'_>) -> Self {
        Self::here(format!("has to be {wanted}, but is {}", found(is)))
    }
}

impl Display for InputFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for InputFault {}

impl Error for InputFault {
    fn custom<T: Display>(text: T) -> Self {
        let text = text.to_string();
        // The only foreign type of which requests are made.
        let is_uuid = text.starts_with("UUID parsing failed");
        Self::here(if is_uuid { format!("has to be {UUID}") } else { text })
    }

    fn invalid_type(is: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::other_than(&wanted(&expected.to_string()), is)
    }

    fn invalid_value(is: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(is, expected)
    }

    fn invalid_length(n: usize, _expected: &dyn Expected) -> Self {
        Self::here(format!("is a list of {n}, which is not the number that is wanted"))
    }

    fn unknown_variant(name: &str, known: &'static [&'static str]) -> Self {
        Self::other_than(&one_of(known), Unexpected::Str(name))
    }

    fn unknown_field(_name: &str, known: &'static [&'static str]) -> Self {
        Self::here(match known {
            [] => "is not known here".to_owned(),
            known => format!("is not known here; known are {}", known.join(", ")),
        })
    }

    fn missing_field(name: &'static str) -> Self {
        Self::at(name, "is missing")
    }

    fn duplicate_field(name: &'static str) -> Self {
        Self::at(name, "is given more than once")
    }
}

const UUID: &str = "a UUID, such as 01a20fcc-a92c-76ef-87b5-a07309aa9900";

/// A choice, as it is told.
pub(super) fn one_of(names: &[&str]) -> String {
    format!("one of {}", names.join(", "))
}

/// What a reader of serde expects, without the names of Rust types.
fn wanted(expected: &str) -> String {
    let whole = |lowest: &str, highest: &str| format!("a whole number from {lowest} to {highest}");
    match expected {
        "u8" => whole("0", "255"),
        "u16" => whole("0", "65535"),
        "u32" => whole("0", "4294967295"),
        "u64" | "u128" | "usize" => "a whole number that is not negative".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a string" | "string" | "a borrowed string" => "a text".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "unit" => "null".to_owned(),
        "a formatted UUID string" => UUID.to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "an object".to_owned(),
        name if name.starts_with("struct ") => "an object".to_owned(),
        name if name.starts_with("tuple ") || name.starts_with("a tuple") => "a list".to_owned(),
        other => other.to_owned(),
    }
}

fn found(is: Unexpected<'_>) -> String {
    match is {
        Unexpected::Bool(value) => value.to_string(),
        Unexpected::Unsigned(n) => n.to_string(),
        Unexpected::Signed(n) => n.to_string(),
        Unexpected::Float(n) => n.to_string(),
        Unexpected::Char(character) => format!("'{character}'"),
        Unexpected::Str(text) => shown(text),
        Unexpected::Unit | Unexpected::Option => "null".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "an object".to_owned(),
        Unexpected::Bytes(_)
        | Unexpected::NewtypeStruct
        | Unexpected::Enum
        | Unexpected::UnitVariant
        | Unexpected::NewtypeVariant
        | Unexpected::TupleVariant
        | Unexpected::StructVariant
        | Unexpected::Other(_) => "something else".to_owned(),
    }
}

/// A text in quotes; of a long one, its beginning.
fn shown(text: &str) -> String {
    let mut beginning: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    if beginning.len() < text.len() {
        beginning.push('…');
    }
    format!("'{beginning}'")
}
