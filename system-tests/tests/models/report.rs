//! Runs a model and prints one line with the result.

use std::{
    collections::BTreeSet,
    fmt::{self, Debug, Write as _},
    hash::Hash,
    time::Instant,
};

use stateright::{Checker as _, HasDiscoveries, Model, Path};

/// A model whose states can be told to people.
pub(crate) trait Told:
    Model<State: Clone + Debug + Hash + PartialEq + Send + Sync, Action: Clone + Debug + PartialEq>
    + Send
    + Sync
    + 'static
{
    fn tell(&self, state: &Self::State) -> String;
}

/// Checks a model that may break nothing, in every state that it has.
pub(crate) fn assert_holds<M: Told>(name: &str, model: M) {
    let began = Instant::now();
    let checker = model.checker().threads(2).spawn_bfs().join();
    for property in checker.model().properties() {
        let is_rule = property.expectation.discovery_is_failure();
        match checker.discovery(property.name) {
            Some(path) if is_rule => {
                panic!("{name}: broken: {}{}", property.name, told(checker.model(), path))
            }
            None if !is_rule => panic!("{name}: never seen: {}", property.name),
            Some(_) | None => {}
        }
    }
    say(format_args!(
        "holds   {name:<48} {:>9} states, depth {:>3}, {:>5.1} s",
        checker.unique_state_count(),
        checker.max_depth(),
        began.elapsed().as_secs_f64(),
    ));
}

/// Checks a mutant: it has to break this rule.
pub(crate) fn assert_breaks<M: Told>(name: &str, rule: &'static str, model: M) {
    let enough = HasDiscoveries::AllOf(BTreeSet::from([rule]));
    let checker = model.checker().finish_when(enough).spawn_bfs().join();
    let Some(path) = checker.discovery(rule) else {
        panic!("{name}: survives: {rule}");
    };
    let steps = path.into_actions().len();
    say(format_args!(
        "breaks  {name:<48} in {steps:>2} steps, among {:>7} states: {rule}",
        checker.unique_state_count(),
    ));
}

/// A path, a step a line, and where it ends.
fn told<M: Told>(model: &M, path: Path<M::State, M::Action>) -> String {
    let end = model.tell(path.last_state());
    let mut told = String::new();
    for action in path.into_actions() {
        write!(told, "\n  {action:?}").unwrap();
    }
    told + "\n" + &end
}

#[expect(clippy::print_stdout, reason = "the counts are for readers of the run's output")]
pub(crate) fn say(line: fmt::Arguments<'_>) {
    println!("{line}");
}
