//! Classification of a server's refusal: about the recipient's mailbox, or about this service.
//!
//! A permanent refusal (5yz) that is about the recipient's mailbox is final: a retry cannot help.
//! Any other permanent refusal is about this service ("us"): its address is blocked, relaying is
//! denied, a login is required, a policy or a quota refuses, the server fails. It affects all
//! customers, so mails wait until someone fixes the cause. A temporary refusal (4yz) is about
//! nobody: the mail is tried again later.
//!
//! | answer | at | about |
//! | --- | --- | --- |
//! | 5yz with 5.1.1, 5.1.2, 5.1.3, 5.1.4, 5.1.6, 5.1.10, 5.2.1 (RFC 3463, RFC 7505) | `RCPT TO`, `DATA`, the mail itself | the mailbox |
//! | 550, 551, 553, 556 without an enhanced code (RFC 5321, 3.3, 3.4, 4.2.3; RFC 7504) | `RCPT TO` | the mailbox |
//! | 552, whatever its enhanced code: there it counts as 452 (RFC 5321, 4.5.3.1.10) | `RCPT TO` | nobody: later |
//! | any other 5yz | anywhere | us |
//! | 4yz | anywhere | nobody: later |
//!
//! Of class 5.1, `5.1.0` (also used for refused senders), `5.1.7` and `5.1.8` (the sender's
//! address) are about us. RFC 5321 (7.8) also allows a plain 550 for policy; without an enhanced
//! code it cannot be told apart from the unknown mailbox, which is nearly always the meaning.

use std::{error::Error as _, fmt};

use lettre::transport::smtp::Error as SmtpError;

use super::SmtpStep;

/// The codes of a refusal. Its text is not kept: it may quote the recipient's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefusalCodes {
    code: u16,
    enhanced: Option<EnhancedCode>,
}

/// An enhanced status code (RFC 3463).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct EnhancedCode {
    class: u16,
    subject: u16,
    detail: u16,
}

/// The subject of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RefusalSubject {
    /// The recipient's mailbox: the refusal is final.
    Mailbox,
    /// This service, its mails, or the server: until someone fixes the cause.
    Us,
    /// Neither: the refusal is temporary.
    Nobody,
}

impl RefusalCodes {
    /// The codes of the server's reply, if the error is one.
    pub(super) fn of(error: &SmtpError) -> Option<Self> {
        let code = error.status()?.into();
        let words = error.source().map(ToString::to_string).unwrap_or_default();
        Some(Self::new(code, &words))
    }

    fn new(code: u16, words: &str) -> Self {
        Self {
            code,
            enhanced: EnhancedCode::read(words.split_whitespace().next().unwrap_or_default()),
        }
    }

    /// The subject of the refusal at this step.
    pub(super) fn about(self, step: SmtpStep) -> RefusalSubject {
        let at_recipient = step == SmtpStep::Recipient;
        if self.code / 100 != 5 || (self.code == 552 && at_recipient) {
            return RefusalSubject::Nobody;
        }
        if self.code == 552 {
            return RefusalSubject::Us;
        }
        let names_mailbox = match self.enhanced {
            Some(it) => {
                it.is_about_mailbox() && !matches!(step, SmtpStep::Connecting | SmtpStep::Sender)
            }
            None => at_recipient && matches!(self.code, 550 | 551 | 553 | 556),
        };
        if names_mailbox { RefusalSubject::Mailbox } else { RefusalSubject::Us }
    }
}

impl EnhancedCode {
    fn read(word: &str) -> Option<Self> {
        let mut parts = word.split('.').map(|text| {
            let is_number =
                (1..=3).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
            text.parse::<u16>().ok().filter(|_| is_number)
        });
        let (class, subject, detail) = (parts.next()??, parts.next()??, parts.next()??);
        let is_class = matches!(class, 2 | 4 | 5);
        (is_class && parts.next().is_none()).then_some(Self { class, subject, detail })
    }

    fn is_about_mailbox(self) -> bool {
        let Self { class, subject, detail } = self;
        class == 5 && matches!((subject, detail), (1, 1..=4 | 6 | 10) | (2, 1))
    }
}

