//! The SQL of data checks, over hand-made files that are staged and committed.

use std::fs;

use chrono::{DateTime, Utc};

use super::{FileColumns, Lake, TABLES, rows};
use crate::plan::CheckRule;
use crate::query::checks::{Checked, Rejected, failing, query, remark};
use crate::query::duckdb::Database;
use crate::query::staged::Staged;
use crate::spec::checks::CheckValue;

/// A lake in which the run `now` stages files, and has committed some before.
struct Audit {
    lake: Lake,
    staging: Lake,
}

const NOTE: &str = "note_id, endpoint, note_type, published_at, run_id";

impl Audit {
    fn new() -> Self {
        Audit {
            lake: Lake::new(),
            staging: Lake::named("_staging"),
        }
    }

    fn notes(notes: &[&str]) -> Self {
        let mut audit = Audit::new();
        audit.staging.add("notes", NOTE, notes);
        audit
    }

    fn database(&self, replaces: &dyn Fn(&str) -> bool) -> Database {
        let staged = Staged {
            lake: &self.lake.root,
            folder: &self.staging.root,
            run_id: "now",
            replaces,
            leaving: &[],
            leaves: &|_| false,
        };
        Database::open_staged(&staged, &TABLES, &FileColumns::default())
            .unwrap_or_else(|e| panic!("{e}"))
    }

    fn query(&self, sql: &str) -> Vec<String> {
        rows(&self.database(&|_| true), sql)
    }

    /// The rows that are wrong, as JSON, and how many there are.
    fn failing(&self, rule: &CheckRule) -> (u64, Vec<String>) {
        self.counted(rule, Rejected::default())
    }

    fn counted(&self, rule: &CheckRule, rejected: Rejected) -> (u64, Vec<String>) {
        let sql = query(rule, &checked(), &["note_id", "endpoint"], rejected);
        failing(&self.database(&|_| true), &sql).unwrap_or_else(|e| panic!("{sql}: {e}"))
    }
}

fn checked() -> Checked<'static> {
    let at: DateTime<Utc> = "2026-03-09T12:00:00Z".parse().expect("a time");
    Checked {
        run_id: "now",
        pipeline: "p",
        snapshot_at: at,
    }
}

fn none() -> (u64, Vec<String>) {
    (0, Vec::new())
}

fn notes() -> String {
    "notes".to_owned()
}

fn names(columns: &[&str]) -> Vec<String> {
    columns.iter().map(|column| column.to_string()).collect()
}

const A: &str = "'a', 'note_search', 'video', TIMESTAMPTZ '2026-03-08 00:00:00Z', 'now'";
const B: &str = "'b', 'note_search', 'normal', NULL, 'now'";
const C: &str = "'c', 'note_search', NULL, TIMESTAMPTZ '2026-03-01 00:00:00Z', 'now'";

#[test]
fn empty_values_are_found() {
    let audit = Audit::notes(&[A, B, C]);
    let rule = |columns: &[&str]| CheckRule::NotNull {
        table: notes(),
        columns: names(columns),
    };
    assert_eq!(audit.failing(&rule(&["note_id"])), none());
    assert_eq!(
        audit.failing(&rule(&["published_at", "note_type"])),
        (
            2,
            vec![
                r#"{"note_id":"b","endpoint":"note_search","published_at":null,"note_type":"normal"}"#.to_owned(),
                r#"{"note_id":"c","endpoint":"note_search","published_at":"2026-03-01 00:00:00+00","note_type":null}"#.to_owned(),
            ]
        )
    );
}

