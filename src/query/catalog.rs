//! The SQL of the catalog: a view a table, and those that are derived from it. Pure.

use crate::query::sql::identifier;
use crate::query::sql::literal;
use crate::query::sql::plain_glob;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;

use super::views::derived;
use crate::spec::files::{FileColumns, Unreadable};
use crate::spec::table::{Column, ColumnType, Table};

/// The statements that make the views of the lake at `lake`, an absolute path, over these files of each
/// table; a view over none is empty, with its columns.
pub fn statements(
    lake: &Path,
    tables: &IndexMap<String, Table>,
    columns: &FileColumns,
    files: impl Fn(&Table) -> Option<Files>,
) -> Vec<String> {
    views(tables, &columns.unreadable, |table| {
        let all = |files| ViewPart {
            files,
            ..ViewPart::of_lake(lake, table, columns)
        };
        files(table).map(all).into_iter().collect()
    })
}

/// The statements that make the views over the rows of some runs, which are in the table [`AS_OF`].
pub fn statements_as_of(
    lake: &Path,
    tables: &IndexMap<String, Table>,
    columns: &FileColumns,
    runs: &BTreeSet<String>,
    files: impl Fn(&Table) -> Option<Files>,
) -> Vec<String> {
    let runs: Vec<String> = runs
        .iter()
        .map(|run| format!("({})", literal(run)))
        .collect();
    let mut statements = vec![format!("CREATE TABLE {AS_OF} (run_id VARCHAR)")];
    if !runs.is_empty() {
        statements.push(format!("INSERT INTO {AS_OF} VALUES {}", runs.join(", ")));
    }
    statements.extend(views(tables, &columns.unreadable, |table| {
        let some = |files| ViewPart {
            files,
            condition: Some(format!("run_id IN (SELECT run_id FROM {AS_OF})")),
            ..ViewPart::of_lake(lake, table, columns)
        };
        files(table).map(some).into_iter().collect()
    }));
    statements
}

/// The tables whose names stand in a query: more than it reads, perhaps, but hardly ever less. To make a
/// view, DuckDB lists the folders of its table. All tables where the SQL may be no query, or more than
/// one, or list the views themselves.
pub fn named_in(sql: &str, tables: &IndexMap<String, Table>) -> IndexMap<String, Table> {
    let sql = sql.to_lowercase();
    let text = sql.trim().trim_end_matches(';');
    let begins = ["select", "with", "from"]
        .iter()
        .any(|word| text.starts_with(word));
    let squeezed: String = text.split_whitespace().collect();
    let lists = LISTS.iter().any(|word| squeezed.contains(word));
    let is_query = begins && !text.contains(';') && !lists;
    only(tables, |name| {
        !is_query || text.contains(&name.to_lowercase())
    })
}

/// The tables with these names.
pub fn only(
    tables: &IndexMap<String, Table>,
    keep: impl Fn(&str) -> bool,
) -> IndexMap<String, Table> {
    let kept = tables.iter().filter(|(name, _)| keep(name));
    kept.map(|(name, table)| (name.clone(), table.clone()))
        .collect()
}

/// Pieces of text without which no query tells what views there are.
const LISTS: [&str; 10] = [
    "show",
    "describe",
    "(desc",
    "summarize",
    "pragma",
    "schema",
    "duckdb_",
    "pg_",
    "sqlite_",
    "query(",
];

/// The runs that count, where not all do.
const AS_OF: &str = "runs_as_of";

/// Which files of a table a view reads.
#[derive(Debug)]
pub enum Files {
    /// All that are there whenever it is read.
    Any,
    /// Just these, whatever comes.
    These(Vec<PathBuf>),
}

/// Files below a folder that has `tables/` in it, and which of their rows count.
pub(super) struct ViewPart<'a> {
    pub root: &'a Path,
    pub files: Files,
    /// SQL; all rows without it.
    pub condition: Option<String>,
    /// Whether all the files have the same columns. Where that is not known, every file is opened to
    /// find out.
    pub uniform: bool,
}

impl<'a> ViewPart<'a> {
    /// All rows of a table in the lake.
    pub fn of_lake(lake: &'a Path, table: &Table, columns: &FileColumns) -> Self {
        ViewPart {
            root: lake,
            files: Files::Any,
            condition: None,
            uniform: columns.uniform.contains(table.name()),
        }
    }

