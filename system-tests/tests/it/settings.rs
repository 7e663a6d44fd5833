//! A wrong or missing setting ends each service with one clear line, which shows no secret.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    process::{Output, Stdio},
};

use clap::CommandFactory as _;
use devstack::TestWait;
use sagactl::cli::CommandLine;
use tokio::process::Command;
use xtask::cluster::ProcessName;

/// Must never be shown.
const SECRET: &str = "hunter2";

const DATABASE: &str = "postgres://me:hunter2@127.0.0.1:1/nothing";

/// Programs lie beside this test's folder.
fn program(member: ProcessName) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    own.ancestors().nth(2).unwrap().join(member.program())
}

struct End {
    code: Option<i32>,
    complaint: String,
    log: String,
}

/// Runs a service with nothing but these settings, until it ends by itself: what waits for
/// something that is not there waits for ever.
async fn run(member: ProcessName, settings: &[(&str, &str)]) -> End {
    run_with(member, settings, &[]).await
}

/// The same with these arguments.
async fn run_with(member: ProcessName, settings: &[(&str, &str)], arguments: &[&str]) -> End {
    let mut command = Command::new(program(member));
    command.env_clear().stdin(Stdio::null()).kill_on_drop(true);
    command.env("ADMIN_LISTEN", "127.0.0.1:0").env("HTTP_LISTEN", "127.0.0.1:0");
    // Those given last count.
    command.envs(settings.iter().copied()).args(arguments);
    let mut ending = std::pin::pin!(command.output());
    let mut patience = TestWait::until(&format!("{member} {settings:?} ends"));
    let output = loop {
        tokio::select! {
            output = &mut ending => break output.unwrap(),
            () = patience.look_again("it runs") => {}
        }
    };
    let Output { status, stdout, stderr } = output;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    End { code: status.code(), complaint: text(stderr), log: text(stdout) }
}

