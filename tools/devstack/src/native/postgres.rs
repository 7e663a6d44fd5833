//! PostgreSQL as a local process. It refuses to run as root, so root runs it as somebody else.

use std::{
    fs,
    os::unix::fs::chown,
    path::{Path, PathBuf},
};

use nix::unistd::{Uid, User};
use tokio::process::Command;

use super::{
    authority::SecuredServers,
    cache::{InstallCache, InstallRecipe},
    server::NativeServer,
    supervisor::{LaunchCommand, ServerFolder},
    tool,
};
use crate::{StackError, StackPart, StorageDurability, WantedParts, probe::ServerProbe};

const POM: &str = include_str!("../../native/postgres/pom.xml");
/// The superuser of every stack.
const SUPERUSER: &str = "saga";
/// Settings that this project needs: connections for the pools of all services, counted statements.
pub(crate) const SETTINGS: [&str; 2] =
    ["max_connections=400", "shared_preload_libraries=pg_stat_statements"];
/// No flush to disk: a crash of the machine may lose all data. A crash of the server must not, or
/// tests of crashes would prove nothing, so a commit is still written, only not flushed.
const FORGETFUL: [&str; 2] = ["fsync=off", "full_page_writes=off"];
/// Users that may run it for root: the system's own if there is one.
const STAND_INS: [&str; 2] = ["postgres", "nobody"];

/// Fetches the server and unpacks it.
pub(crate) async fn install(cache: &InstallCache<'_>) -> Result<PathBuf, StackError> {
    let platform = platform()?;
    let recipe = InstallRecipe {
        part: Some(StackPart::Postgres),
        name: "postgres-18.6",
        inputs: &[POM, platform],
    };
    cache
        .folder(&recipe, async |home| {
            let jars = home.join("jars");
            let output = format!("-DoutputDirectory={}", jars.display());
            let goal = "dependency:copy-dependencies";
            let of_platform = format!("-Dplatform={platform}");
            tool::maven(home, POM, &[goal, &of_platform, &output]).await?;
            for (ending, kind, into) in
                [("jar", "zipfile", jars.as_path()), ("txz", "tarfile", home)]
            {
                tool::unpack(kind, &only_file(&jars, ending)?, into).await?;
            }
            fs::remove_dir_all(&jars).map_err(StackError::path("remove", &jars))
        })
        .await
}

/// Makes an empty cluster and starts a server on it; gives its URL, too.
pub(crate) async fn start(
    home: &Path,
    workspace: &ServerFolder,
    parts: &WantedParts,
    secured: Option<&SecuredServers>,
) -> Result<(NativeServer, String), StackError> {
    let folder = workspace.folder("postgres")?;
    let user = somebody_else()?;
    give_away(&folder, user)?;
    let password = super::password();
    initialise(home, &folder, user, &password).await?;
    let url = |port: u16| match secured {
        None => format!("postgres://{SUPERUSER}:{password}@127.0.0.1:{port}/postgres"),
        Some(secured) => format!(
            "postgres://{SUPERUSER}:{password}@localhost:{port}/postgres?sslmode=verify-full&sslrootcert={}",
            secured.ca_file.display()
        ),
    };
    let security =
        secured.map_or(Ok(vec![]), |secured_servers| secure(secured_servers, &folder, user))?;
    let (server, [port, _]) =
        NativeServer::start_near(parts.port(StackPart::Postgres), workspace, |ports| {
            let arguments =
                [arguments(&folder, ports[0], parts.durability), security.clone()].concat();
            let program = home.join("bin/postgres");
            let launch = LaunchCommand {
                environment: vec![("LC_ALL", "C".to_owned())],
                user,
                ..LaunchCommand::new(StackPart::Postgres, &program, arguments, &folder)
            };
            Ok((launch, ServerProbe::Postgres { url: url(ports[0]) }))
        })
        .await?;
    Ok((server, url(port)))
}

