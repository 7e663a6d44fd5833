//! Models of the whole system, explored to the last state. A binary without a test harness, so that
//! every run prints its counts; an argument filters checks by part of their name, as in tests.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod checks;
mod deciders;
mod delivery;
mod flaws;
mod report;
mod saga;
mod unrolled;
mod words;

fn main() {
    let mut words = std::env::args().skip(1);
    checks::run(words.find(|word| !word.starts_with('-')).as_deref());
}
