//! The gateway's client: one call per attempt, and what its answer means for the money.
//!
//! | what comes back | charge | resolve | refund |
//! | --- | --- | --- | --- |
//! | 200, readable | charged | charged | refunded |
//! | 402 | declined | not charged | never |
//! | 400, 404: no such amount or means of payment can be charged | declined | not charged | never |
//! | 400: `charge_already_refunded` | | | refunded; the name of the refund is looked up, a few times if need be |
//! | 400: `charge_disputed`; 404: no such charge | | | not: a person decides |
//! | 400, 404: the request is wrong otherwise | never | not charged | never |
//! | 400: the key was used for another request | never, alarm | open, alarm | never, alarm |
//! | 409: a request with this key is in progress | open | open | open |
//! | 429, 503, 401, 403; no connection was made | nothing happened | | |
//! | anything else, or nothing in time | open | open | open |
//!
//! *Open* is tried again under the same key and remembered as doubt; *nothing happened* is tried
//! again and leaves no doubt; *never* ends the job. 409 is open, not refused: another request with
//! the same key is in progress, for example of a worker of this service whose lease has expired.
//! Its outcome is not known yet.
//!
//! A circuit breaker guards all calls: while most of the last calls were not answered, or were
//! answered with a request to come back, jobs wait and use up no attempts; one trial call at a time
//! probes the gateway. Any other answer shows that it works, whatever it means for the money.
//!
//! A charge whose key the gateway may have forgotten is looked up by its order, not sent again.
//!
//! **Architecture invariant:** every call has a deadline, a bounded answer and its job's key. An
//! answer that cannot be understood is open: only an explicit answer of the gateway is an outcome.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response, StatusCode, Url, redirect::Policy};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use shared::{
    breaker::{CircuitBreaker, HeldBack},
    clock::Clock,
    fault,
    http::retry_after,
    jobs::{AttemptFailure, ClaimedJob},
    telemetry::spans::{KeyValue, Kind, OpenSpan},
};

use crate::{
    domain::payment::{GatewayCharge, RefundObstacle},
    jobs::requests::{ChargeRequest, RefundRequest},
    metrics,
};

use self::answer::{HttpReply, ReplyVerdict};

pub use self::lookup::{LookupResult, NAMED_WITHIN};

mod answer;
mod lookup;

/// How long connecting may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// The maximum size of an answer.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Settings of the gateway's client.
#[derive(Clone, Debug)]
pub struct GatewaySettings {
    pub url: Url,
    /// The bearer token, if the gateway requires one.
    pub api_key: Option<SecretString>,
    /// One call may take this long as a whole.
    pub call_limit: Duration,
    /// The gateway is trusted to remember an idempotency key for this long.
    pub keys_kept: Duration,
}

#[derive(Clone, Debug)]
pub struct GatewayClient {
    settings: GatewaySettings,
    client: reqwest::Client,
    breaker: CircuitBreaker,
}

/// The outcome of a charge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChargeOutcome {
    Charged(GatewayCharge),
    /// The bank said no, for good.
    Declined {
        code: String,
    },
}

/// The resolved outcome of a charge in doubt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChargeFinding {
    /// The charge had happened, or has now.
    Charged(GatewayCharge),
    /// The charge has not happened and never will.
    NotCharged,
    /// The key is too old to be used again, and the gateway lists no single charge of this order.
    NotListed,
}

/// The outcome of a refund.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefundOutcome {
    /// All that was charged was given back, now or before.
    Refunded {
        /// The gateway's name for it.
        id: String,
    },
    /// The refund is not possible by any request.
    Not(RefundObstacle),
}

/// The failure of a call.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// No call was made, because too many have failed.
    #[error("the gateway is not asked now")]
    NotAsked(#[source] HeldBack),
    /// No connection was made.
    #[error("the gateway is out of reach")]
    Unreachable(#[source] reqwest::Error),
    /// The call went out, and no whole answer came.
    #[error("the gateway gave no answer")]
    NoAnswer(#[source] reqwest::Error),
    /// The answer is larger than an answer can be.
    #[error("the gateway's answer is too large")]
    TooLarge,
    /// The answer cannot be understood.
    #[error("the gateway's answer to a call that it took ({0}) cannot be read")]
    Unreadable(StatusCode),
    /// The key is older than the gateway remembers keys.
    #[error("the gateway may have forgotten the key: no call is made under it")]
    KeyTooOld,
    /// No charge of the order is listed, yet.
    #[error("the gateway may have forgotten the key, and lists no single charge of this order")]
    NotListed,
    /// The gateway refused: until later, or for good.
    #[error("the gateway answered {status} ({code})")]
    Refused {
        status: StatusCode,
        /// The gateway's code for it.
        code: String,
    },
}

#[derive(Serialize)]
struct NewCharge<'o> {
    amount: i64,
    currency: &'o str,
    source: &'o str,
    metadata: ChargeMetadata<'o>,
}

#[derive(Serialize)]
struct ChargeMetadata<'o> {
    order_id: &'o str,
}

