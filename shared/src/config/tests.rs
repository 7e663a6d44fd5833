use std::{fs, time::Duration};

use clap::Parser as _;
use proptest::prelude::*;

use super::*;

#[derive(Debug, clap::Parser)]
struct Settings {
    #[command(flatten)]
    common: ServiceSettings,
}

impl CheckSettings for Settings {
    fn check(&self) -> Result<(), InvalidSetting> {
        self.common.check()
    }
}

const URL: &str = "postgres://me:hunter2@db:5432/letters";

fn settings(args: &[&str]) -> Result<Settings, clap::Error> {
    Settings::try_parse_from(std::iter::once(&"service").chain(args))
}

fn complaint(args: &[&str]) -> String {
    settings(args).unwrap().check().unwrap_err().to_string()
}

#[test]
fn the_defaults_are_in_order_once_there_is_a_database() {
    let settings = settings(&["--database-url", URL]).unwrap();
    settings.check().unwrap();
    assert_eq!(settings.common.shutdown_grace, Duration::from_secs(8));
    assert_eq!(settings.common.kafka("letters").unwrap().topic("t"), "t");
    assert_eq!(settings.common.limits.admission(), crate::admission::AdmissionSettings::default());
    assert_eq!(settings.common.dead_letter_limits(), consumer::FailureLimits::default());
}

#[test]
fn no_batch_is_larger_than_all_may_be() {
    let limits = |args: &[&str]| {
        let common = settings(&[&["--database-url", URL], args].concat()).unwrap().common;
        [1_000, 500].map(|usual| common.batch_limit(usual))
    };
    assert_eq!(limits(&[]), [1_000, 500]);
    assert_eq!(limits(&["--batch-max", "1"]), [1, 1]);
}

#[test]
fn what_is_confirmed_is_on_a_majority_unless_said_otherwise() {
    let replicas = |args: &[&str]| {
        let args = [&["--database-url", URL, "--kafka-replication", "3"], args].concat();
        let settings = settings(&args).unwrap();
        settings.check().unwrap();
        let replicas = settings.common.broker.replicas();
        (replicas.copies, replicas.in_sync_min)
    };
    assert_eq!(replicas(&[]), (3, 2));
    assert_eq!(replicas(&["--kafka-min-in-sync", "1"]), (3, 1));
    assert_eq!(replicas(&["--kafka-min-in-sync", "3"]), (3, 3));
}

#[test]
fn a_rate_of_nothing_is_no_limit() {
    let rate = |per_second| {
        let args = ["--database-url", URL, "--rate-limit-per-second", per_second];
        settings(&args).unwrap().common.limits.rate()
    };
    assert_eq!(rate("0"), None);
    assert_eq!(rate("7").unwrap().per_second.get(), 7);
}

#[test]
fn what_is_said_of_connections_and_browsers_reaches_the_server() {
    let http = |args: &[&str]| {
        let settings = settings(&[&["--database-url", URL], args].concat()).unwrap();
        settings.check().unwrap();
        settings.common.limits.http().unwrap()
    };
    let usual = http(&[]);
    assert_eq!(usual.idle_limit, crate::http::HttpSettings::default().idle_limit);
    assert!(usual.cors.is_none());
    assert_eq!(http(&["--http-idle-limit", "620s"]).idle_limit, Duration::from_secs(620));
    let cors = http(&["--http-cors-origins", "https://shop.example"]).cors;
    assert!(format!("{cors:?}").contains("https://shop.example"), "{cors:?}");
}

#[test]
fn the_database_url_may_stand_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("url");
    fs::write(&file, format!("{URL}\n")).unwrap();
    let settings = settings(&["--database-url-file", file.to_str().unwrap()]).unwrap();
    assert_eq!(settings.common.database().unwrap().url.expose_secret(), URL);
}

#[test]
fn no_complaint_shows_the_password() {
    for url in ["mysql://me:hunter2@db/letters", "postgres://me:hunter2@db:port/letters", "hunter2"]
    {
        let said = complaint(&["--database-url", url]);
        assert!(!said.contains("hunter2"), "{said}");
        assert_eq!(said, "DATABASE_URL: it is not a postgres:// URL");
    }
    let settings = settings(&["--database-url", URL]).unwrap();
    assert!(!format!("{settings:?}").contains("hunter2"));
}

