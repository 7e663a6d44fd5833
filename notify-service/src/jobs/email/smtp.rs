//! Conversations with a mail server.
//!
//! A mail is handed over step by step, each under a limit of time, because the step at which it
//! goes wrong decides what is known:
//!
//! | step | server says no | nothing comes back |
//! | --- | --- | --- |
//! | connect, greeting, `AUTH` | nothing happened | nothing happened |
//! | `MAIL FROM`, `DATA` | nothing happened | nothing happened |
//! | `RCPT TO` | 5xx: this address, never; 4xx: not now | nothing happened |
//! | the mail itself | nothing happened | **nobody knows** |
//!
//! **Architecture invariant:** a conversation is used again only after its last step ended well.
//! One that is dropped in the middle is closed: its late answer would be taken for the answer to the
//! next mail. (This is why `lettre`'s own pool is not used: it takes back what was dropped.)

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use lettre::{
    Address,
    transport::smtp::{
        Error as SmtpError,
        authentication::{Credentials, DEFAULT_MECHANISMS},
        client::{AsyncSmtpConnection, TlsParameters},
        commands::{Data, Mail, Rcpt, Rset},
        extension::{ClientId, Extension, MailParameter},
        response::Response,
    },
};

pub use url::{Security, Server, UrlError};

mod url;

/// A mail as it goes over the wire.
#[derive(Clone, Debug)]
pub struct Parcel {
    /// Who sends it.
    pub from: Address,
    /// Who gets it.
    pub to: Address,
    /// Headers and body, in ASCII.
    pub content: Vec<u8>,
}

/// How a mail server is talked to.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which one.
    pub server: Server,
    /// What this client calls itself.
    pub hello_name: String,
    /// How long the server may take for each step.
    pub step_limit: Duration,
    /// Conversations that are kept open for the next mail, at most.
    pub parked_max: usize,
}

/// Hands mails to one server.
pub struct Smtp {
    settings: Settings,
    parked: Mutex<Vec<AsyncSmtpConnection>>,
}

/// Why a mail was not taken. Says nothing personal: a server's own words may quote the address.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server did not take the mail, for sure.
    #[error("the mail was not taken at {step}")]
    NotTaken {
        /// How far it came.
        step: Step,
        /// What went wrong.
        #[source]
        trouble: Trouble,
    },
    /// The server never takes mail for this address.
    #[error("the server takes no mail for this address")]
    Address {
        /// What it said.
        #[source]
        trouble: Trouble,
    },
    /// The mail was handed over, and nobody knows whether it was taken.
    #[error("the mail was handed over and no answer came")]
    Open {
        /// What went wrong.
        #[source]
        trouble: Trouble,
    },
}

/// How far a mail came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Up to being greeted and known.
    Connecting,
    /// `MAIL FROM`.
    Sender,
    /// `RCPT TO`.
    Recipient,
    /// `DATA`.
    Data,
    /// The mail itself.
    Content,
}