/// Without an amount: all that was charged.
#[derive(Serialize)]
struct NewRefund<'o> {
    charge: &'o str,
}

impl GatewayClient {
    /// A client with these settings, guarded by this breaker.
    pub fn new(settings: GatewaySettings, breaker: CircuitBreaker) -> Result<Self, reqwest::Error> {
        // A second caller finds the provider installed already, which is fine.
        rustls::crypto::ring::default_provider().install_default().ok();
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_LIMIT)
            .timeout(settings.call_limit)
            .redirect(Policy::none())
            .no_proxy()
            .build()?;
        Ok(Self { settings, client, breaker })
    }

    /// The number of calls that may start now.
    pub(crate) fn room(&self) -> usize {
        self.breaker.room()
    }

    /// For how long a key is remembered.
    pub(crate) fn keys_kept(&self) -> Duration {
        self.settings.keys_kept
    }

    pub(crate) async fn charge(
        &self,
        job: &ClaimedJob,
        request: &ChargeRequest,
    ) -> Result<ChargeOutcome, AttemptFailure> {
        let reply = self.send_charge(job, request).await?;
        match reply.verdict() {
            ReplyVerdict::Done => Ok(ChargeOutcome::Charged(reply.charge()?)),
            ReplyVerdict::Declined => Ok(ChargeOutcome::Declined { code: reply.code() }),
            // By the attempt whose answer was lost, most likely.
            ReplyVerdict::Never if job.in_doubt && reply.says("token_already_used") => {
                Err(reply.open())
            }
            // The customer's request cannot be fulfilled; there is nothing for an operator to fix.
            ReplyVerdict::Never if reply.refuses_terms() => {
                Ok(ChargeOutcome::Declined { code: reply.code() })
            }
            ReplyVerdict::Never => {
                Err(AttemptFailure::Permanent { source: reply.refused().into() })
            }
            ReplyVerdict::KeyReused => {
                metrics::key_reused(&job.key, "charge");
                Err(AttemptFailure::Permanent { source: reply.refused().into() })
            }
            ReplyVerdict::NotNow => Err(reply.not_now()),
            ReplyVerdict::Open => Err(reply.open()),
        }
    }

    /// Sends the same charge under the same key, which settles its outcome.
    pub(crate) async fn resolve(
        &self,
        job: &ClaimedJob,
        request: &ChargeRequest,
    ) -> Result<ChargeFinding, AttemptFailure> {
        let reply = self.send_charge(job, request).await?;
        match reply.verdict() {
            ReplyVerdict::Done => Ok(ChargeFinding::Charged(reply.charge()?)),
            // A request that is wrong now was wrong when it was sent first.
            ReplyVerdict::Declined | ReplyVerdict::Never => Ok(ChargeFinding::NotCharged),
            ReplyVerdict::KeyReused => {
                metrics::key_reused(&job.key, "resolve");
                Err(reply.open())
            }
            ReplyVerdict::NotNow => Err(reply.not_now()),
            ReplyVerdict::Open => Err(reply.open()),
        }
    }

    /// Gives back all that was charged, unless it was given back before.
    pub(crate) async fn refund(
        &self,
        job: &ClaimedJob,
        request: &RefundRequest,
    ) -> Result<RefundOutcome, AttemptFailure> {
        let body = NewRefund { charge: &request.charge_id };
        let reply = self.send("refunds", (job, "refund"), &body).await?;
        match reply.verdict() {
            ReplyVerdict::Done => Ok(RefundOutcome::Refunded { id: reply.refund_id()? }),
            ReplyVerdict::Never if reply.says("charge_already_refunded") => {
                let id = self.look_up_refund(job, &request.charge_id).await?;
                Ok(RefundOutcome::Refunded { id })
            }
            ReplyVerdict::Never if reply.says("charge_disputed") => {
                Ok(RefundOutcome::Not(RefundObstacle::Disputed))
            }
            ReplyVerdict::Never if reply.says("resource_missing") => {
                Ok(RefundOutcome::Not(RefundObstacle::ChargeUnknown))
            }
            ReplyVerdict::Declined | ReplyVerdict::Never => {
                Err(AttemptFailure::Permanent { source: reply.refused().into() })
            }
            ReplyVerdict::KeyReused => {
                metrics::key_reused(&job.key, "refund");
                Err(AttemptFailure::Permanent { source: reply.refused().into() })
            }
            ReplyVerdict::NotNow => Err(reply.not_now()),
            ReplyVerdict::Open => Err(reply.open()),
        }
    }

    async fn send_charge(
        &self,
        job: &ClaimedJob,
        request: &ChargeRequest,
    ) -> Result<HttpReply, AttemptFailure> {
        let body = NewCharge {
            amount: request.amount_minor,
            currency: &request.currency,
            source: &request.method,
            metadata: ChargeMetadata { order_id: &job.key },
        };
        self.send("charges", (job, "charge"), &body).await
    }

    /// Sends a request under the job's key for this deed.
    async fn send(
        &self,
        path: &'static str,
        (job, deed): (&ClaimedJob, &str),
        body: &impl Serialize,
    ) -> Result<HttpReply, AttemptFailure> {
        let key = format!("{}:{deed}", job.key);
        let with = |request: RequestBuilder| request.header("Idempotency-Key", key).json(body);
        self.call(Method::POST, path, job, with).await
    }

    /// Makes one call, if the breaker allows it.
    async fn call(
        &self,
        method: Method,
        path: &'static str,
        job: &ClaimedJob,
        with: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<HttpReply, AttemptFailure> {
        // Between the claim and this call the breaker may have opened.
        let call = self.breaker.begin().map_err(|held| AttemptFailure::NoEffect {
            retry_after: Some(held.wait),
            source: GatewayError::NotAsked(held).into(),
        })?;
        let mut url = self.settings.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push(path);
        }
        let mut work = begin_span(&method, path, &url, job);
        let request = with(self.client.request(method, url));
        let request = request.header("traceparent", work.trace().to_string());
        let request = match job.trace.as_ref().and_then(|trace| trace.state.as_ref()) {
            Some(state) => request.header("tracestate", state.as_str()),
            None => request,
        };
        let request = match &self.settings.api_key {
            Some(api_key) => request.bearer_auth(api_key.expose_secret()),
            None => request,
        };
        let outcome = exchange(request).await;
        if let Ok(reply) = &outcome {
            let status = i64::from(reply.status().as_u16());
            work.note(|| [KeyValue::new("http.response.status_code", status)]);
            if reply.is_an_answer() {
                call.answered();
            }
        }
        work.end_with(outcome.as_ref().err().map(|attempt_failure| fault::chain(attempt_failure)));
        outcome
    }
}

