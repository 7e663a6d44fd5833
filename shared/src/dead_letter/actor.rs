//! The operator or process that decides, and the reason.

/// The author and reason of a decision; both are stored in the record of decisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    name: String,
    reason: Option<String>,
}

/// The error for an empty or too long name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("has to be 1 to {BYTES_MAX} bytes, without control characters")]
pub struct InvalidActor;

const BYTES_MAX: usize = 500;

impl Actor {
    /// A decision of this person (or program).
    pub fn new(name: &str) -> Result<Self, InvalidActor> {
        Ok(Self { name: text(name)?, reason: None })
    }

    /// The decision of a new version about what an older one left.
    pub(crate) fn upgrade() -> Self {
        Self { name: "upgrade".to_owned(), reason: None }
    }

    /// The same decision, for this reason.
    pub fn because(self, reason: &str) -> Result<Self, InvalidActor> {
        Ok(Self { reason: Some(text(reason)?), ..self })
    }

    /// The same decision, with a remark of the service after its reason.
    pub(crate) fn noting(&self, note: &str) -> Self {
        let whole =
            self.reason.iter().map(String::as_str).chain([note]).collect::<Vec<_>>().join("; ");
        let legal = whole.chars().filter(|character| !character.is_control());
        Self { reason: Some(legal.take(BYTES_MAX).collect()), ..self.clone() }
    }

    /// The operator's name, as given in the request.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The reason that the operator gave, if any.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }
}

fn text(text: &str) -> Result<String, InvalidActor> {
    let text = text.trim();
    let legal = (1..=BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
    if legal { Ok(text.to_owned()) } else { Err(InvalidActor) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_has_a_name_and_perhaps_a_reason() {
        let by = Actor::new(" ada ").unwrap().because("it is a copy").unwrap();
        assert_eq!((by.name(), by.reason()), ("ada", Some("it is a copy")));
        for bad in ["", "  ", "a\0b", "two\nlines", &"x".repeat(BYTES_MAX + 1)] {
            assert_eq!(Actor::new(bad), Err(InvalidActor), "{bad:?}");
            assert_eq!(Actor::new("ada").unwrap().because(bad), Err(InvalidActor), "{bad:?}");
        }
    }
}
