//! Rate limit: how often one caller may send a request.
//!
//! A caller is the address of its connection; of IPv6 the first 64 bits, one subscriber's network.
//! No header identifies a caller: a caller that wants more requests could change it. So all callers
//! behind one proxy are one caller; a limit for each of them belongs in the proxy.
//!
//! **Architecture invariant:** the memory for callers is bounded: after every [`FORGET_EVERY`]
//! requests, callers whose whole burst is available again are forgotten.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::NoOpMiddleware,
    state::keyed::DefaultKeyedStateStore,
};

use super::problem;

/// How often one caller may send a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests per second in the long run.
    pub per_second: NonZeroU32,
    /// Requests that are let through at once after a pause.
    pub burst: NonZeroU32,
}

/// The address that identifies a caller. The server adds it to the extensions of each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PeerAddress(IpAddr);

impl PeerAddress {
    /// The caller at this address.
    pub(super) fn at(address: SocketAddr) -> Self {
        Self(match address.ip().to_canonical() {
            IpAddr::V6(ip) => {
                IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << SUBSCRIBER_BITS)))
            }
            ip @ IpAddr::V4(_) => ip,
        })
    }
}

/// The last bits of an IPv6 address, which one subscriber chooses freely.
const SUBSCRIBER_BITS: u32 = 64;

/// The number of requests after which idle callers are forgotten.
const FORGET_EVERY: u32 = 10_000;

type PerCaller<C> =
    RateLimiter<IpAddr, DefaultKeyedStateStore<IpAddr>, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// Limits the requests per second of each caller.
#[derive(Debug)]
pub(super) struct CallerLimiter<C: Clock = DefaultClock> {
    rate: RateLimit,
    callers: PerCaller<C>,
    clock: C,
    asked: AtomicU32,
}

impl CallerLimiter {
    /// A limiter by the machine's clock.
    pub(super) fn new(rate: RateLimit) -> Self {
        Self::with_clock(rate, DefaultClock::default())
    }
}

impl<C: Clock + Clone> CallerLimiter<C> {
    fn with_clock(rate: RateLimit, clock: C) -> Self {
        let quota = Quota::per_second(rate.per_second).allow_burst(rate.burst);
        let callers = RateLimiter::new(quota, DefaultKeyedStateStore::default(), clock.clone());
        Self { rate, callers, clock, asked: AtomicU32::new(0) }
    }

    /// Counts a request. An error is the time until the caller's next request is let through.
    fn admit(&self, peer: PeerAddress) -> Result<(), Duration> {
        if self.asked.fetch_add(1, Ordering::Relaxed) % FORGET_EVERY == FORGET_EVERY - 1 {
            self.callers.retain_recent();
        }
        let not_until = self.callers.check_key(&peer.0);
        not_until.map_err(|not_until| not_until.wait_time_from(self.clock.now()))
    }
}

/// Refuses requests above the limit with status 429. A request without a [`PeerAddress`], as in
/// tests, is let through.
pub(super) async fn limit(
    State(limiter): State<Arc<CallerLimiter>>,
    request: Request,
    next: Next,
) -> Response {
    let peer = request.extensions().get::<PeerAddress>();
    match peer.map_or(Ok(()), |peer| limiter.admit(*peer)) {
        Ok(()) => next.run(request).await,
        Err(wait) => {
            metrics::counter!("http_rate_limited_total").increment(1);
            let detail = format!(
                "nothing was done: one address may send {} requests a second; repeat the request \
                 after the time in Retry-After",
                limiter.rate.per_second
            );
            problem::RATE_LIMITED.detail(detail).retry_after(wait).into_response()
        }
    }
}

#[cfg(test)]
mod tests;
