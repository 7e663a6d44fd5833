//! Kaskade, a Kafka UI in the browser, for a stack from any source.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    cache::{InstallCache, InstallRecipe},
    python,
    server::NativeServer,
    supervisor::{LaunchCommand, ServerFolder},
    tool,
};
use crate::{
    PartState, StackError, StackPart, StackUrls, StartProgress, WantedParts, part::EndedPart,
    probe::ServerProbe,
};

const REQUIREMENTS: &str = include_str!("../../native/kafka-ui/requirements.txt");
const PROGRAM: &str = include_str!("../../native/kafka-ui/serve.py");

#[derive(Debug)]
pub(crate) struct KafkaUi {
    url: String,
    // Dropped first; see `Native`.
    server: NativeServer,
    workspace: ServerFolder,
}

impl KafkaUi {
    /// Installs it if it is missing, and starts it upon this stack.
    pub(crate) async fn start(
        urls: &StackUrls,
        parts: &WantedParts,
        progress: &dyn StartProgress,
    ) -> Result<Self, StackError> {
        let home = install(&InstallCache::open(progress)?).await?;
        progress.state(StackPart::Ui, &PartState::Starting);
        let workspace = ServerFolder::logging_to(parts.logs.clone())?;
        let folder = workspace.folder("ui")?;
        let (server, [port, _]) =
            NativeServer::start_near(parts.port(StackPart::Ui), &workspace, |[port, _]| {
                let mut arguments = vec![home.join("serve.py").display().to_string()];
                let options = [
                    ["--brokers", &urls.brokers],
                    ["--registry", &urls.registry],
                    ["--port", &port.to_string()],
                ];
                arguments.extend(options.into_iter().flatten().map(str::to_owned));
                let launch = LaunchCommand {
                    environment: vec![
                        ("PYTHONPATH", home.display().to_string()),
                        ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
                    ],
                    ..LaunchCommand::new(StackPart::Ui, Path::new("python3"), arguments, &folder)
                };
                Ok((launch, ServerProbe::Http { address: format!("127.0.0.1:{port}"), path: "/" }))
            })
            .await?;
        let url = format!("http://127.0.0.1:{port}/");
        progress.state(StackPart::Ui, &PartState::Ready(url.clone()));
        Ok(Self { url, server, workspace })
    }

    /// How it ended, if it did without being told to.
    pub(crate) async fn ended(&self) -> Option<EndedPart> {
        self.server.ended().await
    }

    /// Starts it again after it has ended.
    pub(crate) async fn resume(&self) -> Result<(), StackError> {
        self.server.resume(&self.workspace).await
    }

    /// Where the browser finds it.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

async fn install(cache: &InstallCache<'_>) -> Result<PathBuf, StackError> {
    let version = python::version().await?;
    let inputs = [REQUIREMENTS, PROGRAM, version.as_str()];
    let recipe =
        InstallRecipe { part: Some(StackPart::Ui), name: "kaskade-5.1.0", inputs: &inputs };
    cache
        .folder(&recipe, async |home| {
            tool::pip(home, REQUIREMENTS, &[]).await?;
            let program = home.join("serve.py");
            fs::write(&program, PROGRAM).map_err(StackError::path("write", &program))
        })
        .await
}
