//! The data checks of a pipeline. They run on the staged tables, before the commit.

use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use crate::extract::error::with_causes;
use crate::load::Lake;
use crate::load::commit::Staging;
use crate::load::held::{CheckResult, HeldOutcome};
use crate::plan::{CheckRule, DataCheck, Plan};
use crate::query::checks::{self, Checked, Rejected};
use crate::query::duckdb::{Database, QueryError};
use crate::query::staged::Staged;
use crate::run::error::RunError;
use crate::run_meta::RunMeta;
use crate::spec::checks::Severity;
use crate::transform::quality::tally::Tallies;

/// Number of data checks of a run by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Checks {
    pub passed: u64,
    /// Failed, with `severity: warn`.
    pub warned: u64,
    pub failed: u64,
}

/// Results of the data checks of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Audit {
    pub results: Vec<CheckResult>,
    /// Remarks on checks that passed.
    pub remarks: Vec<String>,
}

/// The staged run that is checked, and its lake.
pub(crate) struct Subject<'a> {
    pub lake: &'a Lake,
    pub staging: &'a Staging,
    pub meta: &'a RunMeta,
    /// Returns true if the staged files replace all files that the run has of this table.
    pub replaces: &'a dyn Fn(&str) -> bool,
    /// Other runs whose rows leave the lake with the commit.
    pub leaving: &'a [String],
    /// Returns true for a table that these rows leave.
    pub leaves: &'a dyn Fn(&str) -> bool,
    pub tallies: &'a Tallies,
}

impl Subject<'_> {
    fn checked(&self) -> Checked<'_> {
        Checked {
            run_id: &self.meta.run_id,
            pipeline: &self.meta.pipeline,
            snapshot_at: self.meta.snapshot_at,
        }
    }
}

impl Audit {
    /// Runs all checks of a plan and logs each result. A check that cannot run has not passed.
    ///
    /// # Errors
    /// The lake cannot be read.
    pub(crate) fn of(plan: &Plan, subject: &Subject<'_>) -> Result<Self, RunError> {
        let mut audit = Audit::default();
        if plan.checks.is_empty() {
            return Ok(audit);
        }
        let queries = plan.checks.iter().map(|check| query(check, plan, subject));
        let queries: Vec<String> = queries.collect();
        let tables = &checks::tables(&queries, &plan.contracts.tables);
        let staged = Staged {
            lake: subject.lake.root(),
            folder: subject.staging.folder(),
            run_id: &subject.meta.run_id,
            replaces: subject.replaces,
            leaving: subject.leaving,
            leaves: subject.leaves,
        };
        let _reading = subject.lake.begin_reading()?;
        let columns = subject.lake.file_columns(tables)?;
        let scratch = subject.lake.scratch()?;
        let database = Database::open_staged(&staged, tables, &columns)?;
        database.spill_to(Some(scratch.path()))?;
        database.confine_to(&[staged.lake, staged.folder])?;
        for (check, query) in plan.checks.iter().zip(&queries) {
            audit.make(check, query, subject, &database);
        }
        Ok(audit)
    }

    fn make(&mut self, check: &DataCheck, query: &str, subject: &Subject<'_>, database: &Database) {
        let asked = checks::failing(database, query).and_then(|found| {
            let remark = checks::remark(database, &check.rule, &subject.checked())?;
            Ok((found, remark))
        });
        let result = match asked {
            Ok(((0, _), remark)) => {
                let said = remark.map(|remark| format!("{}: {remark}", check.name));
                self.remarks.extend(said);
                result(check, HeldOutcome::Passed, String::new(), 0, Vec::new())
            }
            Ok(((count, rows), _)) => {
                let rows: Vec<Row> = rows.iter().filter_map(|row| parsed(row)).collect();
                let message = message(&check.rule, count, rows.first());
                result(check, worst(check.severity), message, count, rows)
            }
            Err(error) => {
                let message = format!("it could not be made: {}", with_causes(&error));
                result(check, worst(check.severity), message, 0, Vec::new())
            }
        };
        tell(&result);
        self.results.push(result);
    }

