//! The commands and their options.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{audit, contract_setup, dead_letters, payments};

/// Audits the order system, and decides what waits for a person.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
pub struct CommandLine {
    #[command(subcommand)]
    command: SubCommand,
}

#[derive(Debug, Subcommand)]
enum SubCommand {
    /// Checks that orders, stock, money, messages and mails of a system agree.
    Audit(Box<audit::command::AuditArguments>),
    /// Creates the topics and registers the schemas at a broker and a registry that run already.
    Contract(contract_setup::ContractOptions),
    /// Lists, redrives and discards dead letters and jobs that were given up.
    DeadLetters(dead_letters::LetterOptions),
    /// Lists, shows and decides payments.
    Payments(payments::PaymentOptions),
}

impl CommandLine {
    /// Does what was asked.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            SubCommand::Audit(options) => audit::command::run(*options).await,
            SubCommand::Contract(options) => contract_setup::run(options).await,
            SubCommand::DeadLetters(options) => dead_letters::run(options).await,
            SubCommand::Payments(options) => payments::run(options).await,
        }
    }
}
