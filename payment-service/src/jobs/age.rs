//! The age limit of an idempotency key at the gateway.
//!
//! A gateway remembers a key for a while only (Stripe: at least 24 hours). A request that is
//! repeated after that is a new one: a charge whose answer was lost would be made a second time.
//!
//! **Architecture invariant:** no call is made under a key that is older than the gateway is
//! trusted to remember it. The age counts from the transaction that asked for the charge, which is
//! before the first call, so a key is younger at the gateway than it is here. Pure: the time is
//! given.

use std::time::Duration;

use time::OffsetDateTime;

/// An answer that was on its way when the key became too old has arrived after this long, and what
/// it did is in the gateway's list.
const LISTED_AFTER: Duration = Duration::from_hours(1);

/// The consequence of a key's age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyAge {
    /// The gateway remembers it: the same request may be sent again.
    Remembered,
    /// The gateway may have forgotten it: what became of its request is looked up.
    Forgotten,
    /// As above, and an entry that is not in the gateway's list by now never will be.
    Final,
}

/// The age of a key that may have been used since then, if that is known.
pub(super) fn age(since: Option<OffsetDateTime>, now: OffsetDateTime, kept: Duration) -> KeyAge {
    // Of a key without a beginning nothing younger can be said.
    let Some(since) = since else { return KeyAge::Final };
    let old = Duration::try_from(now - since).unwrap_or_default();
    if old < kept {
        KeyAge::Remembered
    } else if old < kept.saturating_add(LISTED_AFTER) {
        KeyAge::Forgotten
    } else {
        KeyAge::Final
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_key_is_used_only_while_the_gateway_remembers_it() {
        let now = datetime!(2026-01-02 03:04:05 UTC);
        let kept = Duration::from_hours(23);
        let of = |hours: i64| age(Some(now - time::Duration::hours(hours)), now, kept);
        assert_eq!([-5, 0, 22].map(of), [KeyAge::Remembered; 3]);
        assert_eq!(of(23), KeyAge::Forgotten);
        assert_eq!([24, 1_000].map(of), [KeyAge::Final; 2]);
        assert_eq!(age(None, now, kept), KeyAge::Final);
    }
}
