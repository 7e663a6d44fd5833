//! The numbers of the roads: each name once, with what it counts.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

use crate::sequence;

/// Gives the recorder a line of help for each number.
pub(super) fn describe() {
    describe_counter!("http_requests_total", "Requests answered, by route, method and status.");
    describe_histogram!(
        "http_request_duration_seconds",
        Unit::Seconds,
        "From a request's head to its answer's head, by route, method and status."
    );
    describe_counter!("http_rate_limited_total", "Requests of callers who asked too often.");

    describe_histogram!("intake_batch_size", "Commands taken in by one transaction.");
    describe_gauge!("intake_queue_depth", "Commands that wait to be taken in.");
    describe_counter!("intake_refused_total", "Commands not taken in, by reason.");

    describe_counter!("consumer_messages_total", "Messages read, by what became of them.");
    describe_counter!("consumer_holds_total", "Times that a batch was held back.");
    describe_gauge!(
        "consumer_halted",
        "1 while the consumer stands still because too many messages died, until a restart."
    );
    describe_counter!(
        "dead_letter_decisions_total",
        "What operators decided about dead letters, by action and outcome."
    );
    describe_counter!(sequence::REPEATS, "Messages that were taken in before, by topic.");
    describe_counter!(
        sequence::FALLS,
        "Messages read behind a later one of their subject, by topic. Must stay 0."
    );
    describe_counter!(sequence::LOSSES, "Messages that never came, by source. Must stay 0.");
    describe_gauge!(
        "consumer_lag_messages",
        "Messages that the whole group has not taken in yet, by topic."
    );
    describe_gauge!(
        "consumer_lag_seconds",
        Unit::Seconds,
        "Everything said up to so long ago is taken in by the whole group; infinite while unknown."
    );
    describe_counter!("relay_published_total", "Messages that the log confirmed.");

    describe_counter!("job_attempts_total", "Attempts that ended, by kind and outcome.");
    describe_histogram!("job_attempt_duration_seconds", Unit::Seconds, "One attempt, by kind.");
    describe_histogram!("job_settle_batch_size", "Outcomes brought home at once, by kind.");
    describe_counter!("job_ended_total", "Jobs that ended, by kind and how.");
}
