//! The fingerprint of a request, in 32 bytes.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// SHA-256 over method, path and body. The body is digested as it was parsed: spaces, the order of
/// names, other spellings of one text or number, and a name without a value make no difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestFingerprint {
    understood: [u8; 32],
    /// The fingerprint of versions up to November 2026, in which the spelling of numbers and names
    /// without a value did make a difference.
    spelled: Option<[u8; 32]>,
}

impl RequestFingerprint {
    /// The fingerprint of a request whose body was parsed as `body`.
    pub fn of(method: &str, path: &str, body: &Value) -> Self {
        Self { understood: digest(method, path, &without_nulls(body)), spelled: None }
    }

    /// The same, with the original spelling of the body: the request also matches the fingerprint
    /// of an earlier version, so that a retry across the upgrade finds its answer.
    pub(crate) fn of_spelled(method: &str, path: &str, body: &Value, spelling: &Value) -> Self {
        Self { spelled: Some(digest(method, path, spelling)), ..Self::of(method, path, body) }
    }

    /// Whether the request that was stored under `kept` is this one.
    pub fn is_of(&self, kept: &Self) -> bool {
        self.understood == kept.understood || self.spelled == Some(kept.understood)
    }

    /// The 32 bytes of the SHA-256 digest.
    pub fn as_bytes(&self) -> &[u8] {
        &self.understood
    }

    /// From bytes, if their number is right.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(|understood| Self { understood, spelled: None })
    }
}

fn digest(method: &str, path: &str, body: &Value) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in [method, path] {
        hasher.update(part.as_bytes());
        hasher.update([0]);
    }
    absorb(&mut hasher, body);
    hasher.finalize().into()
}

/// A name without a value is equal to a missing name.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let said = map.iter().filter(|(_, value)| !value.is_null());
            said.map(|(name, value)| (name.clone(), without_nulls(value))).collect()
        }
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// Digests a value with its names sorted, whatever order the map keeps.
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
