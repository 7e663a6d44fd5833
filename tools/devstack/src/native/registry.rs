//! Apicurio Registry as a local process; it speaks Confluent's API under a path of its own.

use std::{
    fs,
    path::{Path, PathBuf},
};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use super::{
    cache::{InstallCache, InstallRecipe},
    java::{self, ClassSharing},
    server::NativeServer,
    supervisor::{LaunchCommand, ServerFolder},
    tool,
};
use crate::{StackError, StackPart, StopMode, part::server_of, probe::ServerProbe};

const POM: &str = include_str!("../../native/registry/pom.xml");
const SETTINGS: &str = include_str!("../../native/registry/application.properties");
/// Where Apicurio speaks Confluent's API.
pub(crate) const PATH: &str = "/apis/ccompat/v7";
/// A page below it that answers as soon as schemas can be read.
pub(crate) const SUBJECTS: &str = "/apis/ccompat/v7/subjects";

/// Where the registry is installed, and the Java that runs it.
#[derive(Clone, Debug)]
pub(crate) struct InstalledRegistry {
    home: PathBuf,
    java: PathBuf,
}

/// Where schemas are kept.
#[derive(Clone, Debug)]
pub(crate) enum RegistryStorage {
    /// Nowhere: they go with the process.
    Memory,
    /// In a database of its own on this server, of which the superuser's URL is given.
    Postgres(String),
}

/// Fetches the registry and learns a start.
pub(crate) async fn install(
    cache: &InstallCache<'_>,
    java: &Path,
) -> Result<InstalledRegistry, StackError> {
    let inputs = [POM, SETTINGS, java::REQUIREMENTS];
    let recipe =
        InstallRecipe { part: Some(StackPart::Registry), name: "registry-3.3.3", inputs: &inputs };
    let home = cache
        .folder(&recipe, async |home| {
            let folder = format!("-Dfolder={}", home.join("server").display());
            tool::maven(home, POM, &["generate-resources", &folder]).await?;
            let unlearnt = InstalledRegistry { home: home.to_owned(), java: java.to_owned() };
            if let Err(error) = unlearnt.learn().await {
                tracing::warn!(%error, "the registry's start could not be learnt; it will take longer");
            }
            Ok(())
        })
        .await?;
    Ok(InstalledRegistry { home, java: java.to_owned() })
}

impl InstalledRegistry {
    async fn learn(&self) -> Result<(), StackError> {
        let workspace = ServerFolder::new()?;
        let (server, _) =
            self.start(None, &workspace, &RegistryStorage::Memory, ClassSharing::Learn).await?;
        server.stop(StopMode::Ask).await?;
        workspace.swept().await;
        Ok(())
    }

    /// Starts a registry without schemas and waits until it answers; gives its base URL.
    pub(crate) async fn start(
        &self,
        preferred: Option<u16>,
        workspace: &ServerFolder,
        storage: &RegistryStorage,
        lesson: ClassSharing,
    ) -> Result<(NativeServer, String), StackError> {
        let folder = workspace.folder("registry")?;
        let config = workspace.folder("registry/config")?;
        let datasource = storage.prepare().await?;
        let (server, [port, _]) = NativeServer::start_near(preferred, workspace, |ports| {
            let file = config.join("application.properties");
            let settings = datasource.fill(SETTINGS).replace("@port@", &ports[0].to_string());
            fs::write(&file, settings).map_err(StackError::path("write", &file))?;
            let mut arguments = java::flags(&self.home, &folder, lesson);
            arguments.extend(["-Xmx256m", "-XX:TieredStopAtLevel=1", "-jar"].map(str::to_owned));
            arguments.push(self.home.join("server/quarkus-run.jar").display().to_string());
            let launch = LaunchCommand::new(StackPart::Registry, &self.java, arguments, &folder);
            let address = format!("127.0.0.1:{}", ports[0]);
            Ok((launch, ServerProbe::Http { address, path: SUBJECTS }))
        })
        .await?;
        Ok((server, format!("http://127.0.0.1:{port}{PATH}")))
    }
}

/// Settings of the registry's storage.
struct RegistryDatasource {
    kind: &'static str,
    url: String,
    user: &'static str,
    password: String,
}

impl RegistryDatasource {
    fn fill(&self, settings: &str) -> String {
        settings
            .replace("@kind@", self.kind)
            .replace("@url@", &self.url)
            .replace("@user@", self.user)
            .replace("@password@", &self.password)
    }
}

impl RegistryStorage {
    async fn prepare(&self) -> Result<RegistryDatasource, StackError> {
        match self {
            Self::Memory => Ok(RegistryDatasource {
                kind: "h2",
                url: "jdbc:h2:mem:registry".to_owned(),
                user: "sa",
                password: "sa".to_owned(),
            }),
            Self::Postgres(superuser) => {
                let password = super::password();
                make_database(superuser, &password).await.map_err(|source| {
                    StackError::Database { what: "be made for schemas", source }
                })?;
                let server = server_of(superuser);
                Ok(RegistryDatasource {
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
