//! The SQL of the catalog: one view per table, and the views derived from it. Pure.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;

use super::views::derived;
use crate::lake_layout::PARTITIONS;
use crate::query::sql::{identifier, literal, plain_glob};
use crate::spec::table::{
    Column, ColumnType, DECIMAL_DIGITS, FileColumns, Table, Unreadable, ViewQuery, owner,
};

/// Returns the statements that create the views of the lake at `lake`, an absolute path. `files`
/// returns the files of each table. A view without files is empty, with its columns.
pub fn statements(
    lake: &Path,
    tables: &IndexMap<String, Table>,
    columns: &FileColumns,
    files: impl Fn(&Table) -> Option<Files>,
) -> CreateViews {
    views(tables, &columns.unreadable, |table| {
        let part = files(table).map(|files| ViewPart::of_files(files, lake, table, columns));
        part.into_iter().collect()
    })
}

/// Returns the statements that create one view for each of these tables. There are no comments and no
/// views derived from tables, which take most of the time of [`statements`].
pub fn table_statements(
    lake: &Path,
    tables: &IndexMap<String, Table>,
    columns: &FileColumns,
    files: impl Fn(&Table) -> Option<Files>,
) -> Vec<String> {
    let statements = |table: &Table| {
        let part = files(table).map(|files| ViewPart::of_files(files, lake, table, columns));
        let name = identifier(table.name());
        let view = table_view(&name, table, &columns.unreadable, part.as_slice());
        let files = part.and_then(|part| part.file_list(table));
        files.map(|files| files.all).into_iter().chain([view])
    };
    let tables = tables.values().filter(|table| table.query.is_none());
    tables.flat_map(statements).collect()
}

/// Statements that create the views of a lake.
#[derive(Debug)]
pub struct CreateViews {
    /// They create an empty table in the place of each view, with its columns.
    pub stand_ins: Vec<String>,
    /// They replace each of these tables by its view.
    pub views: Vec<String>,
}

impl CreateViews {
    /// Returns all statements, in order.
    pub fn all(self) -> Vec<String> {
        [self.stand_ins, self.views].concat()
    }

    /// Leaves out comments, which take as much time as views.
    #[must_use]
    pub fn without_comments(mut self) -> Self {
        self.views.retain(|statement| !is_comment(statement));
        self
    }
}

/// Returns true if a statement of a catalog only adds a comment.
pub fn is_comment(statement: &str) -> bool {
    statement.starts_with("COMMENT ON ")
}

/// Returns the statements that create views over the rows of these pipelines only.
pub fn statements_of_pipelines(
    lake: &Path,
    tables: &IndexMap<String, Table>,
    columns: &FileColumns,
    pipelines: &[String],
    files: impl Fn(&Table) -> Option<Files>,
) -> CreateViews {
    let names: Vec<String> = pipelines.iter().map(|name| literal(name)).collect();
    let condition = format!("pipeline IN ({})", names.join(", "));
    views_where(lake, tables, columns, &condition, files)
}

/// Returns the statements that create views over the rows of some runs only. The run ids are stored
/// in the table [`AS_OF`].
pub fn statements_as_of(
    lake: &Path,
    tables: &IndexMap<String, Table>,
    columns: &FileColumns,
    runs: &BTreeSet<String>,
    files: impl Fn(&Table) -> Option<Files>,
) -> CreateViews {
    let runs: Vec<String> = runs
        .iter()
        .map(|run| format!("({})", literal(run)))
        .collect();
    let mut of_runs = vec![format!("CREATE TABLE {AS_OF} (run_id VARCHAR)")];
    if !runs.is_empty() {
        of_runs.push(format!("INSERT INTO {AS_OF} VALUES {}", runs.join(", ")));
    }
    let condition = format!("run_id IN (SELECT run_id FROM {AS_OF})");
    let mut create = views_where(lake, tables, columns, &condition, files);
    create.stand_ins.splice(0..0, of_runs);
    create
}

