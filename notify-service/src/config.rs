//! This service's settings, read once.

use std::time::Duration;

use lettre::message::Mailbox;
use secrecy::{ExposeSecret as _, SecretString};
use shared::{
    config::{self, Check, Common, Invalid, Retry},
    jobs::Policy,
};

use crate::jobs::email::{self, Server};

/// Owns what customers were told.
#[derive(Clone, Debug, clap::Parser)]
#[command(version)]
pub struct Settings {
    /// What every service has.
    #[command(flatten)]
    pub common: Common,
    /// The server that takes mail: `smtp://host:port`, `smtp://user:password@host?tls=required` or
    /// `smtps://user:password@host`.
    #[arg(long, env = "SMTP_URL", hide_env_values = true, value_parser = config::secret)]
    #[arg(default_value = "smtp://127.0.0.1:1025", hide_default_value = true)]
    pub smtp_url: SecretString,
    /// The mail server may take this long for each step of a conversation.
    #[arg(long, env = "SMTP_STEP_LIMIT", default_value = "10s")]
    #[arg(value_parser = config::parse_duration)]
    pub smtp_step_limit: Duration,
    /// Who mail comes from.
    #[arg(long, env = "MAIL_FROM", default_value = "Shop <orders@shop.example>")]
    pub mail_from: Mailbox,
    /// Stands behind the `@` of each Message-ID, and is what this client calls itself.
    #[arg(long, env = "MAIL_DOMAIN", default_value = "shop.example")]
    pub mail_domain: String,
    /// Mails on their way at the same time, at most; so many conversations with the server.
    #[arg(long, env = "MAILS_MAX", default_value_t = 16)]
    pub mails_max: u32,
    /// How a mail is tried again. By itself it is given up after half a day.
    #[arg(long, env = "MAIL_RETRY", default_value = "first=2s,factor=2,cap=30m,attempts=50")]
    pub mail_retry: Retry,
}

/// Steps of an attempt: MAIL FROM in a conversation that ended while it rested; connect, MAIL FROM,
/// RCPT TO, DATA, the mail itself; one in reserve.
const STEPS: u32 = 7;

/// Due jobs are looked for at least this often.
const JOBS_POLL: Duration = Duration::from_millis(500);

impl Check for Settings {
    fn check(&self) -> Result<(), Invalid> {
        self.common.check()?;
        self.smtp()?;
        let limits = Duration::from_millis(100)..=Duration::from_mins(1);
        if !limits.contains(&self.smtp_step_limit) {
            return Err(Invalid::new("SMTP_STEP_LIMIT", "it is not between 100ms and 1m"));
        }
        config::within("MAILS_MAX", self.mails_max.into(), 1, 1_000)?;
        let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
        let domain = &self.mail_domain;
        if domain.is_empty() || domain.len() > 100 || !domain.bytes().all(legal) {
            return Err(Invalid::new("MAIL_DOMAIN", "it is not a domain"));
        }
        Ok(())
    }
}

impl Settings {
    /// How the mail server is talked to.
    pub fn smtp(&self) -> Result<email::Settings, Invalid> {
        let server = Server::parse(self.smtp_url.expose_secret())
            .map_err(|error| Invalid::new("SMTP_URL", error.to_string()))?;
        Ok(email::Settings {
            server,
            hello_name: self.mail_domain.clone(),
            step_limit: self.smtp_step_limit,
            parked_max: self.mails_max as usize,
        })
    }

    /// How mails are worked on.
    pub fn policy(&self) -> Policy {
        Policy {
            backoff: self.mail_retry.backoff,
            attempts_max: self.mail_retry.attempts_max,
            attempt_limit: self.smtp_step_limit * STEPS,
            concurrency_max: self.mails_max as usize,
            poll: JOBS_POLL,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn settings(args: &[&str]) -> Settings {
        let always = ["notify-service", "--database-url", "postgres://me@db/notify"];
        Settings::try_parse_from(always.iter().chain(args)).unwrap()
    }

    fn complaint(args: &[&str]) -> String {
        settings(args).check().unwrap_err().to_string()
    }

    #[test]
    fn the_defaults_are_in_order() {
        settings(&[]).check().unwrap();
        let policy = settings(&[]).policy();
        assert!(policy.attempt_limit >= Duration::from_mins(1));
        assert_eq!(policy.concurrency_max, 16);
    }

    #[test]
    fn what_is_wrong_is_named_and_no_password_shown() {
        for (name, value, said) in [
            ("--smtp-url", "http://mail:hunter2@host", "SMTP_URL: neither smtp:// nor smtps://"),
            ("--smtp-step-limit", "1ms", "SMTP_STEP_LIMIT: it is not between 100ms and 1m"),
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
