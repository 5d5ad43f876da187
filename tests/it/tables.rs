//! Tables on a terminal: fitted to its width, their columns aligned.

use std::collections::BTreeSet;

use vt100::Screen;

use crate::support::{Lake, repository, succeed};
use crate::terminal::Terminal;

/// Titles whose characters have widths on which terminals disagree if they are joined.
const ODD_TITLES: &str = "select * from (values (1, '早C晚A ❤️ 👩‍👩‍👧‍👦 家庭'), (2, '👍🏽 1️⃣ 🇨🇳 旅行 ①②'), \
     (3, '全角，标点。“引号”《书名》！很长的标题很长的标题很长的标题很长的标题很长的标题'), (4, null), \
     (5, 'line\nbreak\ttab')) as t(n, title)";

/// The columns of the screen in which a row has a vertical line.
fn lines(screen: &Screen, row: u16, columns: u16) -> BTreeSet<u16> {
    let is_line = |column: &u16| {
        let cell = screen.cell(row, *column).expect("a cell");
        ["│", "┌", "┬", "┐", "├", "┼", "┤", "└", "┴", "┘"].contains(&cell.contents())
    };
    (0..columns).filter(is_line).collect()
}

/// Asserts that the rows of each table on the screen have their lines in the same columns. Returns the
/// number of tables and the rows of the screen.
fn aligned(lake: &Lake, args: &[&str], columns: u16) -> (usize, Vec<String>) {
    let terminal = Terminal { columns, rows: 120 };
    let drawn = terminal.run(&mut lake.redlake(args));
    assert!(drawn.status.success(), "{args:?}: {:?}", drawn.last_rows());
    let mut last = None;
    drawn.watch(|screen| last = Some(screen.clone()));
    let screen = last.expect("something was printed");
    let rows = drawn.last_rows();
    let mut tables = 0;
    let mut expected: Option<BTreeSet<u16>> = None;
    for (at, row) in rows.iter().enumerate() {
        let found = lines(&screen, at as u16, columns);
        if row.starts_with('┌') {
            tables += 1;
            expected = Some(found);
        } else if let Some(lines) = &expected {
            assert_eq!(
                &found,
                lines,
                "{args:?} at {columns} columns:\n{}",
                rows.join("\n")
            );
            if row.starts_with('└') {
                expected = None;
            }
        }
    }
    assert_eq!(expected, None, "{args:?}: a table does not end");
    (tables, rows)
}

#[test]
fn tables_line_up_in_terminals_of_80_and_of_160_columns() {
    let lake = Lake::new();
    let demo = repository("pipelines/demo.yaml");
    lake.run(&demo, &[]);
    let run_id = lake.value("select run_id from runs");
    let run_id = run_id.as_str().expect("an id");
    let demo = demo.to_str().expect("UTF-8");
    let wide = "select * from note_overview order by liked_count desc limit 9";
    let titles = "select title, nickname, keywords, liked_count from note_overview \
                  where title is not null order by liked_count desc limit 9";
    for columns in [80, 160] {
        for sql in [ODD_TITLES, titles, wide] {
            let (tables, rows) = aligned(&lake, &["query", sql], columns);
            assert_eq!(tables, 1, "{rows:?}");
        }
        for args in [vec!["runs"], vec!["show", run_id], vec!["status"]] {
            let (tables, rows) = aligned(&lake, &args, columns);
            assert!(tables >= 1, "{args:?}: {rows:?}");
        }
        let (_, rows) = aligned(&lake, &["plan", demo], columns);
        let ends: BTreeSet<usize> = rows
            .iter()
            .filter(|row| row.ends_with(" CNY"))
            .map(|row| row.chars().count())
            .collect();
        assert_eq!(ends.len(), 1, "{rows:?}");
    }
}

#[test]
fn a_fitted_result_has_types_a_cut_and_the_number_of_rows() {
    let lake = Lake::new();
    lake.run(&repository("pipelines/demo.yaml"), &[]);
    let sql = "select 7::bigint as n, repeat('长', 60) as text, null as nothing";
    let (_, rows) = aligned(&lake, &["query", sql], 60);
    let cut = format!("│     7 │ {}…  │    NULL │", "长".repeat(18));
    assert_eq!(
        rows[1..],
        [
            "│   n   │                  text                  │ nothing │",
            "│ int64 │                varchar                 │  int32  │",
            "├───────┼────────────────────────────────────────┼─────────┤",
            cut.as_str(),
            "└───────┴────────────────────────────────────────┴─────────┘",
            "1 row, 3 columns",
        ]
    );
    let (_, rows) = aligned(&lake, &["query", "from notes limit 2"], 80);
    let last = rows.last().expect("a row");
    assert!(last.starts_with("2 rows, "), "{last}");
    assert!(last.ends_with("columns (--expanded shows all)"), "{last}");
}

#[test]
fn an_expanded_result_has_each_value_on_its_own_line() {
    let lake = Lake::new();
    lake.run(&repository("pipelines/demo.yaml"), &[]);
    let sql = "select 1 as n, 'a' as letter union all select 2, null order by n";
    let output = succeed(&mut lake.redlake(&["query", sql, "--expanded"])).stdout;
    assert_eq!(
        String::from_utf8(output).expect("UTF-8"),
        "─ row 1 ─\nn      │ 1\nletter │ a\n─ row 2 ─\nn      │ 2\nletter │ NULL\n"
    );
}
