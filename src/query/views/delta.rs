//! `<table>_delta` and `<table>_delta_by_endpoint`: rows beside those of the snapshot before.
//!
//! A filter on a day must not read the whole history. A window over all rows of a note would: DuckDB
//! passes a filter below a window only if its column is in PARTITION BY. So rows are compared within
//! their day, and only the first row of a day is compared with the last snapshot of the days before.
//! Pipelines in several time zones may have one instant on two days. Notes whose days overlap are
//! found, and compared by a window over all their rows.

use indexmap::IndexMap;

use super::columns::{named, optional, required};
use super::{Failing, endpoint_rank};
use crate::query::sql::identifier;
use crate::spec::table::{Column, ColumnType, DerivedKind, Table};

/// Returns the description of a delta view, and its columns.
pub(super) fn document(table: &Table, kind: DerivedKind) -> (String, IndexMap<String, Column>) {
    let mut columns = named(table, keys(table, kind));
    let before = "snapshot_at of the row before this one.";
    columns.insert(
        "previous_snapshot_at".to_owned(),
        required(ColumnType::Timestamp, None, before),
    );
    columns.extend(named(table, ["snapshot_at"]));
    let hours = "Time from the snapshot before to this one.";
    columns.insert(
        "hours".to_owned(),
        required(ColumnType::Float64, Some("h"), hours),
    );
    for (count, column) in counts(table) {
        let change = change_of(count);
        let unit = column.unit.as_deref();
        columns.insert(count.clone(), column.clone());
        let told = format!(
            "Change of {count} since the snapshot before, negative where it fell; null where one of \
             the two has none, and null where it does not fit int64."
        );
        columns.insert(
            change.delta.clone(),
            optional(ColumnType::Int64, unit, &told),
        );
        let told = format!("{} for each hour; null where no time passed.", change.delta);
        let unit = unit.map(|unit| format!("{unit}/h"));
        columns.insert(
            change.per_hour,
            optional(ColumnType::Float64, unit.as_deref(), &told),
        );
    }
    let name = table.name();
    let description = if kind == DerivedKind::Delta {
        format!(
            "The change of each {} since the snapshot before, also per hour: one row a snapshot, \
             endpoints and pipelines merged. For those of one endpoint or pipeline, query \
             {name}_delta_by_endpoint.",
            keys(table, kind).join(" and ")
        )
    } else {
        columns.extend(named(table, ["run_id", "pipeline", "source"]));
        format!(
            "The change of each row of {name} since the snapshot before it, also per hour, endpoint \
             by endpoint: do not sum it over endpoints."
        )
    };
    let dt = "Folder of the row's file, the same date as snapshot_date.";
    columns.insert("dt".to_owned(), required(ColumnType::Date, None, dt));
    (description, columns)
}

/// Returns the columns whose rows are compared with each other.
fn keys(table: &Table, kind: DerivedKind) -> Vec<&str> {
    if kind == DerivedKind::Delta {
        let view = table.latest_view.iter();
        view.map(|view| view.id.value.as_str()).collect()
    } else {
        table
            .delta_by
            .iter()
            .map(|key| key.value.as_str())
            .collect()
    }
}

/// Returns the columns whose change the delta view has: all of type int64.
fn counts(table: &Table) -> impl Iterator<Item = (&String, &Column)> {
    let all = table.columns.iter();
    all.filter(|(_, column)| column.kind == ColumnType::Int64)
}

/// Names of the columns with the change of a count.
struct Change {
    delta: String,
    per_hour: String,
}

fn change_of(count: &str) -> Change {
    let stem = count.strip_suffix("_count").unwrap_or(count);
    Change {
        delta: format!("{stem}_delta"),
        per_hour: format!("{stem}_per_hour"),
    }
}