#[test]
fn values_that_come_twice_are_found_and_nulls_are_none() {
    let audit = Audit::notes(&[A, B, B, C, C]);
    let rule = |columns: &[&str]| CheckRule::Unique {
        table: notes(),
        columns: names(columns),
    };
    assert_eq!(
        audit.failing(&rule(&["note_id", "note_type"])),
        (
            1,
            vec![r#"{"note_id":"b","note_type":"normal","times":2}"#.to_owned()]
        )
    );
    assert_eq!(audit.failing(&rule(&["endpoint"])).0, 1);
    let audit = Audit::notes(&[A, B, C]);
    assert_eq!(audit.failing(&rule(&["note_id"])), none());
}

#[test]
fn a_table_without_a_file_is_empty() {
    let rule = |rows| CheckRule::MinRows {
        table: notes(),
        rows,
    };
    let few = |rows: &str| (1, vec![rows.to_owned()]);
    assert_eq!(
        Audit::new().failing(&rule(1)),
        few(r#"{"rows":0,"min_rows":1}"#)
    );
    let audit = Audit::notes(&[A, B]);
    assert_eq!(audit.failing(&rule(2)), none());
    assert_eq!(audit.failing(&rule(3)), few(r#"{"rows":2,"min_rows":3}"#));
    // Nothing of what lies in the lake counts.
    let mut audit = Audit::new();
    audit.lake.add("notes", NOTE, &[A, B, C]);
    assert_eq!(audit.failing(&rule(1)).0, 1);
}

#[test]
fn other_values_are_found_and_null_is_accepted() {
    let audit = Audit::notes(&[A, B, C]);
    let rule = |accepted: &str| CheckRule::AcceptedValues {
        table: notes(),
        values: vec![(
            "note_type".to_owned(),
            vec![
                CheckValue::Text(accepted.to_owned()),
                CheckValue::Text("it's".to_owned()),
            ],
        )],
    };
    let wrong = r#"{"note_id":"b","endpoint":"note_search","note_type":"normal"}"#;
    assert_eq!(audit.failing(&rule("video")), (1, vec![wrong.to_owned()]));
    assert_eq!(audit.failing(&rule("other")).0, 2);
}

#[test]
fn the_newest_value_must_be_new_enough() {
    let rule = |hours: u64| CheckRule::Freshness {
        table: notes(),
        column: "published_at".to_owned(),
        within_s: hours * 3_600,
    };
    let audit = Audit::notes(&[A, B, C]);
    assert_eq!(audit.failing(&rule(36)), none());
    assert_eq!(
        audit.failing(&rule(35)),
        (
            1,
            vec![
                r#"{"newest":"2026-03-08 00:00:00+00","snapshot_at":"2026-03-09 12:00:00+00"}"#
                    .to_owned()
            ]
        )
    );
    let nothing = r#"{"newest":null,"snapshot_at":"2026-03-09 12:00:00+00"}"#;
    for audit in [Audit::notes(&[B]), Audit::new()] {
        assert_eq!(audit.failing(&rule(1)), (1, vec![nothing.to_owned()]));
    }
    // Longer than time itself.
    assert_eq!(Audit::notes(&[C]).failing(&rule(u64::MAX / 3_600)), none());
}

#[test]
fn the_share_of_rejects_is_told_with_their_reasons() {
    let mut audit = Audit::notes(&[A]);
    let reject = |table: &str, reason: &str| format!("'{table}', 'e', 'title', '{reason}', 'now'");
    let rejects = [
        reject("notes", "null"),
        reject("notes", "null"),
        reject("notes", "odd"),
        reject("users", "null"),
    ];
    let rejects: Vec<&str> = rejects.iter().map(String::as_str).collect();
    let columns = "\"table\", endpoint, \"column\", reason, run_id";
    audit.staging.add("rejects", columns, &rejects);
    let rule = |share| CheckRule::MaxRejectShare {
        table: notes(),
        share,
    };
    let counted = Rejected {
        written: 97,
        rejected: 3,
    };
    assert_eq!(audit.counted(&rule(0.03), counted), none());
    assert_eq!(
        audit.counted(&rule(0.029), counted),
        (
            2,
            vec![
                r#"{"rejected":3,"written":97,"endpoint":"e","column":"title","reason":"null","rows":2}"#.to_owned(),
                r#"{"rejected":3,"written":97,"endpoint":"e","column":"title","reason":"odd","rows":1}"#.to_owned(),
            ]
        )
    );
    // Without any row there is no share.
    assert_eq!(audit.counted(&rule(0.0), Rejected::default()), none());
    // Fails without evidence, too.
    assert_eq!(Audit::new().counted(&rule(0.0), counted).0, 1);
}

/// A lake with whole runs of the pipeline `p`, each with so many notes, an hour apart.
fn runs_of(counts: &[usize]) -> Audit {
    let mut audit = Audit::new();
    for (hour, count) in counts.iter().enumerate() {
        whole_run(
            &mut audit,
            &format!("r{hour}"),
            "p",
            "complete",
            hour,
            *count,
        );
    }
    let own = "'now', 'p', 'complete', TIMESTAMPTZ '2026-03-09 12:00:00Z', NULL::VARCHAR";
    audit.staging.add("runs", RUN, &[own]);
    audit
}

pub(crate) const RUN: &str = "run_id, pipeline, status, snapshot_at, shard";

fn whole_run(audit: &mut Audit, id: &str, pipeline: &str, status: &str, hour: usize, notes: usize) {
    let at = format!("TIMESTAMPTZ '2026-03-09 {hour:02}:00:00Z'");
    let run = format!("'{id}', '{pipeline}', '{status}', {at}, NULL::VARCHAR");
    audit.lake.add("runs", RUN, &[&run]);
    let page = format!("'{id}', 'e'");
    audit.lake.add("search_pages", "run_id, endpoint", &[&page]);
    let note = format!("'n', 'e', 'video', {at}, '{id}'");
    if notes > 0 {
        audit.lake.add("notes", NOTE, &vec![note.as_str(); notes]);
    }
}

fn change(last_runs: u32, at_most: f64) -> CheckRule {
    CheckRule::RowCountChange {
        table: notes(),
        last_runs,
        at_most,
    }
}

#[test]
fn row_counts_are_held_against_the_median_of_the_last_runs() {
    let mut audit = runs_of(&[50, 4, 2, 6, 0]);
    audit.staging.add("notes", NOTE, &[A, B]);
    // Of 4, 2, 6 and 0 the median is 3.
    let found = r#"{"rows":2,"median":3.0,"earlier_runs":4}"#;
    assert_eq!(audit.failing(&change(4, 0.3)), (1, vec![found.to_owned()]));
    assert_eq!(audit.failing(&change(4, 0.34)), none());
    // Of the last one, which had none.
    assert_eq!(audit.failing(&change(1, 100.0)).0, 1);
    assert_eq!(
        remark(&audit.database(&|_| true), &change(4, 0.3), &checked()).ok(),
        Some(None)
    );
}

#[test]
fn runs_that_say_nothing_do_not_count() {
    let mut audit = runs_of(&[]);
    whole_run(&mut audit, "other", "q", "complete", 1, 9);
    whole_run(&mut audit, "failed", "p", "failed", 2, 9);
    whole_run(&mut audit, "later", "p", "complete", 13, 9);
    whole_run(&mut audit, "now", "p", "complete", 12, 9);
    // Its pages were never made into tables.
    let extracted = "'x', 'p', 'complete', TIMESTAMPTZ '2026-03-09 03:00:00Z', NULL::VARCHAR";
    let part = "'s', 'p', 'complete', TIMESTAMPTZ '2026-03-09 03:00:00Z', '1/2'";
    audit.lake.add("runs", RUN, &[extracted, part]);
    audit
        .lake
        .add("search_pages", "run_id, endpoint", &["'s', 'e'"]);
    assert_eq!(audit.failing(&change(7, 0.0)), none());
    let said = remark(&audit.database(&|_| true), &change(7, 0.0), &checked());
    let said = said.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(
        said.as_deref(),
        Some("there is no earlier run to compare with")
    );
}

#[test]
fn sql_sees_the_lake_with_the_staged_rows_in_it() {
    let mut audit = Audit::notes(&[A]);
    let old = "'old', 'note_search', 'video', NULL, 'before'";
    let replaced = "'gone', 'note_search', 'video', NULL, 'now'";
    audit.lake.add("notes", NOTE, &[old, replaced]);
    let ids = "SELECT note_id, dt FROM notes ORDER BY note_id";
    assert_eq!(audit.query(ids), ["a|2026-03-09", "old|2026-03-09"]);
    assert_eq!(audit.query("SELECT note_id FROM run.notes"), ["a"]);
    assert_eq!(audit.query("SELECT count(*) FROM notes_latest"), ["2"]);
    assert_eq!(audit.query("SELECT count(*) FROM run.engagement"), ["0"]);
    // What is not made anew is what the lake has.
    let kept = audit.database(&|table| table != "notes");
    assert_eq!(rows(&kept, ids), ["gone|2026-03-09", "old|2026-03-09"]);
    assert_eq!(rows(&kept, "SELECT note_id FROM run.notes"), ["gone"]);
}

#[test]
fn sql_can_do_nothing_but_ask() {
    let audit = Audit::notes(&[A, B]);
    let database = audit.database(&|_| true);
    let asked = |sql: &str| failing(&database, sql);
    let all =
        asked("with n as (select * from run.notes) select note_id from n -- all").expect("rows");
    assert_eq!(
        all,
        (
            2,
            vec![
                r#"{"note_id":"a"}"#.to_owned(),
                r#"{"note_id":"b"}"#.to_owned()
            ]
        )
    );
    let target = audit.staging.root.join("copy.parquet");
    let copy = format!("copy run.notes to '{}'", target.display());
    let breakout = format!("select 1); {copy}; select * from (select 1");
    for (sql, words) in [
        (copy.as_str(), "not one SELECT statement"),
        ("drop view notes", "not one SELECT statement"),
        ("select 1; drop view notes", "not one SELECT statement"),
        (
            breakout.as_str(),
            "not one SELECT statement: Parser Error: syntax error at or near \")\"",
        ),
        ("select 1) a, (select 2", "not one SELECT statement"),
        ("select * from run.notez", "Did you mean \"notes\"?"),
        (
            "select liked_count from run.notes",
            "not found in FROM clause",
        ),
        ("select * from run.notes where error('no') is null", "no"),
    ] {
        let error = asked(sql).expect_err(sql).to_string();
        assert!(error.contains(words), "{sql}: {error}");
    }
    assert!(!target.exists());
    assert_eq!(rows(&database, "SELECT count(*) FROM notes"), ["2"]);
}

#[test]
fn twenty_rows_are_shown_of_many() {
    let audit = Audit::new();
    let many = "select range as n, [1, 2] as list, 1.5::decimal(9, 2) as d from range(1000)";
    let (count, shown) = failing(&audit.database(&|_| true), many).expect("rows");
    assert_eq!((count, shown.len()), (1000, 20));
    assert_eq!(shown[0], r#"{"n":0,"list":[1,2],"d":1.5}"#);
}

#[test]
fn staged_files_may_lie_anywhere() {
    let mut audit = Audit::notes(&[A]);
    let target = audit.staging.root.with_file_name("it's [x=1]");
    fs::rename(&audit.staging.root, &target).expect("a rename");
    audit.staging.root = target;
    assert_eq!(audit.query("SELECT note_id FROM notes"), ["a"]);
}
