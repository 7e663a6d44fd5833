//! A running stack: where its parts answer, and control over what was started.

use tokio::sync::Mutex;

use crate::{
    PartState, StackError, StartProgress, config,
    docker::StackContainers,
    native::{KafkaUi, NativeServers, authority::SecuredServers},
    part::{
        EndedPart, MovedPart, ServerForm, ServerSource, StackPart, StackUrls, StopMode,
        WantedParts, port_of,
    },
};

/// A running stack. Dropping it ends what it started.
#[derive(Debug)]
pub struct ServerStack {
    urls: StackUrls,
    parts: WantedParts,
    origin: StackOrigin,
    ui: Mutex<Option<KafkaUi>>,
}

#[derive(Debug)]
enum StackOrigin {
    Given,
    Docker(StackContainers),
    Native(Box<NativeServers>),
}

impl ServerStack {
    /// Has the wanted parts up and answering, or says why not. What was started is ended again if
    /// this fails or is given up.
    pub async fn start(
        choice: ServerSource,
        parts: WantedParts,
        progress: &dyn StartProgress,
    ) -> Result<Self, StackError> {
        let source = match choice {
            ServerSource::Auto if config::names_a_stack() => ServerSource::Environment,
            ServerSource::Auto => config::choice()?,
            ServerSource::Environment | ServerSource::Docker | ServerSource::Native => choice,
        };
        if parts.form != ServerForm::Plain && source != ServerSource::Native {
            return Err(StackError::NativeOnly);
        }
        match source {
            ServerSource::Environment | ServerSource::Auto => given(parts, progress),
            ServerSource::Docker => {
                let (urls, containers) = Box::pin(StackContainers::start(&parts, progress)).await?;
                Ok(Self::new(urls, parts, StackOrigin::Docker(containers)))
            }
            ServerSource::Native => {
                let (urls, native) = Box::pin(NativeServers::start(&parts, progress)).await?;
                Ok(Self::new(urls, parts, StackOrigin::Native(Box::new(native))))
            }
        }
    }

    fn new(urls: StackUrls, parts: WantedParts, origin: StackOrigin) -> Self {
        Self { urls, parts, origin, ui: Mutex::new(None) }
    }

    /// The addresses of the parts.
    pub fn urls(&self) -> &StackUrls {
        &self.urls
    }

    /// The parts that answer at another port than the one at which they were wanted; none where the
    /// addresses were given.
    pub async fn moved(&self) -> Vec<MovedPart> {
        if matches!(self.origin, StackOrigin::Given) {
            return vec![];
        }
        let ui = self.ui.lock().await;
        let moved = |&(part, taken): &(StackPart, u16)| {
            let address = match (part, &*ui) {
                (StackPart::Ui, Some(ui)) => ui.url(),
                _ => self.urls.of(part),
            };
            let elsewhere = port_of(address).is_some_and(|port| port != taken);
            elsewhere.then(|| MovedPart { part, taken, address: address.to_owned() })
        };
        self.parts.ports.iter().filter_map(moved).collect()
    }

    /// The servers that have ended without being told to. Of containers nothing is said.
    pub async fn ended(&self) -> Vec<EndedPart> {
        let mut ended = match &self.origin {
            StackOrigin::Native(native) => native.ended().await,
            StackOrigin::Given | StackOrigin::Docker(_) => vec![],
        };
        if let Some(ui) = &*self.ui.lock().await {
            ended.extend(ui.ended().await);
        }
        ended
    }

    /// The environment under which another process uses this stack instead of starting its own.
    pub fn exports(&self) -> Vec<(&'static str, String)> {
        let urls = &self.urls;
        [
            (config::BROKERS, &urls.brokers),
            (config::POSTGRES, &urls.postgres),
            (config::REGISTRY, &urls.registry),
            (config::SMTP, &urls.smtp),
            (config::MAIL_API, &urls.mail_api),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name, value.clone()))
        .collect()
    }

    /// Ends what was started, and waits until it is gone, its data included.
    pub async fn stop(self) {
        drop(self.ui);
        match self.origin {
            StackOrigin::Given => {}
            StackOrigin::Docker(containers) => containers.stop().await,
            StackOrigin::Native(native) => native.stop_all().await,
        }
    }

    /// Shows Kafka in the browser; gives the address. Started once, for the life of the stack.
    pub async fn start_ui(&self, progress: &dyn StartProgress) -> Result<String, StackError> {
        let mut ui = self.ui.lock().await;
        let ui = match &mut *ui {
            Some(ui) => ui,
            none => none.insert(KafkaUi::start(&self.urls, &self.parts, progress).await?),
        };
        Ok(ui.url().to_owned())
    }

    /// Certificates and passwords for clients, if the stack is secured.
    pub fn secured(&self) -> Option<&SecuredServers> {
        match &self.origin {
            StackOrigin::Native(native) => native.secured(),
            StackOrigin::Given | StackOrigin::Docker(_) => None,
        }
    }

    /// The process under which each part runs, with all below it. None for parts that are not local
    /// processes.
    pub async fn process_trees(&self) -> Vec<(StackPart, u32)> {
        match &self.origin {
            StackOrigin::Native(native) => native.roots().await,
            StackOrigin::Given | StackOrigin::Docker(_) => vec![],
        }
    }

    /// Stops one part, which keeps its data and its address.
    pub async fn stop_part(&self, part: StackPart, how: StopMode) -> Result<(), StackError> {
        self.native(part)?.stop(part, 0, how).await
    }

    /// Starts a part again that was stopped or has ended, and waits until it answers.
    pub async fn start_part(&self, part: StackPart) -> Result<(), StackError> {
        if let (StackPart::Ui, Some(ui)) = (part, &*self.ui.lock().await) {
            return ui.resume().await;
        }
        self.native(part)?.resume(part, 0).await
    }

    /// Stops one of several brokers, which are counted from 0.
    pub async fn stop_broker(&self, n: usize, how: StopMode) -> Result<(), StackError> {
        self.native(StackPart::Kafka)?.stop(StackPart::Kafka, n, how).await
    }

    /// Starts a stopped broker of several again and waits until it answers.
    pub async fn start_broker(&self, n: usize) -> Result<(), StackError> {
        self.native(StackPart::Kafka)?.resume(StackPart::Kafka, n).await
    }

    /// Stops the broker, which keeps its messages and its address.
    pub async fn stop_kafka(&self, how: StopMode) -> Result<(), StackError> {
        self.stop_part(StackPart::Kafka, how).await
    }

    /// Starts the stopped broker again and waits until it answers.
    pub async fn start_kafka(&self) -> Result<(), StackError> {
        self.start_part(StackPart::Kafka).await
    }

    /// Throws away all that the stopped broker keeps: topics, messages, offsets of groups. It comes back
    /// as one that was just made, at the same address. Not for a secured one, whose user goes, too.
    pub async fn forget_kafka(&self) -> Result<(), StackError> {
        self.native(StackPart::Kafka)?.forget_kafka().await
    }

    fn native(&self, part: StackPart) -> Result<&NativeServers, StackError> {
        match &self.origin {
            StackOrigin::Native(native) => Ok(native),
            StackOrigin::Given | StackOrigin::Docker(_) => Err(StackError::NotOurs(part)),
        }
    }
}

fn given(parts: WantedParts, progress: &dyn StartProgress) -> Result<ServerStack, StackError> {
    let urls = config::urls(&parts.wanted)?;
    for part in &parts.wanted {
        progress.state(*part, &PartState::Ready(urls.of(*part).to_owned()));
    }
    Ok(ServerStack::new(urls, parts, StackOrigin::Given))
}
