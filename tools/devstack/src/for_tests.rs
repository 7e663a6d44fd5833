//! One stack for all tests of a process, and databases and prefixes that each test has for itself.

use std::{sync::LazyLock, thread};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tokio::{runtime, sync::watch};

use crate::{ServerSource, ServerStack, SilentProgress, StackError, WantedParts};

/// The result of the start, once it is known.
type StartOutcome = Option<Result<&'static ServerStack, String>>;

/// The stack is started by a thread with a runtime of its own: that of the test which happens to
/// ask first ends with that test.
static OUTCOME: LazyLock<watch::Receiver<StartOutcome>> = LazyLock::new(|| {
    let (tell, outcome) = watch::channel(None);
    let told = thread::Builder::new().name("devstack".to_owned()).spawn(move || {
        let started = start();
        tell.send_replace(Some(started.map(|stack| &*Box::leak(Box::new(stack)))));
    });
    drop(told);
    outcome
});

fn start() -> Result<ServerStack, String> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let parts = WantedParts::all().forgetful();
    let started = runtime.block_on(ServerStack::start(ServerSource::Auto, parts, &SilentProgress));
    started.map_err(|error| describe(&error))
}

fn describe(error: &StackError) -> String {
    let source = std::error::Error::source(error).map(ToString::to_string);
    source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

/// The stack of this process: started for the first test that asks, shared by all, gone with the
/// process.
///
/// # Panics
/// If it could not be started: no test can go on without it.
pub async fn shared() -> &'static ServerStack {
    let mut outcome = OUTCOME.clone();
    let known = outcome.wait_for(Option::is_some).await.map(|known| known.clone());
    match known {
        Ok(Some(Ok(stack))) => stack,
        Ok(Some(Err(error))) => panic!("no stack to test with: {error}"),
        Ok(None) | Err(_) => panic!("no stack to test with: its thread ended"),
    }
}

/// An empty database of its own for one test; gives its URL.
///
/// # Panics
/// If it could not be made.
pub async fn database(name_hint: &str) -> String {
    let server = &shared().await.urls().postgres;
    // Postgres cuts names off at 63 characters, and the unique end must survive.
    let hint: String = name_hint.chars().filter(char::is_ascii_alphanumeric).take(40).collect();
    let name = format!("{}_{:016x}", hint.to_lowercase(), fastrand::u64(..));
    match create(server, &name).await {
        Ok(()) => {
            server.rsplit_once('/').map_or_else(String::new, |(base, _)| format!("{base}/{name}"))
        }
        Err(error) => panic!("no database to test with: {error}"),
    }
}

async fn create(server: &str, name: &str) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect(server).await?;
    let statement = format!("CREATE DATABASE \"{name}\"");
    connection.execute(sqlx::raw_sql(AssertSqlSafe(statement))).await?;
    connection.close().await
}
