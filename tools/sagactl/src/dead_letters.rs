//! `sagactl dead-letters`: messages that could not be processed and jobs that were given up.
//!
//! All calls go over HTTP to the admin ports. The service carries out each decision, one letter at
//! a time, and a decision that is sent again takes effect once: so a run that was interrupted is
//! simply started again.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use shared::{dead_letter::LetterFilter, visible_text::visible};
use uuid::Uuid;

use self::{api::AdminClient, decide::LetterWork};
use crate::screen::say;

pub mod api;
mod decide;
mod render;
mod services;

/// What to do with dead letters.
#[derive(Debug, Args)]
pub struct LetterOptions {
    /// Name of a service (`order-service` or `orders`) or URL of its admin port; may be repeated
    /// (default: all four). A name means the running demo, or else the ports of docker-compose.yml.
    #[arg(long = "service", global = true, value_name = "NAME|URL")]
    services: Vec<String>,
    #[command(subcommand)]
    command: LetterCommand,
}

#[derive(Debug, Subcommand)]
enum LetterCommand {
    /// Lists open dead letters, oldest first, after a count of their reasons.
    List {
        #[command(flatten)]
        which: LetterSelection,
        /// Maximum number of letters per service.
        #[arg(long, default_value_t = 20)]
        max: usize,
    },
    /// Shows one dead letter: headers, body, decisions.
    Show {
        /// Id of the letter.
        id: Uuid,
    },
    /// Redrives letters through the normal consumer path, and gives jobs back to their workers.
    Redrive(LetterBatch),
    /// Discards letters: they are never processed.
    Discard {
        #[command(flatten)]
        chosen: LetterBatch,
        /// Reason, stored with the decision.
        #[arg(long)]
        because: String,
    },
}

/// Which letters: a filter.
#[derive(Clone, Debug, Default, Args)]
struct LetterSelection {
    /// Only letters of this topic, or of jobs of this kind.
    #[arg(long)]
    topic: Option<String>,
    /// Only letters with this reason, as the list shows it.
    #[arg(long)]
    reason: Option<String>,
    /// Only letters of messages with this key.
    #[arg(long)]
    key: Option<String>,
}

/// Which letters, and how many at what speed.
#[derive(Debug, Args)]
struct LetterBatch {
    /// Ids of letters (default: every letter that the filter selects).
    ids: Vec<Uuid>,
    #[command(flatten)]
    which: LetterSelection,
    /// Changes nothing: prints the number of letters by reason.
    #[arg(long)]
    dry_run: bool,
    /// Maximum number of letters.
    #[arg(long, default_value_t = 10_000)]
    max: usize,
    /// Maximum number of decisions per second.
    #[arg(long, default_value_t = 50)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// Name of the operator, stored with the decision.
    #[arg(long, env = "USER", default_value = "sagactl")]
    by: String,
}

impl LetterSelection {
    fn filter(&self) -> LetterFilter {
        let Self { topic, reason, key } = self.clone();
        LetterFilter { topic, reason, key }
    }
}

/// Does what was asked.
pub async fn run(options: LetterOptions) -> anyhow::Result<ExitCode> {
    let services = services::find(&options.services)?;
    match options.command {
        LetterCommand::List { which, max } => list(&services, &which.filter(), max).await,
        LetterCommand::Show { id } => show(&services, id).await,
        LetterCommand::Redrive(chosen) => decide(services, chosen, None).await,
        LetterCommand::Discard { chosen, because } => decide(services, chosen, Some(because)).await,
    }
}

async fn list(
    services: &[AdminClient],
    filter: &LetterFilter,
    max: usize,
) -> anyhow::Result<ExitCode> {
    let mut reached = true;
    for service in services {
        match service.reasons(filter).await {
            Ok(reasons) => {
                say(render::reasons(service, &reasons));
                let letters = service.list(filter, max).await?;
                for letter in &letters {
                    say(render::letter(letter));
                }
                let more = reasons.letters - letters.len().try_into().unwrap_or(i64::MAX);
                if more > 0 && max > 0 {
                    say(format_args!("  … and {more} more (--max)"));
                }
            }
            Err(error) => {
                reached = false;
                let (name, why) = (visible(&service.name), format!("{error:#}"));
                say(format_args!("{name}  cannot be asked: {}", visible(&why)));
            }
        }
    }
    Ok(if reached { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn show(services: &[AdminClient], id: Uuid) -> anyhow::Result<ExitCode> {
    let (service, shown) = api::look_up(services, id).await?;
    say(render::whole(service, &shown));
    Ok(ExitCode::SUCCESS)
}

/// Redrives, or discards for this reason.
async fn decide(
    services: Vec<AdminClient>,
    chosen: LetterBatch,
    because: Option<String>,
) -> anyhow::Result<ExitCode> {
    let filter = chosen.which.filter();
    let everything = chosen.ids.is_empty() && filter == LetterFilter::default();
    anyhow::ensure!(
        because.is_none() || !everything || chosen.dry_run,
        "say which are to be discarded: by their ids, or by --topic, --reason or --key"
    );
    if chosen.dry_run && chosen.ids.is_empty() {
        for service in &services {
            let reasons = service.reasons(&filter).await.with_context(|| service.name.clone())?;
            say(render::reasons(service, &reasons));
        }
        say("Nothing was changed (--dry-run).");
        return Ok(ExitCode::SUCCESS);
    }
    let work = LetterWork { because, by: chosen.by, rate: chosen.rate };
    let found = if chosen.ids.is_empty() {
        decide::filtered(services, &filter, chosen.max).await?
    } else {
        decide::named(services, &chosen.ids).await?
    };
    if chosen.dry_run {
        for (service, letter) in &found {
            say(format_args!("{}\n{}", visible(&service.name), render::letter(letter)));
        }
        say("Nothing was changed (--dry-run).");
        return Ok(ExitCode::SUCCESS);
    }
    work.run(found).await
}
