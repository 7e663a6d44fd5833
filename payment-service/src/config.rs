//! This service's settings, read once.

use std::time::Duration;

use reqwest::Url;
use secrecy::SecretString;
use shared::{
    breaker,
    config::{self, CheckSettings, InvalidSetting, RetrySettings, ServiceSettings},
    jobs::JobPolicy,
};

use crate::gateway;

/// Owns payments; the only service that talks to the gateway.
#[derive(Clone, Debug, clap::Parser)]
#[command(version)]
pub struct PaymentSettings {
    /// What every service has.
    #[command(flatten)]
    pub common: ServiceSettings,
    /// Where the payment gateway is.
    #[arg(long, env = "GATEWAY_URL", default_value = "http://127.0.0.1:8090")]
    pub gateway_url: String,
    /// What the gateway knows us by; sent as a bearer token.
    #[arg(long, env = "GATEWAY_API_KEY", hide_env_values = true, value_parser = config::secret)]
    pub gateway_api_key: Option<SecretString>,
    /// One call to the gateway may take this long.
    #[arg(long, env = "GATEWAY_CALL_LIMIT", default_value = "8s")]
    #[arg(value_parser = config::parse_duration)]
    pub gateway_call_limit: Duration,
    /// The gateway is trusted to remember an idempotency key for this long, from when the charge was
    /// asked for: an hour less than it promises. After this no call is made under the key: a charge
    /// whose answer was lost is looked up by its order, or waits for a person.
    #[arg(long, env = "GATEWAY_KEYS_KEPT", default_value = "23h")]
    #[arg(value_parser = config::parse_duration)]
    pub gateway_keys_kept: Duration,
    /// Calls to the gateway at the same time, of each kind, at most.
    #[arg(long, env = "GATEWAY_CALLS_MAX", default_value_t = 64)]
    pub gateway_calls_max: u32,
    /// So many of the last calls to the gateway are looked back at.
    #[arg(long, env = "GATEWAY_BREAKER_CALLS", default_value_t = 20)]
    pub gateway_breaker_calls: u32,
    /// When so many of them were not answered, or were refused until later, no more are made but one
    /// at a time, to try. More than the calls looked back at: never.
    #[arg(long, env = "GATEWAY_BREAKER_FAILURES", default_value_t = 16)]
    pub gateway_breaker_failures: u32,
    /// The first try is made after this long; each one that fails doubles it.
    #[arg(long, env = "GATEWAY_BREAKER_FIRST", default_value = "2s")]
    #[arg(value_parser = config::parse_duration)]
    pub gateway_breaker_first: Duration,
    /// A try is made after this long at the latest.
    #[arg(long, env = "GATEWAY_BREAKER_CAP", default_value = "30s")]
    #[arg(value_parser = config::parse_duration)]
    pub gateway_breaker_cap: Duration,
    /// How a charge is tried again. By itself it is given up after a minute or two, well before the
    /// order's own deadline.
    #[arg(long, env = "CHARGE_RETRY", default_value = "first=500ms,factor=2,cap=30s,attempts=10")]
    pub charge_retry: RetrySettings,
    /// How a charge in doubt is asked after, for as long as it takes.
    #[arg(
        long,
        env = "RESOLVE_RETRY",
        default_value = "first=1s,factor=2,cap=5m,attempts=unlimited"
    )]
    pub resolve_retry: RetrySettings,
    /// How a refund is tried again, at least three times in all. By itself it is given up, and a person
    /// told, after an hour or two.
    #[arg(long, env = "REFUND_RETRY", default_value = "first=1s,factor=2,cap=5m,attempts=30")]
    pub refund_retry: RetrySettings,
}

/// What is left of an attempt for its two ends, beside the call itself.
const ATTEMPT_MARGIN: Duration = Duration::from_secs(1);

/// Due jobs are looked for at least this often.
const JOBS_POLL: Duration = Duration::from_millis(500);

impl CheckSettings for PaymentSettings {
    fn check(&self) -> Result<(), InvalidSetting> {
        self.common.check()?;
        self.gateway()?;
        config::within("GATEWAY_CALLS_MAX", self.gateway_calls_max.into(), 1, 10_000)?;
        config::within("GATEWAY_BREAKER_CALLS", self.gateway_breaker_calls.into(), 1, 10_000)?;
        config::within(
            "GATEWAY_BREAKER_FAILURES",
            self.gateway_breaker_failures.into(),
            1,
            20_000,
        )?;
        let waits = self.gateway_breaker_first..=self.gateway_breaker_cap;
        if waits.is_empty() || waits.start().is_zero() || *waits.end() > Duration::from_hours(1) {
            let reason = "it is not between GATEWAY_BREAKER_FIRST, above nothing, and 1h";
            return Err(InvalidSetting::new("GATEWAY_BREAKER_CAP", reason));
        }
        let limits = Duration::from_millis(100)..=Duration::from_mins(1);
        config::duration_within("GATEWAY_CALL_LIMIT", self.gateway_call_limit, limits)?;
        let kept = Duration::from_mins(10)..=Duration::from_hours(90 * 24);
        config::duration_within("GATEWAY_KEYS_KEPT", self.gateway_keys_kept, kept)?;
        if self.charge_retry.attempts_max.is_none() {
            let reason = "a charge without limit would keep its order waiting without limit";
            return Err(InvalidSetting::new("CHARGE_RETRY", reason));
        }
        if self.resolve_retry.attempts_max.is_some() {
            let reason = "a charge in doubt cannot be given up: attempts has to be unlimited";
            return Err(InvalidSetting::new("RESOLVE_RETRY", reason));
        }
        self.check_refunds()
    }
}

impl PaymentSettings {
    fn check_refunds(&self) -> Result<(), InvalidSetting> {
        let least = gateway::NAMED_WITHIN;
        if self.refund_retry.attempts_max.is_some_and(|n| n < least) {
            let reason = format!(
                "attempts has to be at least {least}: with fewer, a refund that was made before is given \
                 up while the gateway's lists are away"
            );
            return Err(InvalidSetting::new("REFUND_RETRY", reason));
        }
        Ok(())
    }

    /// How the gateway is spoken to.
    pub fn gateway(&self) -> Result<gateway::GatewaySettings, InvalidSetting> {
        config::http_url("GATEWAY_URL", &self.gateway_url)?;
        let url = Url::parse(&self.gateway_url)
            .map_err(|error| InvalidSetting::new("GATEWAY_URL", error.to_string()))?;
        let (api_key, call_limit) = (self.gateway_api_key.clone(), self.gateway_call_limit);
        Ok(gateway::GatewaySettings { url, api_key, call_limit, keys_kept: self.gateway_keys_kept })
    }

    /// When the gateway is not asked.
    pub fn breaker(&self) -> breaker::BreakerSettings {
        breaker::BreakerSettings {
            calls: self.gateway_breaker_calls as usize,
            failures: self.gateway_breaker_failures as usize,
            open_first: self.gateway_breaker_first,
            open_cap: self.gateway_breaker_cap,
        }
    }

    /// How a kind of job is worked on that is tried again like this.
    pub fn policy(&self, retry: &RetrySettings) -> JobPolicy {
        JobPolicy {
            backoff: retry.backoff,
            attempts_max: retry.attempts_max,
            attempt_limit: self.gateway_call_limit + ATTEMPT_MARGIN,
            concurrency_max: self.gateway_calls_max as usize,
            poll: JOBS_POLL,
        }
    }
}

#[cfg(test)]
mod tests;
