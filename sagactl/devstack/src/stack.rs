//! A running stack: where its parts answer, and control over what was started.

use tokio::sync::Mutex;

use crate::{
    Error, Progress, State, config,
    docker::Containers,
    native::{Native, Ui, authority::Secured},
    part::{Form, Halt, Part, Parts, Source, Urls},
};

/// A running stack. Dropping it ends what it started.
#[derive(Debug)]
pub struct Stack {
    urls: Urls,
    origin: Origin,
    ui: Mutex<Option<Ui>>,
}

#[derive(Debug)]
enum Origin {
    Given,
    Docker(Containers),
    Native(Box<Native>),
}

impl Stack {
    /// Has the wanted parts up and answering, or says why not. What was started is ended again if
    /// this fails or is given up.
    pub async fn start(
        choice: Source,
        parts: Parts,
        progress: &dyn Progress,
    ) -> Result<Self, Error> {
        let resolved = resolve(choice)?;
        if parts.form != Form::Plain && !matches!(resolved, Resolved::Native) {
            return Err(Error::NativeOnly);
        }
        match resolved {
            Resolved::Given => given(&parts, progress),
            Resolved::Docker => {
                let (urls, containers) = Box::pin(Containers::start(&parts, progress)).await?;
                Ok(Self::new(urls, Origin::Docker(containers)))
            }
            Resolved::Native => {
                let (urls, native) = Box::pin(Native::start(&parts, progress)).await?;
                Ok(Self::new(urls, Origin::Native(Box::new(native))))
            }
        }
    }

    fn new(urls: Urls, origin: Origin) -> Self {
        Self { urls, origin, ui: Mutex::new(None) }
    }

    /// Where the parts answer.
    pub fn urls(&self) -> &Urls {
        &self.urls
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
            Origin::Given => {}
            Origin::Docker(containers) => containers.stop().await,
            Origin::Native(native) => native.stop().await,
        }
    }

    /// Shows Kafka in the browser; gives the address. Started once, for the life of the stack.
    pub async fn start_ui(&self, progress: &dyn Progress) -> Result<String, Error> {
        let mut ui = self.ui.lock().await;
        let ui = match &mut *ui {
            Some(ui) => ui,
            none => none.insert(Ui::start(&self.urls, progress).await?),
        };
        Ok(ui.url().to_owned())
    }

    /// What is needed to be let in, if the stack is secured.
    pub fn secured(&self) -> Option<&Secured> {
        match &self.origin {
            Origin::Native(native) => native.secured(),
            Origin::Given | Origin::Docker(_) => None,
        }
    }

    /// The process under which each part runs, with all below it. None for parts that are not local
    /// processes.
    pub async fn process_trees(&self) -> Vec<(Part, u32)> {
        match &self.origin {
            Origin::Native(native) => native.roots().await,
            Origin::Given | Origin::Docker(_) => vec![],
        }
    }

    /// Stops one part, which keeps its data and its address.
    pub async fn stop_part(&self, part: Part, how: Halt) -> Result<(), Error> {
        self.native(part)?.stop_part(part, how).await
    }

    /// Starts a stopped part again and waits until it answers.
    pub async fn start_part(&self, part: Part) -> Result<(), Error> {
        self.native(part)?.start_part(part).await
    }

    /// Stops one of several brokers, which are counted from 0.
    pub async fn stop_broker(&self, n: usize, how: Halt) -> Result<(), Error> {
        self.native(Part::Kafka)?.stop_nth(Part::Kafka, n, how).await
    }

    /// Starts a stopped broker of several again and waits until it answers.
    pub async fn start_broker(&self, n: usize) -> Result<(), Error> {
        self.native(Part::Kafka)?.start_nth(Part::Kafka, n).await
    }

    /// Stops the broker, which keeps its messages and its address.
    pub async fn stop_kafka(&self, how: Halt) -> Result<(), Error> {
        self.stop_part(Part::Kafka, how).await
    }

    /// Starts the stopped broker again and waits until it answers.
    pub async fn start_kafka(&self) -> Result<(), Error> {
        self.start_part(Part::Kafka).await
    }

    /// Throws away all that the stopped broker keeps: topics, messages, offsets of groups. It comes back
    /// as one that was just made, at the same address. Not for a secured one, whose user goes, too.
    pub async fn forget_kafka(&self) -> Result<(), Error> {
        self.native(Part::Kafka)?.forget_kafka().await
    }

    fn native(&self, part: Part) -> Result<&Native, Error> {
        match &self.origin {
            Origin::Native(native) => Ok(native),
            Origin::Given | Origin::Docker(_) => Err(Error::NotOurs(part)),
        }
    }
}

enum Resolved {
    Given,
    Docker,
    Native,
}

fn resolve(choice: Source) -> Result<Resolved, Error> {
    Ok(match choice {
        Source::Environment => Resolved::Given,
        Source::Docker => Resolved::Docker,
        Source::Native => Resolved::Native,
        Source::Auto if config::names_a_stack() => Resolved::Given,
        Source::Auto => match config::choice()? {
            config::Choice::Native => Resolved::Native,
            config::Choice::Docker => Resolved::Docker,
        },
    })
}

fn given(parts: &Parts, progress: &dyn Progress) -> Result<Stack, Error> {
    let urls = config::urls(&parts.wanted)?;
    for part in &parts.wanted {
        progress.state(*part, &State::Ready(urls.of(*part).to_owned()));
    }
    Ok(Stack::new(urls, Origin::Given))
}
