//! One-shot commands of a program that otherwise serves.

use std::process::ExitCode;

use clap::Parser as _;
use shared::{config::ServiceSettings, oneshot};
use sqlx::{PgPool, migrate::Migrator};

#[derive(clap::Parser)]
struct Settings {
    #[command(flatten)]
    common: ServiceSettings,
}

fn settings(database: &str, words: &[&str]) -> ServiceSettings {
    let always = ["service", "--log-filter", "off", "--database-url", database];
    Settings::try_parse_from(always.iter().chain(words)).unwrap().common
}

/// `ExitCode` cannot be compared. The command has its own runtime, so it needs its own thread.
async fn code(common: ServiceSettings) -> Option<String> {
    let command = move || oneshot::run(&common, "test", &Migrator::DEFAULT);
    tokio::task::spawn_blocking(command).await.unwrap().map(|exit_code| format!("{exit_code:?}"))
}

#[tokio::test]
async fn a_program_that_is_to_migrate_brings_the_tables_up_to_date_and_ends() {
    let database = devstack::database("command").await;
    let success = Some(format!("{:?}", ExitCode::SUCCESS));
    assert_eq!(code(settings(&database, &["--migrate"])).await, success);
    let pool = PgPool::connect(&database).await.unwrap();
    let waiting: i64 =
        sqlx::query_scalar("SELECT count(*) FROM messaging.outbox").fetch_one(&pool).await.unwrap();
    assert_eq!(waiting, 0);
    // A repetition has the same result.
    assert_eq!(code(settings(&database, &["--migrate"])).await, success);
}

#[tokio::test]
async fn a_program_that_is_to_serve_has_no_command() {
    assert_eq!(code(settings("postgres://nobody@127.0.0.1:1/nothing", &[])).await, None);
}
