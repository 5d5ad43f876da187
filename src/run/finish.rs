//! The third phase of a run: builds its tables, commits them, and brings marts and catalog up to
//! date.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Instant;

use super::active::ActiveRun;
use super::catalog;
use super::catalog::zones::record as record_zone;
use super::marts::follow;
use super::outcome::{DamagedPage, Extraction, RunOutcome, Status, name_of};
use crate::extract::context::Cut;
use crate::extract::error::with_causes;
use crate::extract::journal::Entry;
use crate::extract::ledger::Call;
use crate::lake_layout::raw_source;
use crate::raw::page::{Change, RawError};
use crate::run::error::RunError;
use crate::run::flattening::warn_of_raw;
use crate::spec::pipeline::{OnBadValue, OnUnknownField};
use crate::spec::source::Billed;
use crate::transform::tables::finish::Flattened;
use crate::transform::tables::spill::Scratch;
use crate::transform::workers::RawRead;

/// Kind of end: decides which tables [`finish`] builds.
pub(crate) enum Ending {
    /// Tables and ledger. The status says how the extraction ended.
    Extracted,
    /// The ledger alone. `transform --raw`, or the run that continues this one, builds the tables.
    LedgerOnly,
    /// Tables and ledger of a run that is not continued, as partial.
    Closed { reason: String },
}

/// Builds and commits the tables of a run, and refreshes marts and catalog. Commits the ledger even
/// after an error, because the calls may be billed. The error is returned after that.
///
/// # Errors
/// `error`, which ended the extraction, or the first error of this phase.
pub(crate) fn finish(
    run: &ActiveRun<'_>,
    extraction: Extraction,
    error: Option<RunError>,
    ending: Ending,
) -> Result<RunOutcome, RunError> {
    let mut error = error.or_else(|| missing_file(run, &extraction.extracted.calls));
    let folder = run.lake.scratch()?;
    let scratch = Scratch::new(folder.path().to_owned());
    let mut outcome = RunOutcome::new(run.meta.clone(), run.lake.root().to_owned(), extraction);
    let began = Instant::now();
    let tables = match (&error, &ending) {
        (Some(_), _) | (None, Ending::LedgerOnly) => None,
        (None, Ending::Extracted | Ending::Closed { .. }) => run
            .flatten(&[], &scratch)
            .map_err(|e| error = Some(e))
            .ok()
            .map(|(tables, read)| inspect(run, tables, &read, &mut outcome)),
    };
    outcome.stages.transform = began.elapsed().as_secs_f64();
    outcome.status = status(&outcome, &ending, error.is_some());
    outcome.reasons = reasons(&outcome, ending);
    let raw = run.raw.iter().filter(|path| path.exists());
    outcome.raw = raw.cloned().collect();
    let closes = closes(&outcome, error.is_some());
    outcome.is_open = !closes;
    let tables = tables.filter(|_| outcome.refused.is_none());
    let began = Instant::now();
    let flattened = outcome.stages.transform;
    let committed = commit(run, tables, &mut outcome, closes);
    // Writing the files counts as transform, though they are staged for the commit.
    let others = outcome.stages.transform - flattened + outcome.stages.checks;
    outcome.stages.commit = (began.elapsed().as_secs_f64() - others).max(0.0);
    let error = error.or(committed.err());
    close_journal(run, &outcome, closes && error.is_none())?;
    let (plan, lake) = (run.plan, &run.lake);
    // Without the zone, local times are null. The next run stores it.
    if let Err(error) = record_zone(lake, &plan.contracts, &plan.pipeline, plan.timezone) {
        tracing::debug!("the time zone is not stored: {}", with_causes(&error));
    }
    if outcome.status != Status::Interrupted {
        // The data is committed, so a failure of marts or catalog does not fail the run.
        let began = Instant::now();
        let marts = follow(run.plan, &run.lake);
        outcome.marts_error = marts.map(|error| with_causes(&error));
        outcome.catalog_error = catalog::write(&run.lake, &run.plan.contracts).err();
        outcome.stages.marts = began.elapsed().as_secs_f64();
    }
    error.map_or(Ok(outcome), Err)
}

