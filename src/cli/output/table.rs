//! Tables fitted to the width of a terminal.
//!
//! Results of queries have one line a row: long values are cut with `…`, and if a column would become
//! too narrow, columns in the middle are left out. Reports keep every word: long values are wrapped. Characters that join others, such as those of emoji of several people,
//! are left out of cells: terminals disagree about the width of joined characters, and the columns would
//! not line up. comfy-table, which prints tables for pipes, wraps values and keeps all columns.

use crate::cli::output::columns::{ELLIPSIS, cut, width_of, wrapped};
use crate::spec::yaml::escape::escaped_cell;

/// A table of texts.
pub struct TextTable {
    pub columns: Vec<TextColumn>,
    /// Rows with a cell for each column. `None` is shown as NULL.
    pub rows: Vec<Vec<Option<String>>>,
}

/// The head of a column.
pub struct TextColumn {
    pub name: String,
    /// Type of the values, shown below the name.
    pub kind: Option<String>,
    /// True if values are aligned to the right.
    pub is_number: bool,
}

/// A table as a terminal shows it.
pub struct FittedTable {
    pub text: String,
    /// Number of columns that are shown.
    pub columns: usize,
}

/// Treatment of values that are wider than their column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    Cut,
    Wrap,
}

impl Overflow {
    /// Returns the width to which a column is not shrunk further, if its values are wider.
    fn narrow(self) -> usize {
        match self {
            Overflow::Cut => 8,
            Overflow::Wrap => 4,
        }
    }
}

impl TextTable {
    /// Returns the table in at most `width` columns of a terminal, if that is possible.
    pub fn fitted(&self, width: usize, overflow: Overflow) -> FittedTable {
        let cells = Cells::of(self);
        let natural: Vec<usize> = cells.natural_widths();
        let least = self.least_widths(&cells, &natural, overflow);
        let shown = chosen(&least, width);
        let room = width.saturating_sub(frame(shown.len(), shown.len() < natural.len()));
        let of_shown = |widths: &[usize]| -> Vec<usize> {
            let widths = shown.iter().map(|at| widths[*at].min(room.max(1)));
            widths.collect()
        };
        let widths = shrunk(&of_shown(&natural), &of_shown(&least), room);
        let lines = Lines::new(&shown, widths, natural.len());
        FittedTable {
            text: lines.draw(&cells, self, overflow),
            columns: shown.len(),
        }
    }

    /// Returns the widths to which columns can be shrunk. A part of a number, of a date or of an instant
    /// would be another one, so those are not shrunk.
    fn least_widths(&self, cells: &Cells, natural: &[usize], overflow: Overflow) -> Vec<usize> {
        let widths = self.columns.iter().zip(natural).enumerate();
        let least = widths.map(|(at, (column, natural))| {
            let values = || cells.rows.iter().map(|row| width_of(&row[at])).max();
            let is_time = |kind: &String| kind.starts_with("timestamp") || kind.starts_with("date");
            let is_whole = column.is_number || column.kind.as_ref().is_some_and(is_time);
            let whole = values().filter(|_| is_whole).unwrap_or(0);
            whole.max(overflow.narrow()).min(*natural)
        });
        least.collect()
    }

    /// Returns the table with one line for each value, and a heading for each row.
    pub fn expanded(&self) -> String {
        let names: Vec<String> = self.columns.iter().map(|c| plain(&c.name)).collect();
        let width = names.iter().map(|name| width_of(name)).max().unwrap_or(0);
        let mut out = String::new();
        for (at, row) in self.rows.iter().enumerate() {
            out.push_str(&format!("─ row {} ─\n", at + 1));
            for (name, cell) in names.iter().zip(row) {
                let value = cell.as_deref().map_or_else(null, plain);
                let gap = " ".repeat(width - width_of(name));
                out.push_str(&format!("{name}{gap} │ {value}\n"));
            }
        }
        out
    }
}

/// Texts of a table as a terminal shows them.
struct Cells {
    names: Vec<String>,
    kinds: Option<Vec<String>>,
    rows: Vec<Vec<String>>,
}

impl Cells {
    fn of(table: &TextTable) -> Self {
        let kinds = table.columns.iter().map(|column| column.kind.clone());
        let cell = |cell: &Option<String>| cell.as_deref().map_or_else(null, plain);
        Cells {
            names: table.columns.iter().map(|c| plain(&c.name)).collect(),
            kinds: kinds.collect(),
            rows: table
                .rows
                .iter()
                .map(|row| row.iter().map(cell).collect())
                .collect(),
        }
    }

    /// Returns the width of the widest text of each column.
    fn natural_widths(&self) -> Vec<usize> {
        let lines = std::iter::once(&self.names)
            .chain(self.kinds.as_ref())
            .chain(&self.rows);
        let mut widths = vec![1; self.names.len()];
        for line in lines {
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = (*width).max(width_of(cell));
            }
        }
        widths
    }
}

