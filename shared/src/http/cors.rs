//! Cross-Origin Resource Sharing for browser pages of other origins, as in the Fetch standard.
//!
//! Off unless origins are configured: then a browser lets pages of these origins send requests with
//! the headers that this API knows, and read the headers of its answers. Cookies and other
//! credentials are not requested (`credentials`): this API uses none.

use std::time::Duration;

use axum::{
    extract::{Request, State},
    http::{HeaderName, HeaderValue, Method, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use tower::{Layer as _, ServiceExt as _};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::REPLAYED;

/// How long a browser may cache the answer to a preflight request.
const MAX_AGE: Duration = Duration::from_mins(10);

/// Origins that may be named.
const ORIGINS_MAX: usize = 100;

/// The origins whose pages may send requests.
#[derive(Clone, Debug)]
pub struct CorsOrigins(CorsLayer);

/// Not a list of origins.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadOrigins {
    /// One of the texts is not an origin.
    #[error(
        "'{0}' is not an origin as browsers send it: scheme, host and port, as in \
         https://shop.example or http://127.0.0.1:3000, without a path; or * alone, for all"
    )]
    Malformed(String),
    /// The list has too many origins.
    #[error("more than {ORIGINS_MAX} origins")]
    TooMany,
}

impl CorsOrigins {
    /// These origins, with commas between them; `*` is all.
    pub(crate) fn parse(text: &str) -> Result<Self, BadOrigins> {
        let origins: Vec<&str> = text.split(',').map(str::trim).collect();
        if origins.len() > ORIGINS_MAX {
            return Err(BadOrigins::TooMany);
        }
        let allowed = if origins == ["*"] {
            AllowOrigin::any()
        } else {
            AllowOrigin::list(origins.into_iter().map(origin).collect::<Result<Vec<_>, _>>()?)
        };
        let name = HeaderName::from_static;
        let layer = CorsLayer::new()
            .allow_origin(allowed)
            .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::PUT])
            .allow_headers([
                header::CONTENT_TYPE,
                name("idempotency-key"),
                name("x-client-id"),
                name("x-request-id"),
                name("traceparent"),
                name("tracestate"),
            ])
            .expose_headers([
                header::LOCATION,
                header::RETRY_AFTER,
                header::ALLOW,
                REPLAYED,
                name("x-request-id"),
            ])
            .max_age(MAX_AGE);
        Ok(Self(layer))
    }
}

/// An origin as a browser spells it, so that it can be compared with what comes.
fn origin(text: &str) -> Result<HeaderValue, BadOrigins> {
    let malformed = || BadOrigins::Malformed(text.to_owned());
    let url = reqwest::Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let spelled = url.map(|url| url.origin().ascii_serialization());
    let same = spelled
        .filter(|one_text| one_text == text && !one_text.contains('*'))
        .ok_or_else(malformed)?;
    HeaderValue::from_str(&same).map_err(|_unsendable| malformed())
}

/// Answers a browser that asks whether a page may ask, and tells it whether the page may read an
/// answer.
pub(super) async fn cors(
    State(CorsOrigins(layer)): State<CorsOrigins>,
    request: Request,
    next: Next,
) -> Response {
    let asks_first = request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    if request.method() == Method::OPTIONS && !asks_first {
        // A plain `OPTIONS` request for the methods: the layer would take it for a preflight
        // request.
        return next.run(request).await;
    }
    layer.layer(next).oneshot(request).await.into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_those_that_browsers_send() {
        for good in [
            "*",
            "https://shop.example",
            "http://127.0.0.1:3000",
            "https://a.example, https://b.example:8443",
            "http://[::1]:3000",
        ] {
            CorsOrigins::parse(good).unwrap();
        }
        for bad in [
            "",
            "shop.example",
            "https://shop.example/",
            "https://shop.example/cart",
            "https://shop.example:443",
            "https://Shop.example",
            "https://*.shop.example",
            "https://me@shop.example",
            "ftp://shop.example",
            "null",
            "*,https://shop.example",
            "https://a.example,",
        ] {
            assert!(matches!(CorsOrigins::parse(bad), Err(BadOrigins::Malformed(_))), "{bad}");
        }
        let many = vec!["https://a.example"; 101].join(",");
        assert_eq!(CorsOrigins::parse(&many).unwrap_err(), BadOrigins::TooMany);
    }
}
