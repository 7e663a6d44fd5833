//! `PgBouncer` before a database server, with its defaults and the few settings of this module.
//!
//! Debian's own package is unpacked with the libraries that it needs and not installed: installing
//! would start a server of its own. It refuses to run as root, so root runs it as somebody else.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    cache::{InstallCache, InstallRecipe},
    postgres,
    server::NativeServer,
    supervisor::{LaunchCommand, ServerFolder},
    tool,
};
use crate::{SilentProgress, StackError, StackPart, probe::ServerProbe};

const PACKAGE: &str = "pgbouncer";
/// Libraries of its that not every machine has.
const LIBRARIES: [&str; 3] = ["libevent-", "libc-ares", "libcares"];

/// For how long a client keeps its connection to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolMode {
    Session,
    /// Until its transaction ends.
    Transaction,
}

/// A running pooler. It ends when this is dropped.
#[derive(Debug)]
pub struct RunningPooler {
    url: String,
    // Dropped first; see `Native`.
    _server: NativeServer,
    _workspace: ServerFolder,
}

impl RunningPooler {
    /// Starts one before the server of this URL, which has a password; with this number of
    /// connections to it, at most.
    pub async fn start(database: &str, pooling: PoolMode, size: u32) -> Result<Self, StackError> {
        let (program, libraries) = install().await?;
        let target = PoolerTarget::of(database).ok_or_else(|| StackError::System {
            what: "cannot put a pooler before a database without user and password".to_owned(),
            source: std::io::ErrorKind::InvalidInput.into(),
        })?;
        let workspace = ServerFolder::new()?;
        let folder = workspace.folder(PACKAGE)?;
        let user = postgres::somebody_else()?;
        let config = folder.join("pgbouncer.ini");
        let users = folder.join("users.txt");
        let line = format!("\"{}\" \"{}\"\n", target.user, target.password);
        fs::write(&users, line).map_err(StackError::path("write", &users))?;
        let (server, [port, _]) = NativeServer::start(&workspace, |[port, _]| {
            let text = configuration(&target, port, pooling, size, &users);
            fs::write(&config, text).map_err(StackError::path("write", &config))?;
            for path in [&folder, &config, &users] {
                postgres::give_away(path, user)?;
            }
            let arguments = vec![config.display().to_string()];
            let launch = LaunchCommand {
                environment: vec![("LD_LIBRARY_PATH", libraries.display().to_string())],
                user,
                ..LaunchCommand::new(StackPart::Pooler, &program, arguments, &folder)
            };
            Ok((launch, ServerProbe::Postgres { url: target.url(port) }))
        })
        .await?;
        Ok(Self { url: target.url(port), _server: server, _workspace: workspace })
    }

    /// The URL of the same database behind it.
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// Port, name and credentials of the database.
struct PoolerTarget<'a> {
    user: &'a str,
    password: &'a str,
    port: &'a str,
    database: &'a str,
}

impl<'a> PoolerTarget<'a> {
    /// What stands in a URL of this crate's making: nothing in it is escaped.
    fn of(url: &'a str) -> Option<Self> {
        let (_, rest) = url.split_once("://")?;
        let (who, place) = rest.split_once('@')?;
        let (user, password) = who.split_once(':')?;
        let (address, database) = place.split_once('/')?;
        let (_, port) = address.split_once(':')?;
        Some(Self { user, password, port, database })
    }

    fn url(&self, port: u16) -> String {
        let Self { user, password, database, .. } = self;
        format!("postgres://{user}:{password}@127.0.0.1:{port}/{database}")
    }
}

fn configuration(
    target: &PoolerTarget<'_>,
    port: u16,
    pooling: PoolMode,
    size: u32,
    users: &Path,
) -> String {
    let mode = match pooling {
        PoolMode::Session => "session",
        PoolMode::Transaction => "transaction",
    };
    format!(
        "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
         listen_port = {port}\nunix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {}\n\
         pool_mode = {mode}\ndefault_pool_size = {size}\n",
        target.port,
        users.display()
    )
}

/// The paths of the program and of its libraries.
async fn install() -> Result<(PathBuf, PathBuf), StackError> {
    if let Some(program) = tool::on_path(PACKAGE) {
        return Ok((program, PathBuf::new()));
    }
    let recipe = InstallRecipe { part: None, name: "pgbouncer-debian", inputs: &[PACKAGE] };
    let home = InstallCache::open(&SilentProgress)?.folder(&recipe, unpack).await?;
    let libraries = format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    Ok((home.join("usr/sbin/pgbouncer"), home.join(libraries)))
}

async fn unpack(home: &Path) -> Result<(), StackError> {
    tool::download(PACKAGE, home).await?;
    for package in tool::dependencies(home).await? {
        if LIBRARIES.iter().any(|name| package.starts_with(name)) {
            tool::download(&package, home).await?;
        }
    }
    tool::unpack_packages(home).await
}
