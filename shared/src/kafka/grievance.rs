//! Why a client does not get through to a broker.
//!
//! What a call answers says no more than that nobody answered. The reason (a certificate, a password,
//! a closed port) is only in the client's own log, so it is kept from there.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use rdkafka::{ClientContext, client::DefaultClientContext, config::RDKafkaLogLevel};

/// Under this name the client logs that a connection failed.
const FAILED: &str = "FAIL";

/// The last reason for which a connection failed, if one did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Grievance(Arc<Mutex<Option<String>>>);

impl ClientContext for Grievance {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if facility == FAILED {
            // Before it stands the name of a thread.
            let reason = message.split_once("]: ").map_or(message, |(_, reason)| reason);
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
        } else {
            DefaultClientContext.log(level, facility, message);
        }
    }
}

impl fmt::Display for Grievance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(reason) => write!(f, " ({reason})"),
            None => Ok(()),
        }
    }
}
