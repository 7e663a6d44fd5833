//! Tables for a terminal, and for programs that read lines.
//!
//! On a terminal a table is as wide as the terminal at most: cells of several words take several
//! lines. No word is ever broken or cut, so an id can be copied from a terminal of any width: where the
//! longest words of all columns do not fit beside each other, each row is a block of lines instead.
//! Elsewhere each row is one line.

use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width, presets};
use shared::visible_text::visible;

/// Stands for a space at which a cell is not to be broken.
const UNBROKEN: char = '\u{a0}';

/// Spaces between two columns.
const GAP: u16 = 2;

/// Rows below headings, which may be empty.
#[derive(Debug)]
pub(crate) struct TextTable<const N: usize> {
    headings: [&'static str; N],
    rows: Vec<[String; N]>,
}

/// A text that stays on one line.
pub(crate) fn unbroken(text: &str) -> String {
    text.replace(' ', &UNBROKEN.to_string())
}

impl<const N: usize> TextTable<N> {
    pub(crate) fn new(headings: [&'static str; N]) -> Self {
        Self { headings, rows: vec![] }
    }

    /// Adds a row. Its texts may be a stranger's: each stays in its cell.
    pub(crate) fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells.map(|cell| visible(&cell).into_owned()));
    }

    /// The lines of the table, for a terminal of this width or for none.
    pub(crate) fn lines(&self, width: Option<usize>) -> Vec<String> {
        let longest: [usize; N] = std::array::from_fn(|n| self.longest_word(n));
        let gaps = usize::from(GAP) * N.saturating_sub(1);
        match width {
            Some(width) if longest.iter().sum::<usize>() + gaps > width => self.blocks(),
            _ => self.table(width, &longest),
        }
    }

    fn table(&self, width: Option<usize>, longest: &[usize; N]) -> Vec<String> {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        if self.headings.iter().any(|heading| !heading.is_empty()) {
            table.set_header(self.headings);
        }
        table.add_rows(&self.rows);
        let least = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
        for (n, column) in table.column_iter_mut().enumerate() {
            let gap = if n + 1 < N { GAP } else { 0 };
            column.set_padding((0, gap));
            // A boundary counts the padding.
            let boundary = Width::Fixed(least(longest[n]).saturating_add(gap));
            column.set_constraint(ColumnConstraint::LowerBoundary(boundary));
        }
        match width {
            Some(width) => {
                table.set_content_arrangement(ContentArrangement::Dynamic).set_width(least(width));
            }
            None => {
                table.set_content_arrangement(ContentArrangement::Disabled);
            }
        }
        table.lines().map(|line| shown(&line)).collect()
    }

    /// Each row as lines of a heading and a value, and an empty line between rows.
    fn blocks(&self) -> Vec<String> {
        let indent = self.headings.iter().map(|heading| heading.len()).max().unwrap_or_default();
        let mut lines = Vec::new();
        for (n, row) in self.rows.iter().enumerate() {
            lines.extend((n > 0).then(String::new));
            let cells = self.headings.iter().zip(row).filter(|(_, cell)| !cell.is_empty());
            lines
                .extend(cells.map(|(heading, cell)| shown(&format!("{heading:<indent$}  {cell}"))));
        }
        lines
    }

    fn longest_word(&self, column: usize) -> usize {
        let cells = self.rows.iter().map(|row| row[column].as_str()).chain([self.headings[column]]);
        let words = cells.flat_map(|cell| cell.split(' '));
        words.map(console::measure_text_width).max().unwrap_or_default()
    }
}

fn shown(line: &str) -> String {
    line.replace(UNBROKEN, " ").trim_end().to_owned()
}

/// A text in lines of this width at most, broken between words; in one line if there is no width.
/// All lines but the first are indented by this many spaces.
pub(crate) fn wrapped(text: &str, width: Option<usize>, indent: usize) -> String {
    let Some(width) = width else { return text.to_owned() };
    let begin = text.len() - text.trim_start().len();
    let (mut lines, mut line) = (Vec::new(), " ".repeat(begin));
    for (n, word) in text.trim_start().split(' ').enumerate() {
        let used = console::measure_text_width(&line) + console::measure_text_width(word);
        if n == 0 {
            line.push_str(word);
        } else if used < width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(std::mem::replace(&mut line, format!("{}{word}", " ".repeat(indent))));
        }
    }
    lines.push(line);
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01a20fcc-a92c-76ef-87b5-a07309aa9900";

    fn orders() -> TextTable<4> {
        let mut table = TextTable::new(["ORDER", "STATUS", "TOTAL", "PLACED"]);
        let cells = |cells: [&str; 4]| cells.map(str::to_owned);
        table.row(cells([ID, "confirmed", &unbroken("12.90 EUR"), "2026-01-02 03:04:05"]));
        table.row(cells([
            ID,
            "cancelled: payment-unavailable",
            &unbroken("9.00 EUR"),
            "2026-01-02 03:04:05",
        ]));
        table
    }

    #[test]
    fn where_there_is_no_terminal_each_row_is_a_line() {
        assert_eq!(
            orders().lines(None),
            [
                "ORDER                                 STATUS                          TOTAL      PLACED",
                &format!("{ID}  confirmed                       12.90 EUR  2026-01-02 03:04:05"),
                &format!("{ID}  cancelled: payment-unavailable  9.00 EUR   2026-01-02 03:04:05"),
            ]
        );
    }

    #[test]
    fn at_every_width_no_line_is_wider_and_no_word_is_broken() {
        let table = orders();
        let words = |text: &str| {
            let mut words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
            words.sort();
            words
        };
        for width in 80..=200 {
            let lines = table.lines(Some(width));
            assert!(lines.iter().all(|line| line.chars().count() <= width), "{width}: {lines:#?}");
            assert_eq!(
                words(&lines.join("\n")),
                words(&table.lines(None).join("\n")),
                "{width}: {lines:#?}"
            );
        }
    }

    #[test]
    fn where_not_even_the_words_fit_a_row_is_a_block() {
        let lines = orders().lines(Some(50));
        assert_eq!(lines[0], format!("ORDER   {ID}"));
        assert_eq!(lines[6], "STATUS  cancelled: payment-unavailable");
        assert_eq!(lines.len(), 9);
    }

    #[test]
    fn a_strangers_text_stays_in_its_cell() {
        let mut table = TextTable::new(["A", "B"]);
        table.row(["x\nforged\u{1b}[2J".to_owned(), "y".to_owned()]);
        assert_eq!(table.lines(None)[1], "x\\nforged\\x1b[2J  y");
    }

    #[test]
    fn a_text_is_broken_between_words_only() {
        assert_eq!(wrapped("  one two three", Some(9), 4), "  one two\n    three");
        assert_eq!(
            wrapped("a-word-that-is-too-long for it", Some(9), 2),
            "a-word-that-is-too-long\n  for it"
        );
        assert_eq!(wrapped("one two", None, 0), "one two");
    }
}
