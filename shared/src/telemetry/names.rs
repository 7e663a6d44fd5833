//! The numbers of the roads: each name once, with what it counts.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Gives the recorder a line of help for each number.
pub(super) fn describe() {
    describe_counter!("http_requests_total", "Requests answered, by route, method and status.");
    describe_histogram!(
        "http_request_duration_seconds",
        Unit::Seconds,
        "From a request's head to its answer's head, by route, method and status."
    );

    describe_histogram!("intake_batch_size", "Commands taken in by one transaction.");
    describe_gauge!("intake_queue_depth", "Commands that wait to be taken in.");
    describe_counter!("intake_refused_total", "Commands not taken in, by reason.");

    describe_counter!("consumer_messages_total", "Messages read, by what became of them.");
    describe_counter!("consumer_holds_total", "Times that a batch was held back.");
    describe_counter!("relay_published_total", "Messages that the log confirmed.");

    describe_counter!("job_attempts_total", "Attempts that ended, by kind and outcome.");
    describe_histogram!("job_attempt_duration_seconds", Unit::Seconds, "One attempt, by kind.");
    describe_histogram!("job_settle_batch_size", "Outcomes brought home at once, by kind.");
    describe_counter!("job_ended_total", "Jobs that ended, by kind and how.");
}
