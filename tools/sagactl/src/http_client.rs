//! The HTTP client of every command, with this project's limits.

use std::time::Duration;

use anyhow::Context as _;
use reqwest::header::RETRY_AFTER;

/// One call may take this long: far longer than a service may take, so that a machine that
/// stands still for a while costs no answer.
const CALL_LIMIT: Duration = Duration::from_mins(2);

/// A connection without calls is kept for so long: less than the services keep it (75 s), so that
/// no call is sent on one that is just being closed.
const IDLE_LIMIT: Duration = Duration::from_secs(5);

/// An HTTP client with this project's limits.
pub fn http_client() -> anyhow::Result<reqwest::Client> {
    // A second call finds the provider installed, which is as good.
    rustls::crypto::ring::default_provider().install_default().ok();
    reqwest::Client::builder()
        .timeout(CALL_LIMIT)
        .pool_idle_timeout(IDLE_LIMIT)
        .pool_max_idle_per_host(256)
        .build()
        .context("no HTTP client")
}

/// When a service that is busy wants to be asked again.
pub fn retry_after(response: &reqwest::Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}
