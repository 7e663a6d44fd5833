//! `PgBouncer` before a database server, as operators put it there: its defaults, beside what is said here.
//!
//! Debian's own package is unpacked with the libraries that it needs and not installed: installing would
//! start a server of its own. It refuses to run as root, so root runs it as somebody else.

use std::{
    fs,
    os::unix::fs::chown,
    path::{Path, PathBuf},
};

use super::{
    cache::{Cache, Recipe},
    postgres,
    server::Server,
    supervisor::{Launch, Workspace},
    tool,
};
use crate::{Error, Part, Silent, probe::Probe};

const PACKAGE: &str = "pgbouncer";
/// Libraries of its that not every machine has.
const LIBRARIES: [&str; 3] = ["libevent-", "libc-ares", "libcares"];

/// For how long a client keeps its connection to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// Until it goes.
    Session,
    /// Until its transaction ends.
    Transaction,
}

/// A running pooler. It ends when this is dropped.
#[derive(Debug)]
pub struct Pooler {
    url: String,
    // Dropped first; see `Native`.
    _server: Server,
    _workspace: Workspace,
}

impl Pooler {
    /// Starts one before the server of this URL, which has a password; with this number of connections to
    /// it, at most.
    pub async fn start(database: &str, pooling: Pooling, size: u32) -> Result<Self, Error> {
        let programs = install().await?;
        let target = Target::of(database).ok_or_else(|| Error::System {
            what: "cannot put a pooler before a database without user and password".to_owned(),
            source: std::io::ErrorKind::InvalidInput.into(),
        })?;
        let workspace = Workspace::new()?;
        let folder = workspace.folder(PACKAGE)?;
        let user = postgres::somebody_else()?;
        let config = folder.join("pgbouncer.ini");
        let users = folder.join("users.txt");
        let line = format!("\"{}\" \"{}\"\n", target.user, target.password);
        fs::write(&users, line).map_err(Error::path("write", &users))?;
        let (server, [port, _]) = Server::start(&workspace, |[port, _]| {
            let text = configuration(&target, port, pooling, size, &users);
            fs::write(&config, text).map_err(Error::path("write", &config))?;
            if let Some((user, group)) = user {
                for path in [&folder, &config, &users] {
                    chown(path, Some(user), Some(group)).map_err(Error::path("give away", path))?;
                }
            }
            let launch = Launch {
                part: Part::Pooler,
                program: programs.program.clone(),
                arguments: vec![config.display().to_string()],
                environment: vec![("LD_LIBRARY_PATH", programs.libraries.display().to_string())],
                folder: folder.clone(),
                user,
            };
            Ok((launch, Probe::Postgres { url: target.url(port) }))
        })
        .await?;
        Ok(Self { url: target.url(port), _server: server, _workspace: workspace })
    }

    /// The URL of the same database behind it.
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// Where the database is, and who may open it.
struct Target<'a> {
    user: &'a str,
    password: &'a str,
    port: &'a str,
    database: &'a str,
}

impl<'a> Target<'a> {
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
    target: &Target<'_>,
    port: u16,
    pooling: Pooling,
    size: u32,
    users: &Path,
) -> String {
    let mode = match pooling {
        Pooling::Session => "session",
        Pooling::Transaction => "transaction",
    };
    format!(
        "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
         listen_port = {port}\nunix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {}\n\
         pool_mode = {mode}\ndefault_pool_size = {size}\n",
        target.port,
        users.display()
    )
}

/// The program, and where its libraries are.
struct Programs {
    program: PathBuf,
    libraries: PathBuf,
}

async fn install() -> Result<Programs, Error> {
    if let Some(program) = tool::on_path(PACKAGE) {
        return Ok(Programs { program, libraries: PathBuf::new() });
    }
    let recipe = Recipe { part: None, name: "pgbouncer-debian", inputs: &[PACKAGE] };
    let home = Cache::open(&Silent)?.folder(&recipe, unpack).await?;
    let libraries = format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    Ok(Programs { program: home.join("usr/sbin/pgbouncer"), libraries: home.join(libraries) })
}

async fn unpack(home: &Path) -> Result<(), Error> {
    tool::download(PACKAGE, home).await?;
    for package in tool::dependencies(home).await? {
        if LIBRARIES.iter().any(|it| package.starts_with(it)) {
            tool::download(&package, home).await?;
        }
    }
    tool::unpack_packages(home).await
}
