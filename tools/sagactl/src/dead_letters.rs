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

use self::{api::AdminClient, decide::LetterWork, listed::LetterList};
use crate::{
    admin_urls::AdminUrls,
    screen::{columns, complain, say, say_json},
    text_table::wrapped,
};

pub mod api;
mod decide;
mod listed;
mod render;
mod services;

/// Continued lines are indented by this many spaces.
const NEXT_LINE: usize = 11;

/// What to do with dead letters.
#[derive(Debug, Args)]
pub struct LetterOptions {
    /// Name of a service (`order-service` or `orders`) or URL of its admin port; may be repeated
    /// (default: all four). A name means the admin port below, or else that of the running demo, or
    /// else that of docker-compose.yml.
    #[arg(long = "service", global = true, value_name = "NAME|URL")]
    services: Vec<String>,
    #[command(flatten)]
    urls: AdminUrls,
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
        #[arg(long, visible_alias = "limit", default_value_t = 20)]
        max: usize,
        /// Prints one JSON document on standard output and nothing else: `{"items": [...],
        /// "reasons": [...], "more": true or false}`, each item with its `service`.
        #[arg(long)]
        json: bool,
    },
    /// Shows one dead letter: headers, body, decisions.
    Show {
        /// Id of the letter.
        id: Uuid,
        /// Prints one JSON document on standard output and nothing else: the letter.
        #[arg(long)]
        json: bool,
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
    let services = services::find(&options.services, &options.urls)?;
    match options.command {
        LetterCommand::List { which, max, json } => {
            list(&services, &which.filter(), max, json).await
        }
        LetterCommand::Show { id, json } => show(&services, id, json).await,
        LetterCommand::Redrive(chosen) => decide(services, chosen, None).await,
        LetterCommand::Discard { chosen, because } => decide(services, chosen, Some(because)).await,
    }
}

async fn list(
    services: &[AdminClient],
    filter: &LetterFilter,
    max: usize,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let (mut letters, mut unreached) = (LetterList::default(), Vec::new());
    for service in services {
        let asked = async {
            anyhow::Ok((service.reasons(filter).await?, service.list(filter, max).await?))
        };
        match asked.await {
            Ok((reasons, found)) if json => letters.add(service.name(), reasons, found),
            Ok((reasons, found)) => {
                say(render::reasons(service.name(), &reasons, columns()));
                for letter in &found {
                    say(render::letter(letter, columns()));
                }
                let more = reasons.letters - found.len().try_into().unwrap_or(i64::MAX);
                if more > 0 && max > 0 {
                    say(format_args!("  … and {more} more (--max)"));
                }
            }
            Err(error) => unreached.push((service.name(), error)),
        }
    }
    if unreached.len() == services.len()
        && let Some((_, error)) = unreached.pop()
    {
        return Err(error);
    }
    if json {
        say_json(&letters)?;
    }
    for (name, error) in &unreached {
        let why = format!("{error:#}");
        complain(format_args!("{}  cannot be asked: {}", visible(name), visible(&why)));
    }
    Ok(if unreached.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn show(services: &[AdminClient], id: Uuid, json: bool) -> anyhow::Result<ExitCode> {
    let (service, shown) = api::look_up(services, id).await?;
    if json {
        say_json(&shown)?;
    } else {
        let whole = render::whole(service.name(), &shown);
        for line in whole.lines() {
            say(wrapped(line, columns(), NEXT_LINE));
        }
    }
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
            let reasons = service.reasons(&filter).await;
            let reasons = reasons.with_context(|| service.name().to_owned())?;
            say(render::reasons(service.name(), &reasons, columns()));
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
            let letter = render::letter(letter, columns());
            say(format_args!("{}\n{letter}", visible(service.name())));
        }
        say("Nothing was changed (--dry-run).");
        return Ok(ExitCode::SUCCESS);
    }
    work.run(found).await
}
