//! The SQL of data checks, which returns the faulty rows. Pure except for [`failing`], [`bind`],
//! [`columns`] and [`remark`], which run queries.

use std::collections::BTreeSet;

use arrow::array::AsArray;
use arrow::datatypes::{Int64Type, SchemaRef};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use indexmap::IndexMap;

use super::duckdb::{Database, QueryAnswer, QueryError};
use crate::plan::CheckRule;
use crate::query::catalog::{named_in, only};
use crate::query::sql::{identifier, literal};
use crate::query::staged::of_run;
use crate::spec::checks::CheckValue;
use crate::spec::table::Table;

/// The run whose rows are checked.
#[derive(Clone, Copy, Debug)]
pub struct Checked<'a> {
    pub run_id: &'a str,
    pub pipeline: &'a str,
    pub snapshot_at: DateTime<Utc>,
}

/// Numbers of written and of rejected rows of a table that is made of pages.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rejected {
    pub written: u64,
    pub rejected: u64,
}

/// Maximum number of rows that a result shows.
const SHOWN: usize = 20;

/// Returns the query of a check. Its rows are the faulty ones. `key` names the columns of the
/// table's key.
pub fn query(rule: &CheckRule, checked: &Checked<'_>, key: &[&str], rejected: Rejected) -> String {
    match rule {
        CheckRule::NotNull { table, columns } => {
            let empty = columns.iter().map(|c| format!("{} IS NULL", identifier(c)));
            let condition = join(empty, " OR ");
            rows_where(table, key, columns, &condition)
        }
        CheckRule::Unique { table, columns } => unique(table, columns),
        CheckRule::MinRows { table, rows } => format!(
            "SELECT count(*) AS rows, {rows} AS min_rows FROM {} HAVING count(*) < {rows}",
            of_run(table)
        ),
        CheckRule::MaxRejectShare { table, share } => reject_share(table, *share, rejected),
        CheckRule::AcceptedValues { table, values } => {
            let wrong = values.iter().map(|(column, accepted)| {
                let accepted = join(accepted.iter().map(scalar), ", ");
                format!("{} NOT IN ({accepted})", identifier(column))
            });
            let condition = join(wrong, " OR ");
            let columns: Vec<String> = values.iter().map(|(column, _)| column.clone()).collect();
            rows_where(table, key, &columns, &condition)
        }
        CheckRule::Freshness {
            table,
            column,
            within_s,
        } => freshness(table, column, *within_s, checked.snapshot_at),
        CheckRule::RowCountChange {
            table,
            last_runs,
            at_most,
        } => format!(
            "{} SELECT rows, median, earlier_runs FROM compared \
             WHERE earlier_runs > 0 AND abs(rows - median) > {at_most} * median",
            compared(table, *last_runs, checked)
        ),
        CheckRule::Sql(sql) => sql.clone(),
    }
}

/// Returns the tables that one of these queries may read. Fewer tables open faster.
pub fn tables(queries: &[String], tables: &IndexMap<String, Table>) -> IndexMap<String, Table> {
    let named = queries
        .iter()
        .flat_map(|sql| named_in(sql, tables).into_keys());
    let named: BTreeSet<String> = named.collect();
    only(tables, |name| named.contains(name))
}

fn rows_where(table: &str, key: &[&str], columns: &[String], condition: &str) -> String {
    let more = columns.iter().map(String::as_str);
    let mut shown: Vec<&str> = key.to_vec();
    shown.extend(more.filter(|column| !key.contains(column)));
    let shown = join(shown.into_iter().map(identifier), ", ");
    format!(
        "SELECT {shown} FROM {} WHERE {condition} ORDER BY {shown}",
        of_run(table)
    )
}

fn unique(table: &str, columns: &[String]) -> String {
    let listed = join(columns.iter().map(|c| identifier(c)), ", ");
    let filled = columns
        .iter()
        .map(|c| format!("{} IS NOT NULL", identifier(c)));
    format!(
        "SELECT {listed}, count(*) AS times FROM {} WHERE {} GROUP BY {listed} \
         HAVING count(*) > 1 ORDER BY times DESC, {listed}",
        of_run(table),
        join(filled, " AND ")
    )
}

/// Returns the query of a reject share: its figures, repeated for each reason.
fn reject_share(table: &str, share: f64, counted: Rejected) -> String {
    let Rejected { written, rejected } = counted;
    format!(
        "SELECT counted.rejected, counted.written, reasons.* FROM \
         (SELECT {rejected} AS rejected, {written} AS written) counted LEFT JOIN \
         (SELECT endpoint, \"column\", reason, count(*) AS rows FROM {} \
         WHERE \"table\" = {} GROUP BY ALL) reasons ON true \
         WHERE counted.rejected > {share} * (counted.rejected + counted.written) \
         ORDER BY reasons.rows DESC, reasons.endpoint, reasons.\"column\", reasons.reason",
        of_run("rejects"),
        literal(table)
    )
}