/// What went wrong in one step.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The server said no.
    #[error("the server answered {0}")]
    Answered(String),
    /// The server said nothing.
    #[error("the server did not answer in time")]
    Silent,
    /// What the server said is no answer.
    #[error("the server's answer was cut short or is not SMTP")]
    Garbled,
    /// The server cannot do what is needed.
    #[error("the server cannot {0}")]
    Unable(&'static str),
    /// The connection failed.
    #[error("the connection failed")]
    Broken(#[source] SmtpError),
}

impl fmt::Display for Step {
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

impl fmt::Debug for Smtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Smtp").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Smtp {
    /// Hands mails to the server of these settings.
    pub fn new(settings: Settings) -> Self {
        Self { settings, parked: Mutex::default() }
    }

    /// Where the server is.
    pub fn server(&self) -> (&str, u16) {
        (&self.settings.server.host, self.settings.server.port)
    }

    /// Hands one mail over.
    pub async fn send(&self, parcel: &Parcel) -> Result<(), Error> {
        if let Some(rested) = self.unpark() {
            match self.converse(rested, parcel).await {
                // The server ended it while it rested, and most likely the others as well.
                Err(Error::NotTaken { step: Step::Sender, .. }) => self.parked().clear(),
                outcome => return outcome,
            }
        }
        let begun = self.begin().await?;
        self.converse(begun, parcel).await
    }

    /// Hands one mail over in this conversation, which rests afterwards if it can go on.
    async fn converse(
        &self,
        mut conversation: AsyncSmtpConnection,
        parcel: &Parcel,
    ) -> Result<(), Error> {
        let outcome = self.hand_over(&mut conversation, parcel).await;
        let goes_on = match &outcome {
            Ok(()) => true,
            // The server is well; it only does not know this address.
            Err(Error::Address { .. }) => {
                within(self.settings.step_limit, conversation.command(Rset)).await.is_ok()
            }
            Err(Error::NotTaken { .. } | Error::Open { .. }) => false,
        };
        if goes_on {
            self.park(conversation);
        }
        outcome
    }

    async fn hand_over(
        &self,
        conversation: &mut AsyncSmtpConnection,
        parcel: &Parcel,
    ) -> Result<(), Error> {
        let limit = self.settings.step_limit;
        let at = |step| move |trouble| Error::NotTaken { step, trouble };
        let options = mail_options(conversation, parcel)?;
        let mail = Mail::new(Some(parcel.from.clone()), options);
        within(limit, conversation.command(mail)).await.map_err(at(Step::Sender))?;
        let rcpt = Rcpt::new(parcel.to.clone(), vec![]);
        within(limit, conversation.command(rcpt)).await.map_err(|trouble| {
            if trouble.is_for_good() {
                Error::Address { trouble }
            } else {
                Error::NotTaken { step: Step::Recipient, trouble }
            }
        })?;
        within(limit, conversation.command(Data)).await.map_err(at(Step::Data))?;
        let content = conversation.message(&parcel.content);
        within(limit, content).await.map_err(|trouble| match trouble {
            Trouble::Answered(_) => Error::NotTaken { step: Step::Content, trouble },
            Trouble::Silent | Trouble::Garbled | Trouble::Unable(_) | Trouble::Broken(_) => {
                Error::Open { trouble }
            }
        })?;
        Ok(())
    }

    /// A new conversation.
    async fn begin(&self) -> Result<AsyncSmtpConnection, Error> {
        let opened = match tokio::time::timeout(self.settings.step_limit, self.open()).await {
            Ok(opened) => opened,
            Err(_elapsed) => Err(Trouble::Silent),
        };
        opened.map_err(|trouble| Error::NotTaken { step: Step::Connecting, trouble })
    }

    async fn open(&self) -> Result<AsyncSmtpConnection, Trouble> {
        let Server { host, port, security, login } = &self.settings.server;
        let hello = ClientId::Domain(self.settings.hello_name.clone());
        let tls = || TlsParameters::new(host.clone()).map_err(Trouble::from);
        let wrapped = match security {
            Security::Tls => Some(tls()?),
            Security::StartTls | Security::None => None,
        };
        let address = (host.as_str(), *port);
        let mut conversation =
            AsyncSmtpConnection::connect_tokio1(address, None, &hello, wrapped, None).await?;
        match security {
            Security::StartTls if !conversation.can_starttls() => {
                return Err(Trouble::Unable("encrypt (STARTTLS)"));
            }
            Security::StartTls => conversation.starttls(tls()?, &hello).await?,
            Security::Tls | Security::None => {}
        }
        if let Some(login) = login {
            let credentials = Credentials::new(login.user.clone(), login.password().to_owned());
            conversation.auth(DEFAULT_MECHANISMS, &credentials).await?;
        }
        Ok(conversation)
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

impl Trouble {
    /// Whether the server said that asking again cannot help.
    fn is_for_good(&self) -> bool {
        matches!(self, Self::Answered(code) if code.starts_with('5'))
    }
}

/// An address outside ASCII needs a server that knows such addresses.
fn mail_options(
    conversation: &AsyncSmtpConnection,
    parcel: &Parcel,
) -> Result<Vec<MailParameter>, Error> {
    let is_ascii = |it: &Address| AsRef::<str>::as_ref(it).is_ascii();
    if is_ascii(&parcel.from) && is_ascii(&parcel.to) {
        return Ok(vec![]);
    }
    if conversation.server_info().supports_feature(Extension::SmtpUtfEight) {
        return Ok(vec![MailParameter::SmtpUtfEight]);
    }
    Err(Error::Address { trouble: Trouble::Unable("take addresses outside ASCII (SMTPUTF8)") })
}

async fn within(
    limit: Duration,
    step: impl Future<Output = Result<Response, SmtpError>>,
) -> Result<Response, Trouble> {
    match tokio::time::timeout(limit, step).await {
        Ok(outcome) => outcome.map_err(Trouble::from),
        Err(_elapsed) => Err(Trouble::Silent),
    }
}

impl From<SmtpError> for Trouble {
    /// What a server says in words is left out: it may quote the address.
    fn from(error: SmtpError) -> Self {
        match error.status() {
            Some(code) => Self::Answered(code.to_string()),
            None if error.is_response() => Self::Garbled,
            None => Self::Broken(error),
        }
    }
}