/// Wrong settings of every service, and the expected message of each.
const COMMON: &[(&[(&str, &str)], &str)] = &[
    (&[], "--database-url"),
    (&[("DATABASE_URL", "")], " (DATABASE_URL is not set: it is empty)"),
    (&[("DATABASE_URL_FILE", "")], "--database-url"),
    (
        &[("DATABASE_URL", DATABASE), ("HTTP_CORS_ORIGINS", "shop.example")],
        "HTTP_CORS_ORIGINS: 'shop.example' is not an origin",
    ),
    (
        &[("DATABASE_URL", DATABASE), ("HTTP_IDLE_LIMIT", "0s")],
        "HTTP_IDLE_LIMIT: 0s is not between",
    ),
    (&[("DATABASE_URL", "mysql://me:hunter2@db/x")], "DATABASE_URL: it is not a postgres:// URL"),
    (&[("DATABASE_URL", "hunter2")], "DATABASE_URL: it is not a postgres:// URL"),
    (&[("DATABASE_URL_FILE", "/no/such/file")], "DATABASE_URL_FILE: /no/such/file: No such file"),
    (&[("DATABASE_URL", DATABASE), ("DATABASE_CONNECTIONS_MAX", "1")], "DATABASE_CONNECTIONS_MAX"),
    (&[("DATABASE_URL", DATABASE), ("HTTP_LISTEN", "everywhere")], "'--http-listen <HTTP_LISTEN>'"),
    (
        &[("DATABASE_URL", DATABASE), ("KAFKA_BROKERS", "broker")],
        "KAFKA_BROKERS: it is not host:port",
    ),
    (&[("DATABASE_URL", DATABASE), ("KAFKA_TOPIC_PREFIX", "a b")], "KAFKA_TOPIC_PREFIX"),
    (&[("DATABASE_URL", DATABASE), ("KAFKA_GROUP_MEMBER", "a b")], "KAFKA_GROUP_MEMBER"),
    (
        &[("DATABASE_URL", DATABASE), ("KAFKA_MIN_IN_SYNC", "2")],
        "KAFKA_MIN_IN_SYNC: 2 is not between",
    ),
    (
        &[("DATABASE_URL", DATABASE), ("KAFKA_SECURITY", "ssl")],
        "'--kafka-security <KAFKA_SECURITY>'",
    ),
    (
        &[("DATABASE_URL", DATABASE), ("KAFKA_SASL_PASSWORD", SECRET)],
        "KAFKA_SASL_PASSWORD: it is set, and KAFKA_SECURITY is neither sasl_tls nor sasl_plaintext",
    ),
    (
        &[
            ("DATABASE_URL", DATABASE),
            ("KAFKA_SECURITY", "sasl_tls"),
            ("KAFKA_SASL_PASSWORD", SECRET),
        ],
        "KAFKA_SASL_USERNAME: it is not set, and KAFKA_SECURITY asks for a login",
    ),
    (
        &[
            ("DATABASE_URL", DATABASE),
            ("KAFKA_SECURITY", "tls"),
            ("KAFKA_TLS_CA_FILE", "/no/such/file"),
        ],
        "KAFKA_TLS_CA_FILE: /no/such/file: No such file",
    ),
    (
        &[("DATABASE_URL", DATABASE), ("SCHEMA_REGISTRY_URL", "ftp://me:hunter2@registry")],
        "SCHEMA_REGISTRY_URL: it is not an http:// or https:// URL",
    ),
    (
        &[("DATABASE_URL", DATABASE), ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318")],
        "OTEL_EXPORTER_OTLP_ENDPOINT: it is not an http:// or https:// URL",
    ),
    (
        &[("DATABASE_URL", DATABASE), ("OTEL_TRACES_SAMPLER_ARG", "10")],
        "OTEL_TRACES_SAMPLER_ARG: it is not between 0 and 1",
    ),
    (&[("DATABASE_URL", DATABASE), ("LOG_FORMAT", "xml")], "'--log-format <LOG_FORMAT>'"),
    (&[("DATABASE_URL", DATABASE), ("LOG_FILTER", "shared=loud")], "LOG_FILTER"),
    (
        &[("DATABASE_URL", DATABASE), ("SHUTDOWN_GRACE", "soon")],
        "'--shutdown-grace <SHUTDOWN_GRACE>'",
    ),
    (&[("DATABASE_URL", DATABASE), ("ADMISSION_BACKLOG_MAX", "0")], "ADMISSION_BACKLOG_MAX"),
    (
        &[("DATABASE_URL", DATABASE), ("RATE_LIMIT_BURST", "-1")],
        "'--rate-limit-burst <RATE_LIMIT_BURST>'",
    ),
];

/// Wrong settings that only one service has.
const OWN: &[(ProcessName, (&str, &str), &str)] = &[
    (ProcessName::Orders, ("ORDER_PATIENCE", "0s"), "ORDER_PATIENCE"),
    (ProcessName::Orders, ("ORDER_TOTAL_MAX", "0"), "ORDER_TOTAL_MAX"),
    (ProcessName::Orders, ("COMMAND_QUEUE_MAX", "0"), "COMMAND_QUEUE_MAX"),
    (ProcessName::Inventory, ("SEED", "everything"), "'--seed [<SEED>]'"),
    (ProcessName::Inventory, ("SEED_PRODUCTS", "100001"), "SEED_PRODUCTS"),
    (ProcessName::Payments, ("GATEWAY_URL", "ftp://me:hunter2@gateway"), "GATEWAY_URL"),
    (ProcessName::Payments, ("CHARGE_RETRY", "first=1s,factor=2,cap=5s"), "attempts is missing"),
    (
        ProcessName::Payments,
        ("REFUND_RETRY", "first=1s,factor=2,cap=5s,attempts=2"),
        "REFUND_RETRY: attempts has to be at least 3",
    ),
    (ProcessName::Payments, ("GATEWAY_BREAKER_CAP", "1ms"), "GATEWAY_BREAKER_CAP"),
    (ProcessName::Payments, ("GATEWAY_KEYS_KEPT", "1m"), "GATEWAY_KEYS_KEPT"),
    (ProcessName::Notify, ("SMTP_URL", "http://me:hunter2@mail"), "SMTP_URL"),
    (ProcessName::Notify, ("MAIL_FROM", "nobody"), "'--mail-from <MAIL_FROM>'"),
    (ProcessName::Notify, ("MAIL_RETRY", "often"), "'--mail-retry <MAIL_RETRY>'"),
];

fn assert_one_clear_line(case: &str, end: &End, expected: &str) {
    let End { code, complaint, log } = end;
    assert_eq!(*code, Some(2), "{case}: {complaint}{log}");
    assert!(
        complaint.starts_with("error: ") && complaint.contains(expected),
        "{case}: {complaint}"
    );
    assert_eq!(complaint.matches('\n').count(), 1, "{case}: {complaint}");
    assert!(!complaint.contains(SECRET) && log.is_empty(), "{case}: {complaint}{log}");
}

#[tokio::test]
async fn a_setting_that_is_wrong_or_missing_ends_a_service_with_one_clear_line() {
    for member in ProcessName::SERVICES {
        for (settings, expected) in COMMON {
            let case = format!("{member} {settings:?}");
            assert_one_clear_line(&case, &run(member, settings).await, expected);
        }
    }
    for (member, setting, expected) in OWN {
        let end = run(*member, &[("DATABASE_URL", DATABASE), *setting]).await;
        assert_one_clear_line(&format!("{member} {setting:?}"), &end, expected);
    }
}

/// The variables of a program.
pub(crate) fn variables(program: &clap::Command) -> BTreeSet<String> {
    let own = program.get_arguments().filter_map(|arg| arg.get_env());
    let own = own.map(|name| name.to_str().unwrap().to_owned());
    own.chain(program.get_subcommands().flat_map(variables)).collect()
}

fn settings_of(member: ProcessName) -> clap::Command {
    match member {
        ProcessName::Orders => order_service::config::OrderSettings::command(),
        ProcessName::Inventory => inventory_service::config::InventorySettings::command(),
        ProcessName::Payments => payment_service::config::PaymentSettings::command(),
        ProcessName::Notify => notify_service::config::NotifySettings::command(),
        ProcessName::Gateway => unreachable!("it has no variables"),
    }
}

#[tokio::test]
async fn a_variable_that_is_set_and_empty_counts_as_not_set_whichever_it_is() {
    for member in ProcessName::SERVICES {
        let names = variables(&settings_of(member));
        assert!(names.len() > 30, "{names:?}");
        for name in names.iter().filter(|text| *text != "DATABASE_URL") {
            // The question whether it is ready is asked once all settings are read and checked;
            // nobody answers it.
            let settings =
                [("DATABASE_URL", DATABASE), ("ADMIN_LISTEN", "127.0.0.1:1"), (name, "")];
            let end = run_with(member, &settings, &["--health"]).await;
            assert_eq!(end.code, Some(1), "{member} {name}: {}", end.complaint);
            assert!(end.complaint.starts_with("not ready: "), "{member} {name}: {}", end.complaint);
        }
    }
}

#[tokio::test]
async fn an_empty_variable_is_not_set_for_the_operators_command_either() {
    let own = std::env::current_exe().unwrap();
    let program = own.ancestors().nth(2).unwrap().join("sagactl");
    let names = variables(&CommandLine::command());
    assert!(names.contains("PAYMENTS_URL") && names.contains("USER"), "{names:?}");
    // No demo is found there.
    let temporary = tempfile::tempdir().unwrap();
    for (words, expected) in [
        (
            "dead-letters --service http://127.0.0.1:1 discard --dry-run --because it",
            "http://127.0.0.1:1 does not answer",
        ),
        ("payments list", "no demo or compose stack answers at http://127.0.0.1:8003"),
        ("orders list", "no demo or compose stack answers at http://127.0.0.1:8001"),
        ("dead-letters list", "no demo or compose stack answers at http://127.0.0.1:9004"),
        ("audit", "no demo or compose stack answers at http://127.0.0.1:9001"),
        ("contract", "no demo or compose stack answers at http://127.0.0.1:8081"),
    ] {
        // Where something runs at the usual ports, nothing can be said of a machine where nothing does.
        let usual = expected.rsplit_once("//").unwrap().1.split(' ').next().unwrap();
        if tokio::net::TcpStream::connect(usual).await.is_ok() {
            continue;
        }
        let mut command = Command::new(&program);
        command.args(words.split(' ')).envs(names.iter().map(|name| (name, "")));
        command.env("TMPDIR", temporary.path());
        let ended = command.stdin(Stdio::null()).output().await.unwrap();
        let complaint = String::from_utf8(ended.stderr).unwrap();
        // Not 2: the command line is in order, and nobody answers.
        assert_eq!(ended.status.code(), Some(1), "{words}: {complaint}");
        assert!(complaint.contains(expected), "{words}: {complaint}");
        assert_eq!(complaint.lines().count(), 1, "{words}: {complaint}");
    }
}

#[tokio::test]
async fn help_says_what_an_empty_variable_is() {
    for member in ProcessName::SERVICES {
        let end = run_with(member, &[], &["--help"]).await;
        assert!(end.log.contains("set and empty counts as not set"), "{member}: {}", end.log);
    }
}

/// The one line of a log that says what is wrong.
fn only_error(log: &str) -> &str {
    let errors: Vec<_> = log.lines().filter(|text| text.contains("ERROR")).collect();
    assert_eq!(errors.len(), 1, "{log}");
    errors[0]
}

#[tokio::test]
async fn an_address_that_is_taken_ends_a_service_with_one_line_in_its_log() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for member in ProcessName::SERVICES {
        let settings = [("DATABASE_URL", DATABASE), ("ADMIN_LISTEN", address.as_str())];
        let End { code, complaint, log } = run(member, &settings).await;
        assert_eq!((code, complaint.as_str()), (Some(1), ""), "{member}: {log}");
        let error = only_error(&log);
        assert!(
            error.contains("an address cannot be listened at") && !log.contains(SECRET),
            "{log}"
        );
    }
}

#[tokio::test]
async fn a_database_of_another_service_is_refused() {
    let stack = devstack::shared().await;
    let database = devstack::database("foreign").await;
    let settings = shared::db::DatabaseSettings::new(database.as_str().into());
    let pool = shared::db::pool(&settings, "inventory-service").unwrap();
    shared::db::migrate(&pool, &inventory_service::MIGRATIONS).await.unwrap();
    for member in [ProcessName::Orders, ProcessName::Payments, ProcessName::Notify] {
        let settings = [
            ("DATABASE_URL", database.as_str()),
            ("KAFKA_BROKERS", stack.urls().brokers.as_str()),
            ("SCHEMA_REGISTRY_URL", stack.urls().registry.as_str()),
        ];
        let End { code, complaint, log } = run(member, &settings).await;
        assert_eq!((code, complaint.as_str()), (Some(1), ""), "{member}: {log}");
        assert!(only_error(&log).contains("the database cannot be used: migration 1"), "{log}");
    }
}
