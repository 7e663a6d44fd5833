//! Metrics of this service: mails handed to the server, by outcome.

const MAILS: &str = "notify_mails_total";

/// Counts an attempt by its outcome when dropped, also when the attempt is cancelled.
pub(crate) struct MailOutcome(pub(crate) &'static str);

impl Drop for MailOutcome {
    fn drop(&mut self) {
        metrics::counter!(MAILS, "outcome" => self.0).increment(1);
    }
}

/// Describes the metric and initialises it with 0.
pub(crate) fn describe() {
    metrics::describe_counter!(MAILS, "Mails handed to the server, by outcome.");
    for outcome in ["taken", "not-taken", "refused", "open", "address"] {
        metrics::counter!(MAILS, "outcome" => outcome).increment(0);
    }
}
