//! The header `X-Client-Id`: separates the keys of different clients.

use axum::http::HeaderMap;

/// The client's name, as the client states it, or none.
///
/// The name separates the keys of honest clients, which otherwise would have to agree on keys. It
/// proves nothing: a caller that knows another client's name, key and request gets that answer.
/// With authentication, the authenticating component sets this header. It is not made from a token,
/// because a token that is renewed between two tries would make one request two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientId(Option<String>);

/// The error for an invalid name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the header X-Client-Id is not one name of 1 to 100 visible ASCII characters")]
pub struct BadClient;

impl ClientId {
    /// Reads the name, if the header is present.
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

    /// The scope of this client's keys on a route, such as `POST /things`. Clients without a name
    /// share one scope.
    pub fn scope(&self, route: &str) -> String {
        // A name has no spaces, and no route ends like this.
        self.0.as_ref().map_or_else(|| route.to_owned(), |name| format!("{route} by {name}"))
    }
}