#[test]
fn a_setting_out_of_bounds_is_named() {
    for (name, value, said) in [
        (
            "--database-connections-max",
            "0",
            "DATABASE_CONNECTIONS_MAX: 0 is not between 2 and 1000",
        ),
        ("--batch-max", "0", "BATCH_MAX: 0 is not between 1 and 1000"),
        ("--kafka-replication", "0", "KAFKA_REPLICATION: 0 is not between 1 and 7"),
        ("--kafka-min-in-sync", "2", "KAFKA_MIN_IN_SYNC: 2 is not between 1 and 1"),
        ("--kafka-min-in-sync", "0", "KAFKA_MIN_IN_SYNC: 0 is not between 1 and 1"),
        ("--kafka-brokers", "broker", "KAFKA_BROKERS: it is not host:port,host:port"),
        (
            "--schema-registry-url",
            "ftp://registry",
            "SCHEMA_REGISTRY_URL: it is not an http:// or https:// URL",
        ),
        ("--admission-backlog-max", "0", "ADMISSION_BACKLOG_MAX: 0 is not between 1 and 1000000"),
        ("--admission-look", "1h", "ADMISSION_LOOK: 1h is not between 10ms and 1m"),
        ("--rate-limit-burst", "0", "RATE_LIMIT_BURST: 0 is not between 1 and 1000000"),
        ("--shutdown-grace", "1ms", "SHUTDOWN_GRACE: less than 1s leaves no time to stop"),
    ] {
        assert_eq!(complaint(&["--database-url", URL, name, value]), said);
    }
    let said = complaint(&["--database-url", URL, "--kafka-topic-prefix", "a b"]);
    assert!(said.starts_with("KAFKA_TOPIC_PREFIX: "), "{said}");
}

#[test]
fn how_the_broker_is_spoken_to_is_read_whole() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (ca, own) = (file("ca.pem", "-"), file("own.pem", "-"));
    let (key, password) = (file("key.pem", "-"), file("password", "hunter2\n"));
    let args = [
        ["--database-url", URL],
        ["--kafka-security", "sasl_tls"],
        ["--kafka-tls-ca-file", &ca],
        ["--kafka-tls-certificate-file", &own],
        ["--kafka-tls-key-file", &key],
        ["--kafka-sasl-mechanism", "SCRAM-SHA-256"],
        ["--kafka-sasl-username", "orders"],
        ["--kafka-sasl-password-file", &password],
    ];
    let settings = settings(&args.concat()).unwrap();
    settings.check().unwrap();
    let security = settings.common.kafka("letters").unwrap().security;
    let (tls, login) = (security.tls.as_ref().unwrap(), security.login.as_ref().unwrap());
    assert_eq!(tls.ca_file.as_ref().unwrap().to_str(), Some(&*ca));
    assert_eq!(tls.own.as_ref().unwrap().key_file.to_str(), Some(&*key));
    assert_eq!((login.mechanism, &*login.user), (kafka::SaslMechanism::ScramSha256, "orders"));
    assert_eq!(login.password.expose_secret(), "hunter2");
    let shown = format!("{:?}", settings.common);
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn what_does_not_go_together_with_the_brokers_security_is_named() {
    const UNASKED_TLS: &str = "it is set, and KAFKA_SECURITY is neither tls nor sasl_tls";
    const UNASKED_LOGIN: &str =
        "it is set, and KAFKA_SECURITY is neither sasl_tls nor sasl_plaintext";
    const WANTED: &str = "it is not set, and KAFKA_SECURITY asks for a login";
    const NO_FILE: &str = "/no/such/file: No such file or directory (os error 2)";
    let own = std::env::current_exe().unwrap();
    let own = own.to_str().unwrap();
    for (args, name, said) in [
        (&["--kafka-tls-ca-file", own][..], "KAFKA_TLS_CA_FILE", UNASKED_TLS),
        (&["--kafka-tls-key-file", own], "KAFKA_TLS_KEY_FILE", UNASKED_TLS),
        (&["--kafka-sasl-username", "me"], "KAFKA_SASL_USERNAME", UNASKED_LOGIN),
        (&["--kafka-sasl-password", "hunter2"], "KAFKA_SASL_PASSWORD", UNASKED_LOGIN),
        (
            &["--kafka-security=tls", "--kafka-sasl-mechanism=SCRAM-SHA-512"],
            "KAFKA_SASL_MECHANISM",
            UNASKED_LOGIN,
        ),
        (
            &["--kafka-security=tls", "--kafka-tls-ca-file=/no/such/file"],
            "KAFKA_TLS_CA_FILE",
            NO_FILE,
        ),
        (
            &["--kafka-security=tls", "--kafka-tls-ca-file=/"],
            "KAFKA_TLS_CA_FILE",
            "/: it is not a file",
        ),
        (
            &["--kafka-security=tls", "--kafka-tls-certificate-file", own],
            "KAFKA_TLS_KEY_FILE",
            "it is not set, and the certificate's file is",
        ),
        (
            &["--kafka-security=tls", "--kafka-tls-key-file", own],
            "KAFKA_TLS_CERTIFICATE_FILE",
            "it is not set, and the key's file is",
        ),
        (
            &["--kafka-security=sasl_tls", "--kafka-sasl-password=hunter2"],
            "KAFKA_SASL_USERNAME",
            WANTED,
        ),
        (&["--kafka-security=sasl_tls"], "KAFKA_SASL_PASSWORD", WANTED),
        (
            &["--kafka-security=sasl_plaintext", "--kafka-sasl-password="],
            "KAFKA_SASL_PASSWORD",
            WANTED,
        ),
        (
            &["--kafka-security=sasl_tls", "--kafka-sasl-password-file=/no/such/file"],
            "KAFKA_SASL_PASSWORD_FILE",
            NO_FILE,
        ),
    ] {
        let said_of_it = complaint(&[&["--database-url", URL], args].concat());
        assert_eq!(said_of_it, format!("{name}: {said}"), "{args:?}");
    }
}