/// A call's span begins. Of the URL, which may hold a password, it says the host and the port.
fn begin_span(method: &Method, path: &'static str, url: &Url, job: &ClaimedJob) -> OpenSpan {
    let caller = job.trace.as_ref().map(|trace| trace.parent);
    let mut work = OpenSpan::begin(Kind::Client, caller, || format!("{method} /{path}").into());
    work.note(|| {
        [
            KeyValue::new("http.request.method", method.to_string()),
            KeyValue::new("url.template", format!("/{path}")),
            KeyValue::new("server.address", url.host_str().unwrap_or_default().to_owned()),
            KeyValue::new("server.port", i64::from(url.port_or_known_default().unwrap_or(0))),
        ]
    });
    work
}

async fn exchange(request: RequestBuilder) -> Result<HttpReply, AttemptFailure> {
    // URLs are left out of errors: this one may hold a password.
    let response = request.send().await.map_err(|error| {
        let error = error.without_url();
        if error.is_connect() {
            AttemptFailure::NoEffect {
                source: GatewayError::Unreachable(error).into(),
                retry_after: None,
            }
        } else {
            AttemptFailure::InDoubt { source: GatewayError::NoAnswer(error).into() }
        }
    })?;
    receive(response).await.map_err(|error| AttemptFailure::InDoubt { source: error.into() })
}

async fn receive(mut response: Response) -> Result<HttpReply, GatewayError> {
    let status = response.status();
    let retry_after = retry_after(response.headers(), Clock::System.now());
    let mut body = Vec::new();
    while let Some(chunk) =
        response.chunk().await.map_err(|error| GatewayError::NoAnswer(error.without_url()))?
    {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(GatewayError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(HttpReply::new(status, retry_after, body))
}
