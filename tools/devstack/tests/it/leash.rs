//! Nothing outlives the process that started it.

use std::{
    collections::HashSet,
    fs,
    io::{BufRead as _, BufReader, Read as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Child, Command, Stdio},
};

use devstack::{TestWait, docker_answers};
use tempfile::TempDir;

use crate::sources::without_a_stack;

#[test]
fn a_killed_process_leaves_no_server_and_no_data_behind() {
    let data = folder();
    let mut holder = Holder::start(&mut holder(data.path()));
    let servers = descendants(holder.process.id());
    assert!(servers.len() > 8, "four servers, each with its supervisor: {servers:?}");
    assert!(!is_empty(data.path()));
    holder.process.kill().unwrap();
    holder.process.wait().unwrap();
    all_end(&servers);
    let mut patience = TestWait::until("the data is gone");
    while !is_empty(data.path()) {
        patience.look_again_blocking("it is there");
    }
}

#[test]
fn a_stopped_stack_is_gone_with_its_data() {
    let data = folder();
    let mut command = holder(data.path());
    // A command that says when it has begun, and lives until its input ends.
    command.args(["sh", "-c", "echo begun; exec cat"]).stdin(Stdio::piped());
    let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut said = [0; 6];
    process.stdout.take().unwrap().read_exact(&mut said).unwrap();
    let servers = descendants(process.id());
    assert!(servers.len() > 8, "{servers:?}");
    drop(process.stdin.take());
    assert!(process.wait().unwrap().success());
    assert!(is_empty(data.path()), "nothing is left when it has stopped");
    all_end(&servers);
}

#[tokio::test]
async fn a_killed_process_leaves_no_container_behind() {
    if !docker_answers().await {
        eprintln!("no Docker engine answers: nothing to be tried");
        return;
    }
    let data = folder();
    let mut holder = Holder::start(holder(data.path()).env("SAGA_STACK", "docker"));
    let ours = containers(holder.process.id());
    assert!(ours.len() >= 4, "{ours:?}");
    holder.process.kill().unwrap();
    holder.process.wait().unwrap();
    let mut patience = TestWait::until("all containers are gone");
    loop {
        let left = containers(holder.process.id());
        if left.is_empty() {
            return;
        }
        patience.look_again_blocking(left);
    }
}

/// The containers of the stack that a process holds: its id is the end of their label.
fn containers(holder: u32) -> Vec<String> {
    let mut command = Command::new("docker");
    command.args(["ps", "--all", "--filter", "label=saga.devstack"]);
    command.args(["--format", "{{.ID}} {{.Label \"saga.devstack\"}}"]);
    let listed = String::from_utf8(command.output().unwrap().stdout).unwrap();
    let ours = listed.lines().filter(|text| text.ends_with(&format!("-{holder}")));
    ours.map(str::to_owned).collect()
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
        // What it complains of is seen where the test's own output is.
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(process.stdout.take().unwrap()).lines().take(5);
        let exports =
            said.map(Result::unwrap).filter(|line| line.starts_with("export SAGA_STACK_"));
        assert_eq!(exports.count(), 5, "the stack stands, and its addresses are said");
        Self { process }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // It has ended already unless the test failed.
        self.process.kill().ok();
    }
}

/// A process. The system gives an id again some day, but not with the same beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Process {
    id: u32,
    parent: u32,
    /// When it began, in ticks since the machine did.
    began: u64,
}

impl Process {
    /// From what stands behind the name in brackets; none if it is gone. One that has ended and waits
    /// to be collected is as good as gone.
    fn find(id: u32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        let words: Vec<_> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let (parent, began) = (words.get(1)?.parse().ok()?, words.get(19)?.parse().ok()?);
        (words[0] != "Z").then_some(Self { id, parent, began })
    }

    fn lives(self) -> bool {
        Self::find(self.id).is_some_and(|process| process.began == self.began)
    }
}

fn processes() -> Vec<Process> {
    let entries = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter_map(Process::find).collect()
}

fn descendants(ancestor: u32) -> HashSet<Process> {
    let (all, mut family) = (processes(), HashSet::from([ancestor]));
    let mut found = HashSet::new();
    loop {
        let is_new =
            |process: &&Process| family.contains(&process.parent) && !family.contains(&process.id);
        let more: Vec<Process> = all.iter().filter(is_new).copied().collect();
        if more.is_empty() {
            return found;
        }
        family.extend(more.iter().map(|process| process.id));
        found.extend(more);
    }
}

fn all_end(processes: &HashSet<Process>) {
    let mut patience = TestWait::until("all servers are gone");
    loop {
        let left = processes.iter().filter(|process| process.lives()).count();
        if left == 0 {
            return;
        }
        patience.look_again_blocking(left);
    }
}