/// Returns the statements that create views over the rows of tables and marts that meet a condition.
fn views_where(
    lake: &Path,
    tables: &IndexMap<String, Table>,
    columns: &FileColumns,
    condition: &str,
    files: impl Fn(&Table) -> Option<Files>,
) -> CreateViews {
    views(tables, &columns.unreadable, |table| {
        let some = |files| ViewPart {
            condition: Some(condition.to_owned()),
            ..ViewPart::of_files(files, lake, table, columns)
        };
        files(table).map(some).into_iter().collect()
    })
}

/// Returns the tables that occur in a query, with their derived views if one of them occurs: perhaps
/// more than it reads, hardly ever fewer. This saves time, since DuckDB lists a table's folders to create
/// its view. Returns all tables if the SQL may not be a single query, or may list the views themselves.
pub fn named_in(sql: &str, tables: &IndexMap<String, Table>) -> IndexMap<String, Table> {
    let sql = sql.to_lowercase();
    let text = sql.trim().trim_end_matches(';');
    let begins = ["select", "with", "from"]
        .iter()
        .any(|word| text.starts_with(word));
    let squeezed: String = text.split_whitespace().collect();
    let lists = LISTS.iter().any(|word| squeezed.contains(word));
    if !begins || text.contains(';') || lists {
        return tables.clone();
    }
    let views = |table: &Table| table.derived_views().into_iter().map(|view| view.name);
    let relations = tables
        .iter()
        .flat_map(|(name, table)| std::iter::once(name.clone()).chain(views(table)));
    let mut open: Vec<String> = relations
        .filter(|name| text.contains(&name.to_lowercase()))
        .collect();
    let mut named = BTreeSet::new();
    while let Some(name) = open.pop() {
        if named.contains(&name) {
            continue;
        }
        // A view needs what it reads.
        let query = tables.get(&name).and_then(|table| table.query.as_ref());
        open.extend(
            query
                .into_iter()
                .flat_map(|query| query.reads.keys())
                .cloned(),
        );
        let table = owner(&name, tables).map(|(table, _)| table.name().to_owned());
        named.extend(table);
        named.insert(name);
    }
    let mut tables = only(tables, |name| named.contains(name));
    for table in tables.values_mut() {
        if !views(table).any(|view| named.contains(&view)) {
            table.leave_out_derived_views();
        }
    }
    tables
}

/// Returns the tables whose names `keep` accepts.
pub fn only(
    tables: &IndexMap<String, Table>,
    keep: impl Fn(&str) -> bool,
) -> IndexMap<String, Table> {
    let kept = tables.iter().filter(|(name, _)| keep(name));
    kept.map(|(name, table)| (name.clone(), table.clone()))
        .collect()
}

/// Text fragments, without whitespace. A query that lists the views contains at least one of them.
const LISTS: [&str; 11] = [
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
    "query_table(",
];

/// Name of the table with the ids of the runs that count, if not all do.
const AS_OF: &str = "runs_as_of";

/// The files of a table that a view reads.
#[derive(Debug)]
pub enum Files {
    /// All files that exist when the view is read.
    Any,
    /// Exactly these files.
    These(Vec<PathBuf>),
    /// All files that exist when the view is read, below the folder that the macro [`LAKE_ROOT`]
    /// returns.
    BelowMacro,
}

/// Name of the macro with the folder of the lake, in a catalog whose lake is elsewhere.
pub const LAKE_ROOT: &str = "lake_root";

/// Files below a folder that contains `tables/`, with a condition for their rows.
pub(super) struct ViewPart<'a> {
    pub root: &'a Path,
    pub files: Files,
    /// SQL condition. Without one, all rows count.
    pub condition: Option<String>,
    /// True if all the files have the same columns. If that is unknown, every file is opened to
    /// find out.
    pub uniform: bool,
}

impl<'a> ViewPart<'a> {
    /// Returns the part with all rows of a table in the lake.
    pub fn of_lake(lake: &'a Path, table: &Table, columns: &FileColumns) -> Self {
        ViewPart::of_files(Files::Any, lake, table, columns)
    }

    /// Returns the part with all rows of these files of a table in the lake.
    fn of_files(files: Files, lake: &'a Path, table: &Table, columns: &FileColumns) -> Self {
        ViewPart {
            root: lake,
            files,
            condition: None,
            uniform: columns.uniform.contains(table.name()),
        }
    }

