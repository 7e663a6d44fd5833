//! The text that versions up to November 2026 digested: names sorted, numbers as they were spelled.
//!
//! The first of them digested the body as it was sent, the last one the body as it was understood.
//! To be removed with the first version that is never installed over one of them: what they kept
//! expires within a day.

use serde_json::Value;

/// The text of a value in that form.
pub(super) fn text(value: &Value) -> Vec<u8> {
    let mut text = Vec::new();
    write(&mut text, value);
    text
}

fn write(text: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by_key(|(name, _)| *name);
            text.push(b'{');
            for (name, value) in entries {
                text.extend(Value::from(name.as_str()).to_string().bytes());
                text.push(b':');
                write(text, value);
                text.push(b',');
            }
            text.push(b'}');
        }
        Value::Array(items) => {
            text.push(b'[');
            for item in items {
                write(text, item);
                text.push(b',');
            }
            text.push(b']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            text.extend(value.to_string().bytes());
        }
    }
}
