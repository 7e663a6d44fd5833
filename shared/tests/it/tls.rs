//! A database that refuses unencrypted connections.

use devstack::{SecuredServers, ServerSource, ServerStack, SilentProgress, WantedParts};
use shared::{db, fault};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

/// A server, and its superuser's URL without TLS parameters.
struct Server {
    stack: ServerStack,
    url: String,
}

impl Server {
    async fn start() -> Self {
        let parts = WantedParts::of(&[devstack::StackPart::Postgres]).forgetful().secured();
        let stack = ServerStack::start(ServerSource::Native, parts, &SilentProgress).await.unwrap();
        let url = stack.urls().postgres.split_once('?').unwrap().0.to_owned();
        Self { stack, url }
    }

    fn secured(&self) -> &SecuredServers {
        self.stack.secured().unwrap()
    }

    /// The result of a connection with these URL parameters, made like every connection here:
    /// whether it is encrypted, or why it failed.
    async fn connect(&self, url: &str, protection: &str) -> Result<bool, String> {
        let settings = db::DatabaseSettings::new(format!("{url}?{protection}").into());
        let options = db::options(&settings, "test").unwrap();
        let asking = async {
            let mut conn = options.connect().await?;
            let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
            sqlx::query_scalar(sql).fetch_one(&mut conn).await
        };
        let said = asking.await.map_err(|error: sqlx::Error| fault::chain(&error));
        let password = self.url.split([':', '@']).nth(2).unwrap();
        assert!(!format!("{said:?} {settings:?}").contains(password), "{said:?}");
        said
    }
}

#[tokio::test]
async fn a_database_that_proves_itself_is_reached_and_no_other() {
    let server = Server::start().await;
    let (ca, stranger) = (&server.secured().ca_file, &server.secured().stranger_file);
    let verified = format!("sslmode=verify-full&sslrootcert={}", ca.display());
    assert_eq!(server.connect(&server.url, &verified).await, Ok(true));
    // The same address under a name that is not in the certificate.
    let elsewhere = server.url.replace("@localhost", "@127.0.0.1");
    let refused = server.connect(&elsewhere, &verified).await.unwrap_err();
    assert!(refused.contains("certificate not valid for name"), "{refused}");

    let wrong = format!("sslmode=verify-full&sslrootcert={}", stranger.display());
    let refused = server.connect(&server.url, &wrong).await.unwrap_err();
    assert!(refused.contains("invalid peer certificate: UnknownIssuer"), "{refused}");
    let nobody = server.connect(&server.url, "sslmode=verify-full").await.unwrap_err();
    assert!(nobody.contains("UnknownIssuer"), "{nobody}");
    server.stack.stop().await;
}

#[tokio::test]
async fn plain_text_is_refused_and_what_is_not_said_prefers_to_be_encrypted() {
    let server = Server::start().await;
    let refused = server.connect(&server.url, "sslmode=disable").await.unwrap_err();
    assert!(refused.contains("no encryption"), "{refused}");
    for unverified in ["", "sslmode=prefer", "sslmode=require"] {
        assert_eq!(server.connect(&server.url, unverified).await, Ok(true), "{unverified}");
    }
    server.stack.stop().await;
}

#[tokio::test]
async fn a_client_may_prove_itself_by_a_certificate() {
    let server = Server::start().await;
    let secured = server.secured();
    let role = format!("CREATE ROLE {} LOGIN", SecuredServers::certified());
    let mut conn = PgConnection::connect(&server.stack.urls().postgres).await.unwrap();
    conn.execute(sqlx::raw_sql(AssertSqlSafe(role))).await.unwrap();
    let place = server.url.rsplit_once('@').unwrap().1;
    let url = format!("postgres://{}@{place}", SecuredServers::certified());
    let verified = format!("sslmode=verify-full&sslrootcert={}", secured.ca_file.display());
    let certified = format!(
        "{verified}&sslcert={}&sslkey={}",
        secured.certificate_file.display(),
        secured.key_file.display()
    );
    assert_eq!(server.connect(&url, &certified).await, Ok(true));
    assert_ne!(server.connect(&url, &verified).await, Ok(true));
    server.stack.stop().await;
}
