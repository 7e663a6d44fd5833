//! Crates by way of a mirror: the Dockerfile's `CRATES_MIRROR`, and its layers.
//!
//! The compose file and the Dockerfile as they are build a workspace in miniature, whose programs
//! need a crate that is nowhere but on a mirror which stands here for a minute. So what is built
//! came by way of the mirror. Each run has a crate and an image of its own name: no cache knows
//! them, and two runs do not meet.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::Context as _;
use axum::{Router, extract::Path as Asked, http::StatusCode, routing::get};
use serde_json::json;
use tempfile::TempDir;
use tokio::{net::TcpListener, process::Command, task::JoinSet};

use super::project::Project;

/// Where the Dockerfile's programs lie; one within another's folder, as with us.
const PROGRAMS: [&str; 6] = [
    "order-service",
    "inventory-service",
    "payment-service",
    "notify-service",
    "payment-service/gateway-simulator",
    "sagactl",
];

/// The one that is looked at.
const PROGRAM: &str = PROGRAMS[0];

/// What is tried: the repository's own files.
const FILES: [&str; 3] = ["docker-compose.yml", "deploy/Dockerfile", ".dockerignore"];

/// Lets a build reach this machine's loopback. It is no part of what is built.
const HOST_NETWORK: &str = "deploy/host-network.json";

const VERSION: &str = "1.0.0";

/// Builds by way of a mirror; again after a change of sources, with the crates left as they are.
pub(super) async fn tried(project: &Project, repository: &Path) -> anyhow::Result<()> {
    let mirror = Mirror::start().await?;
    let workspace = Workspace::of(repository, &mirror).await?;
    let outcome = builds(project, &mirror, &workspace).await;
    // Whatever was built is of no use to anybody.
    drop(project.docker(&["image", "rm", "--force", &workspace.image()]).await);
    outcome
}

async fn builds(project: &Project, mirror: &Mirror, workspace: &Workspace) -> anyhow::Result<()> {
    let image = workspace.image();
    for (word, kept) in [("first", false), ("second", true)] {
        workspace.change(word)?;
        let (built, said) = workspace.build(&mirror.index()).await?;
        anyhow::ensure!(built, "{word}: nothing is built: {said}");
        let shown = project.docker(&["run", "--rm", &image]).await?;
        anyhow::ensure!(shown.trim() == format!("{word} mirrored"), "{word} is {shown}: {said}");
        let downloads = mirror.downloads();
        anyhow::ensure!(downloads == 1, "{word}: {downloads} times downloaded: {said}");
        anyhow::ensure!(is_kept(&said) == kept, "{word}: dependencies kept, or not: {said}");
        // The next one takes the name, and would leave this one without.
        project.docker(&["image", "rm", &image]).await?;
    }
    Ok(())
}

/// Whether the layer of dependencies was there already.
fn is_kept(progress: &str) -> bool {
    let step = progress.lines().find(|it| it.contains("dependencies ") && it.contains("cargo"));
    let number = step.and_then(|it| it.split_whitespace().next());
    number.is_some_and(|it| progress.lines().any(|line| line == format!("{it} CACHED")))
}

/// A mirror with one crate, as cargo asks a sparse one.
#[derive(Debug)]
struct Mirror {
    name: String,
    at: String,
    downloads: Arc<AtomicU64>,
    /// Ends with it.
    _serving: JoinSet<std::io::Result<()>>,
}

impl Mirror {
    async fn start() -> anyhow::Result<Self> {
        let name = format!("mirrored-{:016x}", fastrand::u64(..));
        let folder = package(&name).await?;
        let packed = folder.path().join(format!("target/package/{name}-{VERSION}.crate"));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let at = format!("http://{}", listener.local_addr()?);
        let (path, downloads) = (format!("{name}/{VERSION}/download"), Arc::new(AtomicU64::new(0)));
        let entry = json!({
            "name": name, "vers": VERSION, "deps": [], "features": {}, "yanked": false,
            "cksum": checksum(&packed).await?,
        });
        let pages = BTreeMap::from([
            ("config.json".to_owned(), json!({ "dl": at }).to_string().into_bytes()),
            (format!("{}/{}/{name}", &name[..2], &name[2..4]), entry.to_string().into_bytes()),
            (path.clone(), fs::read(packed)?),
        ]);
        let counted = Arc::clone(&downloads);
        let answer = async move |Asked(asked): Asked<String>| {
            if asked == path {
                counted.fetch_add(1, Ordering::Relaxed);
            }
            pages.get(&asked).cloned().ok_or(StatusCode::NOT_FOUND)
        };
        let router = Router::new().route("/{*asked}", get(answer));
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, router).await });
        Ok(Self { name, at, downloads, _serving: serving })
    }

    fn index(&self) -> String {
        format!("sparse+{}/", self.at)
    }

    fn downloads(&self) -> u64 {
        self.downloads.load(Ordering::Relaxed)
    }
}