/// Returns the columns that borders and spaces take. `has_gap` tells whether columns are left out.
fn frame(columns: usize, has_gap: bool) -> usize {
    1 + 3 * columns + if has_gap { 4 } else { 0 }
}

/// Returns the places of the columns that are shown: all, or the first and the last ones. `least` has
/// the width that each column needs.
fn chosen(least: &[usize], width: usize) -> Vec<usize> {
    let mut shown: Vec<usize> = (0..least.len()).collect();
    let needed = |shown: &[usize]| {
        let columns = shown.iter().map(|at| least[*at]);
        columns.sum::<usize>() + frame(shown.len(), shown.len() < least.len())
    };
    while shown.len() > 1 && needed(&shown) > width {
        shown.remove(shown.len() / 2);
    }
    shown
}

/// Returns widths that fit into `room`: the widest columns are shrunk to the same width, none below its
/// `least` one.
fn shrunk(natural: &[usize], least: &[usize], room: usize) -> Vec<usize> {
    let columns = || natural.iter().zip(least);
    let fitted = |natural: usize, least: usize, most: usize| natural.min(most.max(least));
    let total = |most: usize| -> usize {
        columns()
            .map(|(natural, least)| fitted(*natural, *least, most))
            .sum()
    };
    let widest = natural.iter().copied().max().unwrap_or(1);
    let fits = (1..=widest).rev().find(|most| total(*most) <= room);
    let most = fits.unwrap_or(1);
    let mut left = room.saturating_sub(total(most));
    let widths = columns().map(|(natural, least)| {
        let width = fitted(*natural, *least, most);
        let more = usize::from(*natural > width && left > 0);
        left -= more;
        width + more
    });
    widths.collect()
}

/// The lines of a table: which columns they show, and how wide each is.
struct Lines<'s> {
    shown: &'s [usize],
    widths: Vec<usize>,
    /// Place among the shown columns before which others are left out.
    gap: Option<usize>,
}

impl<'s> Lines<'s> {
    fn new(shown: &'s [usize], widths: Vec<usize>, columns: usize) -> Self {
        let gap = (shown.len() < columns).then(|| {
            let is_after = |(place, at): (usize, &usize)| *at != place;
            let all = shown.iter().enumerate();
            all.clone().position(is_after).unwrap_or(shown.len())
        });
        Lines { shown, widths, gap }
    }

    fn draw(&self, cells: &Cells, table: &TextTable, overflow: Overflow) -> String {
        let mut out = self.border(['┌', '┬', '┐']);
        let centred = |_: usize| Align::Centre;
        out.push_str(&self.row(&cells.names, centred, overflow));
        if let Some(kinds) = &cells.kinds {
            out.push_str(&self.row(kinds, centred, overflow));
        }
        out.push_str(&self.border(['├', '┼', '┤']));
        let aligned = |at: usize| {
            if table.columns[at].is_number {
                Align::Right
            } else {
                Align::Left
            }
        };
        for row in &cells.rows {
            out.push_str(&self.row(row, aligned, overflow));
        }
        out.push_str(&self.border(['└', '┴', '┘']));
        out
    }

    fn border(&self, [left, middle, right]: [char; 3]) -> String {
        let mut parts: Vec<String> = self.widths.iter().map(|w| "─".repeat(w + 2)).collect();
        if let Some(gap) = self.gap {
            parts.insert(gap, "───".to_owned());
        }
        format!("{left}{}{right}\n", parts.join(&middle.to_string()))
    }

    /// Returns the lines of a row: one, or as many as its wrapped values need.
    fn row(&self, cells: &[String], align: impl Fn(usize) -> Align, overflow: Overflow) -> String {
        let shown = self.shown.iter().zip(&self.widths);
        let parts: Vec<Vec<String>> = match overflow {
            Overflow::Cut => return self.line(cells, align),
            Overflow::Wrap => shown
                .map(|(at, width)| wrapped(&cells[*at], *width))
                .collect(),
        };
        let height = parts.iter().map(Vec::len).max().unwrap_or(1);
        let lines = (0..height).map(|line| {
            let mut of_line = vec![String::new(); cells.len()];
            for (at, part) in self.shown.iter().zip(&parts) {
                of_line[*at] = part.get(line).cloned().unwrap_or_default();
            }
            self.line(&of_line, &align)
        });
        lines.collect()
    }

    fn line(&self, cells: &[String], align: impl Fn(usize) -> Align) -> String {
        let shown = self.shown.iter().zip(&self.widths);
        let mut parts: Vec<String> = shown
            .map(|(at, width)| {
                format!(
                    " {} ",
                    padded(&cut(&cells[*at], *width), *width, align(*at))
                )
            })
            .collect();
        if let Some(gap) = self.gap {
            parts.insert(gap, format!(" {ELLIPSIS} "));
        }
        format!("│{}│\n", parts.join("│"))
    }
}

