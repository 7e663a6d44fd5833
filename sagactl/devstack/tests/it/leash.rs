//! Nothing outlives the process that started it.

use std::{
    collections::HashSet,
    fs,
    io::{BufRead as _, BufReader},
    net::TcpStream,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use devstack::docker_answers;
use tempfile::TempDir;

use crate::sources::without_a_stack;

const PATIENCE: Duration = Duration::from_mins(1);

#[test]
fn a_killed_process_leaves_no_server_and_no_data_behind() {
    let data = folder();
    let mut holder = Holder::start(&mut holder(data.path()));
    let servers = descendants(holder.process.id());
    assert!(servers.len() > 8, "four servers, each with its supervisor: {servers:?}");
    assert!(!is_empty(data.path()));
    holder.process.kill().unwrap();
    holder.process.wait().unwrap();
    until("all servers are gone", || !servers.iter().any(|process| lives(*process)));
    until("the data is gone", || is_empty(data.path()));
}

#[test]
fn a_stopped_stack_is_gone_with_its_data() {
    let data = folder();
    let mut command = holder(data.path());
    let output = command.args(["sh", "-c", "echo $SAGA_STACK_BROKERS"]).output().unwrap();
    assert!(output.status.success());
    let brokers = String::from_utf8(output.stdout).unwrap();
    assert!(TcpStream::connect(brokers.trim()).is_err());
    assert!(is_empty(data.path()), "nothing is left when it has stopped");
}

#[tokio::test]
async fn a_killed_process_leaves_no_container_behind() {
    if !docker_answers().await {
        eprintln!("no Docker engine answers: nothing to be tried");
        return;
    }
    let before = containers();
    let data = folder();
    let mut holder = Holder::start(holder(data.path()).env("SAGA_STACK", "docker"));
    let ours: Vec<_> = containers().difference(&before).cloned().collect();
    assert!(ours.len() >= 4, "{ours:?}");
    holder.process.kill().unwrap();
    holder.process.wait().unwrap();
    until("all containers are gone", || containers().iter().all(|it| !ours.contains(it)));
}

/// The ids of all containers of all stacks.
fn containers() -> HashSet<String> {
    let mut command = Command::new("docker");
    command.args(["ps", "--all", "--quiet", "--filter", "label=saga.devstack"]);
    let listed = String::from_utf8(command.output().unwrap().stdout).unwrap();
    listed.lines().map(str::to_owned).collect()
}

/// A folder for the data of a stack, through which Postgres' user can pass.
fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711)).unwrap();
    folder
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().next().is_none()
}

/// The command that holds a stack, with its data in this folder.
fn holder(data: &Path) -> Command {
    let mut command = without_a_stack(Command::new(env!("CARGO_BIN_EXE_devstack")));
    command.env("TMPDIR", data);
    command
}

/// A process that holds a stack and does nothing else.
struct Holder {
    process: Child,
}

impl Holder {
    fn start(command: &mut Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let said = BufReader::new(process.stdout.take().unwrap()).lines().take(5);
        assert!(said.map(Result::unwrap).all(|line| line.starts_with("export SAGA_STACK_")));
        Self { process }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // It has ended already unless the test failed.
        self.process.kill().ok();
    }
}

fn descendants(ancestor: u32) -> HashSet<u32> {
    let mut family = HashSet::from([ancestor]);
    let parents: Vec<_> = processes().filter_map(|it| Some((it, parent(it)?))).collect();
    loop {
        let more: HashSet<_> = parents
            .iter()
            .filter(|(child, parent)| family.contains(parent) && !family.contains(child))
            .map(|(child, _)| *child)
            .collect();
        if more.is_empty() {
            family.remove(&ancestor);
            return family;
        }
        family.extend(more);
    }
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// State and parent, from what stands behind the name in brackets.
fn status(process: u32) -> Option<(String, u32)> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let mut words = text.rsplit_once(')')?.1.split_whitespace();
    Some((words.next()?.to_owned(), words.next()?.parse().ok()?))
}

fn parent(process: u32) -> Option<u32> {
    status(process).map(|(_, parent)| parent)
}

/// One that has ended and waits to be collected does not live.
fn lives(process: u32) -> bool {
    status(process).is_some_and(|(state, _)| state != "Z")
}

fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "still waiting until {what}");
        thread::park_timeout(Duration::from_millis(10));
    }
}
