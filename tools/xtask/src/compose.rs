//! `xtask compose-test`: starts the compose file and checks everything that is documented of it.
//!
//! ```text
//! images ──> up --wait ──> the README's commands ──> confinement ──> load and docker kill
//!        ──> down, up, the same data ──> down, Kafka's volume removed, up ──> down --volumes
//! ```
//!
//! The test uses its own project name and ports, and removes what it made, however it ends. Images
//! are made of the programs that cargo has built; `--complete` builds them in the image, as users
//! do but without the time for optimizing, walks the tour, kills every container, and restarts all.
//! Third-party images are used as found; a stand-in image is reported as one, and a missing image
//! of a tool that only displays (UI, dashboards) is left out and reported.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use anyhow::Context as _;
use clap::Args;
use sagactl::screen::say;
use tokio_util::sync::CancellationToken;

pub use self::images::out_of_reach as image_out_of_reach;
use self::{
    orders::{ComposeShop, until},
    project::ComposeProject,
    tour::TourTest,
};
use crate::documents::{DocumentedStack, command_blocks, missing_lines};

mod confinement;
mod images;
mod orders;
mod programs;
mod project;
mod tour;

/// What to try.
#[derive(Debug, Args)]
pub struct ComposeOptions {
    /// Path of the repository whose docker-compose.yml is tested.
    #[arg(long, default_value = ".")]
    repository: PathBuf,
    /// Builds the programs in the image, kills every container, and restarts all of them.
    #[arg(long)]
    complete: bool,
}

/// Which containers are killed in the middle of a load: the first one, or all of them.
const VICTIMS: [&str; 9] = [
    "order-service",
    "inventory-service",
    "payment-service",
    "notify-service",
    "gateway",
    "kafka",
    "postgres",
    "schema-registry",
    "mailpit",
];

/// Starts all services; the timeout in seconds allows for a busy machine.
const UP: [&str; 5] = ["up", "--wait", "--wait-timeout", "600", "--quiet-pull"];

/// Every image, those of the operators' containers, too.
const BUILD: [&str; 5] = ["--profile", "audit", "--profile", "sagactl", "build"];

/// Tries it all; ends at the first promise that does not hold.
pub async fn run(options: ComposeOptions) -> anyhow::Result<ExitCode> {
    let repository = options.repository.canonicalize().context("there is no such repository")?;
    anyhow::ensure!(devstack::docker_answers().await, "no Docker engine answers here");
    let products = orders::PRODUCTS.to_string();
    let settings = [
        ("SAGA_BUILD_PROFILE", "quick"),
        ("SEED_PRODUCTS", products.as_str()),
        ("LOAD_ORDERS", "200"),
    ];
    let mut project = ComposeProject::of(&repository, &settings)?;
    say("Images");
    project.compose(&["down", "--volumes", "--remove-orphans"]).await?;
    let missing = images::missing(&project).await?;
    project.put_aside(&missing)?;
    build(&mut project, &repository, options.complete).await?;
    let outcome = acts(&project, &repository, options.complete).await;
    if outcome.is_err() {
        say(project.compose(&["ps", "--all"]).await?);
        say(project.compose(&["logs", "--tail", "15", "--no-color"]).await?);
    }
    outcome?;
    Ok(ExitCode::SUCCESS)
}

async fn build(
    project: &mut ComposeProject,
    repository: &Path,
    complete: bool,
) -> anyhow::Result<()> {
    let began = Instant::now();
    let _programs = if complete { None } else { Some(programs::give(project, repository).await?) };
    project.compose(&BUILD).await?;
    let how = if complete { "programs and all" } else { "from programs that were there" };
    done(began, &format!("the images are built, {how}"));
    Ok(())
}

async fn acts(project: &ComposeProject, repository: &Path, complete: bool) -> anyhow::Result<()> {
    say("The stack");
    let began = Instant::now();
    project.compose(&UP).await?;
    done(began, "up --wait: everything is healthy");
    let mut shop = ComposeShop::of(project, 0).await?;
    readme(project, repository).await?;
    if complete {
        tour(project, repository, &mut shop).await?;
    }
    operated(project).await?;
    images::weigh(project).await?;
    confined(project, &shop).await?;
    let victims = if complete { &VICTIMS[..] } else { &VICTIMS[..1] };
    killed(project, &shop, victims).await?;
    if complete {
        restarted(project, &shop).await?;
    }
    down_and_up(project, &shop).await?;
    without_kafkas_volume(project, &shop).await
}

/// The README's commands for containers, word for word but for the ports.
async fn readme(project: &ComposeProject, repository: &Path) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(repository.join("README.md"))?;
    for block in command_blocks(&text, DocumentedStack::Compose)? {
        let began = Instant::now();
        let shown = block.shown.unwrap_or_default();
        until(&format!("{} prints\n{shown}", block.command), async || {
            let printed = project.shell(block.command).await?;
            Ok(missing_lines(shown, &printed).is_empty())
        })
        .await?;
        done(began, block.command.lines().next().unwrap_or_default());
    }
    Ok(())
}

