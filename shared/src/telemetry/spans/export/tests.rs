use super::*;
use crate::{
    message::TraceParent,
    telemetry::spans::{self, Kind, OpenSpan},
};

#[test]
fn that_spans_are_lost_is_said_at_once_and_then_once_a_minute_with_how_many() {
    let begin = Instant::now();
    let at = |seconds| begin + Duration::from_secs(seconds);
    let mut said = LossReport::default();
    assert_eq!(said.note(10, at(0)), Some(10));
    assert_eq!(said.note(20, at(1)), None);
    assert_eq!(said.note(30, at(59)), None);
    assert_eq!(said.note(1, at(60)), Some(51));
    assert_eq!(said.note(2, at(61)), None);
}

#[test]
fn a_span_beyond_what_may_wait_finds_no_room_until_some_have_left() {
    let room = QueueRoom(AtomicUsize::new(0));
    assert!((0..QUEUE_MAX).all(|_| room.enter()));
    assert!(!room.enter());
    assert!(!room.enter(), "who found no room takes none");
    room.leave(1_000);
    assert!((0..1_000).all(|_| room.enter()));
    assert!(!room.enter());
}

#[test]
fn without_a_collector_nothing_is_recorded_and_contexts_go_through() {
    let sampled = TraceParent::start();
    assert!(sampled.is_sampled());
    assert!(!spans::wanted(sampled));
    assert_eq!(spans::under(sampled), sampled);
    let work =
        OpenSpan::begin(Kind::Client, Some(sampled), || unreachable!("nobody asks its name"));
    assert_eq!(work.trace(), sampled);
}
