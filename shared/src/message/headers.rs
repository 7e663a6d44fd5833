//! Kafka headers in their order, and their binary form in a database column.

use super::{EnvelopeError, TraceContext, TraceParent, TraceState};

/// Names and values in the order of the message's headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageHeaders(Vec<(String, Option<Vec<u8>>)>);

impl MessageHeaders {
    /// Adds a header with a text.
    pub fn push(&mut self, name: &str, value: &str) {
        self.push_raw(name, Some(value.as_bytes()));
    }

    /// Adds a header with raw bytes.
    pub fn push_raw(&mut self, name: &str, value: Option<&[u8]>) {
        self.0.push((name.to_owned(), value.map(<[u8]>::to_vec)));
    }

    /// All headers, in the order of the message.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_deref()))
    }

    /// The number of headers.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text of the only header of that name; an error if there are several or it is no text.
    pub fn text(&self, name: &'static str) -> Result<Option<&str>, EnvelopeError> {
        let mut found = self.0.iter().filter(|(text, _)| text == name);
        let Some((_, value)) = found.next() else { return Ok(None) };
        if found.next().is_some() {
            return Err(EnvelopeError::Repeated(name));
        }
        let value = value.as_deref().ok_or(EnvelopeError::Malformed(name, "there"))?;
        std::str::from_utf8(value)
            .map(Some)
            .map_err(|_not_utf8| EnvelopeError::Malformed(name, "UTF-8"))
    }

    /// The trace that the message belongs to; none if its `traceparent` cannot be read.
    pub fn trace(&self) -> Option<TraceParent> {
        self.text("traceparent").ok().flatten().and_then(TraceParent::parse)
    }

    /// That trace, and what other systems have added to it; that is left out if it cannot be read.
    pub fn trace_context(&self) -> Option<TraceContext> {
        let state = self.text("tracestate").ok().flatten().and_then(TraceState::parse);
        self.trace().map(|parent| TraceContext { parent, state })
    }

    /// The form in the database: counts and lengths as big-endian numbers.
    pub fn to_bytes(&self) -> Vec<u8> {
        let size = self.0.iter().map(|(n, v)| 8 + n.len() + v.as_ref().map_or(0, Vec::len)).sum();
        let mut bytes = Vec::with_capacity(size);
        for (name, value) in &self.0 {
            put(&mut bytes, Some(name.as_bytes()));
            put(&mut bytes, value.as_deref());
        }
        bytes
    }

    /// Reads that form; none if the bytes are not valid.
    pub fn from_bytes(mut bytes: &[u8]) -> Option<Self> {
        let mut headers = Self::default();
        while !bytes.is_empty() {
            let HeaderPart::There(name) = take(&mut bytes)? else { return None };
            let name = std::str::from_utf8(name).ok()?.to_owned();
            let value = match take(&mut bytes)? {
                HeaderPart::There(value) => Some(value.to_vec()),
                HeaderPart::Nothing => None,
            };
            headers.0.push((name, value));
        }
        Some(headers)
    }
}

/// A length, then the bytes; a missing value has the length -1.
fn put(bytes: &mut Vec<u8>, part: Option<&[u8]>) {
    let length = part.map_or(-1, |bytes| i32::try_from(bytes.len()).unwrap_or(i32::MAX));
    bytes.extend(length.to_be_bytes());
    bytes.extend(part.unwrap_or_default());
}

/// A name or a value.
enum HeaderPart<'b> {
    There(&'b [u8]),
    Nothing,
}

fn take<'b>(bytes: &mut &'b [u8]) -> Option<HeaderPart<'b>> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    *bytes = rest;
    let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
        return Some(HeaderPart::Nothing);
    };
    let (part, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(HeaderPart::There(part))
}
