//! The queries for the inputs of marts: rows of the dates of a span, and the related rows of other
//! dates. Timestamps are in microseconds since 1970.
//!
//! The rows of other dates are all those of the history of a lake. Each span reads them from the tables, or
//! [`OtherDates::summarize`] reads them once for several spans.

use std::collections::BTreeSet;

use super::duckdb::{Database, QueryError};
use crate::query::sql::{identifier, literal};
use crate::spec::mart::DateSpan;
use crate::spec::table::{ColumnType, Table};

/// The relations with the rows of the dates before or after a span: the tables themselves, or tables of the
/// schema `history` with the part of the rows that the queries below need.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct OtherDates {
    /// Names of the tables that are summarized in `history`.
    summarized: BTreeSet<&'static str>,
}

/// Tables whose rows of other dates the queries read.
pub const HISTORIES: [&str; 5] = [
    "engagement",
    "notes",
    "runs",
    "search_pages",
    "search_results",
];

impl OtherDates {
    /// Summarizes these tables of [`HISTORIES`]. `engagement` has the columns that marts read.
    ///
    /// # Errors
    /// Fails if the lake cannot be read, or if the disk is full.
    pub fn summarize(
        database: &Database,
        tables: &[&'static str],
        engagement: &[String],
    ) -> Result<Self, QueryError> {
        let mut others = OtherDates::default();
        let keys = ["pipeline", "note_id", "snapshot_at", "dt"];
        let of_marts = engagement.iter().map(String::as_str);
        let columns: BTreeSet<&str> = keys.into_iter().chain(of_marts).collect();
        let columns: Vec<String> = columns.into_iter().map(identifier).collect();
        let columns = columns.join(", ");
        database.execute("CREATE SCHEMA IF NOT EXISTS history")?;
        for table in tables {
            let rows = match *table {
                "engagement" => format!(
                    "SELECT {columns} FROM engagement SEMI JOIN (\
                       SELECT pipeline, note_id, dt, max(snapshot_at) AS snapshot_at \
                       FROM engagement GROUP BY ALL) \
                     USING (pipeline, note_id, dt, snapshot_at)"
                ),
                "notes" => {
                    "SELECT pipeline, note_id, min(dt) AS dt FROM notes GROUP BY ALL".to_owned()
                }
                "search_results" => "SELECT pipeline, keyword, entity, entity_id, min(dt) AS dt \
                     FROM search_results GROUP BY ALL"
                    .to_owned(),
                "runs" | "search_pages" => format!("SELECT DISTINCT pipeline, dt FROM {table}"),
                other => unreachable!("no query reads other dates of {other}"),
            };
            database.execute(&format!(
                "CREATE OR REPLACE TABLE history.{table} AS {rows}"
            ))?;
            others.summarized.insert(table);
        }
        Ok(others)
    }

    /// Returns true if the queries read rows of other dates from this table itself.
    pub fn are_in(&self, table: &str) -> bool {
        HISTORIES.contains(&table) && !self.summarized.contains(table)
    }

    /// Returns the relation with the rows of a table on other dates.
    fn of(&self, table: &str) -> String {
        if self.summarized.contains(table) {
            format!("history.{table}")
        } else {
            table.to_owned()
        }
    }
}

/// Returns the query for these columns of all rows of a table in a span.
pub fn rows(table: &Table, columns: &[String], span: DateSpan) -> String {
    let name = identifier(table.name());
    let columns = select(table, columns);
    format!("SELECT {columns} FROM {name} WHERE {}", within(span))
}

/// Returns the query for the rows that the marts of a week need of a table, which are fewer than
/// [`rows`]: of `engagement` the last snapshot of each note, of `notes` the last one that names the
/// author, of `note_tags` each tag of a note once, and of `search_results` equal rows once, with
/// their number as `hits`.
pub fn rows_of_week(table: &Table, columns: &[String], span: DateSpan) -> String {
    const LAST: &str =
        "QUALIFY snapshot_at = max(snapshot_at) OVER (PARTITION BY pipeline, note_id)";
    let name = identifier(table.name());
    let (columns_read, within_span) = (select(table, columns), within(span));
    // The columns of a window are those of the table, not the selected ones.
    let last = |more: &str| {
        format!(
            "SELECT {columns_read} FROM (SELECT * FROM {name} WHERE {within_span} {more} {LAST})"
        )
    };
    match table.name() {
        "engagement" => last(""),
        "notes" => last("AND author_user_id IS NOT NULL"),
        "note_tags" => format!("SELECT DISTINCT {columns_read} FROM {name} WHERE {within_span}"),
        "search_results" => format!(
            "SELECT {columns_read}, count(*) AS hits FROM {name} WHERE {within_span} GROUP BY ALL"
        ),
        _ => rows(table, columns, span),
    }
}

/// Returns the query for `pipeline`, `keyword` and `note_id` of the notes that searches found in a
/// span and on an earlier date.
pub fn hits_found_before(others: &OtherDates, span: DateSpan) -> String {
    let hits = |table: &str, dates: String| {
        format!(
            "SELECT DISTINCT pipeline, keyword, entity_id AS note_id FROM {table} \
             WHERE entity = 'note' AND {dates}"
        )
    };
    format!(
        "SELECT * FROM ({}) SEMI JOIN ({}) USING (pipeline, keyword, note_id)",
        hits(&others.of("search_results"), before(span)),
        hits("search_results", within(span))
    )
}

/// Returns the query for `pipeline` and `note_id` of the notes with a row in one of these tables in
/// a span and a row in `notes` on an earlier date.
pub fn notes_seen_before(others: &OtherDates, tables: &[&str], span: DateSpan) -> String {
    let seen = tables.iter().map(|table| {
        let table = identifier(table);
        format!(
            "SELECT pipeline, note_id FROM {table} WHERE {}",
            within(span)
        )
    });
    let seen: Vec<String> = seen.collect();
    format!(
        "SELECT * FROM (SELECT DISTINCT pipeline, note_id FROM {} WHERE {}) \
         SEMI JOIN ({}) USING (pipeline, note_id)",
        others.of("notes"),
        before(span),
        seen.join(" UNION ALL ")
    )
}

/// Returns the query for the earlier counts of the notes with a row in a span: these columns of
/// `engagement`, from the last snapshot of each note before the span.
pub fn counts_before(
    others: &OtherDates,
    engagement: &Table,
    columns: &[String],
    span: DateSpan,
) -> String {
    let (within, before) = (within(span), before(span));
    let counts = others.of("engagement");
    format!(
        "SELECT {} FROM {counts} SEMI JOIN (\
           SELECT pipeline, note_id, max(snapshot_at) AS snapshot_at FROM {counts} \
           SEMI JOIN (SELECT pipeline, note_id FROM engagement WHERE {within}) \
             USING (pipeline, note_id) \
           WHERE {before} GROUP BY ALL) \
         USING (pipeline, note_id, snapshot_at) WHERE {before}",
        select(engagement, columns),
    )
}

/// Tables that marts read only by [`state`] and [`calls`], and not row by row.
pub const SUMMED: [&str; 4] = ["requests", "runs", "search_pages", "searches"];

/// Returns the query for the state of each pipeline with rows in the span or later: `snapshots` and
/// `days` with snapshots in the span, `searches_failed` (null without a run), and `is_over`.
pub fn state(others: &OtherDates, span: DateSpan) -> String {
    let (within, after) = (within(span), after(span));
    let [pages, runs] = ["search_pages", "runs"].map(|table| others.of(table));
    format!(
        "WITH pages AS (SELECT pipeline, count(DISTINCT snapshot_at) AS snapshots, \
           count(DISTINCT dt) AS days FROM search_pages WHERE {within} GROUP BY pipeline), \
         ended AS (SELECT pipeline, \
           CAST(sum(searches_planned - searches_done) AS BIGINT) AS searches_failed \
           FROM runs WHERE {within} GROUP BY pipeline), \
         later AS (SELECT DISTINCT pipeline, true AS is_over FROM (\
           SELECT pipeline FROM {pages} WHERE {after} \
           UNION ALL SELECT pipeline FROM {runs} WHERE {after})) \
         SELECT pipeline, snapshots, days, searches_failed, is_over \
         FROM pages FULL JOIN ended USING (pipeline) FULL JOIN later USING (pipeline)"
    )
}

/// Returns the query for the calls of a span by `pipeline`, `keyword_set`, `keyword` and
/// `currency`: `calls`, `billed_calls`, `unknown_calls`, and `cost`, which is summed in whole
/// millionths. The keyword of a call is that of its search in the same run.
pub fn calls(span: DateSpan) -> String {
    let within = within(span);
    let named = |table: &str| {
        format!(
            "SELECT run_id, search_id, min(keyword) AS keyword, min(keyword_set) AS keyword_set \
             FROM {table} WHERE {within} AND keyword IS NOT NULL GROUP BY run_id, search_id"
        )
    };
    format!(
        "SELECT r.pipeline AS pipeline, coalesce(s.keyword_set, h.keyword_set) AS keyword_set, \
           coalesce(s.keyword, h.keyword, r.keyword) AS keyword, r.currency AS currency, \
           count(*) AS calls, count(*) FILTER (r.billed = 'yes') AS billed_calls, \
           count(*) FILTER (r.billed = 'unknown') AS unknown_calls, \
           CAST(sum(CAST(round(r.cost * 1e6) AS HUGEINT)) AS DOUBLE) / 1e6 AS cost \
         FROM (SELECT * FROM requests WHERE {within}) r \
         LEFT JOIN ({}) s USING (run_id, search_id) LEFT JOIN ({}) h USING (run_id, search_id) \
         GROUP BY 1, 2, 3, 4",
        named("searches"),
        named("search_results")
    )
}

fn within(span: DateSpan) -> String {
    let [first, last] = [span.first, span.last].map(|date| literal(&date.to_string()));
    if first == last {
        format!("dt = DATE {first}")
    } else {
        format!("dt BETWEEN DATE {first} AND DATE {last}")
    }
}

fn before(span: DateSpan) -> String {
    format!("dt < DATE {}", literal(&span.first.to_string()))
}

fn after(span: DateSpan) -> String {
    format!("dt > DATE {}", literal(&span.last.to_string()))
}

fn select(table: &Table, columns: &[String]) -> String {
    let kind = |name: &String| table.columns.get(name).map(|column| column.kind);
    let read = columns
        .iter()
        .map(|name| match (kind(name), identifier(name)) {
            (Some(ColumnType::Timestamp), name) => format!("epoch_us({name}) AS {name}"),
            (_, name) => name,
        });
    read.collect::<Vec<_>>().join(", ")
}
