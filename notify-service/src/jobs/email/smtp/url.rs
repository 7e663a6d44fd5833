//! The URL of a mail server: `smtp://host:port`, `smtp://host?tls=required`,
//! `smtps://user:password@host`.

use std::fmt;

use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

/// A mail server and its credentials.
#[derive(Clone, Debug)]
pub struct SmtpServer {
    /// Its host name or IP address.
    pub host: String,
    pub port: u16,
    /// How the connection is protected.
    pub security: SmtpSecurity,
    /// The credentials; `None` where the server needs no login.
    pub login: Option<SmtpLogin>,
}

/// How a connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpSecurity {
    /// Not at all: a server on this machine or in this network.
    None,
    /// TLS from the first byte.
    Tls,
    /// `STARTTLS`, required: without it the session ends.
    StartTls,
}

/// A user and a password.
#[derive(Clone)]
pub struct SmtpLogin {
    pub user: String,
    password: SecretString,
}

/// Why the URL of a mail server is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// The text is no URL, or has no host.
    #[error("not of the form smtp://host:port")]
    Malformed,
    #[error("neither smtp:// nor smtps://")]
    Scheme,
    /// An option is unknown.
    #[error("what follows the host can only be ?tls=required")]
    Query,
    /// The password would be sent unencrypted.
    #[error("the password would travel in the clear: use smtps:// or ?tls=required")]
    Clear,
}

impl SmtpServer {
    /// Reads the address of a mail server.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let url = Url::parse(text).map_err(|_unread| UrlError::Malformed)?;
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(UrlError::Malformed)?;
        let (security, usual_port) = match (url.scheme(), url.query()) {
            ("smtp", None) => (SmtpSecurity::None, 25),
            ("smtp", Some("tls=required")) => (SmtpSecurity::StartTls, 587),
            ("smtps", None) => (SmtpSecurity::Tls, 465),
            ("smtp" | "smtps", Some(_)) => return Err(UrlError::Query),
            _ => return Err(UrlError::Scheme),
        };
        let login = SmtpLogin::of(&url);
        if login.is_some() && security == SmtpSecurity::None {
            return Err(UrlError::Clear);
        }
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: url.port().unwrap_or(usual_port),
            security,
            login,
        })
    }
}

impl SmtpLogin {
    fn of(url: &Url) -> Option<Self> {
        let plain = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let password = url.password()?;
        Some(Self { user: plain(url.username()), password: plain(password).into() })
    }

    pub fn password(&self) -> &str {
        self.password.expose_secret()
    }
}

impl fmt::Debug for SmtpLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_read_from_its_address() {
        for (text, host, port, security) in [
            ("smtp://127.0.0.1:1025", "127.0.0.1", 1025, SmtpSecurity::None),
            ("smtp://[::1]", "::1", 25, SmtpSecurity::None),
            ("smtp://mail.example?tls=required", "mail.example", 587, SmtpSecurity::StartTls),
            ("smtps://ada:s%3Acret@mail.example", "mail.example", 465, SmtpSecurity::Tls),
        ] {
            let server = SmtpServer::parse(text).unwrap();
            assert_eq!(
                (server.host.as_str(), server.port, server.security),
                (host, port, security)
            );
        }
    }

    #[test]
    fn a_password_may_hold_any_character_and_is_never_shown() {
        let server = SmtpServer::parse("smtps://ada%40shop:s%3Acr+t@mail.example").unwrap();
        let login = server.login.clone().unwrap();
        assert_eq!((login.user.as_str(), login.password()), ("ada@shop", "s:cr+t"));
        assert!(!format!("{server:?}").contains("s:cr+t"));
    }

    #[test]
    fn an_address_that_is_wrong_says_how() {
        for (text, error) in [
            ("mail.example:25", UrlError::Malformed),
            ("not an address", UrlError::Malformed),
            ("smtp://", UrlError::Malformed),
            ("http://mail.example", UrlError::Scheme),
            ("smtp://mail.example?tls=maybe", UrlError::Query),
            ("smtp://ada:secret@mail.example", UrlError::Clear),
        ] {
            assert_eq!(SmtpServer::parse(text).unwrap_err(), error, "{text}");
        }
    }
}
