//! Settings of the admission limits: for all callers together, and for each caller.

use std::{num::NonZeroU32, time::Duration};

use super::{InvalidSetting, duration_within, parse_duration, within};
use crate::{admission, http};

/// Where requests begin to be refused.
#[derive(Clone, Debug, clap::Args)]
pub struct LimitSettings {
    /// Messages that may wait in the outbox. While there are more, requests that change something
    /// are answered 503; they are let in again at half of it.
    #[arg(long, env = "ADMISSION_BACKLOG_MAX", default_value_t = 20_000)]
    pub admission_backlog_max: u32,
    /// How long the oldest message may have waited. While it is older, requests that change
    /// something are answered 503; they are let in again at half of it.
    #[arg(long, env = "ADMISSION_AGE_MAX", default_value = "30s", value_parser = parse_duration)]
    pub admission_age_max: Duration,
    /// The outbox is looked at this often.
    #[arg(long, env = "ADMISSION_LOOK", default_value = "500ms", value_parser = parse_duration)]
    pub admission_look: Duration,
    /// The longest `Retry-After` that a refused request is given.
    #[arg(long, env = "ADMISSION_RETRY_AFTER", default_value = "5s")]
    #[arg(value_parser = parse_duration)]
    pub admission_retry_after: Duration,
    /// How long the instance that publishes may publish nothing while messages wait. After that it
    /// makes room for another one. To be below `ADMISSION_AGE_MAX`.
    #[arg(long, env = "RELAY_LEAD_LIMIT", default_value = "10s", value_parser = parse_duration)]
    pub relay_lead_limit: Duration,
    /// Requests a second that one caller may send in the long run; more are answered 429. A caller
    /// is the address that its connection comes from. 0 is no limit.
    #[arg(long, env = "RATE_LIMIT_PER_SECOND", default_value_t = 5_000)]
    pub rate_limit_per_second: u32,
    /// Requests that one caller may send at once after a rest.
    #[arg(long, env = "RATE_LIMIT_BURST", default_value_t = 10_000)]
    pub rate_limit_burst: u32,
    /// How long a connection stays on which no request has begun. Longer than that of the balancer in
    /// front, so that it is the balancer who closes: 60 s at AWS' and nginx, 600 s at Google's.
    #[arg(long, env = "HTTP_IDLE_LIMIT", default_value = "75s", value_parser = parse_duration)]
    pub http_idle_limit: Duration,
    /// Whose pages may ask from within a browser (CORS): `https://shop.example,http://127.0.0.1:3000`,
    /// or `*` for all; nobody's without it.
    #[arg(long, env = "HTTP_CORS_ORIGINS")]
    pub http_cors_origins: Option<String>,
}

impl LimitSettings {
    pub(super) fn check(&self) -> Result<(), InvalidSetting> {
        within("ADMISSION_BACKLOG_MAX", self.admission_backlog_max.into(), 1, 1_000_000)?;
        within("RATE_LIMIT_PER_SECOND", self.rate_limit_per_second.into(), 0, 1_000_000)?;
        within("RATE_LIMIT_BURST", self.rate_limit_burst.into(), 1, 1_000_000)?;
        self.cors()?;
        let (moment, minute, day) =
            (Duration::from_millis(10), Duration::from_mins(1), Duration::from_hours(24));
        for (name, value, most) in [
            ("ADMISSION_AGE_MAX", self.admission_age_max, day),
            ("ADMISSION_LOOK", self.admission_look, minute),
            ("ADMISSION_RETRY_AFTER", self.admission_retry_after, day),
            ("HTTP_IDLE_LIMIT", self.http_idle_limit, day),
        ] {
            duration_within(name, value, moment..=most)?;
        }
        // Below that, a broker that is slow would be taken for one that is away.
        let least = Duration::from_secs(2);
        duration_within("RELAY_LEAD_LIMIT", self.relay_lead_limit, least..=minute)?;
        if self.relay_lead_limit >= self.admission_age_max {
            let reason = format!(
                "{} is not below ADMISSION_AGE_MAX, {}",
                humantime::format_duration(self.relay_lead_limit),
                humantime::format_duration(self.admission_age_max)
            );
            return Err(InvalidSetting::new("RELAY_LEAD_LIMIT", reason));
        }
        Ok(())
    }

    /// When those who let in refuse.
    pub fn admission(&self) -> admission::AdmissionSettings {
        admission::AdmissionSettings {
            messages_max: self.admission_backlog_max,
            age_max: self.admission_age_max,
            look_every: self.admission_look,
            retry_after: self.admission_retry_after,
        }
    }

    /// What the public server allows.
    pub fn http(&self) -> Result<http::HttpSettings, InvalidSetting> {
        Ok(http::HttpSettings {
            rate: self.rate(),
            idle_limit: self.http_idle_limit,
            cors: self.cors()?,
            ..http::HttpSettings::default()
        })
    }

    fn cors(&self) -> Result<Option<http::CorsOrigins>, InvalidSetting> {
        let origins = self.http_cors_origins.as_deref().map(http::CorsOrigins::parse).transpose();
        origins.map_err(|error| InvalidSetting::new("HTTP_CORS_ORIGINS", error.to_string()))
    }

    /// How often one caller may ask.
    pub fn rate(&self) -> Option<http::RateLimit> {
        let per_second = NonZeroU32::new(self.rate_limit_per_second)?;
        let burst = NonZeroU32::new(self.rate_limit_burst)?;
        Some(http::RateLimit { per_second, burst })
    }
}
