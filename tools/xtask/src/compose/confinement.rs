//! Limits of a container: reachable from this machine alone, opens only its own database, writes
//! only to its volumes, uses only its given memory, knows only its own password.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::Context as _;
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};

use super::project::ComposeProject;

/// Roles, each with a database of its name.
pub(super) const ROLES: [&str; 5] = ["orders", "inventory", "payments", "notify", "registry"];

/// What the machine gives up to this stack, at most, without Grafana and a load.
const MEMORY_BYTES_MAX: u64 = 4 << 30;

/// Postgres' word for somebody who may not.
const PERMISSION_DENIED: &str = "42501";

/// Nothing of it can be reached from another machine: by what the engine says, and by what the
/// kernel says listens at these ports.
pub(super) async fn loopback_only(project: &ComposeProject) -> anyhow::Result<()> {
    let mut published = Vec::new();
    for container in project.containers().await? {
        let name = name(&container);
        let ports = container["NetworkSettings"]["Ports"].as_object();
        for binding in
            ports.into_iter().flatten().filter_map(|(_, bindings)| bindings.as_array()).flatten()
        {
            let (ip, port) = (&binding["HostIp"], &binding["HostPort"]);
            anyhow::ensure!(ip == "127.0.0.1", "{name} is published at {ip}:{port}");
            published.push(port.as_str().context("a port that is no text")?.parse::<u16>()?);
        }
    }
    anyhow::ensure!(!published.is_empty(), "nothing is published");
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let listeners = fs::read_to_string(table).unwrap_or_default();
        let open = listens_everywhere(&listeners);
        let exposed: Vec<&u16> = published.iter().filter(|n| open.contains(n)).collect();
        anyhow::ensure!(exposed.is_empty(), "{exposed:?} listen beyond loopback");
    }
    Ok(())
}

/// The ports at which somebody listens at every address, from the kernel's table of sockets.
fn listens_everywhere(table: &str) -> Vec<u16> {
    const LISTEN: &str = "0A";
    let listeners = table.lines().skip(1).filter_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let (local, _remote, state) = (words.next()?, words.next()?, words.next()?);
        let (address, port) = local.split_once(':')?;
        let everywhere = state == LISTEN && address.bytes().all(|digit| digit == b'0');
        everywhere.then(|| u16::from_str_radix(port, 16).ok()).flatten()
    });
    listeners.collect()
}

/// A role opens the database of its name, and no other.
pub(super) async fn no_neighbours_database(
    server: &str,
    passwords: &BTreeMap<String, String>,
) -> anyhow::Result<()> {
    for role in ROLES {
        let password = passwords.get(role).with_context(|| format!("no password of {role}"))?;
        let databases = ROLES.into_iter().chain(["postgres"]);
        for database in databases {
            let url = format!("postgres://{role}:{password}@{server}/{database}");
            let denied = match PgConnection::connect(&url).await {
                Ok(_) => false,
                Err(sqlx::Error::Database(error))
                    if error.code().as_deref() == Some(PERMISSION_DENIED) =>
                {
                    true
                }
                Err(error) => return Err(error).context(format!("{role} at {database}")),
            };
            anyhow::ensure!(denied != (role == database), "{role} opens {database}: {}", !denied);
        }
    }
    Ok(())
}

/// No container can write where its program lies, gain rights, or take all memory.
pub(super) async fn contained(project: &ComposeProject) -> anyhow::Result<()> {
    let file = tempfile::NamedTempFile::new()?;
    let mut memory = 0;
    for container in project.containers().await? {
        let (name, host) = (name(&container), &container["HostConfig"]);
        let id = container["Id"].as_str().context("a container without an id")?;
        let written = write(project, file.path(), id).await;
        anyhow::ensure!(written.is_err(), "{name} takes a file at its root");
        let no_rights =
            |value: &Value| value.as_array().is_some_and(|all| all.contains(&"ALL".into()));
        anyhow::ensure!(no_rights(&host["CapDrop"]), "{name} keeps capabilities");
        let options = host["SecurityOpt"].to_string();
        anyhow::ensure!(options.contains("no-new-privileges"), "{name} can gain rights");
        let own = container["Config"]["Labels"]["org.opencontainers.image.licenses"].is_string();
        let user = &container["Config"]["User"];
        anyhow::ensure!(!own || user == "10001:10001", "{name} runs as {user}");
        let bytes = host["Memory"].as_u64().filter(|n| *n > 0);
        memory += bytes.with_context(|| format!("{name} has no limit of memory"))?;
    }
    anyhow::ensure!(memory < MEMORY_BYTES_MAX, "{memory} bytes of memory are given away");
    Ok(())
}

async fn write(project: &ComposeProject, file: &Path, container: &str) -> anyhow::Result<String> {
    let target = format!("{container}:/written-by-a-test");
    project.docker(&["cp", &file.to_string_lossy(), &target]).await
}

/// No password stands in what the engine tells of a container.
pub(super) async fn secret(
    project: &ComposeProject,
    passwords: &BTreeMap<String, String>,
) -> anyhow::Result<()> {
    for container in project.containers().await? {
        let text = container.to_string();
        let told = passwords.iter().find(|(_, password)| text.contains(password.as_str()));
        if let Some((role, _)) = told {
            anyhow::bail!("the password of {role} stands in {}", name(&container));
        }
    }
    Ok(())
}

fn name(container: &Value) -> String {
    container["Name"].as_str().unwrap_or("a container").trim_start_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_everywhere_is_told_from_who_listens_on_loopback() {
        let table = "  sl  local_address rem_address   st tx_queue\n\
             0: 0100007F:1F41 00000000:0000 0A 0\n\
             1: 00000000:1F42 00000000:0000 0A 0\n\
             2: 00000000:1F43 0100007F:0001 01 0\n\
             3: 00000000000000000000000000000000:1F44 00000000000000000000000000000000:0000 0A 0\n";
        assert_eq!(listens_everywhere(table), [0x1F42, 0x1F44]);
    }
}