async fn initialise(
    home: &Path,
    folder: &Path,
    user: Option<(u32, u32)>,
    password: &str,
) -> Result<(), StackError> {
    let password_file = folder.join("password");
    fs::write(&password_file, password).map_err(StackError::path("write", &password_file))?;
    let mut command = Command::new(home.join("bin/initdb"));
    command.args(["--no-sync", "--auth=scram-sha-256", "--encoding=UTF8", "--username", SUPERUSER]);
    // The same order of text on every machine, whatever locales it has.
    command.args(["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]);
    command.arg("--pwfile").arg(&password_file).arg("-D").arg(folder.join("data"));
    command.env("LC_ALL", "C").current_dir(folder);
    give_away(&password_file, user)?;
    if let Some((user, group)) = user {
        command.uid(user).gid(group);
    }
    tool::run(command).await?;
    fs::remove_file(&password_file).map_err(StackError::path("remove", &password_file))
}

fn arguments(folder: &Path, port: u16, durability: StorageDurability) -> Vec<String> {
    let mut settings: Vec<_> = SETTINGS.map(str::to_owned).into();
    settings
        .extend(["listen_addresses=127.0.0.1", "unix_socket_permissions=0700"].map(str::to_owned));
    settings.push(format!("unix_socket_directories={}", folder.display()));
    settings.push(format!("port={port}"));
    if durability == StorageDurability::Forgetful {
        settings.extend(FORGETFUL.map(str::to_owned));
    }
    let mut arguments = vec!["-D".to_owned(), folder.join("data").display().to_string()];
    arguments.extend(settings.into_iter().flat_map(|setting| ["-c".to_owned(), setting]));
    arguments
}

/// Settings of a server that refuses connections in plain text.
fn secure(
    secured: &SecuredServers,
    folder: &Path,
    user: Option<(u32, u32)>,
) -> Result<Vec<String>, StackError> {
    let (rules, key) = (folder.join("hba.conf"), folder.join("server.key"));
    let certified = SecuredServers::certified();
    let lines = format!("hostssl all {certified} all cert\nhostssl all all all scram-sha-256\n");
    fs::write(&rules, lines).map_err(StackError::path("write", &rules))?;
    // The server takes no key that others may read.
    fs::copy(secured.server_file("server.key"), &key).map_err(StackError::path("write", &key))?;
    give_away(&key, user)?;
    let settings = [
        "ssl=on".to_owned(),
        format!("hba_file={}", rules.display()),
        format!("ssl_cert_file={}", secured.server_file("server.pem").display()),
        format!("ssl_key_file={}", key.display()),
        format!("ssl_ca_file={}", secured.ca_file.display()),
    ];
    Ok(settings.into_iter().flat_map(|setting| ["-c".to_owned(), setting]).collect())
}

/// Makes this user the owner of a file or folder, if the server does not run as our own.
pub(super) fn give_away(path: &Path, user: Option<(u32, u32)>) -> Result<(), StackError> {
    let Some((user, group)) = user else { return Ok(()) };
    chown(path, Some(user), Some(group)).map_err(StackError::path("give away", path))
}

/// The user that runs the server, if this process is root.
pub(super) fn somebody_else() -> Result<Option<(u32, u32)>, StackError> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    let known = STAND_INS.into_iter().find_map(|name| User::from_name(name).ok().flatten());
    match known {
        Some(user) => Ok(Some((user.uid.as_raw(), user.gid.as_raw()))),
        None => Err(StackError::Missing {
            missing: "a user that may run Postgres, which root may not".to_owned(),
            command: "useradd --system postgres".to_owned(),
        }),
    }
}

fn platform() -> Result<&'static str, StackError> {
    match (std::env::consts::OS, std::env::consts::ARCH) {
        ("linux", "x86_64") => Ok("linux-amd64"),
        ("linux", "aarch64") => Ok("linux-arm64v8"),
        ("macos", "x86_64") => Ok("darwin-amd64"),
        ("macos", "aarch64") => Ok("darwin-arm64v8"),
        (system, machine) => {
            let platform = format!("{system} on {machine}");
            Err(StackError::Platform { part: StackPart::Postgres, platform })
        }
    }
}

fn only_file(folder: &Path, ending: &str) -> Result<PathBuf, StackError> {
    let entries = fs::read_dir(folder).map_err(StackError::path("read", folder))?;
    let mut paths = entries.filter_map(Result::ok).map(|entry| entry.path());
    paths.find(|path| path.extension().is_some_and(|name| name == ending)).ok_or_else(|| {
        let what = format!("no .{ending} in {}", folder.display());
        StackError::System { what, source: std::io::ErrorKind::NotFound.into() }
    })
}