    /// Returns the statements that define the macro with the files, if they are fixed.
    fn file_list(&self, table: &Table) -> Option<FileList> {
        let Files::These(paths) = &self.files else {
            return None;
        };
        let paths = paths.iter().map(|path| plain_glob(&path.to_string_lossy()));
        let paths: Vec<String> = paths.collect();
        let listed = |paths: &[String]| {
            let paths = literal(&paths.join(BETWEEN_PATHS));
            format!(
                "CREATE OR REPLACE MACRO {}() AS {paths}",
                file_list_of(table)
            )
        };
        let first = if self.uniform { 1 } else { paths.len() };
        Some(FileList {
            first: listed(paths.get(..first).unwrap_or_default()),
            all: listed(&paths),
        })
    }

    /// Returns the argument of `read_parquet`.
    fn paths(&self, table: &Table) -> String {
        let plain = |path: &Path| plain_glob(&path.to_string_lossy());
        match &self.files {
            Files::Any => {
                let folder = table.rows_from.folder().unwrap_or_default();
                let folder = self.root.join(folder).join(table.name());
                let glob = Path::new(&plain(&folder))
                    .join(PARTITIONS)
                    .join("*.parquet");
                literal(&glob.to_string_lossy())
            }
            // DuckDB parses one text much faster than a list of thousands.
            Files::These(_) => format!(
                "string_split({}(), {})",
                file_list_of(table),
                literal(BETWEEN_PATHS)
            ),
            Files::BelowMacro => {
                let folder = table.rows_from.folder().unwrap_or_default();
                let glob = format!("/{folder}/{}/{PARTITIONS}/*.parquet", table.name());
                format!("{LAKE_ROOT}() || {}", literal(&glob))
            }
        }
    }
}

/// Statements that define the macro with the files of a table.
struct FileList {
    /// With as many files as DuckDB needs for their columns. To create a view, it looks for each file.
    first: String,
    all: String,
}

/// Returns the name of the macro with the paths of the files of a table.
fn file_list_of(table: &Table) -> String {
    identifier(&format!("files_of_{}", table.name()))
}

/// The unit separator, which does not occur in paths.
const BETWEEN_PATHS: &str = "\u{1f}";

/// Returns the statements that create the views over these parts of each table. A table without
/// parts is empty.
pub(super) fn views<'a>(
    tables: &IndexMap<String, Table>,
    unreadable: &Unreadable,
    parts: impl Fn(&Table) -> Vec<ViewPart<'a>>,
) -> CreateViews {
    let view_of_files = |table: &Table| {
        let parts = parts(table);
        let name = identifier(table.name());
        CatalogRelation {
            create: Some(table_view(&name, table, unreadable, &parts)),
            files: parts.iter().find_map(|part| part.file_list(table)),
            ..CatalogRelation::of_table(table, comment_on_view(table.name(), &table.description))
        }
    };
    in_sql(&relations(tables, unreadable, view_of_files))
}

/// Returns the statements that comment on tables which a database has, and that create the views over
/// them. A view that reads a missing table is left out.
pub fn over_copies(tables: &IndexMap<String, Table>) -> CatalogSql {
    let copy = |table: &Table| {
        let name = identifier(table.name());
        let text = literal(&table.description);
        CatalogRelation::of_table(table, format!("COMMENT ON TABLE {name} IS {text}"))
    };
    let relations = relations(tables, &Unreadable::new(), copy);
    CatalogSql {
        statements: in_sql(&relations).all(),
        relations: relations.into_iter().map(|r| r.name).collect(),
    }
}

/// Statements that complete a catalog.
#[derive(Debug)]
pub struct CatalogSql {
    pub statements: Vec<String>,
    /// Names of the tables and views that are there afterwards.
    pub relations: BTreeSet<String>,
}

/// A table or a view of a catalog.
struct CatalogRelation {
    name: String,
    /// Names and types of its columns, in order, as SQL.
    columns: Vec<String>,
    /// Creates the view. `None` for a table that the database has.
    create: Option<String>,
    /// The files of a table, if they are fixed.
    files: Option<FileList>,
    comments: Vec<String>,
}

