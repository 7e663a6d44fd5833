//! Images: those of others, as they are here or can be fetched, and how large all of them are.

use std::collections::BTreeSet;

use anyhow::Context as _;
use sagactl::screen::say;
use serde_json::Value;

use super::project::ComposeProject;

/// Services that an order can do without: they only look on.
const ONLOOKERS: [&str; 1] = ["kafka-ui"];

/// What no container test can do without: those that orders need, and the one that ours are made on.
const NEEDED: [&str; 5] = [
    "apache/kafka:4.3.1",
    "postgres:18.6-alpine3.24",
    "apicurio/apicurio-registry:3.3.3",
    "axllent/mailpit:v1.30.5",
    "debian:bookworm-slim",
];
/// What a build inside of the image needs besides.
const COMPILER: &str = "rust:1.95-slim-bookworm";

/// The first image without which nothing can be tried, and which is neither here nor to be fetched.
pub async fn out_of_reach(with_compiler: bool) -> Option<&'static str> {
    for image in NEEDED.into_iter().chain(with_compiler.then_some(COMPILER)) {
        let engine = async |words: &[&str]| {
            let mut docker = tokio::process::Command::new("docker");
            docker.args(words).kill_on_drop(true);
            docker.output().await.is_ok_and(|output| output.status.success())
        };
        if !engine(&["image", "inspect", image]).await && !engine(&["pull", image]).await {
            return Some(image);
        }
    }
    None
}

/// Which images of others are missing; asks a registry for them first. Answers the services that can
/// be done without, and fails for the others.
pub(super) async fn missing(project: &ComposeProject) -> anyhow::Result<Vec<String>> {
    let described = project.described().await?;
    let services = described["services"].as_object().context("a compose file without services")?;
    let (mut missing, mut looked_at) = (Vec::new(), BTreeSet::new());
    for (service, it) in services {
        let (Some(image), None) = (it["image"].as_str(), it.get("build")) else { continue };
        if is_here(project, image).await {
            if looked_at.insert(image) {
                say_if_stand_in(project, image).await?;
            }
        } else if project.docker(&["pull", "--quiet", image]).await.is_ok() {
            say(format_args!("  {image} was fetched"));
        } else if ONLOOKERS.contains(&service.as_str()) {
            say(format_args!("  {image} is not here and cannot be fetched: {service} is left out"));
            missing.push(service.clone());
        } else {
            anyhow::bail!("{image} is not here and cannot be fetched: {service} needs it");
        }
    }
    Ok(missing)
}

/// Says how large each image is, and how much memory its container uses now.
pub(super) async fn weigh(project: &ComposeProject) -> anyhow::Result<()> {
    const MEGABYTE: f64 = 1e6;
    for container in project.containers().await? {
        let text =
            |value: &Value| value.as_str().map(str::to_owned).context("docker inspect: no text");
        let (id, image) = (text(&container["Id"])?, text(&container["Image"])?);
        let name = text(&container["Name"])?;
        let size = project.docker(&["image", "inspect", "--format", "{{.Size}}", &image]).await?;
        let stats = ["stats", "--no-stream", "--format", "{{.MemUsage}}", &id];
        let memory = project.docker(&stats).await?;
        let megabytes = size.trim().parse::<f64>()? / MEGABYTE;
        let (name, memory) = (name.trim_start_matches('/'), memory.trim());
        say(format_args!("    {name:<32} image {megabytes:>6.1} MB  memory {memory}"));
    }
    Ok(())
}

async fn is_here(project: &ComposeProject, image: &str) -> bool {
    project.docker(&["image", "inspect", image]).await.is_ok()
}

/// A green run on images that were built here says nothing of those that are published.
async fn say_if_stand_in(project: &ComposeProject, image: &str) -> anyhow::Result<()> {
    let known: Value = serde_json::from_str(&project.docker(&["image", "inspect", image]).await?)?;
    if known[0]["Config"]["Labels"]["stand-in"] == "true" {
        say(format_args!("  {image} is a stand-in, built here"));
    }
    Ok(())
}