    pub fn counts(&self) -> Checks {
        let of = |outcome| {
            let results = self.results.iter();
            results.filter(|r| r.outcome == outcome).count() as u64
        };
        Checks {
            passed: of(HeldOutcome::Passed),
            warned: of(HeldOutcome::Warned),
            failed: of(HeldOutcome::Failed),
        }
    }

    /// Returns the results of the checks that did not pass.
    pub fn not_passed(&self) -> Vec<CheckResult> {
        let results = self.results.iter();
        let bad = results.filter(|result| result.outcome != HeldOutcome::Passed);
        bad.cloned().collect()
    }

    /// Returns the reason not to commit the tables: the names of the failed checks. `None` if no
    /// check with `severity: error` failed.
    pub fn blocks(&self) -> Option<String> {
        let results = self.results.iter();
        let failed = results.filter(|result| result.outcome == HeldOutcome::Failed);
        let names: Vec<&str> = failed.map(|result| result.name.as_str()).collect();
        match names.as_slice() {
            [] => None,
            [name] => Some(format!("a data check failed: {name}")),
            names => Some(format!(
                "{} data checks failed: {}",
                names.len(),
                names.join("; ")
            )),
        }
    }
}

/// Returns the SQL checks of a plan that cannot run, with their index in the plan. Called before a
/// run, so that a broken query is found before a call is paid. Queries are bound to empty tables
/// and not executed. They may read only the files of tables and marts in the folder `lake`, as at
/// run time.
///
/// # Errors
/// The contracts cannot be turned into views.
pub fn unable(plan: &Plan, lake: &Path) -> Result<Vec<(usize, QueryError)>, QueryError> {
    let queries = plan.checks.iter().enumerate();
    let queries = queries.filter_map(|(at, check)| match &check.rule {
        CheckRule::Sql(sql) => Some((at, sql)),
        _ => None,
    });
    let queries: Vec<(usize, &String)> = queries.collect();
    if queries.is_empty() {
        return Ok(Vec::new());
    }
    let database = Database::open_empty(&plan.contracts.tables)?;
    database.spill_to(None)?;
    database.confine_to(&[lake])?;
    let bound = |(at, sql): (usize, &String)| Some((at, checks::bind(&database, sql).err()?));
    Ok(queries.into_iter().filter_map(bound).collect())
}

/// A failing row, by column.
type Row = indexmap::IndexMap<String, Value>;

fn query(check: &DataCheck, plan: &Plan, subject: &Subject<'_>) -> String {
    let table = table_of(&check.rule);
    let contract = table.and_then(|table| plan.contracts.tables.get(table));
    let key: Vec<&str> = contract
        .into_iter()
        .flat_map(|contract| contract.sort_by.iter().map(|column| column.value.as_str()))
        .collect();
    let tally = table.and_then(|table| subject.tallies.get(table));
    let rejected = tally.map_or_else(Rejected::default, |tally| Rejected {
        written: tally.written,
        rejected: tally.rejected,
    });
    checks::query(&check.rule, &subject.checked(), &key, rejected)
}

fn table_of(rule: &CheckRule) -> Option<&str> {
    match rule {
        CheckRule::NotNull { table, .. }
        | CheckRule::Unique { table, .. }
        | CheckRule::MinRows { table, .. }
        | CheckRule::MaxRejectShare { table, .. }
        | CheckRule::AcceptedValues { table, .. }
        | CheckRule::Freshness { table, .. }
        | CheckRule::RowCountChange { table, .. } => Some(table),
        CheckRule::Sql(_) => None,
    }
}

/// Returns the outcome of a check that does not pass.
fn worst(severity: Severity) -> HeldOutcome {
    match severity {
        Severity::Error => HeldOutcome::Failed,
        Severity::Warn => HeldOutcome::Warned,
    }
}