/// Records what the tables say about the pages: rejects, drift, damage, and whether a `fail` rule
/// refuses them.
fn inspect<'t>(
    run: &ActiveRun<'_>,
    tables: Flattened<'t>,
    read: &RawRead,
    outcome: &mut RunOutcome,
) -> Flattened<'t> {
    warn_of_raw(read);
    outcome.damaged_pages = damaged_pages(&outcome.extraction, read);
    outcome.rejects = tables.rejects;
    outcome.drift.clone_from(&tables.drift);
    outcome.refused = refused(run.plan.on_unknown_field, run.plan.on_bad_value, &tables);
    tables
}

fn status(outcome: &RunOutcome, ending: &Ending, has_error: bool) -> Status {
    let extracted = &outcome.extraction.extracted;
    let status = match ending {
        _ if has_error => Status::Failed,
        Ending::Closed { .. } => Status::Partial,
        Ending::Extracted | Ending::LedgerOnly
            if outcome.refused.is_some() && extracted.cut.is_none() =>
        {
            Status::Failed
        }
        Ending::Extracted | Ending::LedgerOnly => Status::of(extracted),
    };
    if status == Status::Complete && !outcome.damaged_pages.is_empty() {
        Status::Partial
    } else {
        status
    }
}

fn reasons(outcome: &RunOutcome, ending: Ending) -> Vec<String> {
    let extracted = &outcome.extraction.extracted;
    let early = match ending {
        Ending::Closed { reason } => Some(format!("closed: {reason}")),
        Ending::Extracted | Ending::LedgerOnly => extracted.cut.as_ref().map(cut_reason),
    };
    let left_out = left_out(&outcome.damaged_pages, extracted.pages);
    let reasons = [
        early,
        undelivered(outcome),
        left_out,
        outcome.refused.clone(),
    ];
    reasons.into_iter().flatten().collect()
}

/// Returns true if the run has nothing left to do.
fn closes(outcome: &RunOutcome, has_error: bool) -> bool {
    match outcome.status {
        Status::Complete | Status::Partial => !has_error,
        // Nothing is left to fetch: the contract refuses the tables, or every search failed.
        Status::Failed if outcome.extraction.extracted.cut.is_none() && !has_error => true,
        // Without a page or a call that may be billed, there is nothing to continue.
        Status::Stopped | Status::Failed | Status::Interrupted => {
            let mut calls = outcome.extraction.extracted.calls.iter();
            outcome.raw.is_empty() && calls.all(|c| c.billed == Billed::No)
        }
    }
}

/// Commits tables and ledger. If that fails, commits the ledger alone and returns the first error,
/// which is the more useful one.
fn commit(
    run: &ActiveRun<'_>,
    tables: Option<Flattened<'_>>,
    outcome: &mut RunOutcome,
    closes: bool,
) -> Result<(), RunError> {
    let extracted = &outcome.extraction.extracted;
    // A run that was cut short before its first call is recorded, too.
    if extracted.calls.is_empty() && extracted.cut.is_none() {
        return Ok(());
    }
    let has_tables = tables.is_some();
    if let Err(error) = run.commit(tables, outcome, closes) {
        if has_tables && let Err(error) = run.commit(None, outcome, false) {
            tracing::error!("the ledger cannot be committed: {}", with_causes(&error));
        }
        return Err(error);
    }
    let tables = outcome.has_committed_tables;
    Ok(run.journal.append(&Entry::Committed { tables })?)
}