/// The crate of this name, packed below the folder.
async fn package(name: &str) -> anyhow::Result<TempDir> {
    let folder = TempDir::new()?;
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"{VERSION}\"\nedition = \"2024\"\n\
         description = \"Nothing\"\nlicense = \"MIT\"\n[workspace]\n"
    );
    write(folder.path(), "Cargo.toml", &manifest)?;
    write(folder.path(), "src/lib.rs", "pub const WORD: &str = \"mirrored\";\n")?;
    cargo(folder.path(), &["package", "--quiet", "--allow-dirty", "--no-verify"]).await?;
    Ok(folder)
}

/// Programs with the names of ours, which need the mirror's crate, and the files that build them.
#[derive(Debug)]
struct Workspace {
    folder: TempDir,
    /// As compose calls the project.
    name: String,
}

impl Workspace {
    async fn of(repository: &Path, mirror: &Mirror) -> anyhow::Result<Self> {
        let it = Self { folder: TempDir::new()?, name: format!("saga-test-{}", mirror.name) };
        let folder = it.folder.path();
        fs::create_dir(folder.join("deploy"))?;
        for file in FILES {
            fs::copy(repository.join(file), folder.join(file)).context(file)?;
        }
        let network = json!({ "services": { PROGRAM: { "build": { "network": "host" } } } });
        write(folder, HOST_NETWORK, &network.to_string())?;
        let members = json!(PROGRAMS);
        let manifest = format!(
            "[workspace]\nresolver = \"3\"\nmembers = {members}\n\
             [profile.quick]\ninherits = \"dev\"\ndebug = false\n"
        );
        write(folder, "Cargo.toml", &manifest)?;
        for program in PROGRAMS {
            write_program(&folder.join(program), &mirror.name)?;
        }
        it.change("any")?;
        let index = format!("source.mirror.registry=\"{}\"", mirror.index());
        let instead = "source.crates-io.replace-with=\"mirror\"";
        let words = ["generate-lockfile", "--quiet", "--config", instead, "--config", &index];
        cargo(folder, &words).await?;
        Ok(it)
    }

    /// From now on the program says this word.
    fn change(&self, word: &str) -> anyhow::Result<()> {
        let source = format!("pub const SAID: &str = \"{word}\";\n");
        write(&self.folder.path().join(PROGRAM), "src/lib.rs", &source)
    }

    fn image(&self) -> String {
        format!("{}-{PROGRAM}", self.name)
    }

    /// Builds the program's image; whether that went well, and what was said.
    async fn build(&self, index: &str) -> anyhow::Result<(bool, String)> {
        let mut command = Command::new("docker");
        command.args(["compose", "--progress", "plain", "--project-name", &self.name]);
        command.args(["--file", FILES[0], "--file", HOST_NETWORK, "build", PROGRAM]);
        command.env("CRATES_MIRROR", index).env("SAGA_BUILD_PROFILE", "quick");
        command.current_dir(self.folder.path()).stdin(Stdio::null()).kill_on_drop(true);
        let output = command.output().await.context("docker cannot be run")?;
        let said = [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it)).concat();
        Ok((output.status.success(), said))
    }
}

/// The first one has a library, as ours have.
fn write_program(folder: &Path, needs: &str) -> anyhow::Result<()> {
    let name = folder.file_name().context("a program without a name")?.to_string_lossy();
    let said = if name == PROGRAM { "order_service::SAID" } else { "\"nothing\"" };
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\
         [dependencies]\n{needs} = \"{VERSION}\"\n"
    );
    let word = format!("{}::WORD", needs.replace('-', "_"));
    let source = format!("fn main() {{\n    println!(\"{{}} {{}}\", {said}, {word});\n}}\n");
    write(folder, "Cargo.toml", &manifest)?;
    write(folder, "src/main.rs", &source)
}

fn write(folder: &Path, file: &str, text: &str) -> anyhow::Result<()> {
    let path = folder.join(file);
    fs::create_dir_all(path.parent().unwrap_or(folder))?;
    fs::write(path, text)?;
    Ok(())
}

/// Cargo with a home of its own: what it learns of the mirror is of no use to anybody.
async fn cargo(folder: &Path, words: &[&str]) -> anyhow::Result<()> {
    let home = TempDir::new()?;
    let mut command = crate::cargo::command("cargo");
    command.args(words).current_dir(folder).env("CARGO_HOME", home.path());
    command.env_remove("CARGO_TARGET_DIR").kill_on_drop(true);
    let output = command.output().await.context("cargo cannot be run")?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "cargo {words:?}: {said}");
    Ok(())
}

async fn checksum(file: &Path) -> anyhow::Result<String> {
    let output = Command::new("sha256sum").arg(file).output().await?;
    anyhow::ensure!(output.status.success(), "sha256sum: {}", output.status);
    let said = String::from_utf8(output.stdout)?;
    Ok(said.split_whitespace().next().context("no sum")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_that_was_kept_is_told_from_one_that_was_made() {
        let kept = "#9 [dependencies 2/2] RUN cargo build\n#9 CACHED\n#10 [programs 1/2] COPY\n";
        assert!(is_kept(kept));
        assert!(is_kept(&kept.replace("[dependencies", "[order-service dependencies")));
        assert!(!is_kept(&kept.replace("#9 CACHED", "#9 DONE 3.0s\n#10 CACHED")));
        assert!(!is_kept(""));
    }
}
