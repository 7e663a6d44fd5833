//! `cargo demo`: starts everything on this machine, shows six orders that end in different ways, and
//! stands until Ctrl-C.
//!
//! **Architecture invariant:** what ends by itself is said at once and makes the exit code a failure,
//! and nothing is started again unless the user asks for it.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Args;
use devstack::{ServerStack, StackPart, WantedParts};
use sagactl::{
    demo_presence::DemoPresence,
    http_client::http_client,
    screen::{ProgressBoard, say},
    signal::OrderlyEnd,
};
use serde::Deserialize;
use tokio::signal::unix::{Signal, SignalKind};

use self::{
    logs::LogFolder,
    scenes::{EndedOrder, SceneClients},
    watch::{DemoPart, ExitedPart, PartWatch},
};
use crate::{
    cargo,
    client::OrderClient,
    cluster::{ClusterOptions, PortChoice, ProcessName, ServiceCluster},
    source::StackSource,
    stack_progress::StackProgress,
};

mod logs;
mod places;
mod scenes;
mod watch;

/// The ports of docker-compose.yml, which the documents name.
const SERVER_PORTS: [(StackPart, u16); 5] = [
    (StackPart::Kafka, 9092),
    (StackPart::Postgres, 5432),
    (StackPart::Registry, 8081),
    (StackPart::Mail, 8025),
    (StackPart::Ui, 8080),
];

const ENDINGS: &str = "\
Ctrl-C (or SIGTERM) stops everything in order; a second one ends at once.
SIGUSR1 starts again what has ended by itself.

Exit code:
  0         every order ended as expected, and every part ran until it was stopped
  1         an order ended otherwise, or a part ended by itself or did not stop well
  130, 143  a signal came before all orders had ended, or twice";

/// How the demo is run.
#[derive(Debug, Args)]
#[command(after_help = ENDINGS)]
pub struct DemoOptions {
    /// Exits when every order has ended: with 0 only if each ended as expected.
    #[arg(long)]
    once: bool,
    /// Also starts Kafka UI, which shows topics and messages in the browser.
    #[arg(long)]
    ui: bool,
    /// Source of broker, database, registry and mail sink.
    #[arg(long, value_enum, default_value_t)]
    from: StackSource,
    /// Folder for the logs of all processes, without those of an earlier demo: these are removed
    /// [default: target/demo-logs].
    #[arg(long, value_name = "DIR")]
    logs: Option<PathBuf>,
}

/// Starts everything, places the orders, shows them, stays until Ctrl-C.
pub async fn run(options: DemoOptions) -> anyhow::Result<ExitCode> {
    let logs = LogFolder::open(options.logs.as_deref(), &target_folder()?)?;
    cargo::build_services().await?;
    let mut demo = Box::pin(RunningDemo::start(&options, logs)).await?;
    let orderly = OrderlyEnd::take();
    let shown = Box::pin(demo.show(&options, &orderly)).await;
    if let Ok(DemoEnd::Interrupted(_)) = &shown {
        say("\nStopping (Ctrl-C again ends at once)");
    } else {
        say("\nStopping");
    }
    let well = Box::pin(demo.stop()).await;
    Ok(match shown? {
        DemoEnd::Interrupted(code) => ExitCode::from(code),
        DemoEnd::Shown { as_expected } if as_expected && well => ExitCode::SUCCESS,
        DemoEnd::Shown { .. } => ExitCode::FAILURE,
    })
}

/// Cargo's target folder, which is above that of the programs.
fn target_folder() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("this program has no path")?;
    let target = own.parent().and_then(Path::parent);
    target.map(Path::to_owned).context("this program is in no folder")
}

/// How the demo came to its end.
enum DemoEnd {
    /// All orders have ended, and then the user wanted no more.
    Shown { as_expected: bool },
    /// By a signal, before all orders had ended.
    Interrupted(u8),
}

/// Everything that was started.
struct RunningDemo {
    cluster: ServiceCluster,
    stack: ServerStack,
    ui: Option<String>,
    logs: LogFolder,
    watch: PartWatch,
    /// Requests to start again what has ended (SIGUSR1).
    restarts: Signal,
    _presence: DemoPresence,
}

impl RunningDemo {
    async fn start(options: &DemoOptions, logs: LogFolder) -> anyhow::Result<Self> {
        say("Starting broker, database, schema registry and mail sink");
        let board = ProgressBoard::new();
        let progress = StackProgress(&board);
        let parts = WantedParts::all().near(&SERVER_PORTS).logging_to(logs.path().to_owned());
        let starting = async {
            let stack = ServerStack::start(options.from.source(), parts, &progress).await?;
            let ui = if options.ui { Some(stack.start_ui(&progress).await?) } else { None };
            anyhow::Ok((stack, ui))
        };
        let (stack, ui) = Box::pin(board.while_shown(starting)).await?;
        say("Starting the services");
        let board = ProgressBoard::new();
        let wanted = ClusterOptions {
            // As many as in containers, so that a load can be placed.
            products: 100,
            ports: PortChoice::Documented,
            logs: Some(logs.path().to_owned()),
            ..ClusterOptions::default()
        };
        let starting = ServiceCluster::start(stack.urls(), wanted, &board);
        let cluster = Box::pin(board.while_shown(starting)).await?;
        for line in places::moved(&cluster, &stack).await {
            say(line);
        }
        Ok(Self {
            _presence: DemoPresence::announce(cluster.addresses())?,
            cluster,
            stack,
            ui,
            logs,
            watch: PartWatch::default(),
            restarts: tokio::signal::unix::signal(SignalKind::user_defined1())?,
        })
    }

