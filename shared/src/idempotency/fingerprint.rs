//! What a request is, in 32 bytes.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// SHA-256 over method, path and body. The body counts as the value that it is: spaces, the order
/// of names and other spellings of one text make no difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of a request.
    pub fn of(method: &str, path: &str, body: &Value) -> Self {
        let mut hasher = Sha256::new();
        for part in [method, path] {
            hasher.update(part.as_bytes());
            hasher.update([0]);
        }
        absorb(&mut hasher, body);
        Self(hasher.finalize().into())
    }

    /// As bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// From bytes, if there are as many as it needs.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

/// Feeds a value with its names sorted, whatever order the map keeps.
fn absorb(hasher: &mut Sha256, value: &Value) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by_key(|(name, _)| *name);
            hasher.update(b"{");
            for (name, value) in entries {
                hasher.update(Value::from(name.as_str()).to_string());
                hasher.update(b":");
                absorb(hasher, value);
                hasher.update(b",");
            }
            hasher.update(b"}");
        }
        Value::Array(items) => {
            hasher.update(b"[");
            for item in items {
                absorb(hasher, item);
                hasher.update(b",");
            }
            hasher.update(b"]");
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            hasher.update(value.to_string());
        }
    }
}
