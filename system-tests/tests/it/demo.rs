//! `cargo demo` as its user meets it: the commands that it prints, a port that is taken, a part that
//! dies, Ctrl-C.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{ExitStatus, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};
use xtask::cluster;

const STANDS: &str = "Everything stays up until Ctrl-C.";

/// A demo that runs, and what it has said so far.
struct Demo {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    said: Vec<String>,
    folder: TempDir,
}

impl Demo {
    /// Starts one on servers of its own, with logs in a folder of its own.
    #[expect(clippy::disallowed_methods, reason = "where programs are is no setting of ours")]
    fn start() -> Self {
        let folder = TempDir::new().unwrap();
        // The programs that are tried were built with this test.
        let cargo = folder.path().join("cargo");
        fs::write(&cargo, "#!/bin/sh\nexit 0\n").unwrap();
        fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
        let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
        let mut command = Command::new(cluster::programs().unwrap().join("xtask"));
        command.args(["demo", "--from", "native", "--logs"]).arg(folder.path().join("logs"));
        command.env("PATH", path).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines, said: vec![], folder }
    }

    /// Waits for a line with these words.
    async fn says(&mut self, words: &str) -> String {
        while let Some(line) = self.lines.next_line().await.unwrap() {
            self.said.push(line.clone());
            if line.contains(words) {
                return line;
            }
        }
        panic!("it never said {words:?}, but:\n{}", self.said.join("\n"));
    }

    /// What was said after the line with these words and before the one with those.
    fn between(&self, begin: &str, end: &str) -> String {
        let after = self.said.iter().skip_while(|line| !line.contains(begin)).skip(1);
        let lines: Vec<_> = after.take_while(|line| !line.contains(end)).cloned().collect();
        lines.join("\n")
    }

    fn pid_of(&self, process: &str) -> Pid {
        let line = self.said.iter().find(|line| line.contains(process) && line.contains(" pid "));
        let (_, after) = line.unwrap().split_once(" pid ").unwrap();
        Pid::from_raw(after.split_whitespace().next().unwrap().parse().unwrap())
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.process.id().unwrap().cast_signed());
        kill(pid, signal).unwrap();
    }

    /// Waits for its end.
    async fn end(&mut self) -> ExitStatus {
        while let Some(line) = self.lines.next_line().await.unwrap() {
            self.said.push(line);
        }
        self.process.wait().await.unwrap()
    }

    fn logs(&self) -> &Path {
        self.folder.path()
    }
}

async fn shell(command: &str) -> String {
    let output = Command::new("sh").args(["-c", command]).output().await.unwrap();
    assert!(output.status.success(), "{command}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn what_the_demo_prints_can_be_pasted_and_ctrl_c_stops_it_in_order() {
    let taken = TcpListener::bind("127.0.0.1:8001");
    let mut demo = Demo::start();
    let moved = demo.says("port 8001 is taken").await;
    assert!(moved.starts_with('!'), "{moved}");
    demo.says(STANDS).await;
    let placed = shell(&demo.between("Place an order", "See how it ends")).await;
    let placed: Value = serde_json::from_str(&placed).unwrap();
    let show = demo.between("See how it ends", "The first order above");
    let order = shell(&show.replace("ID", placed["id"].as_str().unwrap())).await;
    assert_eq!(serde_json::from_str::<Value>(&order).unwrap()["status"], "confirmed");
    let words = demo.said.join("\n");
    assert!(words.contains("payment-refunded"), "{words}");
    assert!(words.contains("EUR charged and refunded"), "{words}");
    assert!(!words.contains('\u{1b}'), "no terminal, no control sequences");

    demo.signal(Signal::SIGINT);
    assert_eq!(demo.end().await.code(), Some(0), "{}", demo.said.join("\n"));
    let end = demo.between("Stopping", "Logs are in");
    for stopped in ["order-service", "payment-service", "gateway-simulator", "servers"] {
        assert!(end.contains(stopped), "{stopped}: {end}");
    }
    for log in ["order-service", "gateway-simulator", "kafka", "postgres", "registry", "mail"] {
        let log = demo.logs().join("logs").join(format!("{log}.log"));
        assert!(log.exists(), "{}", log.display());
    }
    drop(taken);
}

#[tokio::test]
async fn a_part_that_dies_is_said_at_once_and_started_again_only_when_asked() {
    let mut demo = Demo::start();
    demo.says(STANDS).await;
    kill(demo.pid_of("notify-service"), Signal::SIGKILL).unwrap();
    let died = demo.says("has ended").await;
    assert_eq!(died, "✘ notify-service has ended: signal 9 (SIGKILL)");
    demo.says("Nothing is started again by itself").await;
    demo.signal(Signal::SIGUSR1);
    demo.says("✔ notify-service is ready again").await;
    kill(demo.pid_of("payment-service"), Signal::SIGKILL).unwrap();
    demo.says("✘ payment-service has ended: signal 9 (SIGKILL)").await;
    demo.signal(Signal::SIGTERM);
    assert_eq!(demo.end().await.code(), Some(1));
    let end = demo.between("Stopping", "Logs are in");
    assert!(end.contains("✘ payment-service had ended by itself: signal 9 (SIGKILL)"), "{end}");
}
