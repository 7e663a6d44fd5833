//! SMTP sessions with a mail server.
//!
//! A mail is handed over step by step, each step with a time limit, because the step that fails
//! determines what is known:
//!
//! | step | server says no | nothing comes back |
//! | --- | --- | --- |
//! | connect, greeting, `AUTH`, `MAIL FROM` | nothing happened | nothing happened |
//! | `RCPT TO`, `DATA` | nothing happened; of this mailbox, never ([`answer`]) | nothing happened |
//! | the mail itself | the same | **nobody knows** |
//!
//! When the process stops, a step before the mail itself is given up at once. The answer to the
//! mail itself is awaited until the process must end: after that the outcome is unknown as well.
//!
//! **Architecture invariant:** a session is used again only after its last step ended well. A
//! session that is dropped in the middle is closed: its late answer would be taken for the answer
//! to the next mail. (Therefore `lettre`'s own pool is not used: it takes back dropped sessions.)

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use lettre::{
    Address,
    transport::smtp::{
        Error as LettreError,
        authentication::{Credentials, DEFAULT_MECHANISMS},
        client::{AsyncSmtpConnection, TlsParameters},
        commands::{Data, Mail, Rcpt, Rset},
        extension::{ClientId, Extension, MailParameter},
        response::{Response, Severity},
    },
};
use tokio_util::sync::CancellationToken;

use answer::{RefusalCodes, RefusalSubject};
pub use limits::StepLimits;
pub use url::{SmtpSecurity, SmtpServer, UrlError};

mod answer;
mod limits;
mod url;

/// A mail as it goes over the wire.
#[derive(Clone, Debug)]
pub struct SmtpMessage {
    pub from: Address,
    pub to: Address,
    /// Headers and body, in ASCII.
    pub content: Vec<u8>,
}

/// Settings of the SMTP client.
#[derive(Clone, Debug)]
pub struct SmtpSettings {
    pub server: SmtpServer,
    /// The client's name in `EHLO`.
    pub hello_name: String,
    /// How long the server may take for each step.
    pub limits: StepLimits,
    /// The maximum number of sessions that are kept open for the next mail.
    pub parked_max: usize,
}

/// Hands mails to one server.
pub struct SmtpClient {
    settings: SmtpSettings,
    parked: Mutex<Vec<AsyncSmtpConnection>>,
    stopping: CancellationToken,
}

/// Why a mail was not accepted. Without personal data: the server's own text may quote the address.
#[derive(Debug, thiserror::Error)]
pub enum SmtpError {
    /// The server did not take the mail, for sure.
    #[error("the mail was not taken at {step}")]
    NotTaken {
        /// The step that the mail reached.
        step: SmtpStep,
        #[source]
        trouble: StepFailure,
    },
    /// The server refuses this service, or its mails, for every recipient, until the cause is
    /// fixed.
    #[error("the server refuses us at {step}")]
    Refused {
        /// The step that the mail reached.
        step: SmtpStep,
        #[source]
        trouble: StepFailure,
    },
    /// The server never takes mail for this address.
    #[error("the server takes no mail for this address")]
    Address {
        /// The step that the mail reached.
        step: SmtpStep,
        #[source]
        trouble: StepFailure,
    },
    /// The mail was handed over, and it is unknown whether the server accepted it.
    #[error("the mail was handed over and no answer came")]
    Open {
        #[source]
        trouble: StepFailure,
    },
}

/// The step that a mail reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpStep {
    /// Up to being greeted and known.
    Connecting,
    /// After `MAIL FROM` was sent.
    Sender,
    /// After `RCPT TO` was sent.
    Recipient,
    /// After `DATA` was sent.
    Data,
    Content,
}

/// The failure of one step.
#[derive(Debug, thiserror::Error)]
pub enum StepFailure {
    /// The server said no.
    #[error("the server answered {0}")]
    Answered(RefusalCodes),
    /// The server said nothing.
    #[error("the server did not answer in time")]
    Silent,
    /// The server's answer is not valid SMTP.
    #[error("the server's answer was cut short or is not SMTP")]
    Garbled,
    /// The server lacks a needed extension.
    #[error("the server cannot {0}")]
    Unable(&'static str),
    /// The step was cut short: this process stops.
    #[error("this process stops")]
    Stopping,
    #[error("the connection failed")]
    Broken(#[source] LettreError),
}

impl fmt::Display for SmtpStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connecting => "connecting",
            Self::Sender => "MAIL FROM",
            Self::Recipient => "RCPT TO",
            Self::Data => "DATA",
            Self::Content => "the mail itself",
        })
    }
}

