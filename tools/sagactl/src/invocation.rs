//! How this program was called, for commands that it tells a person to type next.

use std::env;

/// A variable that says so: in a container, nobody types the program's own name.
const INVOKED_AS: &str = "SAGACTL_INVOKED_AS";

/// Set by `cargo run`, as in `cargo sagactl`.
const RUN_BY_CARGO: &str = "CARGO_MANIFEST_DIR";

/// A command of this program as a person types it.
pub(crate) fn command(words: &str) -> String {
    let given = env::var_os(INVOKED_AS).filter(|words| !words.is_empty());
    let by_cargo = || env::var_os(RUN_BY_CARGO).map(|_| "cargo sagactl".into());
    let program = given.or_else(by_cargo).unwrap_or_else(|| "sagactl".into());
    format!("{} {words}", program.display())
}