fn result(
    check: &DataCheck,
    outcome: HeldOutcome,
    message: String,
    failing_rows: u64,
    rows: Vec<Row>,
) -> CheckResult {
    CheckResult {
        name: check.name.clone(),
        severity: check.severity,
        outcome,
        message,
        failing_rows,
        rows,
    }
}

fn tell(result: &CheckResult) {
    let CheckResult { name, message, .. } = result;
    match result.outcome {
        HeldOutcome::Passed => tracing::debug!(check = name, "the data check {name} passed"),
        HeldOutcome::Warned => {
            tracing::warn!(check = name, "the data check {name} failed: {message}")
        }
        HeldOutcome::Failed => {
            tracing::error!(check = name, "the data check {name} failed: {message}")
        }
    }
}

/// Parses a failing row from JSON and cuts texts at [`LONGEST`] characters. `None` if it is not
/// a JSON object.
fn parsed(row: &str) -> Option<Row> {
    let mut row: Row = serde_json::from_str(row).ok()?;
    for value in row.values_mut() {
        if let Value::String(text) = value
            && let Some((end, _)) = text.char_indices().nth(LONGEST)
        {
            text.truncate(end);
            text.push('…');
        }
    }
    Some(row)
}

/// Maximum length in characters of a text value in a failing row.
const LONGEST: usize = 200;

/// Returns the message of a check that did not pass. `first` is the first failing row.
fn message(rule: &CheckRule, count: u64, first: Option<&Row>) -> String {
    let said = |column: &str| match first.and_then(|row| row.get(column)) {
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => "?".to_owned(),
    };
    let number = |column: &str| first.and_then(|row| row.get(column)?.as_f64());
    let rows = match count {
        1 => "1 row".to_owned(),
        n => format!("{n} rows"),
    };
    match rule {
        CheckRule::NotNull { columns, .. } => format!("{rows} without {}", columns.join(" or ")),
        CheckRule::Unique { columns, .. } => {
            let of = columns.join(", ");
            match count {
                1 => format!("1 value of {of} occurs more than once"),
                n => format!("{n} values of {of} occur more than once"),
            }
        }
        CheckRule::MinRows { rows, .. } => {
            format!("row count {}; at least {rows} expected", said("rows"))
        }
        CheckRule::MaxRejectShare { share, .. } => {
            let (rejected, written) = (number("rejected"), number("written"));
            let found = rejected.zip(written).map(|(r, w)| r / (r + w));
            format!(
                "rows rejected {}, written {}: a share of {:.4}; at most {share} allowed",
                said("rejected"),
                said("written"),
                found.unwrap_or_default()
            )
        }
        CheckRule::AcceptedValues { values, .. } => {
            let columns: Vec<&str> = values.iter().map(|(column, _)| column.as_str()).collect();
            format!("{rows} with another value of {}", columns.join(" or "))
        }
        CheckRule::Freshness {
            column, within_s, ..
        } => match said("newest").as_str() {
            "null" => format!("no row has a value of {column}"),
            newest => format!(
                "the newest {column} is {newest}, more than {} before the snapshot at {}",
                span(*within_s),
                said("snapshot_at")
            ),
        },
        CheckRule::RowCountChange { at_most, .. } => format!(
            "row count {}; {} is the median of the last runs ({}), and a change of {at_most} is allowed",
            said("rows"),
            said("median"),
            said("earlier_runs")
        ),
        CheckRule::Sql(_) => format!("the query returned {rows}"),
    }
}

/// Formats a duration in its largest unit without a remainder.
fn span(seconds: u64) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "min")];
    let fits = |(unit, _): &(u64, &str)| seconds > 0 && seconds.is_multiple_of(*unit);
    match units.into_iter().find(fits) {
        Some((unit, word)) => format!("{}{word}", seconds / unit),
        None => format!("{seconds}s"),
    }
}