impl fmt::Debug for SmtpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Smtp").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl SmtpClient {
    /// A client with these settings; starts no more steps once `stopping` is cancelled.
    pub fn new(settings: SmtpSettings, stopping: CancellationToken) -> Self {
        Self { settings, parked: Mutex::default(), stopping }
    }

    /// The server's name and port.
    pub fn server(&self) -> (&str, u16) {
        (&self.settings.server.host, self.settings.server.port)
    }

    /// Hands one mail over.
    pub async fn send(&self, parcel: &SmtpMessage) -> Result<(), SmtpError> {
        if let Some(rested) = self.unpark() {
            match self.converse(rested, parcel).await {
                // The server ended the idle session, and most likely the other idle ones as well.
                Err(
                    SmtpError::NotTaken { step: SmtpStep::Sender, .. }
                    | SmtpError::Refused { step: SmtpStep::Sender, .. },
                ) => self.parked().clear(),
                outcome => return outcome,
            }
        }
        let begun = self.begin().await?;
        self.converse(begun, parcel).await
    }

    /// Hands one mail over in this session, which is kept afterwards if it can be used again.
    async fn converse(
        &self,
        mut conversation: AsyncSmtpConnection,
        parcel: &SmtpMessage,
    ) -> Result<(), SmtpError> {
        let outcome = self.hand_over(&mut conversation, parcel).await;
        let goes_on = match &outcome {
            Ok(()) => true,
            // The server works; only this address is unknown to it.
            Err(SmtpError::Address { step: SmtpStep::Recipient, .. }) => {
                self.within(self.settings.limits.reset, conversation.command(Rset)).await.is_ok()
            }
            Err(
                SmtpError::Address { .. }
                | SmtpError::NotTaken { .. }
                | SmtpError::Refused { .. }
                | SmtpError::Open { .. },
            ) => false,
        };
        if goes_on {
            self.park(conversation);
        }
        outcome
    }

    async fn hand_over(
        &self,
        conversation: &mut AsyncSmtpConnection,
        parcel: &SmtpMessage,
    ) -> Result<(), SmtpError> {
        let limits = &self.settings.limits;
        let options = mail_options(conversation, parcel)?;
        let mail = Mail::new(Some(parcel.from.clone()), options);
        let mail = self.within(limits.sender, conversation.command(mail)).await;
        mail.and_then(answers(Severity::PositiveCompletion))
            .map_err(|trouble| trouble.at(SmtpStep::Sender))?;
        let rcpt = Rcpt::new(parcel.to.clone(), vec![]);
        let rcpt = self.within(limits.recipient, conversation.command(rcpt)).await;
        rcpt.and_then(answers(Severity::PositiveCompletion))
            .map_err(|trouble| trouble.at(SmtpStep::Recipient))?;
        let data = self.within(limits.data, conversation.command(Data)).await;
        data.and_then(answers(Severity::PositiveIntermediate))
            .map_err(|trouble| trouble.at(SmtpStep::Data))?;
        // From here on the server may take the mail: to stop now would be to send it twice.
        let content = in_time(limits.content(), conversation.message(&parcel.content)).await;
        content.and_then(answers(Severity::PositiveCompletion)).map_err(|trouble| match trouble {
            StepFailure::Answered(_) => trouble.at(SmtpStep::Content),
            StepFailure::Silent
            | StepFailure::Garbled
            | StepFailure::Unable(_)
            | StepFailure::Stopping
            | StepFailure::Broken(_) => SmtpError::Open { trouble },
        })
    }

    async fn begin(&self) -> Result<AsyncSmtpConnection, SmtpError> {
        let opened = tokio::select! {
            opened = self.open() => opened,
            () = self.stopping.cancelled() => Err(StepFailure::Stopping),
        };
        opened.map_err(|trouble| trouble.at(SmtpStep::Connecting))
    }

    async fn open(&self) -> Result<AsyncSmtpConnection, StepFailure> {
        let SmtpServer { host, port, security, login } = &self.settings.server;
        let hello = ClientId::Domain(self.settings.hello_name.clone());
        let tls = || TlsParameters::new(host.clone()).map_err(StepFailure::from);
        let wrapped = match security {
            SmtpSecurity::Tls => Some(tls()?),
            SmtpSecurity::StartTls | SmtpSecurity::None => None,
        };
        let address = (host.as_str(), *port);
        let limits = &self.settings.limits;
        let connect = AsyncSmtpConnection::connect_tokio1(
            address,
            Some(limits.connect),
            &hello,
            wrapped,
            None,
        );
        let mut conversation = in_time(limits.opening(), connect).await?;
        match security {
            SmtpSecurity::StartTls if !conversation.can_starttls() => {
                return Err(StepFailure::Unable("encrypt (STARTTLS)"));
            }
            SmtpSecurity::StartTls => {
                in_time(limits.hello, conversation.starttls(tls()?, &hello)).await?;
            }
            SmtpSecurity::Tls | SmtpSecurity::None => {}
        }
        if let Some(login) = login {
            let credentials = Credentials::new(login.user.clone(), login.password().to_owned());
            let auth = conversation.auth(DEFAULT_MECHANISMS, &credentials);
            in_time(limits.hello, auth).await.and_then(answers(Severity::PositiveCompletion))?;
        }
        Ok(conversation)
    }

    /// A step that may be given up because the process stops.
    async fn within<T>(
        &self,
        limit: Duration,
        step: impl Future<Output = Result<T, LettreError>>,
    ) -> Result<T, StepFailure> {
        tokio::select! {
            outcome = in_time(limit, step) => outcome,
            () = self.stopping.cancelled() => Err(StepFailure::Stopping),
        }
    }

    fn unpark(&self) -> Option<AsyncSmtpConnection> {
        self.parked().pop()
    }

    fn park(&self, conversation: AsyncSmtpConnection) {
        let mut parked = self.parked();
        if parked.len() < self.settings.parked_max {
            parked.push(conversation);
        }
    }

    fn parked(&self) -> MutexGuard<'_, Vec<AsyncSmtpConnection>> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StepFailure {
    /// The failure at a step that has no effect.
    fn at(self, step: SmtpStep) -> SmtpError {
        let about = match &self {
            Self::Answered(answer) => answer.about(step),
            Self::Silent | Self::Garbled | Self::Unable(_) | Self::Stopping | Self::Broken(_) => {
                RefusalSubject::Nobody
            }
        };
        match about {
            RefusalSubject::Mailbox => SmtpError::Address { step, trouble: self },
            RefusalSubject::Us => SmtpError::Refused { step, trouble: self },
            RefusalSubject::Nobody => SmtpError::NotTaken { step, trouble: self },
        }
    }
}

