use std::io::{self, Write};

use serde::Serialize;

/// Standard output: text for people, or JSON for programs.
#[derive(Debug, Clone, Copy)]
pub struct Out {
    pub json: bool,
}

impl Out {
    /// The result of a command: as JSON, or as the text that `human` makes of it.
    pub fn result<T: Serialize>(self, value: &T, human: impl FnOnce() -> String) -> anyhow::Result<()> {
        let text = if self.json {
            serde_json::to_string_pretty(value)?
        } else {
            human()
        };
        print(text.trim_end());
        Ok(())
    }

    /// One result of many: a JSON line, or a line of text.
    pub fn item<T: Serialize>(self, value: &T, human: impl FnOnce() -> String) -> anyhow::Result<()> {
        print(&if self.json {
            serde_json::to_string(value)?
        } else {
            human()
        });
        Ok(())
    }

    /// What goes on, for people only.
    pub fn say(self, text: &str) {
        if !self.json {
            print(text);
        }
    }
}

/// Whoever reads our output may stop reading (`| head`). That is no error, and it must not end the command either: its
/// exit code says more than what was read, and a drill has to roll back.
fn print(text: &str) {
    let mut out = io::stdout().lock();
    if let Err(error) = writeln!(out, "{text}").and_then(|()| out.flush())
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        eprintln!("error: standard output cannot be written: {error}");
        std::process::exit(i32::from(crate::failure::EXIT_CANNOT_SAY));
    }
}

/// Columns of text, as wide as they need to be.
#[derive(Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
    right: Vec<bool>,
}

impl Table {
    /// Heads that begin with `>` make columns that are aligned to the right.
    pub fn new(heads: &[&str]) -> Self {
        let right = heads.iter().map(|head| head.starts_with('>')).collect();
        Self {
            rows: vec![
                heads
                    .iter()
                    .map(|head| head.trim_start_matches('>').to_owned())
                    .collect(),
            ],
            right,
        }
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        let mut row: Vec<String> = cells.into_iter().map(|cell| or_dash(cell.into())).collect();
        row.resize(self.right.len(), String::new());
        self.rows.push(row);
    }

    pub fn render(&self) -> String {
        let width = |column: usize| {
            self.rows
                .iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.right.len()).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for ((cell, width), right) in row.iter().zip(&widths).zip(&self.right) {
                line += &if *right {
                    format!("{cell:>width$}  ")
                } else {
                    format!("{cell:<width$}  ")
                };
            }
            text += line.trim_end();
            text.push('\n');
        }
        text
    }
}

fn or_dash(cell: String) -> String {
    if cell.is_empty() { "-".to_owned() } else { cell }
}

/// Lines of "label: value", the values one under the other.
#[derive(Debug, Default)]
pub struct Facts {
    lines: Vec<(String, String)>,
}

impl Facts {
    pub fn add(&mut self, label: &str, value: impl Into<String>) -> &mut Self {
        self.lines.push((label.to_owned(), or_dash(value.into())));
        self
    }

    pub fn render(&self) -> String {
        let width = self
            .lines
            .iter()
            .map(|(label, _)| label.chars().count())
            .max()
            .unwrap_or(0)
            + 1;
        self.lines
            .iter()
            .map(|(label, value)| format!("{:<width$} {value}\n", format!("{label}:")))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_empty_cells_are_visible() {
        let mut table = Table::new(&["SYMBOL", ">QUANTITY", "STATE"]);
        table.row(["BTCUSDT", "0.1", ""]);
        table.row(["BNBUSDT", "12.00", "✅ ok"]);
        assert_eq!(
            table.render(),
            "SYMBOL   QUANTITY  STATE\nBTCUSDT       0.1  -\nBNBUSDT     12.00  ✅ ok\n"
        );
        let mut facts = Facts::default();
        facts.add("Epoch", "3").add("Daily P&L", "");
        assert_eq!(facts.render(), "Epoch:     3\nDaily P&L: -\n");
    }
}
