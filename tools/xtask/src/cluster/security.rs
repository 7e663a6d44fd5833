//! Security of the connections to the broker, as settings of the services.

use secrecy::ExposeSecret as _;
use shared::kafka::{ConnectionSecurity, SaslLogin, TlsSettings};

/// The settings that say this.
pub(super) fn settings(security: &ConnectionSecurity) -> Vec<(&'static str, String)> {
    let protection = match (&security.tls, &security.login) {
        (None, None) => return vec![],
        (Some(_), None) => "tls",
        (None, Some(_)) => "sasl_plaintext",
        (Some(_), Some(_)) => "sasl_tls",
    };
    let mut settings = vec![("KAFKA_SECURITY", protection.to_owned())];
    settings.extend(security.tls.iter().flat_map(of_tls));
    settings.extend(security.login.iter().flat_map(of_login));
    settings
}

fn of_tls(tls: &TlsSettings) -> Vec<(&'static str, String)> {
    let own = tls.own.as_ref();
    [
        ("KAFKA_TLS_CA_FILE", tls.ca_file.as_ref()),
        (
            "KAFKA_TLS_CERTIFICATE_FILE",
            own.map(|client_certificate| &client_certificate.certificate_file),
        ),
        ("KAFKA_TLS_KEY_FILE", own.map(|client_certificate| &client_certificate.key_file)),
    ]
    .into_iter()
    .filter_map(|(name, file)| Some((name, file?.to_string_lossy().into_owned())))
    .collect()
}

fn of_login(login: &SaslLogin) -> [(&'static str, String); 3] {
    [
        ("KAFKA_SASL_MECHANISM", login.mechanism.name().to_owned()),
        ("KAFKA_SASL_USERNAME", login.user.clone()),
        ("KAFKA_SASL_PASSWORD", login.password.expose_secret().to_owned()),
    ]
}
