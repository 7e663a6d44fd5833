//! Records why brokers cannot be reached. A failed request to a broker only reports that there was
//! no answer; the client's own threads report the cause, which is kept here.

use std::sync::{Mutex, PoisonError};

use rdkafka::{
    ClientContext,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode as Code},
    producer::{DeliveryResult, ProducerContext},
};

/// The last error of a client. The text is the client's own and holds no password.
#[derive(Debug, Default)]
pub(crate) struct ClientErrors(Mutex<Option<ClientError>>);

#[derive(Debug)]
struct ClientError {
    /// The broker refused this client, or this client refused the broker. Such an error is kept
    /// even if the client reports the lost connection later.
    refused: bool,
    reason: String,
}

impl ClientErrors {
    /// The last reported error, if there is one.
    pub(crate) fn last(&self) -> Option<String> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().map(|error| error.reason.clone())
    }
}

impl ClientContext for ClientErrors {
    /// Logs at debug level only: the code that reads `last` reports the error, once.
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, line: &str) {
        tracing::debug!(facility, line, "the Kafka client says");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        let refused = matches!(code, Some(Code::Authentication | Code::SSL));
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // "All brokers are down" gives no cause.
        if code == Some(Code::AllBrokersDown)
            || last.as_ref().is_some_and(|error| error.refused && !refused)
        {
            return;
        }
        *last = Some(ClientError { refused, reason: reason.to_owned() });
    }
}

impl ProducerContext for ClientErrors {
    type DeliveryOpaque = ();

    fn delivery(&self, _result: &DeliveryResult<'_>, (): ()) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_outlives_the_lost_connection_that_it_causes() {
        let complaints = ClientErrors::default();
        let say = |code, reason| complaints.error(KafkaError::Global(code), reason);
        assert_eq!(complaints.last(), None);
        say(Code::BrokerTransportFailure, "connection refused");
        say(Code::AllBrokersDown, "1/1 brokers are down");
        assert_eq!(complaints.last().as_deref(), Some("connection refused"));
        say(Code::Authentication, "invalid credentials");
        say(Code::BrokerTransportFailure, "disconnected");
        assert_eq!(complaints.last().as_deref(), Some("invalid credentials"));
    }
}