impl CatalogRelation {
    /// Returns the relation of a table or mart that the database has, with its comments.
    fn of_table(table: &Table, comment: String) -> Self {
        let name = table.name();
        let mut columns: Vec<String> = table.shown_columns().map(declared).collect();
        columns.push("dt DATE".to_owned());
        CatalogRelation {
            name: name.to_owned(),
            columns,
            create: None,
            files: None,
            comments: std::iter::once(comment)
                .chain(comments_on_columns(name, &table.columns))
                .chain(comments_on_columns(name, &table.view_columns))
                .collect(),
        }
    }

    /// Returns the relation of a view with a query.
    fn of_view(
        name: &str,
        description: &str,
        columns: &IndexMap<String, Column>,
        create: String,
    ) -> Self {
        CatalogRelation {
            name: name.to_owned(),
            columns: columns.iter().map(declared).collect(),
            create: Some(create),
            files: None,
            comments: std::iter::once(comment_on_view(name, description))
                .chain(comments_on_columns(name, columns))
                .collect(),
        }
    }
}

fn declared((name, column): (&String, &Column)) -> String {
    format!("{} {}", identifier(name), shown_type(column))
}

/// Returns the tables and views of a catalog. Each one comes after those that it reads. `stored`
/// returns the relation of a table that has files.
fn relations(
    tables: &IndexMap<String, Table>,
    unreadable: &Unreadable,
    stored: impl Fn(&Table) -> CatalogRelation,
) -> Vec<CatalogRelation> {
    let mut relations = Vec::new();
    let mut created = BTreeSet::new();
    // If several relations have the same name, the last counts.
    let add = |relations: &mut Vec<CatalogRelation>, relation: CatalogRelation| {
        relations.retain(|other| other.name != relation.name);
        relations.push(relation);
    };
    for table in tables.values() {
        let name = table.name();
        if let Some(query) = &table.query {
            if is_possible(query, &created, tables, unreadable) {
                let create = query_view(&identifier(name), table, query);
                let (text, columns) = (&table.description, &table.columns);
                let view = CatalogRelation::of_view(name, text, columns, create);
                add(&mut relations, view);
                created.insert(name.to_owned());
            }
            continue;
        }
        created.insert(name.to_owned());
        add(&mut relations, stored(table));
        for view in derived(table) {
            let failing = |column: &str| failing(table, column, unreadable);
            if view.needs(table).any(|column| failing(column).is_some()) {
                continue;
            }
            let create = view.statement(table, &failing);
            let (text, columns) = (&view.description, &view.columns);
            let relation = CatalogRelation::of_view(&view.name, text, columns, create);
            add(&mut relations, relation);
            created.insert(view.name);
        }
    }
    relations
}

/// Returns the statements that create these relations, with their comments.
///
/// To create a view, DuckDB binds its query, and that of each view below it. So all views are empty
/// tables at first. The last view is created first, and the table in its place is dropped then. So each
/// query is bound once, and the footers of a table's files are read once.
fn in_sql(relations: &[CatalogRelation]) -> CreateViews {
    let stand_in = |relation: &CatalogRelation| {
        relation.create.as_ref()?;
        let name = identifier(&relation.name);
        let columns = relation.columns.join(", ");
        Some(format!("CREATE TABLE {name} ({columns})"))
    };
    let lists = || {
        relations
            .iter()
            .filter_map(|relation| relation.files.as_ref())
    };
    let mut views: Vec<String> = lists().map(|files| files.first.clone()).collect();
    for relation in relations.iter().rev() {
        if let Some(create) = &relation.create {
            views.push(format!("DROP TABLE {}", identifier(&relation.name)));
            views.push(create.clone());
        }
        views.extend(relation.comments.iter().cloned());
    }
    views.extend(lists().map(|files| files.all.clone()));
    CreateViews {
        stand_ins: relations.iter().filter_map(stand_in).collect(),
        views,
    }
}

