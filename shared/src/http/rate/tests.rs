use governor::clock::FakeRelativeClock;

use super::*;

fn peer(address: &str) -> PeerAddress {
    PeerAddress::at(SocketAddr::new(address.parse().unwrap(), 1))
}

fn rate(per_second: u32, burst: u32) -> RateLimit {
    let number = |n| NonZeroU32::new(n).unwrap();
    RateLimit { per_second: number(per_second), burst: number(burst) }
}

#[test]
fn a_caller_has_a_reserve_and_then_a_rate_and_is_told_when_to_come_back() {
    let clock = FakeRelativeClock::default();
    let limiter = CallerLimiter::with_clock(rate(2, 3), clock.clone());
    let ada = peer("192.0.2.1");
    for _of_reserve in 0..3 {
        assert_eq!(limiter.admit(ada), Ok(()));
    }
    assert_eq!(limiter.admit(ada), Err(Duration::from_millis(500)));
    assert_eq!(limiter.admit(peer("192.0.2.2")), Ok(()), "another caller is another matter");
    clock.advance(Duration::from_millis(500));
    assert_eq!(limiter.admit(ada), Ok(()));
    assert!(limiter.admit(ada).is_err());
    clock.advance(Duration::from_mins(1));
    for _of_reserve in 0..3 {
        assert_eq!(limiter.admit(ada), Ok(()));
    }
}

#[test]
fn one_subscriber_is_one_caller() {
    assert_eq!(peer("2001:db8::1"), peer("2001:db8::ffff:1"));
    assert_ne!(peer("2001:db8::1"), peer("2001:db8:0:1::1"));
    assert_eq!(peer("::ffff:192.0.2.1"), peer("192.0.2.1"));
    assert_ne!(peer("192.0.2.1"), peer("192.0.2.2"));
}

#[test]
fn those_who_have_not_asked_lately_are_forgotten() {
    let clock = FakeRelativeClock::default();
    let limiter = CallerLimiter::with_clock(rate(1_000, 1_000), clock.clone());
    for nth in 0..3 * FORGET_EVERY {
        let caller = PeerAddress(IpAddr::V4(nth.into()));
        assert_eq!(limiter.admit(caller), Ok(()));
        clock.advance(Duration::from_millis(10));
    }
    assert!(limiter.callers.len() < FORGET_EVERY as usize + 1_000, "{}", limiter.callers.len());
}