impl fmt::Display for RefusalCodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        match self.enhanced {
            Some(EnhancedCode { class, subject, detail }) => {
                write!(f, " {class}.{subject}.{detail}")
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATER_STEPS: [SmtpStep; 3] = [SmtpStep::Recipient, SmtpStep::Data, SmtpStep::Content];

    fn about(answer: &str, step: SmtpStep) -> RefusalSubject {
        let (code, words) = answer.split_at(3);
        RefusalCodes::new(code.parse().unwrap(), words).about(step)
    }

    #[test]
    fn what_is_said_of_the_mailbox_is_for_good() {
        for answer in [
            "550 5.1.1 no such user",
            "550 5.1.2 no such domain",
            "501 5.1.3 bad address",
            "550 5.1.4 ambiguous",
            "551 5.1.6 moved",
            "556 5.1.10 null MX",
            "550 5.2.1 disabled",
        ] {
            for step in LATER_STEPS {
                assert_eq!(about(answer, step), RefusalSubject::Mailbox, "{answer} at {step}");
            }
        }
        for plain in ["550 no such user", "551 not here", "553 not allowed", "556 no mail", "550"] {
            assert_eq!(about(plain, SmtpStep::Recipient), RefusalSubject::Mailbox, "{plain}");
            assert_eq!(about(plain, SmtpStep::Content), RefusalSubject::Us, "{plain}");
        }
    }

    #[test]
    fn what_is_said_of_us_is_not_for_good_at_any_step() {
        for answer in [
            "554 5.7.1 Relay access denied",
            "550 5.4.5 daily quota",
            "550 5.7.1 blocked",
            "530 5.7.0 log in",
            "535 5.7.8 bad credentials",
            "552 5.2.2 full",
            "552 5.5.3 too many",
            "550 5.7.26 no SPF",
            "550 5.1.0 sender rejected",
            "550 5.1.7 bad sender",
            "550 5.1.8 bad sender's domain",
            "550 5.2.2 full",
            "550 5.3.4 too big",
            "554 no",
            "521 no mail here",
            "503 5.5.1 bad sequence",
            "501 syntax",
            "550 4.1.1 two minds",
            "552 5.1.1 two minds",
            "552 full",
        ] {
            for step in
                [SmtpStep::Connecting, SmtpStep::Sender, SmtpStep::Recipient, SmtpStep::Data]
            {
                assert_ne!(about(answer, step), RefusalSubject::Mailbox, "{answer} at {step}");
            }
        }
    }

    #[test]
    fn at_the_sender_nothing_is_about_the_recipient() {
        for answer in ["550 5.1.1 no such user", "550 no such user", "553 not allowed"] {
            for step in [SmtpStep::Connecting, SmtpStep::Sender] {
                assert_eq!(about(answer, step), RefusalSubject::Us, "{answer} at {step}");
            }
        }
    }

    #[test]
    fn what_passes_is_nobodys_fault() {
        for answer in
            ["421 bye", "450 4.2.1 busy", "451 4.7.1 greylisted", "452 4.2.2 full", "450 5.1.1 odd"]
        {
            for step in LATER_STEPS {
                assert_eq!(about(answer, step), RefusalSubject::Nobody, "{answer} at {step}");
            }
        }
        assert_eq!(about("552 5.2.2 full", SmtpStep::Recipient), RefusalSubject::Nobody);
        assert_eq!(about("552 5.3.4 too big", SmtpStep::Content), RefusalSubject::Us);
    }

    #[test]
    fn only_the_codes_are_kept() {
        for (words, shown) in [
            ("5.1.1 <ada@example.org> unknown", "550 5.1.1"),
            ("ada@example.org unknown", "550"),
            ("5.1 <ada@example.org>", "550"),
            ("5.1.1.1 no", "550"),
            ("5.1.1000 no", "550"),
            ("5.+1.1 no", "550"),
            ("", "550"),
        ] {
            assert_eq!(RefusalCodes::new(550, words).to_string(), shown, "{words:?}");
        }
    }
}