/// Returns true if a view can be created: everything that it reads is created and can be read.
fn is_possible(
    query: &ViewQuery,
    created: &BTreeSet<String>,
    tables: &IndexMap<String, Table>,
    unreadable: &Unreadable,
) -> bool {
    let mut reads = query.reads.iter();
    reads.all(|(relation, columns)| {
        let table = owner(relation, tables).map_or(relation.as_str(), |(table, _)| table.name());
        let is_unreadable =
            |column: &String| unreadable.contains_key(&(table.to_owned(), column.clone()));
        created.contains(relation) && !columns.iter().any(is_unreadable)
    })
}

/// Returns the statement that creates a view from its query, with the columns of its contract.
fn query_view(view: &str, table: &Table, query: &ViewQuery) -> String {
    let typed = |(name, column): (&String, &Column)| {
        let (name, kind) = (identifier(name), shown_type(column));
        format!("CAST({name} AS {kind}) AS {name}")
    };
    let columns: Vec<String> = table.columns.iter().map(typed).collect();
    let sql = query.sql.trim().trim_end_matches(';');
    format!(
        "CREATE OR REPLACE VIEW {view} AS SELECT {} FROM ({sql}\n)",
        columns.join(", ")
    )
}

/// Returns the statement that creates a view over all files of a table, with the contract's
/// columns. `view` is a quoted name.
///
/// The empty first part gives the columns their order and types. A column that a file lacks reads
/// as null. A column whose type the contract's type can read is cast. A column that cannot be read
/// fails when it is selected. A column with decimals is shown as a decimal.
///
/// Without `hive_types_autocast = false`, DuckDB lists the files once more for each scan, to guess the
/// types of partitions.
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
             hive_types = {{'dt': DATE}}, hive_types_autocast = false, union_by_name = {})",
            part.paths(table),
            !part.uniform
        ));
        if let Some(condition) = &part.condition {
            relation.push_str(&format!(" WHERE {condition}"));
        }
    }
    // Columns are listed by name, since a folder above the lake may look like a partition of
    // another column.
    let read = |(name, column): (&String, &Column)| match failing(table, name, unreadable) {
        None => {
            let (name, kind) = (identifier(name), shown_type(column));
            match (&column.sql, &column.decimals) {
                (None, None) => name,
                (None, Some(_)) => format!("CAST({name} AS {kind}) AS {name}"),
                (Some(sql), _) => format!("CAST({sql} AS {kind}) AS {name}"),
            }
        }
        Some(value) => format!("{value} AS {}", identifier(name)),
    };
    let columns: Vec<String> = table.shown_columns().map(read).collect();
    format!(
        "CREATE OR REPLACE VIEW {view} AS SELECT {}, dt FROM ({relation})",
        columns.join(", ")
    )
}

/// Returns the expression that replaces a column that cannot be read. It fails when it is
/// evaluated.
fn failing(table: &Table, column: &str, unreadable: &Unreadable) -> Option<String> {
    let reason = unreadable.get(&(table.name().to_owned(), column.to_owned()))?;
    let kind = shown_type(table.columns.get(column)?);
    Some(format!("CAST(error({}) AS {kind})", literal(reason)))
}

fn comments_on_columns(
    view: &str,
    columns: &IndexMap<String, Column>,
) -> impl Iterator<Item = String> {
    let view = identifier(view);
    columns.iter().map(move |(name, column)| {
        let text = described(column);
        let column = format!("{view}.{}", identifier(name));
        format!("COMMENT ON COLUMN {column} IS {}", literal(&text))
    })
}

/// Returns the description of a column with its unit.
pub fn described(column: &Column) -> String {
    match &column.unit {
        Some(unit) => format!("{} [{unit}]", column.description),
        None => column.description.clone(),
    }
}

fn comment_on_view(name: &str, text: &str) -> String {
    format!("COMMENT ON VIEW {} IS {}", identifier(name), literal(text))
}

/// Returns the type of a column in the views of its table.
pub fn shown_type(column: &Column) -> String {
    match &column.decimals {
        Some(decimals) => format!("DECIMAL({DECIMAL_DIGITS}, {})", decimals.value),
        None => sql_type(column.kind).to_owned(),
    }
}

/// Returns the type of a column in the files of its table.
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
