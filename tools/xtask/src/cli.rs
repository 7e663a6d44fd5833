//! The commands and their options.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{
    chaos, compose, controls, demo, fuzz, load, manifests, poison, readme, stack, stress, verify,
};

/// Runs and checks the order system on this machine.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
pub struct CommandLine {
    #[command(subcommand)]
    command: SubCommand,
}

#[derive(Debug, Subcommand)]
enum SubCommand {
    /// Starts everything on this machine and places six orders that end in different ways.
    Demo(demo::DemoOptions),
    /// Places many orders and measures throughput, latency and CPU time per order.
    Load(load::LoadOptions),
    /// Measures what the database alone and the broker alone need for the same work.
    Controls(controls::ControlOptions),
    /// Places orders while processes are killed and networks fail, and checks every invariant.
    Chaos(chaos::ChaosOptions),
    /// Fuzzes the HTTP APIs from their OpenAPI documents, and checks the form of every answer.
    Fuzz(fuzz::FuzzOptions),
    /// Runs the README's commands, and the requests of docs/tour.http, against local processes.
    ReadmeTest(readme::ReadmeOptions),
    /// Puts a message on a topic of a running demo or compose stack that no service can process.
    Poison(poison::PoisonOptions),
    /// Starts a broker, a database, a registry and a mail sink, and runs a command beside them.
    Stack(stack::StackOptions),
    /// Runs every check of this repository.
    Verify(verify::VerifyOptions),
    /// Repeats every test on a busy machine and reports which fail, and how often.
    StressTests(stress::StressOptions),
    /// End-to-end test of docker-compose.yml.
    ComposeTest(compose::ComposeOptions),
    /// Renders the manifests for Kubernetes and validates them against schemas.
    Manifests(manifests::ManifestOptions),
}

impl CommandLine {
    /// Does what was asked.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            SubCommand::Demo(options) => demo::run(options).await,
            SubCommand::Load(options) => load::run(options).await,
            SubCommand::Controls(options) => controls::run(options).await,
            SubCommand::Chaos(options) => chaos::run(options).await,
            SubCommand::Fuzz(options) => fuzz::run(options).await,
            SubCommand::ReadmeTest(options) => readme::run(options).await,
            SubCommand::Poison(options) => poison::run(options).await,
            SubCommand::Stack(options) => stack::run(options).await,
            SubCommand::Verify(options) => verify::run(options).await,
            SubCommand::StressTests(options) => stress::run(options).await,
            SubCommand::ComposeTest(options) => compose::run(options).await,
            SubCommand::Manifests(options) => manifests::run(options).await,
        }
    }
}
