//! One database and one role per service; a service's role cannot open a neighbour's.

use std::collections::BTreeMap;

use anyhow::Context as _;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use super::ProcessName;

/// Makes them on the server that `admin` opens; gives their URLs. `prefix` keeps several clusters
/// apart.
pub(super) async fn create(
    admin: &str,
    prefix: &str,
) -> anyhow::Result<BTreeMap<ProcessName, String>> {
    let suffix: String = prefix.chars().filter(char::is_ascii_alphanumeric).collect();
    let mut conn = PgConnection::connect(admin).await.context("Postgres is out of reach")?;
    // What follows the database's name says how the connection is protected.
    let (address, protection) = match admin.split_once('?') {
        Some((address, protection)) => (address, format!("?{protection}")),
        None => (admin, String::new()),
    };
    let (host, _) = address
        .split_once("://")
        .and_then(|(_, rest)| rest.rsplit_once('@'))
        .and_then(|(_, place)| place.rsplit_once('/'))
        .context("the database URL is not postgres://user:password@host:port/database")?;
    let mut urls = BTreeMap::new();
    for member in ProcessName::SERVICES {
        let Some(name) = member.database() else { continue };
        let name = format!("{name}{suffix}");
        let password = format!("{:032x}", fastrand::u128(..));
        for statement in [
            format!("CREATE ROLE {name} LOGIN PASSWORD '{password}'"),
            format!("CREATE DATABASE {name} OWNER {name}"),
            format!("REVOKE CONNECT ON DATABASE {name} FROM PUBLIC"),
        ] {
            // Built from names of this file and letters and digits of the prefix.
            conn.execute(sqlx::raw_sql(AssertSqlSafe(statement))).await?;
        }
        urls.insert(member, format!("postgres://{name}:{password}@{host}/{name}{protection}"));
    }
    conn.close().await?;
    Ok(urls)
}
