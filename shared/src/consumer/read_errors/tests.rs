use super::*;

const TOPIC: &str = "7-words-said";
const DECOMPRESSION: (Code, &str) = (
    Code::NotImplemented,
    "Decompression (codec 0x4) of message at 17 of 83 bytes failed: Local: Not implemented",
);
const UNKNOWN: (Code, &str) = (
    Code::UnknownTopicOrPartition,
    "Subscribed topic not available: 7-words-said: Broker: Unknown topic or partition",
);
const LOST: (Code, &str) =
    (Code::BrokerTransportFailure, "localhost:9092/1: Disconnected (after 3ms in state UP)");

fn errors() -> ReadErrors {
    ReadErrors::new("a-service", vec!["7-words".to_owned(), TOPIC.to_owned()])
}

fn positions() -> Vec<ReadPosition> {
    let position = |topic: &str, partition, offset| ReadPosition {
        topic: topic.to_owned(),
        partition,
        offset,
    };
    vec![position("7-words", 1, 16), position(TOPIC, 2, 17)]
}

fn after(began: Instant, seconds: u64) -> Instant {
    began + Duration::from_secs(seconds)
}

#[test]
fn an_error_that_repeats_keeps_a_service_from_being_ready_until_its_partition_is_read_again() {
    let (mut errors, now) = (errors(), Instant::now());
    for _ in 0..2 {
        errors.note(DECOMPRESSION, now, positions);
        assert_eq!(errors.standing(now), None);
    }
    errors.note(DECOMPRESSION, now, positions);
    assert_eq!(
        errors.standing(now).unwrap(),
        "reading fails again and again (7-words-said/2@17): NotImplemented: Decompression \
         (codec 0x4) of message at 17 of 83 bytes failed: Local: Not implemented"
    );
    errors.read("7-words", 1, 17);
    errors.read(TOPIC, 1, 17);
    errors.read(TOPIC, 2, 16);
    assert!(errors.standing(now).is_some(), "that is not what cannot be read");
    errors.read(TOPIC, 2, 17);
    assert_eq!(errors.standing(now), None);
}

#[test]
fn an_error_that_does_not_come_again_is_over() {
    let (mut errors, now) = (errors(), Instant::now());
    for _ in 0..3 {
        errors.note(DECOMPRESSION, now, Vec::new);
    }
    assert!(errors.standing(after(now, 10)).is_some());
    assert_eq!(errors.standing(after(now, 11)), None);
    errors.note(DECOMPRESSION, after(now, 11), Vec::new);
    assert_eq!(errors.standing(after(now, 11)), None, "it is counted from the beginning");
}

#[test]
fn a_topic_that_is_not_there_counts_until_it_is_assigned_or_read() {
    let (mut errors, now) = (errors(), Instant::now());
    let hour = after(now, 3_600);
    errors.note(UNKNOWN, now, positions);
    assert!(errors.standing(hour).unwrap().contains("(7-words-said)"));
    errors.read("7-words", 2, 17);
    errors.assigned(&["7-words".to_owned()]);
    assert!(errors.standing(hour).is_some());
    errors.assigned(&[TOPIC.to_owned()]);
    assert_eq!(errors.standing(hour), None);
    for over in [
        |errors: &mut ReadErrors| errors.assigned(&[]),
        |errors: &mut ReadErrors| {
            errors.read(TOPIC, 0, 0);
        },
    ] {
        errors.note(UNKNOWN, now, positions);
        over(&mut errors);
        assert_eq!(errors.standing(now), None);
    }
}

#[test]
fn what_may_not_be_read_counts_at_once_and_for_ten_minutes_if_its_topic_is_not_named() {
    let (mut errors, now) = (errors(), Instant::now());
    let refused = (
        Code::TopicAuthorizationFailed,
        "Fetch from broker 1 failed: Broker: Topic authorization failed",
    );
    errors.note(refused, now, positions);
    errors.read(TOPIC, 2, 17);
    assert!(errors.standing(after(now, 600)).is_some());
    assert_eq!(errors.standing(after(now, 601)), None);
}

#[test]
fn what_passes_by_itself_keeps_nobody_from_being_ready() {
    let (mut errors, now) = (errors(), Instant::now());
    for second in 0..100 {
        errors.note(LOST, after(now, second), positions);
        assert_eq!(errors.standing(after(now, second)), None);
    }
    errors.note((Code::PartitionEOF, "the end"), now, positions);
    assert_eq!(errors.kept.len(), 1);
}

#[test]
fn an_error_whose_words_differ_in_times_and_counts_is_the_same_and_is_logged_at_its_pace() {
    let (mut errors, now) = (errors(), Instant::now());
    for ms in 0..1_000 {
        let said = format!("localhost:9092/1: Disconnected (after {ms}ms in state UP)");
        errors.note((LOST.0, &said), now + Duration::from_millis(ms), positions);
    }
    let [kept] = &mut errors.kept[..] else { panic!("{:?}", errors.kept) };
    assert_eq!((kept.times, kept.said.contains("999ms")), (1_000, true), "its last words are kept");
    assert_eq!(kept.pace.note(after(now, 1)), Some(999), "they were not logged");
}

#[test]
fn errors_at_two_offsets_or_of_two_topics_or_brokers_are_two() {
    let mut errors = ReadErrors::new("a-service", vec!["t-1".to_owned(), "t-2".to_owned()]);
    let brokers = ["broker-1:9092/1: Connect failed", "broker-2:9092/2: Connect failed"];
    let said = ["at offset 17", "at offset 18", "t-1: not there", "t-2: not there"];
    let said = [said.as_slice(), &brokers].concat();
    for said in &said {
        errors.note((Code::BadMessage, said), Instant::now(), Vec::new);
    }
    assert_eq!(errors.kept.len(), said.len());
}

#[test]
fn errors_of_many_words_do_not_fill_the_memory() {
    let (mut errors, now) = (errors(), Instant::now());
    for offset in 0..1_000 {
        errors.note((Code::BadMessage, &format!("at offset {offset}")), now, positions);
    }
    assert_eq!(errors.kept.len(), KEPT_MAX);
}

#[test]
fn the_offset_is_found_in_the_words_of_the_client() {
    for (said, offset) in [
        (DECOMPRESSION.1, Some(17)),
        ("Fetch from broker 1 failed at offset 12 (leader epoch 3): broken", Some(12)),
        ("MessageSet at offset 8 (93 bytes) failed CRC32C check", Some(8)),
        ("Message at offset 9 might be too large to fetch", Some(9)),
        (UNKNOWN.1, None),
        (LOST.1, None),
    ] {
        assert_eq!(offset_in(said), offset, "{said}");
    }
}