    /// Shows the orders, and where to look; then stands until it is told to stop.
    async fn show(
        &mut self,
        options: &DemoOptions,
        orderly: &OrderlyEnd,
    ) -> anyhow::Result<DemoEnd> {
        let http = http_client()?;
        let clients = SceneClients {
            orders: OrderClient::at(http.clone(), &self.cluster.url(ProcessName::Orders)),
            payments: self.cluster.url(ProcessName::Payments),
            http,
        };
        let ended = tokio::select! {
            ended = scenes::play_all(&clients) => ended?,
            code = orderly.interrupted() => return Ok(DemoEnd::Interrupted(code)),
            () = self.watch.next_exit(&mut self.cluster, &self.stack) => {
                anyhow::bail!("a part ended while orders were on their way")
            }
        };
        let as_expected = ended.iter().all(|order| order.instead_of.is_none());
        say("\nOutcomes");
        for line in scenes::summary(&ended) {
            say(line);
        }
        let Some(mails) = mails_unless(orderly, &clients.http, &self.stack).await? else {
            return Ok(DemoEnd::Shown { as_expected });
        };
        say(format_args!("  {:<22} {mails}", "mails sent"));
        if !options.once {
            self.say_places(&ended);
            self.stand(orderly).await;
        }
        Ok(DemoEnd::Shown { as_expected })
    }

    fn say_places(&self, ended: &[EndedOrder]) {
        let first = ended.first().map(|scene| scene.order.id);
        places::pages(&self.cluster, &self.stack, self.ui.as_deref());
        places::processes(&self.cluster, &self.logs);
        for line in places::first_order(&self.cluster.url(ProcessName::Orders), first) {
            say(line);
        }
        say("\nEverything stays up until Ctrl-C.");
    }

    /// Says what ends by itself and starts it again on request, until Ctrl-C.
    async fn stand(&mut self, orderly: &OrderlyEnd) {
        loop {
            tokio::select! {
                _ = orderly.interrupted() => return,
                () = self.watch.next_exit(&mut self.cluster, &self.stack) => say(format_args!(
                    "  Nothing is started again by itself. To have it started: kill -USR1 {}",
                    std::process::id()
                )),
                _ = self.restarts.recv() => {
                    let exited = self.watch.take_exited();
                    tokio::select! {
                        _ = orderly.interrupted() => return,
                        () = start_again(&mut self.cluster, &self.stack, exited) => (),
                    }
                }
            }
        }
    }

    /// Stops everything in order; answers whether all of it had run until then, and stopped well.
    async fn stop(mut self) -> bool {
        // What ended after the last look would go unsaid; of processes the cluster says it.
        self.watch.look_at_servers(&self.stack).await;
        let board = ProgressBoard::new();
        let show = |member: ProcessName, is_stopped| {
            if is_stopped {
                board.end(member.program(), "stopped");
            } else {
                board.set(member.program(), "stopping");
            }
        };
        let unwell = board.while_shown(self.cluster.stop_showing(show)).await;
        let servers = "servers";
        board.set(servers, "stopping");
        board.while_shown(self.stack.stop()).await;
        board.end(servers, "stopped");
        for complaint in &unwell {
            say(format_args!("✘ {complaint}"));
        }
        say(format_args!("Logs are in {}", logs::from_here(self.logs.path())));
        unwell.is_empty() && !self.watch.any_exited()
    }
}

/// Starts parts again that have ended, and says how that went.
async fn start_again(cluster: &mut ServiceCluster, stack: &ServerStack, exited: Vec<ExitedPart>) {
    if exited.is_empty() {
        say("Nothing has ended: there is nothing to start again");
    }
    for ExitedPart { part, name, .. } in exited {
        say(format_args!("Starting {name} again"));
        let board = ProgressBoard::new();
        board.set(&name, "starting");
        let starting = async {
            match part {
                DemoPart::Process(member) => cluster.restart(member).await,
                DemoPart::Server(server) => stack.start_part(server).await.map_err(Into::into),
            }
        };
        let started = board.while_shown(starting).await;
        drop(board);
        match started {
            Ok(()) => say(format_args!("✔ {name} is ready again")),
            Err(error) => say(format_args!("✘ {name} did not start: {error:#}")),
        }
    }
}

/// How many mails have arrived; nothing if a signal comes before that is known.
async fn mails_unless(
    orderly: &OrderlyEnd,
    http: &reqwest::Client,
    stack: &ServerStack,
) -> anyhow::Result<Option<u64>> {
    tokio::select! {
        count = mails(http, stack) => count.map(Some),
        _ = orderly.interrupted() => Ok(None),
    }
}

/// A page of the mail server's list.
#[derive(Debug, Deserialize)]
struct MailPage {
    /// How many mails have arrived, on this page or not.
    total: u64,
}

/// How many mails have arrived.
async fn mails(http: &reqwest::Client, stack: &ServerStack) -> anyhow::Result<u64> {
    let url = format!("{}/api/v1/messages?limit=1", stack.urls().mail_api);
    let page = http.get(url).send().await?.json::<MailPage>().await;
    Ok(page.context("the mail server's list cannot be read")?.total)
}
