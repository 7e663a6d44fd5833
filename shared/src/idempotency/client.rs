//! The header `X-Client-Id`: whose keys are whose.

use axum::http::HeaderMap;

/// Who asks, by its own word, or nobody in particular.
///
/// It keeps the keys of honest clients apart who would otherwise have to agree on theirs. It is no
/// proof of anything: who knows another client's name, key and request is told that answer. Where
/// callers are authenticated, whatever does that sets this header. It is not made from a token,
/// because a token that is renewed between two tries would make one request two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientId(Option<String>);

/// A name that cannot be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the header X-Client-Id is not one name of 1 to 100 visible ASCII characters")]
pub struct BadClient;

impl ClientId {
    /// Reads the name, if there is one.
    pub fn from_headers(headers: &HeaderMap) -> Result<Self, BadClient> {
        let mut values = headers.get_all("x-client-id").iter();
        let Some(value) = values.next() else { return Ok(Self::default()) };
        let name = value.to_str().map_err(|_unread| BadClient)?.trim();
        let visible = name.bytes().all(|b| b.is_ascii_graphic());
        if values.next().is_some() || !visible || !(1..=100).contains(&name.len()) {
            return Err(BadClient);
        }
        Ok(Self(Some(name.to_owned())))
    }

    /// The scope of this client's keys on a route, such as `POST /things`. Those who do not say who
    /// they are share one.
    pub fn scope(&self, route: &str) -> String {
        // A name has no spaces, and no route ends like this.
        self.0.as_ref().map_or_else(|| route.to_owned(), |name| format!("{route} by {name}"))
    }
}
