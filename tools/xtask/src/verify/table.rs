//! The checks, their order, and how long each may take on two idle cores with registries
//! at hand and nothing built: the budget of `.ci/run`.

use std::time::Duration;

/// All of it, `.ci/run`'s preparation included.
pub(super) const TOTAL_BUDGET: Duration = Duration::from_mins(25);
/// What comes before this program runs: the build of everything that it is made of, beside which
/// the container engine and its images are set up.
pub(super) const BEFORE_BUDGET: Duration = Duration::from_mins(7);

/// Requirements of a check beside the compiler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CheckNeeds {
    /// Nothing that it does not start itself.
    Nothing,
    /// A stack of local processes, which is started for all checks together.
    NativeStack,
    Docker,
    /// A stack in containers.
    DockerStack,
    /// A Docker engine, and the image in which programs are compiled.
    DockerCompiler,
    /// Go, which brings tools that no other registry has.
    Go,
}

/// When a check is run.
#[derive(Clone, Copy, Debug)]
pub(super) enum CheckTime {
    /// By every `cargo verify`.
    Always,
    /// By `cargo verify --all`.
    All,
    /// By `cargo verify --all`, and when one of these files is not as it was when the check passed
    /// last. A folder stands for all files in it.
    Changed(&'static [&'static str]),
}

/// A command that has to succeed.
#[derive(Debug)]
pub(super) struct VerifyCheck {
    pub(super) name: &'static str,
    pub(super) command: &'static [&'static str],
    pub(super) environment: &'static [(&'static str, &'static str)],
    pub(super) needs: CheckNeeds,
    pub(super) when: CheckTime,
    /// How often it may be tried. Twice where only a compiler runs: the same sources give the same
    /// outcome, so a second one that is better tells of a tool that crashed, not of luck in a test.
    pub(super) attempts: u32,
    pub(super) budget: Duration,
}

impl VerifyCheck {
    /// When it would be run, in words.
    pub(super) fn adds(&self) -> String {
        match self.when {
            CheckTime::Always => "always".to_owned(),
            CheckTime::All => self.command.join(" "),
            CheckTime::Changed(inputs) => {
                format!("(unchanged since it passed: {})", inputs.join(", "))
            }
        }
    }
}

const fn check(name: &'static str, budget: u64, command: &'static [&'static str]) -> VerifyCheck {
    VerifyCheck {
        name,
        command,
        environment: &[],
        needs: CheckNeeds::Nothing,
        when: CheckTime::Always,
        attempts: 1,
        budget: Duration::from_secs(budget),
    }
}

/// A check in which nothing runs but a compiler.
const fn compile(name: &'static str, budget: u64, command: &'static [&'static str]) -> VerifyCheck {
    VerifyCheck { attempts: 2, ..check(name, budget, command) }
}

const TESTS: &[&str] =
    &["cargo-nextest", "nextest", "run", "--workspace", "--locked", "-E", "not binary(models)"];

/// The checks, cheap ones first. `--workspace` in all of them: one set of features, one build of
/// each dependency.
pub(super) const CHECKS: [VerifyCheck; 15] = [
    check("format", 5, &["cargo", "fmt", "--all", "--check"]),
    check("dependencies", 15, &["cargo-deny", "check", "bans", "licenses", "sources"]),
    check("unused dependencies", 10, &["cargo-shear", "--locked"]),
    compile(
        "lints",
        100,
        &["cargo", "clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"],
    ),
    VerifyCheck {
        environment: &[("RUSTDOCFLAGS", "-D warnings")],
        ..compile(
            "documents",
            25,
            &["cargo", "doc", "--workspace", "--no-deps", "--document-private-items", "--locked"],
        )
    },
    compile("build", 30, &["cargo", "build", "--workspace", "--all-targets", "--locked"]),
    check("models", 40, &["cargo", "test", "--workspace", "--locked", "--test", "models"]),
    VerifyCheck { needs: CheckNeeds::NativeStack, ..check("tests", 450, TESTS) },
    check("readme", 60, &["xtask", "readme-test"]),
    check("fuzz", 60, &["xtask", "fuzz", "--from", "native"]),
    VerifyCheck {
        needs: CheckNeeds::Docker,
        ..check("demo in containers", 60, &["xtask", "demo", "--once", "--from", "docker"])
    },
    VerifyCheck { needs: CheckNeeds::Docker, ..check("compose", 150, &["xtask", "compose-test"]) },
    VerifyCheck {
        needs: CheckNeeds::Go,
        when: CheckTime::Changed(&["deploy/k8s", "tools/xtask/manifests"]),
        ..check("manifests", 60, &["xtask", "manifests"])
    },
    VerifyCheck {
        needs: CheckNeeds::DockerCompiler,
        when: CheckTime::Changed(&["Cargo.lock", "deploy/Dockerfile", ".dockerignore"]),
        ..check("complete compose", 1_200, &["xtask", "compose-test", "--complete"])
    },
    VerifyCheck {
        needs: CheckNeeds::DockerStack,
        when: CheckTime::All,
        ..check("tests in containers", 600, TESTS)
    },
];
