//! `sagactl dead-letters`: messages that could not be processed and jobs that were given up.
//!
//! Everything goes over HTTP to the admin ports, as any script would do it. What is decided is carried
//! out by the service, one letter at a time, and asked again it is done once: so a run that was
//! interrupted is simply started again.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use shared::{dead_letter::Filter, visible::visible};
use uuid::Uuid;

use self::{
    api::Service,
    work::{Deed, Work},
};
use crate::screen::say;

pub mod api;
mod picture;
mod services;
mod work;

/// What to do with dead letters.
#[derive(Debug, Args)]
pub struct Options {
    /// Whose: the name of a service (`order-service`, or `orders`), or the URL of its admin port; by
    /// itself all four. A name means the running demo, or else the ports of docker-compose.yml.
    #[arg(long = "service", global = true, value_name = "NAME|URL")]
    services: Vec<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lists open dead letters, oldest first, after a count of their reasons.
    List(List),
    /// Shows one dead letter: headers, body, decisions.
    Show(Show),
    /// Redrives letters through the normal consumer path, and gives jobs back to their workers.
    Redrive(Redrive),
    /// Discards letters: they are never processed.
    Discard(Discard),
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    which: Which,
    /// At most so many of each service.
    #[arg(long, default_value_t = 20)]
    max: usize,
}

#[derive(Debug, Args)]
struct Show {
    /// The letter.
    id: Uuid,
}

#[derive(Debug, Args)]
struct Redrive {
    #[command(flatten)]
    chosen: Chosen,
}

#[derive(Debug, Args)]
struct Discard {
    #[command(flatten)]
    chosen: Chosen,
    /// Why; it is kept with the decision.
    #[arg(long)]
    because: String,
}

/// Which letters: a filter.
#[derive(Clone, Debug, Default, Args)]
struct Which {
    /// Of this topic, or, of jobs, of this kind.
    #[arg(long)]
    topic: Option<String>,
    /// For this reason, as the list shows it.
    #[arg(long)]
    reason: Option<String>,
    /// Of this key.
    #[arg(long)]
    key: Option<String>,
}

/// Which letters, and how many at what speed.
#[derive(Debug, Args)]
struct Chosen {
    /// These letters; without any, all that the filter lets through.
    ids: Vec<Uuid>,
    #[command(flatten)]
    which: Which,
    /// Changes nothing; says how many there are, for what reasons.
    #[arg(long)]
    dry_run: bool,
    /// At most so many.
    #[arg(long, default_value_t = 10_000)]
    max: usize,
    /// At most so many a second.
    #[arg(long, default_value_t = 50)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// Who decides; it is kept with the decision.
    #[arg(long, env = "USER", default_value = "sagactl")]
    by: String,
}

impl Which {
    fn filter(&self) -> Filter {
        let Self { topic, reason, key } = self.clone();
        Filter { topic, reason, key }
    }
}

/// Does what was asked.
pub async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let services = services::find(&options.services)?;
    match options.command {
        Command::List(List { which, max }) => list(&services, &which.filter(), max).await,
        Command::Show(Show { id }) => show(&services, id).await,
        Command::Redrive(Redrive { chosen }) => decide(services, chosen, None).await,
        Command::Discard(Discard { chosen, because }) => {
            decide(services, chosen, Some(because)).await
        }
    }
}

async fn list(services: &[Service], filter: &Filter, max: usize) -> anyhow::Result<ExitCode> {
    let mut reached = true;
    for service in services {
        match service.reasons(filter).await {
            Ok(reasons) => {
                say(picture::reasons(service, &reasons));
                let letters = service.list(filter, max).await?;
                for letter in &letters {
                    say(picture::letter(letter));
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

async fn show(services: &[Service], id: Uuid) -> anyhow::Result<ExitCode> {
    for service in services {
        if let Some(shown) = service.show(id).await.with_context(|| service.name.clone())? {
            say(picture::whole(service, &shown));
            return Ok(ExitCode::SUCCESS);
        }
    }
    anyhow::bail!("no service that was asked knows {id}");
}

/// Redrives, or discards for this reason.
async fn decide(
    services: Vec<Service>,
    chosen: Chosen,
    because: Option<String>,
) -> anyhow::Result<ExitCode> {
    let filter = chosen.which.filter();
    let everything = chosen.ids.is_empty() && filter == Filter::default();
    anyhow::ensure!(
        because.is_none() || !everything || chosen.dry_run,
        "say which are to be discarded: by their ids, or by --topic, --reason or --key"
    );
    if chosen.dry_run && chosen.ids.is_empty() {
        for service in &services {
            let reasons = service.reasons(&filter).await.with_context(|| service.name.clone())?;
            say(picture::reasons(service, &reasons));
        }
        say("Nothing was changed (--dry-run).");
        return Ok(ExitCode::SUCCESS);
    }
    let deed = because.map_or(Deed::Redrive, |because| Deed::Discard { because });
    let work = Work { deed, by: chosen.by, rate: chosen.rate };
    let found = if chosen.ids.is_empty() {
        work::filtered(services, &filter, chosen.max).await?
    } else {
        work::named(services, &chosen.ids).await?
    };
    if chosen.dry_run {
        for (service, letter) in &found {
            say(format_args!("{}\n{}", visible(&service.name), picture::letter(letter)));
        }
        say("Nothing was changed (--dry-run).");
        return Ok(ExitCode::SUCCESS);
    }
    work.run(found).await
}
