//! Models of the whole, explored to the last state. A binary without a harness, so that its counts
//! stand in the output of every run; it takes part of a check's name, as tests do.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod checks;
mod deciders;
mod flaws;
mod lane;
mod report;
mod saga;
mod unrolled;
mod words;

fn main() {
    let mut words = std::env::args().skip(1);
    checks::run(words.find(|it| !it.starts_with('-')).as_deref());
}
