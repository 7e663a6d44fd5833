//! Time limits of the server for each step of an SMTP session.
//!
//! RFC 5321, section 4.5.3.2, gives minimum timeouts for a client, separately for each command. The
//! last step matters most: a server that scans a mail before its `250` to the final dot may take
//! minutes; a client that gives up earlier sends an accepted mail again (section 4.5.3.2.6).

use std::time::Duration;

/// A limit for each step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepLimits {
    /// To an address of the server. The RFC leaves it to TCP; half a minute is what mail servers
    /// use.
    pub connect: Duration,
    /// For the server's greeting (`220`).
    pub greeting: Duration,
    /// `EHLO`, `STARTTLS` with its handshake, `AUTH`, each. The RFC does not name them; like
    /// `MAIL`.
    pub hello: Duration,
    /// For the answer to `MAIL FROM`.
    pub sender: Duration,
    /// For the answer to `RCPT TO`.
    pub recipient: Duration,
    /// `DATA`, up to its `354`.
    pub data: Duration,
    /// A block of the mail. Ours are one block.
    pub block: Duration,
    /// The final dot, up to its answer.
    pub end: Duration,
    /// `RSET`, after which a session is used again, or else closed. Nothing is lost by closing
    /// it.
    pub reset: Duration,
}

impl StepLimits {
    /// As the RFC has them.
    pub const RFC_5321: Self = Self {
        connect: Duration::from_secs(30),
        greeting: Duration::from_mins(5),
        hello: Duration::from_mins(5),
        sender: Duration::from_mins(5),
        recipient: Duration::from_mins(5),
        data: Duration::from_mins(2),
        block: Duration::from_mins(3),
        end: Duration::from_mins(10),
        reset: Duration::from_secs(10),
    };

    /// Up to the answer to the first `EHLO`. `lettre` takes these steps in one call, in which it
    /// also resolves the name and may try a second address.
    pub(super) fn opening(&self) -> Duration {
        self.connect * 2 + self.greeting + self.hello
    }

    /// The mail itself. `lettre` writes it and reads the answer in one call.
    pub(super) fn content(&self) -> Duration {
        self.block + self.end
    }

    /// All of an attempt: `MAIL FROM` in a session that ended while it rested; opening another
    /// one, `STARTTLS`, `AUTH`; a mail from its first step to its last; `RSET`.
    pub fn attempt(&self) -> Duration {
        let opened = self.sender + self.opening() + self.hello * 2;
        opened + self.sender + self.recipient + self.data + self.content() + self.reset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_step_is_given_less_time_than_rfc_5321_asks_for() {
        let StepLimits { greeting, sender, recipient, data, block, end, .. } = StepLimits::RFC_5321;
        let minutes =
            [greeting, sender, recipient, data, block, end].map(|duration| duration.as_secs() / 60);
        assert_eq!(minutes, [5, 5, 5, 2, 3, 10], "4.5.3.2.1 to 4.5.3.2.6");
    }

    #[test]
    fn an_attempt_is_bounded_and_outlives_all_of_its_steps() {
        let limits = StepLimits::RFC_5321;
        assert!(limits.content() >= limits.end, "the answer to the final dot has its ten minutes");
        assert!(limits.attempt() <= Duration::from_hours(1), "{:?}", limits.attempt());
    }
}