/// Returns the SELECT of a delta view.
///
/// The two ways of comparing are joined, not united: DuckDB 1.5 does not end a streamed query with a
/// UNION ALL of joins. No CTE is materialized, since DuckDB would then compute all columns of the view,
/// and no filter would reach the tables.
pub(super) fn select(table: &Table, kind: DerivedKind, failing: &Failing<'_>) -> String {
    let parts = Parts::of(table, kind, failing);
    let (table, keys) = (&parts.table, &parts.keys);
    let lagged = parts.each(|c| format!(", lag({}) OVER w AS {}", identifier(c), previous(c)));
    let of_edge = parts.each(|c| format!(", {} AS {}", identifier(c), prefixed("edge", c)));
    let others = parts.each_other(|name| format!(", {name}"));
    // Names of the columns of the second way begin with `all`.
    let of_all = parts.each(|c| {
        let (all, previous_all) = (prefixed("all", c), prefixed("all previous", c));
        format!(
            ", {} AS {all}, {} AS {previous_all}",
            identifier(c),
            previous(c)
        )
    });
    let others_of_all = parts.each_other(|name| format!(", {name} AS \"all {name}\""));
    let chosen = parts.each(|c| {
        format!(
            ", CASE WHEN all_dt IS NULL THEN {count} ELSE {all} END AS {count}, \
             CASE WHEN all_dt IS NOT NULL THEN {previous_all} WHEN before_at IS NULL THEN {edge} \
             ELSE {previous} END AS {previous}",
            count = identifier(c),
            all = prefixed("all", c),
            previous_all = prefixed("all previous", c),
            edge = prefixed("edge", c),
            previous = previous(c),
        )
    });
    let chosen_others = parts.each_other(|name| {
        format!(", CASE WHEN all_dt IS NULL THEN {name} ELSE \"all {name}\" END AS {name}")
    });
    format!(
        "WITH days AS NOT MATERIALIZED (SELECT *, lag(last_at) OVER (PARTITION BY {keys} ORDER BY dt) \
         AS edge_at FROM (SELECT {keys}, dt, min(snapshot_at) AS first_at, max(snapshot_at) AS last_at \
         FROM {table} GROUP BY {keys}, dt)), \
         mixed AS NOT MATERIALIZED (SELECT DISTINCT {keys} FROM days WHERE first_at <= edge_at), \
         within AS NOT MATERIALIZED (SELECT *, lag(snapshot_at) OVER w AS before_at{lagged} \
         FROM ({of_days}) WINDOW w AS (PARTITION BY {keys}, dt ORDER BY snapshot_at)), \
         edges AS NOT MATERIALIZED (SELECT {keys}, dt, snapshot_at AS edge_at{of_edge} \
         FROM ({of_edges})), \
         compared AS NOT MATERIALIZED (SELECT *, lag(snapshot_at) OVER w AS all_before_at{lagged} \
         FROM ({of_mixed}) WINDOW w AS (PARTITION BY {keys} ORDER BY snapshot_at)), \
         overlapping AS NOT MATERIALIZED (SELECT {keys}, snapshot_at, dt AS all_dt, \
         all_before_at{of_all}{others_of_all} FROM compared), \
         chosen AS NOT MATERIALIZED (SELECT {keys}, snapshot_at, dt, CASE WHEN all_dt IS NULL \
         THEN coalesce(before_at, edge_at) ELSE all_before_at END AS previous_snapshot_at\
         {chosen}{chosen_others} FROM within LEFT JOIN edges USING ({keys}, dt) \
         LEFT JOIN overlapping USING ({keys}, snapshot_at) WHERE all_dt IS NULL OR all_dt = dt), \
         timed AS NOT MATERIALIZED (SELECT *, \
         date_diff('second', previous_snapshot_at, snapshot_at) / 3600.0 AS hours \
         FROM chosen WHERE previous_snapshot_at IS NOT NULL) \
         SELECT {keys}, previous_snapshot_at, snapshot_at, hours{changes}{others}, dt FROM timed",
        of_days = parts.one_per_snapshot(table),
        of_edges = parts.one_per_snapshot(&format!(
            "(SELECT {read}, d.dt AS dt FROM {table} t JOIN days d USING ({keys}) \
             WHERE t.snapshot_at = d.edge_at)",
            read = parts.read("t.")
        )),
        of_mixed = parts.one_per_snapshot(&format!(
            "(SELECT {read}, min(dt) OVER (PARTITION BY {keys}, snapshot_at) AS dt \
             FROM {table} SEMI JOIN mixed USING ({keys}))",
            read = parts.read("")
        )),
        changes = parts.changes,
    )
}

/// Parts of the SELECT of a delta view.
struct Parts<'t> {
    /// Quoted name of the table.
    table: String,
    /// Quoted names of the columns whose rows are compared.
    keys: String,
    /// Counts that can be read. A window is computed even if its column is not selected, so no
    /// failing expression goes into one.
    counts: Vec<&'t str>,
    /// Columns that tell where a row is from. Merged rows have none.
    others: Vec<&'static str>,
    /// Counts with their changes, each after a comma.
    changes: String,
    /// Expression whose smallest value has the row that counts, if the rows of a snapshot are
    /// merged.
    precedence: Option<String>,
}

