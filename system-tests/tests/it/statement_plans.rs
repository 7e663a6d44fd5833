//! The plan of each statement of the services, and the pages that it reads, with tables that are
//! empty, full, and full of dead rows.
//!
//! Postgres itself says them: in the databases of one cluster `auto_explain` sends the plan of each
//! statement, with its buffers, to the client as a notice, and `sqlx` logs it. So there is no second
//! list of statements, and nothing of other tests on the same server.

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Executor as _, PgConnection, postgres::PgConnectOptions,
};
use xtask::cluster::ProcessName;

use self::{
    collected::{CollectedPlans, TableState},
    source::SourceStatement,
};
use crate::stage::{self, Stage};

mod collected;
mod driven;
mod limits;
mod plan;
mod planted;
mod source;

/// What the sessions of a database are told at their start.
const EXPLAIN: [(&str, &str); 8] = [
    ("session_preload_libraries", "auto_explain"),
    ("auto_explain.log_min_duration", "0"),
    ("auto_explain.log_analyze", "on"),
    ("auto_explain.log_buffers", "on"),
    ("auto_explain.log_timing", "off"),
    ("auto_explain.log_format", "json"),
    ("auto_explain.log_level", "notice"),
    ("auto_explain.log_parameter_max_length", "0"),
];

/// Settings of the services: what fails is given up soon.
const SETTINGS: [(&str, &str); 2] = [
    ("REFUND_RETRY", "first=10ms,factor=1,cap=10ms,attempts=3"),
    ("LOG_FILTER", "warn,sqlx::postgres::notice=info"),
];

/// A connection of the superuser to a service's database, that explains nothing.
async fn connect(stage: &Stage, member: ProcessName) -> PgConnection {
    let parse = |url: &str| url.parse::<PgConnectOptions>().unwrap();
    let of_service = parse(stage.cluster.database(member).unwrap());
    let options = parse(&stage.cluster.stack().postgres)
        .database(of_service.get_database().unwrap())
        .options([("auto_explain.log_min_duration", "-1")]);
    let mut conn = options.connect().await.unwrap();
    conn.execute("SET synchronous_commit = off").await.unwrap();
    conn
}

/// From now on new sessions of the services say how their statements were executed.
async fn explain(stage: &Stage) {
    for member in ProcessName::SERVICES {
        let mut conn = connect(stage, member).await;
        let database: String =
            sqlx::query_scalar("SELECT current_database()").fetch_one(&mut conn).await.unwrap();
        let set = EXPLAIN
            .map(|(name, value)| format!("ALTER DATABASE \"{database}\" SET {name} = '{value}';"));
        conn.execute(AssertSqlSafe(set.concat())).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_reads_a_whole_table_be_it_empty_full_or_full_of_dead_rows() {
    let mut stage = stage::open_on(devstack::shared().await, &SETTINGS).await;
    explain(&stage).await;
    let mut plans = CollectedPlans::default();
    driven::restart(&mut stage).await;
    driven::all(&mut stage, "empty").await;
    plans.collect(&stage, TableState::Empty);

    // Plans that were made for the empty tables, and then those of a new process.
    planted::fill(&stage).await;
    driven::all(&mut stage, "full").await;
    plans.collect(&stage, TableState::Full);
    planted::analyze(&stage).await;
    driven::restart(&mut stage).await;
    driven::all(&mut stage, "full-again").await;
    plans.collect(&stage, TableState::Full);

    let snapshots = planted::wear_out(&stage).await;
    driven::all(&mut stage, "dead").await;
    plans.collect(&stage, TableState::Dead);
    planted::analyze(&stage).await;
    driven::restart(&mut stage).await;
    driven::all(&mut stage, "dead-again").await;
    plans.collect(&stage, TableState::Dead);
    drop(snapshots);
    assert_eq!(stage.cluster.stop().await.unwrap(), Vec::<String>::new());

    println!("{}", plans.summary());
    let unseen: Vec<String> = SourceStatement::all()
        .into_iter()
        .filter(|statement| !plans.has(&statement.text) && !limits::need_not_be_seen(statement))
        .map(|statement| statement.to_string())
        .collect();
    let faults = [plans.faults(), unseen].concat();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}
