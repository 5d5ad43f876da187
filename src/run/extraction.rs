//! The second phase of a run: makes the calls of the planned searches, then of their follow-ups.

use std::collections::HashSet;

use super::active::ActiveRun;
use super::outcome::Extraction;
use super::prepare::Prepared;
use super::prior::Prior;
use crate::extract::Extracted;
use crate::extract::journal::Entry;
use crate::plan::Search;
use crate::run::error::RunError;
use crate::transform::tables::select;
use crate::transform::tables::spill::Scratch;

impl Prepared<'_> {
    /// Makes the calls of the run. Returns when the last page is on disk. An error ends the
    /// extraction, and is returned beside what was extracted before.
    pub(crate) async fn extract(&mut self) -> (Extraction, Option<RunError>) {
        let mut searches = self.run.plan.searches.clone();
        let mut extracted = std::mem::take(&mut self.replayed);
        let earlier_calls = extracted.calls.len();
        let error = self.make_calls(&mut searches, &mut extracted).await.err();
        self.disconnect().await;
        let extraction = Extraction {
            started_at: self.started_at,
            finished_at: self.clock.now(),
            planned: searches.len() as u64,
            searches,
            extracted,
            earlier_calls,
        };
        (extraction, error)
    }

    async fn make_calls(
        &mut self,
        searches: &mut Vec<Search>,
        extracted: &mut Extracted,
    ) -> Result<(), RunError> {
        let Some(extractor) = &mut self.extractor else {
            return Ok(());
        };
        extractor.extract(searches.clone(), extracted).await?;
        if extracted.cut.is_none() && !self.run.plan.follow_ups.is_empty() {
            let more = match self.chosen.take() {
                Some(chosen) => chosen,
                None => choose_follow_ups(&self.run, &self.prior)?,
            };
            searches.extend(more.iter().cloned());
            extractor.extract(more, extracted).await?;
        }
        Ok(())
    }
}

/// Returns the follow-up searches for the notes that were found, without duplicates. The choice is
/// written to the journal, so that a continued run keeps it.
fn choose_follow_ups(run: &ActiveRun<'_>, prior: &Prior<'_>) -> Result<Vec<Search>, RunError> {
    let folder = run.lake.scratch()?;
    let scratch = Scratch::new(folder.path().to_owned());
    let (tables, _) = run.flatten(&["engagement"], &scratch)?;
    let tables = tables.collect()?;
    let engagement = tables.batches.get("engagement");
    let asked = run.plan.searches.iter().map(|s| s.search_id.clone());
    let mut asked: HashSet<String> = asked.collect();
    let mut searches: Vec<Search> = Vec::new();
    for follow_up in &run.plan.follow_ups {
        let (found_by, by) = (&follow_up.found_by, &follow_up.by);
        let found = engagement.map(|e| select::found_notes(e, found_by, by));
        let more = prior.choose(follow_up, found.unwrap_or_default(), &asked)?;
        asked.extend(more.iter().map(|s| s.search_id.clone()));
        searches.extend(more);
    }
    run.journal.append(&Entry::Chosen {
        searches: searches.clone(),
    })?;
    run.journal.sync()?;
    Ok(searches)
}