fn freshness(table: &str, column: &str, within_s: u64, snapshot_at: DateTime<Utc>) -> String {
    let within = i64::try_from(within_s)
        .ok()
        .and_then(TimeDelta::try_seconds);
    let oldest = within.and_then(|within| snapshot_at.checked_sub_signed(within));
    let oldest = oldest.unwrap_or(DateTime::<Utc>::UNIX_EPOCH);
    format!(
        "SELECT newest, {snapshot_at} AS snapshot_at FROM (SELECT max({column}) AS newest FROM {}) \
         WHERE newest IS NULL OR newest < {}",
        of_run(table),
        instant(oldest),
        snapshot_at = instant(snapshot_at),
        column = identifier(column),
    )
}

/// Returns the CTEs that compare the row count of this run with the median of the last runs with
/// complete tables: runs with pages that ended as complete or partial.
fn compared(table: &str, last_runs: u32, checked: &Checked<'_>) -> String {
    let (run_id, pipeline) = (literal(checked.run_id), literal(checked.pipeline));
    format!(
        "WITH earlier AS (SELECT run_id FROM runs SEMI JOIN search_pages USING (run_id) \
         WHERE pipeline = {pipeline} AND run_id <> {run_id} AND status IN ('complete', 'partial') \
         AND shard IS NOT DISTINCT FROM (SELECT any_value(shard) FROM {own_run}) \
         AND (snapshot_at, run_id) < ({snapshot_at}, {run_id}) \
         ORDER BY snapshot_at DESC, run_id DESC LIMIT {last_runs}), \
         counted AS (SELECT count(rows_of.run_id) AS rows FROM earlier LEFT JOIN {table} rows_of \
         USING (run_id) GROUP BY earlier.run_id), \
         compared AS (SELECT (SELECT count(*) FROM {own}) AS rows, median(counted.rows) AS median, \
         count(counted.rows) AS earlier_runs FROM counted)",
        own_run = of_run("runs"),
        snapshot_at = instant(checked.snapshot_at),
        table = identifier(table),
        own = of_run(table),
    )
}

/// Returns a query for the remark on a passed check, if the rule can have one. The query returns at
/// most one text.
fn remark_query(rule: &CheckRule, checked: &Checked<'_>) -> Option<String> {
    let CheckRule::RowCountChange {
        table, last_runs, ..
    } = rule
    else {
        return None;
    };
    Some(format!(
        "{} SELECT 'there is no earlier run to compare with' FROM compared WHERE earlier_runs = 0",
        compared(table, *last_runs, checked)
    ))
}

fn instant(at: DateTime<Utc>) -> String {
    let text = at.to_rfc3339_opts(SecondsFormat::Micros, true);
    format!("TIMESTAMPTZ {}", literal(&text))
}

fn scalar(value: &CheckValue) -> String {
    match value {
        CheckValue::Text(text) => literal(text),
        other => other.to_string(),
    }
}

fn join(parts: impl Iterator<Item = String>, between: &str) -> String {
    parts.collect::<Vec<_>>().join(between)
}

/// Returns the number of rows of a query, and the first rows as JSON objects. The query is wrapped
/// in another SELECT, so that it can only read.
///
/// # Errors
/// Returns the error of DuckDB.
pub fn failing(database: &Database, query: &str) -> Result<(u64, Vec<String>), QueryError> {
    database.require_select(query)?;
    let answer = database.query(&format!("SELECT count(*) FROM (\n{query}\n)"))?;
    let counts = answer.batches.first().filter(|batch| batch.num_rows() == 1);
    let count = counts.and_then(|batch| batch.column(0).as_primitive_opt::<Int64Type>());
    let count = count.ok_or_else(|| QueryError::Rows {
        reason: "a count is not a number".to_owned(),
    })?;
    let count = u64::try_from(count.value(0)).expect("count(*) is not negative");
    if count == 0 {
        return Ok((0, Vec::new()));
    }
    let rows = database.query(&format!(
        "SELECT CAST(to_json(failing) AS VARCHAR) FROM (\n{query}\n) AS failing LIMIT {SHOWN}"
    ))?;
    Ok((count, texts(&rows)))
}

/// Checks that a query can run, without running it.
///
/// # Errors
/// Returns the error of DuckDB.
pub fn bind(database: &Database, query: &str) -> Result<(), QueryError> {
    database.require_select(query)?;
    let explained = format!("EXPLAIN SELECT count(*) FROM (\n{query}\n)");
    database.query(&explained).map(drop)
}

/// Returns the columns of a query, without running it.
///
/// # Errors
/// Returns the error of DuckDB.
pub fn columns(database: &Database, query: &str) -> Result<SchemaRef, QueryError> {
    bind(database, query)?;
    let empty = format!("SELECT * FROM (\n{query}\n) LIMIT 0");
    Ok(database.query(&empty)?.schema)
}

/// Returns the remark on a passed check, if there is one.
///
/// # Errors
/// Returns the error of DuckDB.
pub fn remark(
    database: &Database,
    rule: &CheckRule,
    checked: &Checked<'_>,
) -> Result<Option<String>, QueryError> {
    let Some(query) = remark_query(rule, checked) else {
        return Ok(None);
    };
    Ok(texts(&database.query(&query)?).pop())
}

/// Returns the texts of the first column.
fn texts(answer: &QueryAnswer) -> Vec<String> {
    let columns = answer.batches.iter().map(|batch| batch.column(0));
    let texts = columns.filter_map(|column| column.as_string_opt::<i32>());
    texts
        .flat_map(|texts| texts.iter().flatten().map(str::to_owned))
        .collect()
}
