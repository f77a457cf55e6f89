//! Aligned columns. Widths are counted before colour is added, so that colour never shifts a column.

use crate::cli::terminal::{Tone, paint, printable};

/// One cell.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A cell in a tone. What would steer the terminal is written out: cells hold what others said.
    pub(super) fn new(tone: Tone, text: impl Into<String>) -> Self {
        Cell { text: printable(&text.into()), tone }
    }

    /// A cell without a tone.
    pub(super) fn plain(text: impl Into<String>) -> Self {
        Cell::new(Tone::Plain, text)
    }
}

/// Rows under a heading.
#[derive(Clone, Debug)]
pub(super) struct Table {
    heading: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
    indent: usize,
}

impl Table {
    /// An empty table with these column names.
    pub(super) fn new(heading: &[&'static str]) -> Self {
        Table { heading: heading.to_vec(), rows: Vec::new(), indent: 0 }
    }

    /// The same table, moved to the right.
    #[must_use]
    pub(super) fn indented(mut self, indent: usize) -> Self {
        self.indent = indent;
        self
    }

    /// Adds a row; missing cells are empty.
    pub(super) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// The table as text, one line per row, no spaces at the end of a line.
    pub(super) fn render(&self, colour: bool) -> String {
        let columns = self.rows.iter().map(Vec::len).chain([self.heading.len()]).max().unwrap_or(0);
        let heading: Vec<Cell> = self.heading.iter().map(|name| Cell::new(Tone::Dim, *name)).collect();
        let all: Vec<&Vec<Cell>> = std::iter::once(&heading).chain(&self.rows).collect();
        let width_of = |column: usize| {
            all.iter().filter_map(|row| row.get(column)).map(|cell| cell.text.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width_of).collect();
        let mut text = String::new();
        for row in all {
            let last = row.iter().rposition(|cell| !cell.text.is_empty());
            text.push_str(&" ".repeat(self.indent));
            for (column, cell) in row.iter().enumerate() {
                if last.is_none_or(|last| column > last) {
                    break;
                }
                text.push_str(&paint(colour, cell.tone, &cell.text));
                if Some(column) != last {
                    text.push_str(&" ".repeat(widths[column] - cell.text.chars().count() + 2));
                }
            }
            text.truncate(text.trim_end_matches(' ').len());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::{Cell, Table};
    use crate::cli::terminal::Tone;

    fn sample() -> Table {
        let mut table = Table::new(&["SERVICE", "SYNC", "HEALTH"]).indented(2);
        table.row(vec![Cell::plain("web"), Cell::new(Tone::Warn, "drift (2)"), Cell::plain("healthy")]);
        table.row(vec![Cell::plain("a-long-name"), Cell::new(Tone::Good, "in sync"), Cell::plain("")]);
        table
    }

    #[test]
    fn columns_align_and_lines_end_in_text() {
        let expected = "  SERVICE      SYNC       HEALTH\n  web          drift (2)  healthy\n  a-long-name  in sync\n";
        assert_eq!(sample().render(false), expected);
    }

    #[test]
    fn colour_shifts_nothing() {
        let coloured = sample().render(true);
        let mut bare = coloured.clone();
        for code in ["\u{1b}[33m", "\u{1b}[32m", "\u{1b}[2m", "\u{1b}[0m"] {
            bare = bare.replace(code, "");
        }
        assert_ne!(coloured, bare);
        assert_eq!(bare, sample().render(false));
    }
}
