//! Which blocks of a document are commands that a test runs.

use anyhow::Context as _;

/// What a command is run against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DocumentedStack {
    /// `cargo demo`.
    Native,
    /// `docker compose up`.
    Compose,
}

/// A command of a document.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CommandBlock<'a> {
    pub(crate) command: &'a str,
    /// It runs until Ctrl-C.
    pub(crate) stays: bool,
    /// The output that the document shows.
    pub(crate) shown: Option<&'a str>,
}

/// The commands that are run against this stack, in their order.
///
/// # Errors
///
/// A mark that means nothing: a command would otherwise go untested without a word.
pub(crate) fn command_blocks(
    document: &str,
    stack: DocumentedStack,
) -> anyhow::Result<Vec<CommandBlock<'_>>> {
    let mut found: Vec<CommandBlock<'_>> = Vec::new();
    // Whether the block just before is a command of this stack: only its output can be shown next.
    let mut before = false;
    for (mark, text) in fenced_blocks(document) {
        let is_output = std::mem::take(&mut before);
        if mark == "text shown" {
            if let Some(block) = found.last_mut().filter(|_| is_output) {
                block.shown = Some(text);
            }
        } else if let Some(words) = mark.strip_prefix("sh run=") {
            let (stacks, stays) = command_mark(words).with_context(|| format!("```{mark}"))?;
            before = stacks.contains(&stack);
            if before {
                found.push(CommandBlock { command: text, stays, shown: None });
            }
        }
    }
    Ok(found)
}

fn command_mark(words: &str) -> anyhow::Result<(Vec<DocumentedStack>, bool)> {
    let (stacks, stays) = match words.split_once(' ') {
        None => (words, false),
        Some((stacks, "stays")) => (stacks, true),
        Some((_, other)) => anyhow::bail!("{other:?} means nothing here: `stays` is known"),
    };
    let stacks = stacks.split(',').map(|name| match name {
        "native" => Ok(DocumentedStack::Native),
        "compose" => Ok(DocumentedStack::Compose),
        other => anyhow::bail!("{other:?} is no stack: `native` and `compose` are"),
    });
    Ok((stacks.collect::<anyhow::Result<_>>()?, stays))
}

/// Mark and text of each fenced block.
fn fenced_blocks(document: &str) -> impl Iterator<Item = (&str, &str)> {
    let parts = document.split("\n```").skip(1).step_by(2);
    parts.filter_map(|part| part.split_once('\n').or(Some((part, ""))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# T\n\n```sh\nls\n```\n\n```sh run=native stays\nserve \\\n  all\n```\n\nshows\n\n\
        ```text shown\nup\n```\n\n```sh run=native,compose\ncurl a\n```\n```text\nno\n```\n\
        ```sh run=compose\ndown\n```\n\n```text shown\ndone\n```\n";

    #[test]
    fn a_marked_command_is_run_against_its_stacks_and_has_the_output_that_is_shown() {
        let native = command_blocks(TEXT, DocumentedStack::Native).unwrap();
        let block = |command, stays, shown| CommandBlock { command, stays, shown };
        assert_eq!(
            native,
            [block("serve \\\n  all", true, Some("up")), block("curl a", false, None)]
        );
        let compose = command_blocks(TEXT, DocumentedStack::Compose).unwrap();
        assert_eq!(compose, [block("curl a", false, None), block("down", false, Some("done"))]);
    }

    #[test]
    fn only_the_block_right_behind_a_command_shows_its_output() {
        let text = "\n```sh run=native\na\n```\n\n```text shown\none\n```\n\n```text shown\ntwo\n```\n\n\
            ```sh run=native\nb\n```\n\n```sh\nc\n```\n\n```text shown\nof c\n```\n";
        let block = |command, shown| CommandBlock { command, stays: false, shown };
        assert_eq!(
            command_blocks(text, DocumentedStack::Native).unwrap(),
            [block("a", Some("one")), block("b", None)]
        );
    }

    #[test]
    fn a_mark_that_means_nothing_is_an_error() {
        for mark in ["sh run=natve", "sh run=native twice", "sh run="] {
            let text = format!("\n```{mark}\nls\n```\n");
            assert!(command_blocks(&text, DocumentedStack::Native).is_err(), "{mark}");
        }
    }

    #[test]
    fn each_document_with_marks_is_well_marked() {
        for document in ["README.md", "docs/tour.md"] {
            let path = format!("{}/../../{document}", env!("CARGO_MANIFEST_DIR"));
            let text = std::fs::read_to_string(path).unwrap();
            command_blocks(&text, DocumentedStack::Native).unwrap();
        }
    }
}
