//! The W3C trace context as a whole: where in which trace, and what tracing systems on the way have
//! added (`tracestate`).
//!
//! **Architecture invariant:** a `tracestate` that cannot be read is dropped, with the rest kept: it
//! belongs to systems that are not ours, so nothing is refused or logged because of it. One without
//! its `traceparent` is dropped too.

use std::{collections::BTreeSet, sync::Arc};

use super::TraceParent;

/// The trace that a request, a message or a job belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TraceContext {
    /// Which trace, and which span of it.
    pub parent: TraceParent,
    /// Passed on as it came.
    pub state: Option<TraceState>,
}

impl TraceContext {
    /// Starts a new trace.
    pub fn start() -> Self {
        TraceParent::start().into()
    }

    /// The trace's id, 32 hexadecimal digits.
    pub fn trace_id(&self) -> String {
        self.parent.trace_id()
    }

    /// The same trace at another span.
    #[must_use]
    pub fn at(&self, parent: TraceParent) -> Self {
        Self { parent, state: self.state.clone() }
    }

    /// Reads the two headers; none if the `traceparent` is not one.
    pub fn parse(parent: &str, state: Option<&str>) -> Option<Self> {
        let state = state.and_then(TraceState::parse);
        TraceParent::parse(parent).map(|parent| Self { parent, state })
    }
}

impl From<TraceParent> for TraceContext {
    fn from(parent: TraceParent) -> Self {
        Self { parent, state: None }
    }
}

/// A `tracestate`: `vendor=value,…`, of at most 512 characters and 32 members.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TraceState(Arc<str>);

/// What is passed on at most. W3C asks for at least that much.
const CHARS_MAX: usize = 512;
const MEMBERS_MAX: usize = 32;
/// Where there is too much, members that are longer than this go first.
const LONG_MEMBER: usize = 128;
const KEY_CHARS_MAX: usize = 256;
const VALUE_CHARS_MAX: usize = 256;

impl TraceState {
    /// Reads a `tracestate`; none if it is not one, or empty. Of one that is too long, whole members
    /// are left out: long ones, then the last ones, which are the oldest.
    pub fn parse(text: &str) -> Option<Self> {
        let members = text.split(',').map(|member| member.trim_matches([' ', '\t']));
        let mut members: Vec<&str> = members.filter(|member| !member.is_empty()).collect();
        let mut keys = BTreeSet::new();
        for member in &members {
            let (key, value) = member.split_once('=')?;
            if !is_key(key) || !is_value(value) || !keys.insert(key) {
                return None;
            }
        }
        if members.is_empty() || members.len() > MEMBERS_MAX {
            return None;
        }
        if length(&members) > CHARS_MAX {
            members.retain(|member| member.len() <= LONG_MEMBER);
        }
        while length(&members) > CHARS_MAX {
            members.pop();
        }
        (!members.is_empty()).then(|| Self(members.join(",").into()))
    }

    /// The value of the header.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// With the commas between them.
fn length(members: &[&str]) -> usize {
    members.iter().map(|member| member.len() + 1).sum::<usize>().saturating_sub(1)
}

fn is_key(key: &str) -> bool {
    let is_first = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_other = |byte: u8| is_first(byte) || b"_-*/@".contains(&byte);
    key.len() <= KEY_CHARS_MAX
        && key.bytes().next().is_some_and(is_first)
        && key.bytes().all(is_other)
}

/// A value's spaces at its end are gone with those around its member.
fn is_value(value: &str) -> bool {
    let is_printable = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b'=';
    (1..=VALUE_CHARS_MAX).contains(&value.len()) && value.bytes().all(is_printable)
}

#[cfg(test)]
mod tests;