impl<'t> Parts<'t> {
    fn of(table: &'t Table, kind: DerivedKind, failing: &Failing<'_>) -> Self {
        let view = table.latest_view.as_ref();
        let keys: Vec<String> = keys(table, kind).into_iter().map(identifier).collect();
        let is_merged = kind == DerivedKind::Delta;
        let readable = counts(table).filter(|(count, _)| failing(count).is_none());
        Parts {
            table: identifier(table.name()),
            keys: keys.join(", "),
            counts: readable.map(|(count, _)| count.as_str()).collect(),
            others: if is_merged {
                Vec::new()
            } else {
                vec!["run_id", "pipeline", "source"]
            },
            changes: counts(table).map(|(c, _)| change(c, failing(c))).collect(),
            // Of several rows with the same rank, the one that was fetched last counts. Microseconds
            // since 1970 have 16 digits.
            precedence: view.filter(|_| is_merged).map(|view| {
                format!(
                    "{} * 10000000000000000 - coalesce(epoch_us(fetched_at), 0)",
                    endpoint_rank(view)
                )
            }),
        }
    }

    /// Returns the columns that [`Parts::one_per_snapshot`] reads, but for the day.
    fn read(&self, prefix: &str) -> String {
        let more = ["snapshot_at", "fetched_at", "run_id", "pipeline", "source"];
        let more = more.map(|name| format!(", {prefix}{name}")).concat();
        // A merge ranks the endpoints. Otherwise an endpoint is read if it is a key.
        let endpoint = if self.precedence.is_some() {
            format!(", {prefix}endpoint")
        } else {
            String::new()
        };
        let counts = self.each(|c| format!(", {prefix}{}", identifier(c)));
        format!("{}{more}{endpoint}{counts}", self.keys)
    }

    /// Returns SQL for each count, in a row.
    fn each(&self, sql: impl Fn(&str) -> String) -> String {
        self.counts.iter().map(|count| sql(count)).collect()
    }

    /// Returns SQL for each column that tells where a row is from, in a row.
    fn each_other(&self, sql: impl Fn(&str) -> String) -> String {
        self.others.iter().map(|name| sql(name)).collect()
    }

    /// Returns a SELECT with one row for each key, snapshot and day of `from`. Counts are merged over
    /// endpoints and pipelines, or are those of the row that was fetched last.
    fn one_per_snapshot(&self, from: &str) -> String {
        let keys = &self.keys;
        match &self.precedence {
            Some(precedence) => {
                let merged = self.each(|c| {
                    let count = identifier(c);
                    format!(", arg_min({count}, {PRECEDENCE}) AS {count}")
                });
                format!(
                    "SELECT {keys}, snapshot_at, dt{merged} \
                     FROM (SELECT *, {precedence} AS {PRECEDENCE} FROM {from}) \
                     GROUP BY {keys}, snapshot_at, dt"
                )
            }
            None => {
                let counts = self.each(|c| format!(", {}", identifier(c)));
                let others = self.each_other(|name| format!(", {name}"));
                format!(
                    "SELECT {keys}, snapshot_at, dt{counts}{others} FROM {from} \
                     QUALIFY row_number() OVER (PARTITION BY {keys}, snapshot_at, dt \
                     ORDER BY fetched_at DESC, run_id DESC) = 1"
                )
            }
        }
    }
}

/// Quoted name of the column that rows are ranked by. No contract can declare it.
const PRECEDENCE: &str = "\" precedence\"";

/// Name of the column with the count of the snapshot before.
fn previous(count: &str) -> String {
    prefixed("previous", count)
}

fn prefixed(prefix: &str, count: &str) -> String {
    identifier(&format!("{prefix} {count}"))
}

/// Returns a count with its change and its change per hour, each after a comma. `failing` replaces
/// a count that cannot be read.
fn change(count: &str, failing: Option<String>) -> String {
    let Change { delta, per_hour } = change_of(count);
    let name = identifier(count);
    let (value, change) = match failing {
        // The difference of two int64 may overflow int64.
        None => (
            name.clone(),
            format!("try_cast({name}::hugeint - {} AS bigint)", previous(count)),
        ),
        Some(value) => (value.clone(), value),
    };
    format!(
        ", {value} AS {name}, {change} AS {}, {change} / nullif(hours, 0) AS {}",
        identifier(&delta),
        identifier(&per_hour)
    )
}