#[derive(Clone, Copy)]
enum Align {
    Left,
    Right,
    Centre,
}

fn padded(text: &str, width: usize, align: Align) -> String {
    let space = width.saturating_sub(width_of(text));
    let before = match align {
        Align::Left => 0,
        Align::Right => space,
        Align::Centre => space / 2,
    };
    format!("{}{text}{}", " ".repeat(before), " ".repeat(space - before))
}

fn null() -> String {
    "NULL".to_owned()
}

/// Returns a text on one line, without control characters and without characters that join others.
fn plain(text: &str) -> String {
    let line = text.replace(['\n', '\r', '\t'], " ");
    escaped_cell(&line)
        .chars()
        .filter(|c| !is_joiner(*c))
        .collect()
}

/// Returns true for a zero-width joiner, a variation selector and a skin tone.
fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200d}' | '\u{fe00}'..='\u{fe0f}' | '\u{1f3fb}'..='\u{1f3ff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(columns: &[(&str, bool)], rows: &[&[&str]]) -> TextTable {
        let column = |(name, is_number): &(&str, bool)| TextColumn {
            name: (*name).to_owned(),
            kind: None,
            is_number: *is_number,
        };
        let cell = |cell: &&str| (*cell != "-").then(|| (*cell).to_owned());
        TextTable {
            columns: columns.iter().map(column).collect(),
            rows: rows
                .iter()
                .map(|row| row.iter().map(cell).collect())
                .collect(),
        }
    }

    #[test]
    fn columns_are_as_wide_as_their_values_if_there_is_room() {
        let table = table(
            &[("title", false), ("likes", true)],
            &[&["早C晚A 👩‍👩‍👧", "12"], &["-", "3000000"]],
        );
        let fitted = table.fitted(80, Overflow::Cut);
        assert_eq!(fitted.columns, 2);
        assert_eq!(
            fitted.text,
            "\
┌───────────────┬─────────┐
│     title     │  likes  │
├───────────────┼─────────┤
│ 早C晚A 👩👩👧 │      12 │
│ NULL          │ 3000000 │
└───────────────┴─────────┘
"
        );
    }

    #[test]
    fn the_widest_columns_are_cut_first() {
        let table = table(
            &[("id", false), ("title", false)],
            &[&["64f0", "关于兰蔻，说点真话，敏感肌亲测"]],
        );
        assert_eq!(
            table.fitted(24, Overflow::Cut).text,
            "\
┌──────┬───────────────┐
│  id  │     title     │
├──────┼───────────────┤
│ 64f0 │ 关于兰蔻，说… │
└──────┴───────────────┘
"
        );
    }

    #[test]
    fn a_report_wraps_values_at_spaces_and_keeps_all_of_them() {
        let table = table(
            &[("check", false), ("detail", false)],
            &[
                &["lake", "run a pipeline first 或者指定文件夹"],
                &["x", "y"],
            ],
        );
        assert_eq!(
            table.fitted(28, Overflow::Wrap).text,
            "\
┌───────┬──────────────────┐
│ check │      detail      │
├───────┼──────────────────┤
│ lake  │ run a pipeline   │
│       │ first            │
│       │ 或者指定文件夹   │
│ x     │ y                │
└───────┴──────────────────┘
"
        );
    }

    #[test]
    fn columns_in_the_middle_are_left_out_of_a_narrow_terminal() {
        let columns: Vec<String> = (1..=9).map(|at| format!("column_{at}")).collect();
        let columns: Vec<(&str, bool)> =
            columns.iter().map(|name| (name.as_str(), false)).collect();
        let table = table(&columns, &[&["a", "b", "c", "d", "e", "f", "g", "h", "i"]]);
        let fitted = table.fitted(40, Overflow::Cut);
        assert_eq!(fitted.columns, 3);
        assert_eq!(
            fitted.text,
            "\
┌──────────┬──────────┬───┬──────────┐
│ column_1 │ column_2 │ … │ column_9 │
├──────────┼──────────┼───┼──────────┤
│ a        │ b        │ … │ i        │
└──────────┴──────────┴───┴──────────┘
"
        );
    }

    #[test]
    fn control_characters_are_escaped_and_lines_joined() {
        let table = table(&[("text", false)], &[&["a\nb\u{1b}[2J"]]);
        let text = table.fitted(80, Overflow::Cut).text;
        assert!(text.contains("│ a b\\u{1b}[2J │"), "{text}");
    }

    #[test]
    fn an_expanded_row_has_a_line_for_each_value() {
        let table = table(&[("note_id", false), ("标题", false)], &[&["a", "-"]]);
        assert_eq!(table.expanded(), "─ row 1 ─\nnote_id │ a\n标题    │ NULL\n");
    }
}
