use std::{fs, time::Duration};

use clap::Parser as _;
use proptest::prelude::*;

use super::*;

#[derive(Debug, clap::Parser)]
struct Settings {
    #[command(flatten)]
    common: Common,
}

impl Check for Settings {
    fn check(&self) -> Result<(), Invalid> {
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
    assert_eq!(settings.common.broker.kafka("letters").unwrap().topic("t"), "t");
    assert_eq!(settings.common.limits.admission(), crate::admission::Settings::default());
    assert_eq!(settings.common.dead_letter_limits(), consumer::Limits::default());
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
        ("--kafka-replication", "0", "KAFKA_REPLICATION: 0 is not between 1 and 7"),
        ("--kafka-brokers", "broker", "KAFKA_BROKERS: it is not host:port,host:port"),
        (
            "--schema-registry-url",
            "ftp://registry",
            "SCHEMA_REGISTRY_URL: it is not an http:// or https:// URL",
        ),
        ("--admission-backlog-max", "0", "ADMISSION_BACKLOG_MAX: 0 is not between 1 and 1000000"),
        ("--admission-look", "1h", "ADMISSION_LOOK: 3600s is not between 10ms and 60s"),
        ("--rate-limit-burst", "0", "RATE_LIMIT_BURST: 0 is not between 1 and 1000000"),
        ("--shutdown-grace", "1ms", "SHUTDOWN_GRACE: less than 1s leaves no time to stop"),
    ] {
        assert_eq!(complaint(&["--database-url", URL, name, value]), said);
    }
    let said = complaint(&["--database-url", URL, "--kafka-topic-prefix", "a b"]);
    assert!(said.starts_with("KAFKA_TOPIC_PREFIX: "), "{said}");
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
        let args = std::iter::once(&"service").chain(args).map(std::ffi::OsString::from);
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
    for (text, millis) in [("500ms", 500), ("30s", 30_000), ("5m", 300_000), ("24h", 86_400_000)] {
        assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)));
    }
}

#[test]
fn what_is_not_a_duration_is_refused() {
    for text in
        ["", "5", "s", "5 s", "-5s", "5.5s", "5d", "99999999999999999999s", "9999999999999999h"]
    {
        assert_eq!(parse_duration(text), Err(BadDuration), "{text}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_duration_parser_panic(text: String) {
        drop(parse_duration(&text));
    }
}
