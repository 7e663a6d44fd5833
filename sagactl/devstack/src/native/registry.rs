//! Apicurio Registry as a local process; it speaks Confluent's API under a path of its own.

use std::{
    fs,
    path::{Path, PathBuf},
};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use super::{
    cache::{Cache, Recipe},
    java::{self, Lesson},
    server::Server,
    supervisor::{Launch, Workspace},
    tool,
};
use crate::{Error, Halt, Part, part::server_of, probe::Probe};

const POM: &str = include_str!("../../native/registry/pom.xml");
const SETTINGS: &str = include_str!("../../native/registry/application.properties");
/// Where Apicurio speaks Confluent's API.
pub(crate) const PATH: &str = "/apis/ccompat/v7";
/// A page below it that answers as soon as schemas can be read.
pub(crate) const SUBJECTS: &str = "/apis/ccompat/v7/subjects";

/// Where the registry is installed, and the Java that runs it.
#[derive(Clone, Debug)]
pub(crate) struct Installed {
    home: PathBuf,
    java: PathBuf,
}

/// Where schemas are kept.
#[derive(Clone, Debug)]
pub(crate) enum Storage {
    /// Nowhere: they go with the process.
    Memory,
    /// In a database of its own on this server, of which the superuser's URL is given.
    Postgres(String),
}

/// Fetches the registry and learns a start.
pub(crate) async fn install(cache: &Cache<'_>, java: &Path) -> Result<Installed, Error> {
    let inputs = [POM, SETTINGS, java::REQUIREMENTS];
    let recipe = Recipe { part: Some(Part::Registry), name: "registry-3.3.3", inputs: &inputs };
    let home = cache
        .folder(&recipe, async |home| {
            let folder = format!("-Dfolder={}", home.join("server").display());
            tool::maven(home, POM, &["generate-resources", &folder]).await?;
            let unlearnt = Installed { home: home.to_owned(), java: java.to_owned() };
            if let Err(error) = unlearnt.learn().await {
                tracing::warn!(%error, "the registry's start could not be learnt; it will take longer");
            }
            Ok(())
        })
        .await?;
    Ok(Installed { home, java: java.to_owned() })
}

impl Installed {
    async fn learn(&self) -> Result<(), Error> {
        let workspace = Workspace::new()?;
        let (server, _) = self.run(&workspace, &Storage::Memory, Lesson::Learn).await?;
        server.stop(Halt::Ask).await?;
        workspace.swept().await;
        Ok(())
    }

    /// Starts a registry without schemas and waits until it answers; gives its base URL.
    pub(crate) async fn start(
        &self,
        workspace: &Workspace,
        storage: &Storage,
    ) -> Result<(Server, String), Error> {
        self.run(workspace, storage, Lesson::Use).await
    }

    async fn run(
        &self,
        workspace: &Workspace,
        storage: &Storage,
        lesson: Lesson,
    ) -> Result<(Server, String), Error> {
        let folder = workspace.folder("registry")?;
        let config = workspace.folder("registry/config")?;
        let datasource = storage.prepare().await?;
        let (server, [port, _]) = Server::start(workspace, |ports| {
            let file = config.join("application.properties");
            let settings = datasource.fill(SETTINGS).replace("@port@", &ports[0].to_string());
            fs::write(&file, settings).map_err(Error::path("write", &file))?;
            let mut arguments = java::flags(&self.home, &folder, lesson);
            arguments.extend(["-Xmx256m", "-XX:TieredStopAtLevel=1", "-jar"].map(str::to_owned));
            arguments.push(self.home.join("server/quarkus-run.jar").display().to_string());
            let launch = Launch {
                part: Part::Registry,
                program: self.java.clone(),
                arguments,
                environment: Vec::new(),
                folder: folder.clone(),
                user: None,
            };
            let address = format!("127.0.0.1:{}", ports[0]);
            Ok((launch, Probe::Http { address, path: SUBJECTS }))
        })
        .await?;
        Ok((server, format!("http://127.0.0.1:{port}{PATH}")))
    }
}

/// What the registry is told about its storage.
struct Datasource {
    kind: &'static str,
    url: String,
    user: &'static str,
    password: String,
}

impl Datasource {
    fn fill(&self, settings: &str) -> String {
        settings
            .replace("@kind@", self.kind)
            .replace("@url@", &self.url)
            .replace("@user@", self.user)
            .replace("@password@", &self.password)
    }
}

impl Storage {
    async fn prepare(&self) -> Result<Datasource, Error> {
        match self {
            Self::Memory => Ok(Datasource {
                kind: "h2",
                url: "jdbc:h2:mem:registry".to_owned(),
                user: "sa",
                password: "sa".to_owned(),
            }),
            Self::Postgres(superuser) => {
                let password = super::password();
                make_database(superuser, &password)
                    .await
                    .map_err(|source| Error::Database { what: "be made for schemas", source })?;
                let server = server_of(superuser);
                Ok(Datasource {
                    kind: "postgresql",
                    url: format!("jdbc:postgresql://{server}/registry"),
                    user: "registry",
                    password,
                })
            }
        }
    }
}

async fn make_database(superuser: &str, password: &str) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect(superuser).await?;
    // Names and passwords of roles cannot be parameters; this one is made of letters and digits.
    let role = format!("CREATE ROLE registry LOGIN PASSWORD '{password}'");
    connection.execute(sqlx::raw_sql(AssertSqlSafe(role))).await?;
    connection.execute("CREATE DATABASE registry OWNER registry").await?;
    connection.close().await
}