    /// What `read_parquet` is to read.
    fn paths(&self, table: &Table) -> String {
        let plain = |path: &Path| plain_glob(&path.to_string_lossy());
        match &self.files {
            Files::Any => {
                let folder = self.root.join(table.rows_from.folder()).join(table.name());
                let glob = Path::new(&plain(&folder)).join("*").join("*.parquet");
                literal(&glob.to_string_lossy())
            }
            Files::These(paths) => {
                // One text, which DuckDB reads much faster than a list of thousands.
                let paths: Vec<String> = paths.iter().map(|path| plain(path)).collect();
                let paths = literal(&paths.join(BETWEEN_PATHS));
                format!("string_split({paths}, {})", literal(BETWEEN_PATHS))
            }
        }
    }
}

/// The unit separator, which no path has.
const BETWEEN_PATHS: &str = "\u{1f}";

/// The statements that make the views over these parts of each table; none makes it empty.
pub(super) fn views<'a>(
    tables: &IndexMap<String, Table>,
    unreadable: &Unreadable,
    parts: impl Fn(&Table) -> Vec<ViewPart<'a>>,
) -> Vec<String> {
    let mut statements = Vec::new();
    for table in tables.values() {
        let name = table.name();
        let view = identifier(name);
        statements.push(table_view(&view, table, unreadable, &parts(table)));
        statements.push(comment_on_view(name, &table.description));
        statements.extend(comments_on_columns(name, &table.columns));
        for view in derived(table) {
            let failing = |column: &str| failing(table, column, unreadable);
            if view.needs(table).any(|column| failing(column).is_some()) {
                continue;
            }
            statements.push(view.statement(table, &failing));
            statements.push(comment_on_view(&view.name, &view.description));
            statements.extend(comments_on_columns(&view.name, &view.columns));
        }
    }
    statements
}

/// All files of a table as one relation with the contract's columns; `view` is a name as SQL has
/// it. The empty first part gives the columns their order and types: a file that has no such column
/// reads as null, one that has it with a type that the contract's can read is cast. What cannot be
/// read fails whoever asks for it.
pub(super) fn table_view(
    view: &str,
    table: &Table,
    unreadable: &Unreadable,
    parts: &[ViewPart<'_>],
) -> String {
    let typed = |(name, column): (&String, &Column)| {
        let kind = sql_type(column.kind);
        format!("CAST(NULL AS {kind}) AS {}", identifier(name))
    };
    let empty: Vec<String> = table.columns.iter().map(typed).collect();
    let mut relation = format!(
        "SELECT {}, CAST(NULL AS DATE) AS dt WHERE false",
        empty.join(", ")
    );
    for part in parts {
        relation.push_str(&format!(
            " UNION ALL BY NAME SELECT * FROM read_parquet({}, hive_partitioning = true, \
             hive_types = {{'dt': DATE}}, union_by_name = {})",
            part.paths(table),
            !part.uniform
        ));
        if let Some(condition) = &part.condition {
            relation.push_str(&format!(" WHERE {condition}"));
        }
    }
    // Named, since a folder above the lake may look like a partition too, of no column of ours.
    let read = |name: &String| match failing(table, name, unreadable) {
        None => identifier(name),
        Some(value) => format!("{value} AS {}", identifier(name)),
    };
    let columns: Vec<String> = table.columns.keys().map(read).collect();
    format!(
        "CREATE OR REPLACE VIEW {view} AS SELECT {}, dt FROM ({relation})",
        columns.join(", ")
    )
}

/// What stands in a view for the values of a column that cannot be read: it fails whoever asks for
/// them.
fn failing(table: &Table, column: &str, unreadable: &Unreadable) -> Option<String> {
    let reason = unreadable.get(&(table.name().to_owned(), column.to_owned()))?;
    let kind = sql_type(table.columns.get(column)?.kind);
    Some(format!("CAST(error({}) AS {kind})", literal(reason)))
}

fn comments_on_columns(
    view: &str,
    columns: &IndexMap<String, Column>,
) -> impl Iterator<Item = String> {
    let view = identifier(view);
    columns.iter().map(move |(name, column)| {
        let text = match &column.unit {
            Some(unit) => format!("{} [{unit}]", column.description),
            None => column.description.clone(),
        };
        let column = format!("{view}.{}", identifier(name));
        format!("COMMENT ON COLUMN {column} IS {}", literal(&text))
    })
}

fn comment_on_view(name: &str, text: &str) -> String {
    format!("COMMENT ON VIEW {} IS {}", identifier(name), literal(text))
}

pub fn sql_type(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::String => "VARCHAR",
        ColumnType::Int64 => "BIGINT",
        ColumnType::Float64 => "DOUBLE",
        ColumnType::Bool => "BOOLEAN",
        ColumnType::Timestamp => "TIMESTAMP WITH TIME ZONE",
        ColumnType::Date => "DATE",
    }
}
