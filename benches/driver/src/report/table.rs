//! A table, as Markdown.

/// Its cells hold no `|`.
pub(super) struct Table {
    pub(super) title: String,
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new<const N: usize>(title: impl Into<String>, head: [&str; N]) -> Self {
        Self { title: title.into(), head: head.map(str::to_owned).to_vec(), rows: Vec::new() }
    }

    pub(super) fn with_head(title: impl Into<String>, head: Vec<String>) -> Self {
        Self { title: title.into(), head, rows: Vec::new() }
    }

    pub(super) fn push(&mut self, row: impl Into<Vec<String>>) {
        self.rows.push(row.into());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// With its title, aligned for a terminal.
    pub(super) fn padded(&self) -> String {
        let width = |column: usize| {
            let cells = self.lines().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..self.head.len()).map(width).collect();
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
                if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
        };
        format!("{}\n\n{}", self.title, self.lines().map(line).collect::<String>())
    }

    /// For a page, without its title.
    pub(super) fn compact(&self) -> String {
        let line = |cells: &mut dyn Iterator<Item = &str>| format!("|{}|\n", cells.collect::<Vec<_>>().join("|"));
        let mut text = line(&mut self.head.iter().map(String::as_str));
        text += &line(&mut (0..self.head.len()).map(|column| if column == 0 { "---" } else { "--:" }));
        text.extend(self.rows.iter().map(|row| line(&mut row.iter().map(String::as_str))));
        text
    }

    fn lines(&self) -> impl Iterator<Item = &Vec<String>> {
        std::iter::once(&self.head).chain(&self.rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned_for_a_terminal_and_short_for_a_page() {
        let mut table = Table::new("Of two", ["", "jobs/s"]);
        assert!(table.is_empty());
        table.push(["floor".to_owned(), "7".to_owned()]);
        assert_eq!(table.padded(), "Of two\n\n       jobs/s\nfloor       7\n");
        assert_eq!(table.compact(), "||jobs/s|\n|---|--:|\n|floor|7|\n");
    }
}
