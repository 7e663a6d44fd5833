//! Contact and payment token of the customer: external texts that are passed to other systems.
//!
//! **Architecture invariant:** `Debug` masks every value here, so no log or error can contain a
//! person's address. No value holds a control character, so no value can end a mail header.

use std::fmt;

/// The customer's e-mail address. Plain ASCII: the only form that all mail systems accept.
#[derive(Clone, PartialEq, Eq)]
pub struct EmailAddress(String);

#[derive(Clone, PartialEq, Eq)]
pub struct CustomerName(String);

/// The token of a payment method, as the payment gateway gave it out. Never a card number.
#[derive(Clone, PartialEq, Eq)]
pub struct PaymentMethod(String);

/// Not an e-mail address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not an e-mail address")]
pub struct BadEmailAddress;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a name has 1 to 200 characters, not only blanks, no control characters")]
pub struct BadCustomerName;

/// Not a payment method's token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPaymentMethod {
    /// The text is empty, too long, or has characters that no token has.
    #[error("a payment method is a token of 1 to 255 letters, digits, '_' or '-'")]
    NoToken,
    /// The text is a card number.
    #[error("this looks like a card number; send the token that the payment gateway gives for it")]
    CardNumber,
}

impl EmailAddress {
    /// Parses an address of the form that every mail system accepts: `local@domain.tld`.
    pub fn parse(text: &str) -> Result<Self, BadEmailAddress> {
        let (local, domain) = text.split_once('@').ok_or(BadEmailAddress)?;
        let local_ok = local.len() <= 64 && local.split('.').all(is_atom);
        let domain_ok =
            domain.len() <= 253 && domain.contains('.') && domain.split('.').all(is_label);
        let ok = local_ok && domain_ok && text.len() <= 254;
        ok.then(|| Self(text.to_owned())).ok_or(BadEmailAddress)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// RFC 5322's `atext`, at least one.
fn is_atom(part: &str) -> bool {
    let allowed = |n: u8| n.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&n);
    !part.is_empty() && part.bytes().all(allowed)
}

/// A label of a host name.
fn is_label(part: &str) -> bool {
    (1..=63).contains(&part.len())
        && part.bytes().all(|n| n.is_ascii_alphanumeric() || n == b'-')
        && !part.starts_with('-')
        && !part.ends_with('-')
}

impl CustomerName {
    /// Reads a name: any script, no control characters.
    pub fn parse(text: &str) -> Result<Self, BadCustomerName> {
        let length = text.chars().count();
        let readable = !text.trim().is_empty() && !text.chars().any(char::is_control);
        let ok = readable && length <= 200;
        ok.then(|| Self(text.to_owned())).ok_or(BadCustomerName)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PaymentMethod {
    pub fn parse(text: &str) -> Result<Self, BadPaymentMethod> {
        let allowed = |n: u8| n.is_ascii_alphanumeric() || n == b'_' || n == b'-';
        if !(1..=255).contains(&text.len()) || !text.bytes().all(allowed) {
            return Err(BadPaymentMethod::NoToken);
        }
        let digits = text.bytes().filter(u8::is_ascii_digit).count();
        let only_digits = text.bytes().all(|n| n.is_ascii_digit() || n == b'-');
        if only_digits && (12..=19).contains(&digits) {
            return Err(BadPaymentMethod::CardNumber);
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EmailAddress(..)")
    }
}

impl fmt::Debug for CustomerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CustomerName(..)")
    }
}

impl fmt::Debug for PaymentMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PaymentMethod(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_mail_systems_take_are_taken() {
        for good in ["a@b.example", "first.last+tag@sub.domain.example", "o'hara@ex-ample.org"] {
            assert_eq!(EmailAddress::parse(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn addresses_that_end_a_header_or_are_none_are_refused() {
        let long_local = format!("{}@b.example", "a".repeat(65));
        let long_domain = format!("a@{}example", "b.".repeat(130));
        for bad in [
            "",
            "@",
            "a@",
            "@b.example",
            "a@localhost",
            "a b@c.example",
            "a@b@c.example",
            "a@b.example\r\nBcc: c@d.example",
            "a\n@b.example",
            "a@b.exa\0mple",
            "a..b@c.example",
            ".a@c.example",
            "a@-b.example",
            "ä@b.example",
            "\"a b\"@c.example",
            "Name <a@b.example>",
            &long_local,
            &long_domain,
        ] {
            assert_eq!(EmailAddress::parse(bad), Err(BadEmailAddress), "{bad:?}");
        }
    }

    #[test]
    fn names_of_every_script_are_taken_and_control_characters_are_not() {
        for good in ["Zoë", "علي", "😀", "Robert'); DROP TABLE orders;--", "<b>x</b>"] {
            assert_eq!(CustomerName::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "  ", "a\r\nb", "a\0b", "\u{7f}", &"a".repeat(201)] {
            assert_eq!(CustomerName::parse(bad), Err(BadCustomerName), "{bad:?}");
        }
    }

    #[test]
    fn a_card_number_is_no_token() {
        for bad in ["4242424242424242", "4242-4242-4242-4242"] {
            assert_eq!(PaymentMethod::parse(bad), Err(BadPaymentMethod::CardNumber), "{bad}");
        }
        for bad in ["", "tok visa", "tok\r\n", "tok\0", "tök", &"t".repeat(256)] {
            assert_eq!(PaymentMethod::parse(bad), Err(BadPaymentMethod::NoToken), "{bad:?}");
        }
        assert_eq!(PaymentMethod::parse("tok_visa-1").unwrap().as_str(), "tok_visa-1");
    }

    #[test]
    fn nothing_personal_shows_itself_in_debug() {
        let all = (
            EmailAddress::parse("secret@b.example").unwrap(),
            CustomerName::parse("secret").unwrap(),
            PaymentMethod::parse("secret").unwrap(),
        );
        assert!(!format!("{all:?}").contains("secret"));
    }
}
