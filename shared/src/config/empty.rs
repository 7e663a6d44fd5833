//! Variables that are set and empty count as not set.
//!
//! A manifest, a compose file or a shell that passes `NAME=${OTHER}` on sets a variable to empty
//! text where the variable should be left out; and no setting of these programs needs an empty text
//! instead of its default. So a required variable counts as missing when it is empty, and any other
//! has its default. An empty argument (`--name=`) was written by a person, and stays.
//!
//! The rule is applied where variables become arguments, before any of them is read.

use std::{env, ffi::OsStr, fmt::Write as _};

use clap::{Arg, Command, CommandFactory, builder};

/// What `--help` says of it.
const RULE: &str = "A variable that is set and empty counts as not set.";

/// A command line whose arguments do not see empty variables.
pub fn ignore_empty(command: Command) -> Command {
    without_empty(command).after_help(RULE)
}

fn without_empty(command: Command) -> Command {
    let command = command.mut_args(|argument| {
        if argument.get_env().is_some_and(is_empty) {
            argument.env(builder::Resettable::<builder::OsStr>::Reset)
        } else {
            argument
        }
    });
    command.mut_subcommands(without_empty)
}

fn is_empty(name: &OsStr) -> bool {
    env::var_os(name).is_some_and(|os_string| os_string.is_empty())
}

/// What is to be added to a complaint that names arguments whose variables are set, and empty.
pub(super) fn hint<T: CommandFactory>(complaint: &str) -> String {
    let command = T::command();
    let mut hint = String::new();
    for argument in
        command.get_arguments().filter(|argument| argument.get_env().is_some_and(is_empty))
    {
        if let Some(name) = missing(argument, complaint) {
            // Writing to a string cannot fail.
            write!(hint, " ({name} is not set: it is empty)").unwrap_or_default();
        }
    }
    hint
}

/// The variable of an argument that a complaint names.
fn missing<'a>(argument: &'a Arg, complaint: &str) -> Option<&'a str> {
    let long = format!("--{}", argument.get_long()?);
    let named = complaint.split_whitespace().any(|text| text == long);
    named.then(|| argument.get_env()?.to_str()).flatten()
}