#[test]
fn a_complaint_is_one_line_without_advice() {
    for (args, said) in [
        (&[][..], "error: the following required arguments were not provided: --database-url"),
        (&["--log-format", "xml"], "error: invalid value 'xml' for '--log-format <LOG_FORMAT>' ["),
        (&["--no-such"], "error: unexpected argument '--no-such' found"),
    ] {
        let complaint = one_line(&settings(args).unwrap_err().to_string());
        assert!(complaint.starts_with(said) && !complaint.contains('\n'), "{complaint}");
    }
    let said = complaint(&["--database-url", URL, "--log-filter", "shared=loud"]);
    assert!(said.starts_with("LOG_FILTER: "), "{said}");
}

#[test]
fn what_is_wrong_ends_the_program_with_code_2_and_help_with_success() {
    let exit = |args: &[&str]| {
        let args = std::iter::once(&"service").chain(args).map(OsString::from);
        parse_from::<Settings>(args).map(drop)
    };
    assert_eq!(exit(&["--database-url", URL]), Ok(()));
    assert_eq!(exit(&["--database-url", "hunter2"]), Err(ExitCode::from(2)));
    assert_eq!(exit(&["--no-such-setting"]), Err(ExitCode::from(2)));
    assert_eq!(exit(&["--help"]), Err(ExitCode::SUCCESS));
}

#[test]
fn without_a_database_there_is_no_service() {
    assert!(settings(&[]).unwrap_err().to_string().contains("--database-url"));
}

#[test]
fn help_names_every_variable_and_hides_the_secret() {
    let help = settings(&["--help"]).unwrap_err().to_string();
    for name in
        ["DATABASE_URL", "KAFKA_BROKERS", "SCHEMA_REGISTRY_URL", "HTTP_LISTEN", "LOG_FORMAT"]
    {
        assert!(help.contains(name), "{name} is missing in {help}");
    }
}

#[test]
fn durations_are_read_with_their_unit() {
    for (text, millis) in [
        ("500ms", 500),
        ("0s", 0),
        ("030s", 30_000),
        ("30s", 30_000),
        ("5m", 300_000),
        ("24h", 86_400_000),
        ("1h 30m", 5_400_000),
        ("1h30m", 5_400_000),
        ("1.5s", 1_500),
        ("5 min", 300_000),
        ("7days", 604_800_000),
    ] {
        assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
    }
}

#[test]
fn what_is_not_a_duration_is_refused() {
    for (text, why) in [
        ("", "value was empty"),
        ("5", "time unit needed, for example 5sec or 5ms"),
        ("s", "expected number at 0"),
        ("-5s", "expected number at 0"),
        ("5 parsecs", "unknown time unit \"parsecs\""),
        ("99999999999999999999s", "number is too large"),
        ("9999999999999999h", "number is too large"),
    ] {
        let error = parse_duration(text).unwrap_err().to_string();
        let said = format!("not a duration as in 500ms, 30s or 1h 30m: {why}");
        assert!(error.starts_with(&said), "{text}: {error}");
    }
}

#[test]
fn a_bad_duration_is_refused_in_one_line_that_names_its_setting() {
    for (text, why) in [("5", "time unit needed"), ("soon", "expected number")] {
        let error = settings(&["--database-url", URL, "--admission-look", text]).unwrap_err();
        let line = one_line(&error.to_string());
        assert!(line.contains("--admission-look <ADMISSION_LOOK>"), "{line}");
        assert!(line.contains(why) && line.contains(&format!("'{text}'")), "{line}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_duration_parser_panic(text: String) {
        drop(parse_duration(&text));
    }

    /// What settings could say before units were read by a library.
    #[test]
    fn a_whole_number_of_one_unit_is_read_as_it_always_was(
        number in 0..1_000_000_000_u64,
        (unit, millis) in prop::sample::select(
            vec![("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000_u64)]
        ),
    ) {
        let read = parse_duration(&format!("{number}{unit}"));
        prop_assert_eq!(read, Ok(Duration::from_millis(number * millis)));
    }
}