/// `lettre` treats both 2yz and 3yz as success.
fn answers(wanted: Severity) -> impl Fn(Response) -> Result<(), StepFailure> {
    move |response| {
        if response.code().severity == wanted { Ok(()) } else { Err(StepFailure::Garbled) }
    }
}

/// An address outside ASCII needs a server that knows such addresses.
fn mail_options(
    conversation: &AsyncSmtpConnection,
    parcel: &SmtpMessage,
) -> Result<Vec<MailParameter>, SmtpError> {
    let is_ascii = |address: &Address| AsRef::<str>::as_ref(address).is_ascii();
    if is_ascii(&parcel.from) && is_ascii(&parcel.to) {
        return Ok(vec![]);
    }
    if conversation.server_info().supports_feature(Extension::SmtpUtfEight) {
        return Ok(vec![MailParameter::SmtpUtfEight]);
    }
    let trouble = StepFailure::Unable("take addresses outside ASCII (SMTPUTF8)");
    Err(SmtpError::Address { step: SmtpStep::Sender, trouble })
}

async fn in_time<T>(
    limit: Duration,
    step: impl Future<Output = Result<T, LettreError>>,
) -> Result<T, StepFailure> {
    match tokio::time::timeout(limit, step).await {
        Ok(outcome) => outcome.map_err(StepFailure::from),
        Err(_elapsed) => Err(StepFailure::Silent),
    }
}

impl From<LettreError> for StepFailure {
    /// The text of a server's answer is left out: it may quote the address.
    fn from(error: LettreError) -> Self {
        match RefusalCodes::of(&error) {
            Some(answer) => Self::Answered(answer),
            None if error.is_response() => Self::Garbled,
            None => Self::Broken(error),
        }
    }
}
