//! The fingerprint of a request, in 32 bytes: SHA-256 over method, path and the canonical body.
//!
//! The canonical form is RFC 8785 (JSON Canonicalization Scheme): names sorted, one spelling for
//! each text and each number, so that `2`, `2.0` and `2e0` are equal. A name without a value is
//! removed before, at every depth.
//!
//! RFC 8785 takes each number as a double: whole numbers beyond 2^53 that round to the same double
//! have the same fingerprint. Bodies under an `Idempotency-Key` are validated to be far below.
//!
//! Fingerprints are kept for [a day](super::KEPT), and earlier versions digested other texts. What
//! they kept is compared with what they would have digested ([`earlier`]), so that a retry across
//! an upgrade finds its answer. Kept fingerprints have no version number: a digest of another form
//! cannot be equal by chance.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

mod earlier;

/// SHA-256 over method, path and body. The body is digested as it was parsed: spaces, the order of
/// names, other spellings of one text or number, and a name without a value make no difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestFingerprint {
    canonical: [u8; 32],
    /// The fingerprints that earlier versions would have kept of the same request.
    earlier: [Option<[u8; 32]>; 2],
}

impl RequestFingerprint {
    /// The fingerprint of a request whose body was parsed as `body`.
    pub fn of(method: &str, path: &str, body: &Value) -> Self {
        let body = without_nulls(body);
        // Fails for numbers that JSON does not have only: then any spelling will do.
        let canonical = serde_json_canonicalizer::to_vec(&body);
        let canonical = canonical.unwrap_or_else(|_not_finite| body.to_string().into_bytes());
        Self { canonical: digest(method, path, &canonical), earlier: [None; 2] }
    }

    /// The same, with the original spelling of the body: the request also matches the fingerprint
    /// of an earlier version.
    pub(crate) fn of_spelled(method: &str, path: &str, body: &Value, spelling: &Value) -> Self {
        let once = |value: &Value| Some(digest(method, path, &earlier::text(value)));
        Self {
            earlier: [once(&without_nulls(body)), once(spelling)],
            ..Self::of(method, path, body)
        }
    }

    /// Whether the request that was stored under `kept` is this one.
    pub fn is_of(&self, kept: &Self) -> bool {
        self.canonical == kept.canonical || self.earlier.contains(&Some(kept.canonical))
    }

    /// The 32 bytes of the SHA-256 digest.
    pub fn as_bytes(&self) -> &[u8] {
        &self.canonical
    }

    /// From bytes, if their number is right.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(|canonical| Self { canonical, earlier: [None; 2] })
    }
}

fn digest(method: &str, path: &str, body: &[u8]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in [method, path] {
        hasher.update(part.as_bytes());
        hasher.update([0]);
    }
    hasher.update(body);
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
