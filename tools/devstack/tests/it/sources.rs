//! The environment selects the source of a stack.

use std::process::{Command, Output};

use devstack::shared;
use tempfile::TempDir;

const ADDRESSES: [&str; 5] = [
    "SAGA_STACK_BROKERS",
    "SAGA_STACK_POSTGRES",
    "SAGA_STACK_REGISTRY",
    "SAGA_STACK_SMTP",
    "SAGA_STACK_MAIL_API",
];

/// The command, in an environment that names no stack.
pub(crate) fn without_a_stack(mut command: Command) -> Command {
    for name in ADDRESSES {
        command.env_remove(name);
    }
    command.env("SAGA_STACK", "native");
    command
}

fn devstack(arguments: &[&str]) -> Command {
    let mut command = without_a_stack(Command::new(env!("CARGO_BIN_EXE_devstack")));
    command.args(arguments);
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn a_stack_in_the_environment_is_used_and_passed_on() {
    let exports = shared().await.exports();
    let printed = devstack(&["env"]).envs(exports.iter().cloned()).output().unwrap();
    assert!(printed.status.success(), "{}", said(&printed));
    let printed = String::from_utf8(printed.stdout).unwrap();
    for (name, value) in exports {
        assert!(printed.lines().any(|line| line == format!("{name}={value}")), "{name}");
    }
}

#[test]
fn half_a_stack_in_the_environment_is_refused_by_name() {
    let output = devstack(&["true"]).env("SAGA_STACK_BROKERS", "127.0.0.1:1").output().unwrap();
    assert!(!output.status.success());
    assert!(said(&output).contains("SAGA_STACK_POSTGRES is not set"), "{}", said(&output));
}

#[test]
fn an_unknown_source_is_refused_with_those_that_are_known() {
    let output = devstack(&["true"]).env("SAGA_STACK", "magic").output().unwrap();
    assert!(!output.status.success());
    assert!(said(&output).contains("`native` or `docker`"), "{}", said(&output));
}

#[test]
fn a_missing_tool_is_named_with_the_command_that_brings_it() {
    let empty = TempDir::new().unwrap();
    let output = devstack(&["true"])
        .env("SAGA_STACK_CACHE", empty.path().join("cache"))
        .env("TMPDIR", empty.path())
        // Nothing is found there, not even what could install the rest.
        .env("PATH", empty.path())
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(said(&output).contains("apt-get install --no-install-recommends"), "{}", said(&output));
}

#[test]
fn the_commands_exit_code_is_passed_on() {
    let given = ADDRESSES.map(|name| (name, "nowhere"));
    let status =
        devstack(&["sh", "-c", "exit 7"]).envs(given).stderr(std::process::Stdio::null()).status();
    assert_eq!(status.unwrap().code(), Some(7));
}

#[test]
fn help_and_version_are_printed_and_nothing_is_started() {
    let empty = TempDir::new().unwrap();
    for (argument, expected) in [("--help", "Usage: devstack"), ("--version", "devstack ")] {
        let output = devstack(&[argument]).env("TMPDIR", empty.path()).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        assert!(String::from_utf8_lossy(&output.stdout).contains(expected), "{output:?}");
        assert_eq!(said(&output), "", "no server reports that it starts");
    }
}

#[test]
fn an_unknown_argument_is_an_error_and_those_of_the_command_are_its_own() {
    let output = devstack(&["--verbose"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("--verbose"), "{}", said(&output));
    let given = ADDRESSES.map(|name| (name, "nowhere"));
    let output = devstack(&["echo", "--verbose"]).envs(given).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "--verbose\n");
}
