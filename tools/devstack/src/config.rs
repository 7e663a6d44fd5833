//! Settings of the stack from the environment; no other module of this crate reads them.

use std::path::PathBuf;

use crate::{ServerSource, StackError, StackPart, StackUrls};

/// The Kafka brokers, `host:port,…`.
pub(crate) const BROKERS: &str = "SAGA_STACK_BROKERS";
/// The URL of a Postgres superuser's connection to the database `postgres`.
pub(crate) const POSTGRES: &str = "SAGA_STACK_POSTGRES";
/// The schema registry's base URL, with its path.
pub(crate) const REGISTRY: &str = "SAGA_STACK_REGISTRY";
/// The mail server, `host:port`.
pub(crate) const SMTP: &str = "SAGA_STACK_SMTP";
/// The base URL under which Mailpit shows what was mailed.
pub(crate) const MAIL_API: &str = "SAGA_STACK_MAIL_API";
/// Where a stack comes from when none is given: `native` or `docker`.
const STACK: &str = "SAGA_STACK";
/// Where servers are installed, instead of the system's cache folder.
const CACHE: &str = "SAGA_STACK_CACHE";

/// The kind that `SAGA_STACK` asks for; local processes if it says nothing.
pub(crate) fn choice() -> Result<ServerSource, StackError> {
    match variable(STACK).as_deref() {
        None | Some("native") => Ok(ServerSource::Native),
        Some("docker") => Ok(ServerSource::Docker),
        Some(other) => Err(StackError::Setting {
            name: STACK,
            value: other.to_owned(),
            allowed: "`native` or `docker`",
        }),
    }
}

/// Whether the environment names any part of a stack.
pub(crate) fn names_a_stack() -> bool {
    [BROKERS, POSTGRES, REGISTRY, SMTP, MAIL_API].into_iter().any(|name| variable(name).is_some())
}

/// The addresses in the environment; all those of the wanted parts must be there.
pub(crate) fn urls(wanted: &[StackPart]) -> Result<StackUrls, StackError> {
    let need = |part: StackPart, name: &'static str| match variable(name) {
        Some(value) => Ok(value),
        None if wanted.contains(&part) => Err(StackError::NotSet(name)),
        None => Ok(String::new()),
    };
    Ok(StackUrls {
        brokers: need(StackPart::Kafka, BROKERS)?,
        postgres: need(StackPart::Postgres, POSTGRES)?,
        registry: need(StackPart::Registry, REGISTRY)?,
        smtp: need(StackPart::Mail, SMTP)?,
        mail_api: need(StackPart::Mail, MAIL_API)?,
    })
}

/// The folder in which servers are kept between runs. Root's home is closed to the user that runs
/// Postgres, so root uses the system's cache.
pub(crate) fn cache_folder() -> PathBuf {
    let ours = "saga-devstack";
    if let Some(folder) = variable(CACHE) {
        return folder.into();
    }
    if nix::unistd::geteuid().is_root() {
        return PathBuf::from("/var/cache").join(ours);
    }
    match (variable("XDG_CACHE_HOME"), std::env::home_dir()) {
        (Some(cache), _) => PathBuf::from(cache).join(ours),
        (None, Some(home)) => home.join(".cache").join(ours),
        (None, None) => std::env::temp_dir().join(ours),
    }
}

/// The folders in which programs are looked for.
pub(crate) fn program_folders() -> Vec<PathBuf> {
    variable("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default()
}

#[expect(clippy::disallowed_methods, reason = "this is the config")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
