//! Checks the table in a module's doc against the decider that it describes.
//!
//! **Architecture invariant:** a table is total. Exactly one row describes each cell, and a row
//! names only stages and commands that exist.

use std::collections::BTreeSet;

/// Matches every command that no other row names for that stage.
const ANYTHING_ELSE: &str = "anything else";

/// The rows of the table with these columns in the doc of a module's source.
///
/// # Panics
/// If there is no such table.
#[track_caller]
pub fn rows(source: &str, columns: &[&str]) -> Vec<Vec<String>> {
    let mut tables = source.lines().map(|text| text.strip_prefix("//! |"));
    let is_head = |line: Option<&str>| line.is_some_and(|text| cells(text) == columns);
    assert!(tables.any(is_head), "no table has the columns {columns:?}");
    // The line after the head is the rule.
    let rows: Vec<Vec<String>> = tables.skip(1).map_while(|line| line.map(cells)).collect();
    for row in &rows {
        assert_eq!(row.len(), columns.len(), "{row:?}");
    }
    rows
}

fn cells(line: &str) -> Vec<String> {
    let line = line.trim().trim_end_matches('|');
    line.split('|').map(|text| text.trim().to_owned()).collect()
}

/// The answer of a decider in one cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableCell {
    /// The stage of the state before the command.
    pub stage: String,
    /// The command that is tried at this stage.
    pub command: String,
    /// The result, in the words of the table's other columns.
    pub what: Vec<String>,
}

/// Checks that the rows of stages, commands and results match the decider's answers. Text behind a
/// colon is for people, and a dash means nothing.
///
/// # Panics
/// At the first cell that is wrong, described twice or missing, and at the first unknown name.
#[track_caller]
pub fn assert_told(rows: &[Vec<String>], answers: &[TableCell]) {
    let list = |cell: &str| cell.split(", ").map(str::to_owned).collect::<BTreeSet<_>>();
    let rows: Vec<_> = rows.iter().map(|row| (list(&row[0]), list(&row[1]), &row[2..])).collect();
    for answer in answers {
        let of_stage = || rows.iter().filter(|(stages, ..)| stages.contains(&answer.stage));
        let named = |name: &str| {
            of_stage().filter(|(_, commands, _)| commands.contains(name)).collect::<Vec<_>>()
        };
        let by_name = named(&answer.command);
        let found = if by_name.is_empty() { named(ANYTHING_ELSE) } else { by_name };
        let [(.., told)] = found[..] else {
            panic!("{}, {}: told by {} rows", answer.stage, answer.command, found.len());
        };
        let told: Vec<&str> = told.iter().map(|text| for_the_decider(text)).collect();
        assert_eq!(told, answer.what, "{}, {}", answer.stage, answer.command);
    }
    for (stages, commands, _) in &rows {
        for (stage, command) in
            stages.iter().flat_map(|text| commands.iter().map(move |c| (text, c)))
        {
            let is_there = |table_cell: &TableCell| {
                table_cell.stage == *stage && table_cell.command == *command
            };
            let is_named = command == ANYTHING_ELSE || answers.iter().any(is_there);
            assert!(is_named, "the table tells of what is not there: {stage}, {command}");
        }
    }
}

fn for_the_decider(cell: &str) -> &str {
    let told = cell.split_once(": ").map_or(cell, |(told, _for_people)| told);
    if told == "–" { "" } else { told }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "\
//! Doors.
//!
//! | stage | command | happens |
//! | --- | --- | --- |
//! | shut | open | open: it creaks |
//! | open | shut | shut |
//! | open, shut | anything else | – |
//!
//! | another | table |
";

    fn told() -> Vec<Vec<String>> {
        rows(SOURCE, &["stage", "command", "happens"])
    }

    fn answers(what: [&str; 6]) -> Vec<TableCell> {
        let cells = ["shut", "open"]
            .into_iter()
            .flat_map(|stage| ["open", "shut", "knock"].map(|command| (stage, command)));
        let answered = |((stage, command), what): ((&str, &str), &str)| TableCell {
            stage: stage.to_owned(),
            command: command.to_owned(),
            what: vec![what.to_owned()],
        };
        cells.zip(what).map(answered).collect()
    }

    #[test]
    fn a_table_that_tells_every_cell_agrees() {
        assert_eq!(told().len(), 3);
        assert_told(&told(), &answers(["open", "", "", "", "shut", ""]));
    }

    #[test]
    #[should_panic(expected = "open, open")]
    fn a_cell_that_is_told_otherwise_is_found() {
        assert_told(&told(), &answers(["open", "", "", "open", "shut", ""]));
    }

    #[test]
    #[should_panic(expected = "shut, shut: told by 0 rows")]
    fn a_cell_that_is_not_told_is_found() {
        assert_told(&told()[..1], &answers(["open", "", "", "", "shut", ""]));
    }

    #[test]
    #[should_panic(expected = "the table tells of what is not there: shut, open")]
    fn a_name_that_is_none_is_found() {
        assert_told(&told(), &answers(["open", "", "", "", "shut", ""])[1..]);
    }

    #[test]
    #[should_panic(expected = "no table has the columns")]
    fn a_table_that_is_not_there_is_missed() {
        rows(SOURCE, &["stage", "happens"]);
    }
}
