//! Descriptions of the messaging runtime's metrics: each name once, with what it counts.

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram};

use super::log;
use crate::{http, sequence};

/// Gives the recorder a line of help for each number.
pub(super) fn describe() {
    describe_edges();
    describe_what_cannot_be_read();

    describe_histogram!("batcher_batch_size", "Commands processed by one transaction, by batcher.");
    describe_gauge!("batcher_queue_depth", "Commands that wait in the queue, by batcher.");
    describe_counter!(
        "batcher_refused_total",
        "Commands refused or failed, by batcher and reason."
    );

    describe_counter!("consumer_messages_total", "Messages read, by what became of them.");
    describe_histogram!("consumer_batch_size", "Messages read by one look at the log.");
    describe_histogram!(
        "consumer_batch_duration_seconds",
        Unit::Seconds,
        "From a batch that was read to its commit; a batch that is held back, once it succeeds."
    );
    describe_counter!("consumer_holds_total", "Times that a batch was held back.");
    describe_gauge!(
        "consumer_halted",
        "1 while the consumer stands still because too many messages died, until a restart."
    );
    describe_counter!(
        "dead_letter_decisions_total",
        "What operators decided about dead letters, by action and outcome."
    );
    describe_counter!(sequence::REPEATS, "Messages that were processed before, by topic.");
    describe_counter!(
        sequence::FALLS,
        "Messages read behind a later one of their subject, by topic. Must stay 0."
    );
    describe_gauge!(
        "consumer_lag_messages",
        "Messages that the whole group has not processed yet, by topic."
    );
    describe_gauge!(
        "consumer_hidden_messages",
        "Messages that an open transaction hides from all who read what is committed, by topic."
    );
    describe_counter!(
        "consumer_offset_resets_total",
        "Times that the log did not have what was to be read next, by topic."
    );
    describe_counter!(
        "consumer_recoveries_total",
        "Times that a member joined its group again because it was given nothing, by remedy."
    );
    describe_gauge!(
        "consumer_lag_seconds",
        Unit::Seconds,
        "Age of the newest message up to which the whole group has processed everything; infinite while unknown."
    );
    describe_relay();

    describe_histogram!(
        "db_acquire_duration_seconds",
        Unit::Seconds,
        "How long somebody waited for a connection of the pool."
    );

    describe_counter!("job_attempts_total", "Attempts that ended, by kind and outcome.");
    describe_histogram!("job_attempt_duration_seconds", Unit::Seconds, "One attempt, by kind.");
    describe_histogram!("job_settle_batch_size", "Outcomes applied at once, by kind.");
    describe_counter!("job_ended_total", "Jobs that ended, by kind and how.");
}

fn describe_relay() {
    describe_counter!("relay_published_total", "Messages that the log confirmed.");
    describe_counter!(
        "log_losses_total",
        "Topics that were found to have lost messages which the log had confirmed. Must stay 0."
    );
    describe_counter!(
        "relay_published_again_total",
        "Messages that were published again because the log had lost them."
    );
    describe_counter!("relay_failures_total", "Steps of the relay that had to start over.");
    describe_gauge!("relay_leads", "1 if this relay is the one that publishes.");
    describe_gauge!(
        "relay_held_topics",
        "1 while messages of the topic wait because the broker refuses them, and others go on."
    );
    describe_counter!(
        "relay_unpublishable_total",
        "Records that the topic never takes: dead letters now; of a dead-letter topic, copies that went without their body."
    );
    describe_counter!(
        "relay_topics_restored_total",
        "Topics that were missing while services ran and were made anew."
    );
    describe_counter!(
        "relay_gave_up_total",
        "Times that a relay led, published nothing for too long, and made room for another."
    );
    describe_histogram!("relay_batch_size", "Messages handed to the log at once.");
    describe_histogram!(
        "relay_ack_duration_seconds",
        Unit::Seconds,
        "From handing a batch to the log to its last confirmation, or to the first failure."
    );
}

/// What goes in and out at the edges of the process: requests, connections, the log.
fn describe_edges() {
    describe_counter!("http_requests_total", "Requests answered, by route, method and status.");
    describe_histogram!(
        "http_request_duration_seconds",
        Unit::Seconds,
        "From a request's head to its answer's head, by route, method and status."
    );
    describe_counter!("http_rate_limited_total", "Requests of callers who asked too often.");
    counter!("http_rate_limited_total").increment(0);

    describe_counter!(
        "http_connections_cut_total",
        "Connections that were ended because of a limit of time, by which."
    );
    for why in http::CUTS {
        counter!("http_connections_cut_total", "why" => why).increment(0);
    }
    describe_counter!(log::LOST, "Log lines that were not written, by why.");
    for why in [log::FULL, log::FAILED] {
        counter!(log::LOST, "why" => why).increment(0);
    }
}

fn describe_what_cannot_be_read() {
    describe_counter!(
        "consumer_errors_total",
        "Errors of the client while it reads: such as pass by themselves, and such as keep from reading."
    );
    describe_gauge!(
        "consumer_errors_standing",
        "Errors that repeat and keep this instance from reading what it is to read."
    );
    describe_counter!(
        "schema_ids_unknown_total",
        "Messages of ours whose schema id is none of theirs in the registry, by topic."
    );
}
