//! Programs in browsers that were loaded from elsewhere: Cross-Origin Resource Sharing, as the Fetch
//! standard has it.
//!
//! Off unless origins are named: then a browser lets pages of these origins ask, with the headers
//! that this API knows, and read those that it answers with. Cookies and the like are not asked for
//! (`credentials`): this API knows none.

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

/// A browser asks again whether it may ask after this long.
const MAX_AGE: Duration = Duration::from_mins(10);

/// Origins that may be named.
const ORIGINS_MAX: usize = 100;

/// Whose pages may ask.
#[derive(Clone, Debug)]
pub struct CorsOrigins(CorsLayer);

/// Not a list of origins.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadOrigins {
    /// One of them is none.
    #[error(
        "'{0}' is not an origin as browsers send it: scheme, host and port, as in \
         https://shop.example or http://127.0.0.1:3000, without a path; or * alone, for all"
    )]
    Malformed(String),
    /// There are too many.
    #[error("more than {ORIGINS_MAX} origins")]
    TooMany,
}

impl CorsOrigins {
    /// These origins, with commas between them; `*` is all.
    pub fn parse(text: &str) -> Result<Self, BadOrigins> {
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
        // Somebody who wants to know the methods: the layer would take it for a browser's question.
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
