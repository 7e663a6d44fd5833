//! Crates by way of a mirror: the Dockerfile's `CRATES_MIRROR`, and its layers.
//!
//! The Dockerfile as it is builds a workspace in miniature, whose programs need a crate that is
//! nowhere but on a mirror which stands here for a minute. So what is built came by way of the
//! mirror. Each run has a crate of its own name: no cache knows it.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
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

/// The Dockerfile wants all of them.
const PROGRAMS: [&str; 6] = [
    "order-service",
    "inventory-service",
    "payment-service",
    "notify-service",
    "gateway-simulator",
    "sagactl",
];

const IMAGE: &str = "saga-test-mirrored";

const VERSION: &str = "1.0.0";

/// Builds by way of a mirror; again after a change of sources, with the crates left as they are.
pub(super) async fn tried(project: &Project, repository: &Path) -> anyhow::Result<()> {
    let outcome = builds(project, repository).await;
    // Whatever was built is of no use to anybody.
    drop(project.docker(&["image", "rm", "--force", IMAGE]).await);
    outcome
}

async fn builds(project: &Project, repository: &Path) -> anyhow::Result<()> {
    let mirror = Mirror::start().await?;
    let workspace = workspace(&mirror).await?;
    let build = format!(
        "docker build --progress plain --network host --file '{}/deploy/Dockerfile' --build-arg PROFILE=quick \
         --build-arg CRATES_MIRROR={} --target order-service --tag {IMAGE} '{}' 2>&1",
        repository.display(),
        mirror.index(),
        workspace.path().display(),
    );
    for word in ["first", "second"] {
        write_program(workspace.path(), PROGRAMS[0], &mirror.name, word)?;
        let said = project.shell(&build).await?;
        let shown = project.docker(&["run", "--rm", IMAGE]).await?;
        anyhow::ensure!(shown.trim() == format!("{word} mirrored"), "{word} is {shown}: {said}");
        anyhow::ensure!(mirror.downloads() == 1, "{} times downloaded", mirror.downloads());
        let again = word == "second";
        anyhow::ensure!(is_kept(&said) == again, "{word}: dependencies kept, or not: {said}");
    }
    Ok(())
}

/// Whether the layer of dependencies was there already.
fn is_kept(progress: &str) -> bool {
    let step = progress.lines().find(|it| it.contains("[dependencies ") && it.contains("cargo"));
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
        let file = package(&name).await?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let at = format!("http://{}", listener.local_addr()?);
        let (path, downloads) = (format!("{name}/{VERSION}/download"), Arc::new(AtomicU64::new(0)));
        let entry = json!({
            "name": name, "vers": VERSION, "deps": [], "features": {}, "yanked": false,
            "cksum": checksum(&file.path().join("it.crate")).await?,
        });
        let crate_file = fs::read(file.path().join("it.crate"))?;
        let pages = BTreeMap::from([
            ("config.json".to_owned(), json!({ "dl": at }).to_string().into_bytes()),
            (format!("{}/{}/{name}", &name[..2], &name[2..4]), entry.to_string().into_bytes()),
            (path.clone(), crate_file),
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

/// The crate of this name, packed as `it.crate`.
async fn package(name: &str) -> anyhow::Result<TempDir> {
    let folder = TempDir::new()?;
    let source = "pub const WORD: &str = \"mirrored\";\n";
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"{VERSION}\"\nedition = \"2024\"\n\
         description = \"Nothing\"\nlicense = \"MIT\"\n[workspace]\n"
    );
    write_crate(folder.path(), &manifest, "lib.rs", source)?;
    cargo(folder.path(), &["package", "--quiet", "--allow-dirty", "--no-verify"]).await?;
    let packed = folder.path().join(format!("target/package/{name}-{VERSION}.crate"));
    fs::copy(packed, folder.path().join("it.crate"))?;
    Ok(folder)
}

/// Programs with the names of ours, which need the mirror's crate.
async fn workspace(mirror: &Mirror) -> anyhow::Result<TempDir> {
    let folder = TempDir::new()?;
    let members = json!(PROGRAMS);
    let manifest = format!(
        "[workspace]\nresolver = \"3\"\nmembers = {members}\n[profile.quick]\ninherits = \"dev\"\n"
    );
    fs::write(folder.path().join("Cargo.toml"), manifest)?;
    for program in PROGRAMS {
        write_program(folder.path(), program, &mirror.name, "any")?;
    }
    let index = format!("source.mirror.registry=\"{}\"", mirror.index());
    let instead = "source.crates-io.replace-with=\"mirror\"";
    let words = ["generate-lockfile", "--quiet", "--config", instead, "--config", &index];
    cargo(folder.path(), &words).await?;
    Ok(folder)
}

fn write_program(workspace: &Path, program: &str, needs: &str, word: &str) -> anyhow::Result<()> {
    let manifest = format!(
        "[package]\nname = \"{program}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\
         [dependencies]\n{needs} = \"{VERSION}\"\n"
    );
    let source = format!(
        "fn main() {{\n    println!(\"{word} {{}}\", {}::WORD);\n}}\n",
        needs.replace('-', "_")
    );
    write_crate(&workspace.join(program), &manifest, "main.rs", &source)
}

fn write_crate(folder: &Path, manifest: &str, file: &str, source: &str) -> anyhow::Result<()> {
    fs::create_dir_all(folder.join("src"))?;
    fs::write(folder.join("Cargo.toml"), manifest)?;
    fs::write(folder.join("src").join(file), source)?;
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
        assert!(!is_kept(&kept.replace("#9 CACHED", "#9 DONE 3.0s\n#10 CACHED")));
        assert!(!is_kept(""));
    }
}
