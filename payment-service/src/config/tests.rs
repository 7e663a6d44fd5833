//! Settings: errors name the wrong setting, and no secret is shown.

use clap::Parser as _;

use super::*;

const URL: &str = "postgres://me:hunter2@db:5432/payments";

fn settings(args: &[&str]) -> Result<PaymentSettings, clap::Error> {
    let always = ["payment-service", "--database-url", URL];
    PaymentSettings::try_parse_from(always.iter().chain(args))
}

fn complaint(args: &[&str]) -> String {
    match settings(args) {
        Ok(settings) => settings.check().unwrap_err().to_string(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_defaults_are_in_order() {
    let settings = settings(&[]).unwrap();
    settings.check().unwrap();
    let charge = settings.policy(&settings.charge_retry);
    assert_eq!(charge.attempts_max, Some(10));
    assert_eq!(charge.backoff.first, Duration::from_millis(500));
    assert_eq!(charge.backoff.cap, Duration::from_secs(30));
    assert!(charge.attempt_limit > settings.gateway_call_limit);
    assert_eq!(settings.gateway().unwrap().keys_kept, Duration::from_hours(23));
    assert_eq!(settings.breaker(), breaker::BreakerSettings::default());
    assert_eq!(settings.policy(&settings.resolve_retry).attempts_max, None);
    assert_eq!(settings.policy(&settings.refund_retry).attempts_max, Some(30));
}

#[test]
fn a_charge_is_given_up_before_the_deadline_of_an_order() {
    let retry = settings(&[]).unwrap().charge_retry;
    let attempts = retry.attempts_max.unwrap();
    let waits: Duration = (0..attempts - 1).map(|n| retry.backoff.ceiling(n)).sum();
    assert!(waits < Duration::from_mins(3), "{waits:?} against the five minutes of an order");
}

#[test]
fn what_is_wrong_is_named() {
    for (name, value, said) in [
        ("--gateway-url", "ftp://gateway", "GATEWAY_URL"),
        ("--gateway-url", "gateway", "GATEWAY_URL"),
        ("--gateway-calls-max", "0", "GATEWAY_CALLS_MAX"),
        ("--gateway-call-limit", "1ms", "GATEWAY_CALL_LIMIT"),
        ("--gateway-keys-kept", "9m", "GATEWAY_KEYS_KEPT"),
        ("--gateway-keys-kept", "2161h", "GATEWAY_KEYS_KEPT"),
        ("--gateway-breaker-calls", "0", "GATEWAY_BREAKER_CALLS"),
        ("--gateway-breaker-failures", "0", "GATEWAY_BREAKER_FAILURES"),
        ("--gateway-breaker-cap", "1s", "GATEWAY_BREAKER_CAP"),
        ("--charge-retry", "first=1s,factor=2,cap=5s,attempts=unlimited", "CHARGE_RETRY"),
        ("--resolve-retry", "first=1s,factor=2,cap=5s,attempts=3", "RESOLVE_RETRY"),
        (
            "--refund-retry",
            "first=1s,factor=2,cap=5s,attempts=2",
            "REFUND_RETRY: attempts has to be at",
        ),
        ("--charge-retry", "first=1s,factor=2,cap=5s", "attempts is missing"),
    ] {
        let complaint = complaint(&[name, value]);
        assert!(complaint.contains(said), "{complaint}");
    }
}

#[test]
fn a_refund_has_the_attempts_after_which_its_name_is_no_longer_looked_for() {
    for attempts in ["3", "unlimited"] {
        let retry = format!("first=1s,factor=2,cap=5s,attempts={attempts}");
        settings(&["--refund-retry", &retry]).unwrap().check().unwrap();
    }
}

#[test]
fn no_secret_is_shown() {
    let settings = settings(&["--gateway-api-key", "sk_live_secret"]).unwrap();
    let shown = format!("{settings:?} {:?}", settings.gateway().unwrap());
    assert!(!shown.contains("sk_live_secret") && !shown.contains("hunter2"), "{shown}");
}