fn close_journal(run: &ActiveRun<'_>, outcome: &RunOutcome, closes: bool) -> Result<(), RunError> {
    if let Some(Cut::Budget(budget)) = &outcome.extraction.extracted.cut
        && budget.limit.is_of_run()
    {
        run.journal.append(&Entry::BudgetSpent)?;
    }
    if closes {
        run.journal.append(&Entry::Closed)?;
    }
    Ok(())
}

/// Returns an error if all raw files of a source are gone although its pages were acknowledged.
/// Pages in `lost` do not count.
fn missing_file(run: &ActiveRun<'_>, calls: &[Call]) -> Option<RunError> {
    let pages = calls.iter().filter(|call| call.is_page());
    let sources: BTreeSet<&str> = pages
        .filter(|call| !run.lost.contains(&call.request_id))
        .map(|call| call.source.as_str())
        .collect();
    let is_of = |path: &PathBuf, source: &str| raw_source(path).as_deref() == Some(source);
    let missing = sources.into_iter().find_map(|source| {
        let mut files = run.raw.iter().filter(|path| is_of(path, source)).peekable();
        let first = files.peek().map(|path| (*path).clone())?;
        files.all(|path| !path.exists()).then_some(first)
    })?;
    Some(RunError::Raw(RawError::Changed {
        path: missing,
        change: Change::Removed,
    }))
}

/// Returns the pages that were paid and acknowledged, but are not readable in the raw files.
fn damaged_pages(extraction: &Extraction, read: &RawRead) -> Vec<DamagedPage> {
    let pages = extraction
        .extracted
        .calls
        .iter()
        .filter(|call| call.is_page());
    let missing = pages.filter(|call| !read.accepted.contains(&call.request_id));
    let named = missing.map(|call| DamagedPage {
        search: name_of(&extraction.searches, &call.search_id),
        page: call.page,
        request_id: call.request_id.clone(),
    });
    named.collect()
}

/// Returns the reason of a run in which every search failed without a page.
fn undelivered(outcome: &RunOutcome) -> Option<String> {
    let extracted = &outcome.extraction.extracted;
    let is_cut = extracted.cut.is_some() || extracted.pages > 0;
    let failures = outcome.failures();
    let first = failures
        .first()
        .filter(|_| !is_cut && outcome.status == Status::Failed)?;
    Some(format!(
        "no search delivered; the first: {}: {}",
        first.search, first.reason
    ))
}

fn left_out(damaged: &[DamagedPage], pages: u64) -> Option<String> {
    match damaged.len() {
        0 => None,
        1 => Some(format!("1 of {pages} pages is damaged and left out")),
        n => Some(format!("{n} of {pages} pages are damaged and left out")),
    }
}

/// Returns the reason why a run was cut short, for people.
fn cut_reason(cut: &Cut) -> String {
    match cut {
        Cut::Budget(budget) => format!(
            "the budget {} of {} is used up: {} spent",
            budget.limit, budget.value, budget.spent
        ),
        Cut::Stopped { message, .. } | Cut::Aborted { message, .. } => message.clone(),
        Cut::Interrupted => "stopped by a signal".to_owned(),
        Cut::Broken => "pages could not be stored".to_owned(),
    }
}

/// Returns the reason why a `fail` rule of the pipeline refuses these tables. `None` if none does.
/// A bad value takes precedence over an unknown field.
pub(crate) fn refused(
    on_unknown_field: OnUnknownField,
    on_bad_value: OnBadValue,
    flattened: &Flattened<'_>,
) -> Option<String> {
    let unknown = (on_unknown_field == OnUnknownField::Fail)
        .then(|| flattened.unknown_field())
        .flatten()
        .map(|field| {
            format!(
                "{} sends {} ({}), which the contract does not declare (on_unknown_field: fail)",
                field.endpoint, field.path, field.json_type
            )
        });
    let bad = (on_bad_value == OnBadValue::Fail)
        .then_some(flattened.first_bad.as_ref())
        .flatten()
        .map(|reject| format!("{reject} (on_bad_value: fail)"));
    bad.or(unknown)
}
