//! This service's settings, read once.

use std::time::Duration;

use lettre::message::Mailbox;
use secrecy::{ExposeSecret as _, SecretString};
use shared::{
    config::{self, CheckSettings, InvalidSetting, RetrySettings, ServiceSettings},
    jobs::{DoubtLimit, JobPolicy},
};

use crate::jobs::email::{self, SmtpServer, StepLimits};

/// Owns what customers were told.
#[derive(Clone, Debug, clap::Parser)]
#[command(version)]
pub struct NotifySettings {
    /// What every service has.
    #[command(flatten)]
    pub common: ServiceSettings,
    /// The server that takes mail: `smtp://host:port`, `smtp://user:password@host?tls=required` or
    /// `smtps://user:password@host`.
    #[arg(long, env = "SMTP_URL", hide_env_values = true, value_parser = config::secret)]
    #[arg(default_value = "smtp://127.0.0.1:1025", hide_default_value = true)]
    pub smtp_url: SecretString,
    /// Who mail comes from.
    #[arg(long, env = "MAIL_FROM", default_value = "Shop <orders@shop.example>")]
    pub mail_from: Mailbox,
    /// Stands behind the `@` of each Message-ID, and is what this client calls itself.
    #[arg(long, env = "MAIL_DOMAIN", default_value = "shop.example")]
    pub mail_domain: String,
    /// Mails on their way at the same time, at most; so many conversations with the server.
    #[arg(long, env = "MAILS_MAX", default_value_t = 32)]
    pub mails_max: u32,
    /// How a mail is tried again. By itself it is given up after half a day, later if the server takes long
    /// to say nothing.
    #[arg(long, env = "MAIL_RETRY", default_value = "first=2s,factor=2,cap=30m,attempts=50")]
    pub mail_retry: RetrySettings,
    /// Times that one mail is handed over without an answer, at most: each may be a copy for the customer. After
    /// the last it is given up and waits for a person.
    #[arg(long, env = "MAIL_COPIES_MAX", default_value_t = 3)]
    pub mail_copies_max: u32,
}

/// A mail whose answer was lost is handed over again not before this long; after the next time five times as long.
const PAUSE_IN_DOUBT: Duration = Duration::from_mins(1);

/// Due jobs are looked for at least this often.
const JOBS_POLL: Duration = Duration::from_millis(500);

impl CheckSettings for NotifySettings {
    fn check(&self) -> Result<(), InvalidSetting> {
        self.common.check()?;
        self.smtp()?;
        config::within("MAILS_MAX", self.mails_max.into(), 1, 1_000)?;
        config::within("MAIL_COPIES_MAX", self.mail_copies_max.into(), 1, 10)?;
        let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
        let domain = &self.mail_domain;
        if domain.is_empty() || domain.len() > 100 || !domain.bytes().all(legal) {
            return Err(InvalidSetting::new("MAIL_DOMAIN", "it is not a domain"));
        }
        Ok(())
    }
}

impl NotifySettings {
    /// How the mail server is talked to.
    pub fn smtp(&self) -> Result<email::SmtpSettings, InvalidSetting> {
        let server = SmtpServer::parse(self.smtp_url.expose_secret())
            .map_err(|error| InvalidSetting::new("SMTP_URL", error.to_string()))?;
        Ok(email::SmtpSettings {
            server,
            hello_name: self.mail_domain.clone(),
            limits: StepLimits::RFC_5321,
            parked_max: self.mails_max as usize,
        })
    }

    /// How often a mail is handed over without an answer.
    pub fn doubts(&self) -> DoubtLimit {
        DoubtLimit { max: self.mail_copies_max, pause: PAUSE_IN_DOUBT }
    }

    /// How mails are worked on.
    pub fn policy(&self) -> JobPolicy {
        JobPolicy {
            backoff: self.mail_retry.backoff,
            attempts_max: self.mail_retry.attempts_max,
            attempt_limit: StepLimits::RFC_5321.attempt(),
            concurrency_max: self.mails_max as usize,
            poll: JOBS_POLL,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn settings(args: &[&str]) -> NotifySettings {
        let always = ["notify-service", "--database-url", "postgres://me@db/notify"];
        NotifySettings::try_parse_from(always.iter().chain(args)).unwrap()
    }

    fn complaint(args: &[&str]) -> String {
        settings(args).check().unwrap_err().to_string()
    }

    #[test]
    fn the_defaults_are_in_order() {
        settings(&[]).check().unwrap();
        let policy = settings(&[]).policy();
        assert_eq!(policy.concurrency_max, 32);
        let smtp = settings(&[]).smtp().unwrap();
        assert_eq!(smtp.limits, StepLimits::RFC_5321);
        assert!(
            policy.attempt_limit >= smtp.limits.attempt(),
            "no attempt is cut off before its last step"
        );
        let doubts = settings(&[]).doubts();
        let pauses = [1, 2].map(|attempt| doubts.pause_after(attempt).as_secs());
        assert_eq!(
            (doubts.max, pauses),
            (3, [60, 300]),
            "two copies at most, after growing pauses"
        );
        assert!(
            policy.backoff.cap >= Duration::from_mins(5),
            "which the backoff does not cut short"
        );
    }

    #[test]
    fn what_is_wrong_is_named_and_no_password_shown() {
        for (name, value, said) in [
            ("--smtp-url", "http://mail:hunter2@host", "SMTP_URL: neither smtp:// nor smtps://"),
            ("--mail-copies-max", "0", "MAIL_COPIES_MAX: 0 is not between 1 and 10"),
            ("--mails-max", "0", "MAILS_MAX: 0 is not between 1 and 1000"),
            ("--mail-domain", "shop>\r\nBcc", "MAIL_DOMAIN: it is not a domain"),
        ] {
            assert_eq!(complaint(&[name, value]), said);
        }
        let settings = settings(&["--smtp-url", "smtps://me:hunter2@mail.example"]);
        settings.check().unwrap();
        assert!(!format!("{settings:?}").contains("hunter2"));
        assert!(!format!("{:?}", settings.smtp().unwrap()).contains("hunter2"));
    }
}