async fn tour(
    project: &ComposeProject,
    repository: &Path,
    shop: &mut ComposeShop,
) -> anyhow::Result<()> {
    let began = Instant::now();
    let text = std::fs::read_to_string(repository.join("docs/tour.md"))?;
    shop.dead_letters += TourTest::of(project, &text).walk().await?;
    shop.audit().await?;
    done(began, "docs/tour.md: its commands, and each order ends as it says");
    Ok(())
}

async fn confined(project: &ComposeProject, shop: &ComposeShop) -> anyhow::Result<()> {
    let began = Instant::now();
    confinement::loopback_only(project).await?;
    done(began, "nothing listens beyond loopback");
    let server = format!("127.0.0.1:{}", project.port("POSTGRES_PORT")?);
    confinement::no_neighbours_database(&server, &shop.passwords).await?;
    done(began, "a role opens its own database and no other");
    confinement::contained(project).await?;
    done(began, "no container writes its root, keeps capabilities, or has memory without limit");
    confinement::secret(project, &shop.passwords).await?;
    done(began, "no password stands in what the engine tells");
    Ok(())
}

/// The operators' command line and the audit, as those without Rust run them.
async fn operated(project: &ComposeProject) -> anyhow::Result<()> {
    let began = Instant::now();
    let place = ["run", "--rm", "sagactl", "orders", "place", "--wait"];
    let said = project.compose(&place).await?;
    anyhow::ensure!(said.contains(" is confirmed, "), "the order is not confirmed: {said}");
    for listing in [["orders", "list"], ["payments", "list"], ["dead-letters", "list"]] {
        project.compose(&[&place[..3], &listing[..]].concat()).await?;
    }
    done(began, "the container of sagactl: an order is placed and confirmed, and all is listed");
    project.compose(&["--profile", "audit", "run", "--rm", "audit", "--json"]).await?;
    done(began, "the audit's container: every invariant is kept");
    Ok(())
}

/// Each of these containers is killed once while orders keep coming.
async fn killed(
    project: &ComposeProject,
    shop: &ComposeShop,
    victims: &[&str],
) -> anyhow::Result<()> {
    let began = Instant::now();
    let (before, enough) = (shop.count().await?, CancellationToken::new());
    let killing = async {
        // However it ends, the customers are to go home.
        let _done = enough.clone().drop_guard();
        for victim in victims {
            project.compose(&["kill", victim]).await?;
            project.compose(&[&UP[..], &["--no-deps", victim]].concat()).await?;
            done(began, &format!("docker kill {victim}, and healthy again"));
        }
        anyhow::Ok(())
    };
    let crowd = shop.crowd("kill", enough.clone());
    let (killed, accepted) = tokio::join!(killing, crowd);
    killed?;
    let accepted = accepted?;
    let ended = shop.audit().await?;
    let known = shop.count().await?;
    anyhow::ensure!(known == before + accepted, "{known} orders, not {before} + {accepted}");
    done(began, &format!("every promise is kept: {ended:?}"));
    Ok(())
}

async fn restarted(project: &ComposeProject, shop: &ComposeShop) -> anyhow::Result<()> {
    let began = Instant::now();
    project.compose(&["restart"]).await?;
    project.compose(&UP).await?;
    shop.confirms_an_order("restart").await?;
    shop.audit().await?;
    done(began, "restart: an order is confirmed, every promise is kept");
    Ok(())
}

async fn down_and_up(project: &ComposeProject, shop: &ComposeShop) -> anyhow::Result<()> {
    let began = Instant::now();
    let before = shop.count().await?;
    project.compose(&["down"]).await?;
    project.compose(&UP).await?;
    let shop = ComposeShop::of(project, shop.dead_letters).await?;
    let after = shop.count().await?;
    anyhow::ensure!(after == before, "{before} orders before, {after} after");
    shop.confirms_an_order("up").await?;
    shop.audit().await?;
    done(began, "down and up: the data are there, an order is confirmed, every promise is kept");
    Ok(())
}

/// Kafka's volume is lost while orders are in flight, and everything else is kept.
async fn without_kafkas_volume(project: &ComposeProject, shop: &ComposeShop) -> anyhow::Result<()> {
    let began = Instant::now();
    shop.leaves_orders_in_flight("in-flight").await?;
    let before = shop.count().await?;
    project.compose(&["down"]).await?;
    project.remove_volume("kafka-data").await?;
    project.compose(&UP).await?;
    let shop = ComposeShop::of(project, shop.dead_letters).await?;
    let after = shop.count().await?;
    anyhow::ensure!(after == before, "{before} orders before, {after} after");
    shop.confirms_an_order("empty-kafka").await?;
    shop.audit().await?;
    let lost = shop.lost_topics().await?;
    anyhow::ensure!(lost > 0, "no service has said that topics lost their messages");
    done(began, "down, Kafka's volume removed, up: open orders end, every promise is kept");
    Ok(())
}

fn done(began: Instant, what: &str) {
    say(format_args!("  ✔ {what} ({:.1} s)", began.elapsed().as_secs_f64()));
}
