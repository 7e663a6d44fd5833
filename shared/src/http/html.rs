//! Pages for people: Markdown as HTML, for callers that ask for it.
//!
//! A browser names `text/html` in its `Accept`; other callers (`*/*`, or no `Accept` at all) get
//! what programs read. Such answers vary by `Accept`, and a cache is told so.
//!
//! **Architecture invariant:** a page loads nothing and runs nothing: its policy allows one style,
//! known by its digest, and nothing else.

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use pulldown_cmark::{Options, Parser};

/// The style of every page. Its digest is in [`POLICY`].
const STYLE: &str = "body{max-width:46rem;margin:2rem auto;padding:0 1rem;font:1rem/1.5 system-ui,sans-serif}\
                     code{font-family:ui-monospace,monospace}table{border-collapse:collapse}\
                     td,th{padding:.2rem .8rem .2rem 0;text-align:left;vertical-align:top}\
                     :root{color-scheme:light dark}";

/// The `Content-Security-Policy` of every page.
const POLICY: &str = "default-src 'none'; style-src 'sha256-I3sRvU8A++EcKGWzaJR/eoyYLpNP4kQ19eUKZ1WQ84A='; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// Says that the answer depends on the request's `Accept`.
pub(super) const VARIES: (HeaderName, HeaderValue) =
    (header::VARY, HeaderValue::from_static("accept"));

/// Whether the caller would rather read HTML than what programs read.
pub(super) fn prefers_html(headers: &HeaderMap) -> bool {
    let ranges = || {
        let values = headers.get_all(header::ACCEPT).iter();
        values.filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(','))
    };
    let best = |wanted: &[&str]| {
        let named = ranges().filter_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next()?.to_ascii_lowercase();
            let quality = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok());
            wanted.contains(&name.as_str()).then(|| quality.unwrap_or(1.0))
        });
        named.fold(0.0, f32::max)
    };
    let html = best(&["text/html"]);
    html > 0.0 && html >= best(&["application/json", "text/markdown", "text/plain"])
}

/// A page of this title, written in Markdown.
pub(super) fn html_page(title: &str, markdown: &str) -> Response {
    let mut body = String::new();
    let options = Options::ENABLE_TABLES;
    pulldown_cmark::html::push_html(&mut body, Parser::new_ext(markdown, options));
    let title = title.replace('&', "&amp;").replace('<', "&lt;");
    let page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    );
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        VARIES,
    ];
    (headers, page).into_response()
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;

    #[test]
    fn a_browser_is_shown_html_and_a_program_is_not() {
        let prefers = |accept: &[&'static str]| {
            let values = accept.iter().map(|text| (header::ACCEPT, HeaderValue::from_static(text)));
            prefers_html(&values.collect())
        };
        let firefox = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        for html in
            [&[firefox][..], &["text/html"], &["text/html;q=0.5, */*"], &["*/*", "Text/HTML"]]
        {
            assert!(prefers(html), "{html:?}");
        }
        for other in [
            &[][..],
            &["*/*"],
            &["text/*"],
            &["application/json"],
            &["application/json, text/html;q=0.9"],
            &["text/markdown, text/html;q=0.5"],
            &["text/html;q=0"],
        ] {
            assert!(!prefers(other), "{other:?}");
        }
    }

    /// The digits of RFC 4648, 4.
    fn base64(bytes: &[u8]) -> String {
        const DIGITS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let digit =
            |bits: u32, n: usize| char::from(DIGITS[((bits >> (18 - 6 * n)) & 63) as usize]);
        let groups = bytes.chunks(3).flat_map(|group| {
            let bits =
                (0..3).fold(0, |bits, n| (bits << 8) | u32::from(*group.get(n).unwrap_or(&0)));
            (0..4).map(move |n| if n <= group.len() { digit(bits, n) } else { '=' })
        });
        groups.collect()
    }

    #[test]
    fn the_policy_allows_the_style_and_nothing_else() {
        let style = format!("style-src 'sha256-{}'", base64(&Sha256::digest(STYLE)));
        assert!(POLICY.contains(&style), "it has to be {style}");
        assert!(POLICY.starts_with("default-src 'none'; "));
        assert_eq!(POLICY.matches("-src ").count(), 2);
    }
}
