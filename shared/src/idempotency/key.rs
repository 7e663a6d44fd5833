//! The header `Idempotency-Key`.

use axum::http::HeaderMap;

/// A caller's name for a request: 1 to 255 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IdempotencyKey(String);

/// Why the header is missing or invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// The request has no `Idempotency-Key`.
    #[error("the header Idempotency-Key is missing")]
    Missing,
    /// The request has several `Idempotency-Key` headers.
    #[error("the header Idempotency-Key stands there more than once")]
    Repeated,
    /// The header's value is not a valid key.
    #[error("the header Idempotency-Key is not 1 to 255 visible ASCII characters")]
    Malformed,
}

impl IdempotencyKey {
    /// Reads the key of a request that must have one.
    pub fn from_headers(headers: &HeaderMap) -> Result<Self, BadKey> {
        Self::optional_from_headers(headers)?.ok_or(BadKey::Missing)
    }

    /// Reads the key of a request that may have one.
    pub(crate) fn optional_from_headers(headers: &HeaderMap) -> Result<Option<Self>, BadKey> {
        let mut values = headers.get_all("idempotency-key").iter();
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(BadKey::Repeated);
        }
        let text = value.to_str().map_err(|_unread| BadKey::Malformed)?;
        Self::parse(text).map(Some)
    }

    /// Reads a key: a quoted string as in the draft, or bare as most clients send it.
    pub fn parse(text: &str) -> Result<Self, BadKey> {
        let text = text.trim();
        let key = match text.strip_prefix('"') {
            Some(rest) => unquote(rest).ok_or(BadKey::Malformed)?,
            None => text.to_owned(),
        };
        let visible = key.bytes().all(|b| b.is_ascii_graphic());
        if visible && (1..=255).contains(&key.len()) {
            Ok(Self(key))
        } else {
            Err(BadKey::Malformed)
        }
    }

    /// A key that was validated when it was received.
    pub(super) fn from_kept(text: String) -> Self {
        Self(text)
    }

    /// The key as the caller wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The rest of a structured field's string (RFC 8941) after its opening quote.
fn unquote(rest: &str) -> Option<String> {
    let mut key = String::with_capacity(rest.len());
    let mut chars = rest.chars();
    loop {
        match chars.next()? {
            '"' => return chars.as_str().is_empty().then_some(key),
            '\\' => key.push(chars.next().filter(|character| matches!(character, '"' | '\\'))?),
            other => key.push(other),
        }
    }
}
