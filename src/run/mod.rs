//! One execution of a pipeline or of a shard of it: prepare, extract, finish.
//!
//! A run that made a call always commits its ledger, even if its data cannot be committed.

pub mod access;
pub mod active;
pub mod catalog;
pub mod commit;
pub mod error;
pub mod extraction;
pub mod finish;
pub mod flattening;
pub mod logical_time;
pub mod marts;
pub mod options;
pub mod outcome;
pub mod prepare;
pub mod prior;
pub mod report;
pub mod resume;
pub mod retain;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;

use crate::extract::context::Cut;
use crate::plan::Plan;
use crate::transform::contracts::Transform;
use finish::{Ending, finish};
use outcome::{RunOutcome, Status};
use prepare::{Preparation, prepare};
use retain::retain;

pub use error::RunError;
pub use options::{OnEvent, Resume, RunOptions};

/// Runs a pipeline. Ends early when `stop` becomes true. Continues a run of the same plan that was
/// cut short, subject to [`RunOptions::resume`].
///
/// # Errors
/// The run is impossible. Failed searches, a wrong token, a budget that is used up and an
/// interruption are not errors: the outcome has them, and the pages fetched before are kept.
pub async fn run(
    plan: Arc<Plan>,
    transform: &Transform,
    options: &RunOptions,
    env: &dyn Fn(&str) -> Option<String>,
    stop: watch::Receiver<bool>,
    on_event: OnEvent,
) -> Result<RunOutcome, RunError> {
    let started = Instant::now();
    let preparation = prepare(&plan, transform, options, env, stop, on_event).await?;
    let mut prepared = match preparation {
        Preparation::Ready(prepared) => prepared,
        Preparation::Done(outcome) => return Ok(*outcome),
    };
    let prepare = started.elapsed();
    let (extraction, error) = prepared.extract().await;
    let extracted = started.elapsed();
    let is_interrupted = extraction.extracted.cut == Some(Cut::Interrupted);
    // An interrupted run ends at once: its tables are made when it is continued.
    let ending = if options.extract_only || is_interrupted {
        Ending::LedgerOnly
    } else {
        Ending::Extracted
    };
    let mut outcome = finish(&prepared.run, extraction, error, ending)?;
    if outcome.status != Status::Interrupted {
        outcome.raw_removed = retain(&plan, &prepared.run.lake);
        outcome.raw.retain(|path| path.exists());
    }
    outcome.stages.prepare = prepare.as_secs_f64();
    outcome.stages.extract = (extracted - prepare).as_secs_f64();
    outcome.is_continued = prepared.is_continued;
    outcome.seconds = started.elapsed().as_secs_f64();
    Ok(outcome)
}
