//! The commands and their options.

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

use crate::{audit, contract_setup, dead_letters, orders, payments, screen::say};

/// Places and follows orders, decides what waits for a person, and audits the order system.
///
/// Where no address is given, the demo that runs on this machine is asked, or else the ports of
/// docker-compose.yml. With `--json` a command prints one JSON document on standard output and nothing
/// else.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
pub struct CommandLine {
    #[command(subcommand)]
    command: SubCommand,
}

#[derive(Debug, Subcommand)]
enum SubCommand {
    /// Places, follows, lists and cancels orders.
    Orders(orders::OrderOptions),
    /// Checks that orders, stock, money, messages and mails of a system agree.
    Audit(Box<audit::command::AuditArguments>),
    /// Creates the topics and registers the schemas at a broker and a registry that run already.
    Contract(contract_setup::ContractOptions),
    /// Lists, redrives and discards dead letters and jobs that were given up.
    DeadLetters(Box<dead_letters::LetterOptions>),
    /// Lists, shows and decides payments.
    Payments(payments::PaymentOptions),
    /// Prints a script that completes commands and options: `source <(sagactl completions bash)`.
    Completions {
        /// The shell that is to read it.
        #[arg(value_enum)]
        shell: Shell,
    },
}

impl CommandLine {
    /// Does what was asked.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            SubCommand::Orders(options) => orders::run(options).await,
            SubCommand::Audit(options) => audit::command::run(*options).await,
            SubCommand::Contract(options) => contract_setup::run(options).await,
            SubCommand::DeadLetters(options) => dead_letters::run(*options).await,
            SubCommand::Payments(options) => payments::run(options).await,
            SubCommand::Completions { shell } => complete(shell),
        }
    }
}

/// Prints what a shell needs to complete this command line.
fn complete(shell: Shell) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    let mut command = CommandLine::command();
    let name = command.get_name().to_owned();
    clap_complete::generate(shell, &mut command, name, &mut script);
    say(String::from_utf8(script)?.trim_end());
    Ok(ExitCode::SUCCESS)
}
