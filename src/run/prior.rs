//! Inputs that a new run takes from earlier runs of the lake: known ids, spending of the day, and
//! notes for follow-up searches.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};

use super::catalog::{self, Opened};
use super::commit::ledger;
use crate::extract::context::{Known, KnownTo};
use crate::extract::daily_spend::{self, DayOf, journals};
use crate::extract::ledger::Spent;
use crate::extract::pager::StopReason;
use crate::load::Lake;
use crate::load::record::{AddedFile, CommitRecord};
use crate::plan::parts::FollowUp;
use crate::plan::{Money, Plan, Recheck, Search};
use crate::query::history::{self, Earlier, EarlierLook};
use crate::run::error::RunError;
use crate::run_meta::RunMeta;
use crate::transform::tables::select::{self, Ranked};

/// State of the lake before a run.
pub struct Prior<'a> {
    plan: &'a Plan,
    lake: Lake,
    commits: Vec<CommitRecord>,
    earlier: Earlier,
    meta: RunMeta,
}

impl<'a> Prior<'a> {
    pub fn new(plan: &'a Plan, lake: &Lake, commits: Vec<CommitRecord>, meta: &RunMeta) -> Self {
        // Commits of marts and of maintenance have no pipeline.
        let of_runs = commits.iter().filter(|c| !c.pipeline.is_empty());
        let same_world = of_runs.filter(|c| c.simulated == meta.simulated);
        let pipelines: BTreeSet<String> = same_world.map(|c| c.pipeline.clone()).collect();
        let earlier = Earlier {
            pipelines: pipelines.into_iter().collect(),
            but_run_id: meta.run_id.clone(),
        };
        Prior {
            plan,
            lake: lake.clone(),
            commits,
            earlier,
            meta: meta.clone(),
        }
    }

    /// Opens the tables of the lake that [`history`] queries. Called for each query, because a run
    /// may take hours while other runs commit.
    ///
    /// # Errors
    /// The lake cannot be read.
    pub fn database(&self) -> Result<Opened, RunError> {
        let tables = &self.plan.contracts.tables;
        catalog::open_some(&self.lake, tables, &history::TABLES)
    }

    /// Returns the ids that earlier searches found, for the endpoints whose stop rules use them, and
    /// the deep looks that are due. Both follow from the logical time of the run and from earlier
    /// commits, so that a run that is continued decides as before.
    ///
    /// # Errors
    /// The lake cannot be read.
    pub fn known(&self) -> Result<Known, RunError> {
        let asking: BTreeSet<KnownTo> = self.plan.searches.iter().filter_map(KnownTo::of).collect();
        if asking.is_empty() || self.earlier.pipelines.is_empty() {
            return Ok(Known::default());
        }
        let database = self.database()?;
        let mut known = Known {
            ids: HashMap::new(),
            due: self.due_rechecks(&database)?,
        };
        for to in asking {
            let span = (self.ago(to.within_s), self.meta.snapshot_at);
            let place = (to.source.as_str(), to.endpoint.as_str());
            let ids = history::known_ids(&database, &self.earlier, place, span)?;
            known.ids.insert(to, Arc::new(ids));
        }
        Ok(known)
    }

    /// Returns the rechecks whose deep look is due, by search id: no run of this pipeline within
    /// `every` looked that deep.
    fn due_rechecks(&self, database: &Opened) -> Result<HashMap<String, Vec<Recheck>>, RunError> {
        let of_search = |search: &Search| {
            let depths = search.depths().into_iter();
            let rules = depths.filter_map(|depth| depth.stop_when.known?.recheck);
            rules.collect::<Vec<_>>()
        };
        let all = self.plan.searches.iter().flat_map(of_search);
        let Some(longest_s) = all.map(|recheck| recheck.every_s).max() else {
            return Ok(HashMap::new());
        };
        let of_pipeline = Earlier {
            pipelines: vec![self.meta.pipeline.clone()],
            ..self.earlier.clone()
        };
        let span = (self.ago(longest_s), self.meta.snapshot_at);
        let mut by_search: HashMap<String, Vec<EarlierLook>> = HashMap::new();
        for look in history::looks(database, &of_pipeline, span)? {
            let of_search = by_search.entry(look.search_id.clone()).or_default();
            of_search.push(look);
        }
        let mut due = HashMap::new();
        for search in &self.plan.searches {
            let looks = by_search.get(&search.search_id);
            let looks = looks.map_or(&[][..], Vec::as_slice);
            let mut rechecks = of_search(search);
            rechecks.retain(|recheck| {
                let since = self.ago(recheck.every_s);
                let recent = |look: &&EarlierLook| look.snapshot_at > since;
                let mut recent = looks.iter().filter(recent);
                !recent.any(|look| was_deep(look, search, *recheck))
            });
            if !rechecks.is_empty() {
                due.insert(search.search_id.clone(), rechecks);
            }
        }
        if !due.is_empty() {
            tracing::info!(
                "rechecks are due: {} of {} searches look deeper than known notes",
                due.len(),
                self.plan.searches.len()
            );
        }
        Ok(due)
    }

    /// Returns a reader of the day's spending by other runs. `None` if the plan has no daily
    /// budget. `own` is the journal of this run.
    ///
    /// # Errors
    /// The lake cannot be read.
    pub fn day(
        &self,
        now: DateTime<Utc>,
        own: PathBuf,
    ) -> Result<Option<daily_spend::DailySpend>, RunError> {
        let budgets = &self.plan.limits.budgets;
        if budgets.requests_per_day.is_none() && budgets.cost_per_day.is_none() {
            return Ok(None);
        }
        let folder = self.lake.journals();
        let of = DayOf {
            own,
            shard: self.plan.shard,
            simulated: self.meta.simulated,
            currency: self.plan.price.currency.clone(),
            timezone: self.plan.timezone,
            before: self.spent_by_day(now)?,
            folder,
        };
        Ok(Some(daily_spend::DailySpend::new(of)))
    }

    /// Returns the spending of runs that have no journal any more, by day.
    fn spent_by_day(&self, now: DateTime<Utc>) -> Result<BTreeMap<NaiveDate, Spent>, RunError> {
        let mut days = BTreeMap::new();
        if self.earlier.pipelines.is_empty() {
            return Ok(days);
        }
        // The spending of a run with a journal is read from the journal.
        let in_journals: HashSet<String> = journals(&self.lake.journals())?
            .iter()
            .filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned()))
            .collect();
        let timezone = self.plan.timezone;
        let since = daily_spend::date_of(now, timezone);
        let since = since.checked_sub_days(Days::new(1)).unwrap_or(since);
        let dates = ledgers_since(&self.commits, since, self.meta.simulated);
        let database = self.database()?;
        let currency = self.plan.price.currency.as_deref();
        let rows = history::spent_since(
            &database,
            &self.earlier,
            &dates,
            (since, timezone),
            currency,
        )?;
        for row in rows.iter().filter(|row| !in_journals.contains(&row.run_id)) {
            let shard = row.shard.as_deref().and_then(|text| text.parse().ok());
            let (counts, parts) = daily_spend::budget_share(self.plan.shard, shard);
            if counts {
                let unknown = self.plan.price.of_calls(&row.endpoint, row.unknown);
                let spent = Spent {
                    calls: row.calls,
                    cost: Money::of(row.cost).plus(unknown.unwrap_or_default()),
                };
                let of_day: &mut Spent = days.entry(row.date).or_default();
                *of_day = of_day.plus(daily_spend::part(spent, parts));
            }
        }
        Ok(days)
    }

    /// Returns the spending of all runs today, across pipelines. `None` if the plan has no daily
    /// budget.
    ///
    /// # Errors
    /// The lake cannot be read.
    pub fn spent_today(&self, now: DateTime<Utc>) -> Result<Option<Spent>, RunError> {
        let Some(mut day) = self.day(now, PathBuf::new())? else {
            return Ok(None);
        };
        Ok(Some(
            day.peek(daily_spend::date_of(now, self.plan.timezone))?,
        ))
    }

    /// Returns the searches of a follow-up: one for each of the top notes in `found` and, if the
    /// follow-up looks back, in the lake. Skips the search ids in `asked`.
    ///
    /// # Errors
    /// The lake cannot be read.
    pub fn choose(
        &self,
        follow_up: &FollowUp,
        found: Vec<Ranked>,
        asked: &HashSet<String>,
    ) -> Result<Vec<Search>, RunError> {
        let looks_back =
            follow_up.seen_within_s.is_some() || follow_up.not_refreshed_for_s.is_some();
        let mut notes = if looks_back && !self.earlier.pipelines.is_empty() {
            self.worth_asking(follow_up, found)?
        } else {
            found
        };
        notes.retain(|(id, _)| {
            let search = self.plan.follow_up_search(follow_up, id);
            let ours = self.plan.shard.is_none_or(|shard| shard.has(&search));
            ours && !asked.contains(&search.search_id)
        });
        let ids = select::first(notes, follow_up.top as usize);
        let search = |id: &String| self.plan.follow_up_search(follow_up, id);
        Ok(ids.iter().map(search).collect())
    }

    /// Returns the notes that this run or a recent one found. Leaves out notes that were refreshed
    /// recently, and notes that were gone and have not been seen since.
    fn worth_asking(
        &self,
        follow_up: &FollowUp,
        found: Vec<Ranked>,
    ) -> Result<Vec<Ranked>, RunError> {
        let database = self.database()?;
        let mut notes: HashMap<String, (Option<i64>, DateTime<Utc>)> = HashMap::new();
        if let Some(within_s) = follow_up.seen_within_s {
            let span = (self.ago(within_s), self.meta.snapshot_at);
            let (endpoint, by) = (&follow_up.found_by, &follow_up.by);
            for note in history::found_notes(&database, &self.earlier, endpoint, by, span)? {
                notes.insert(note.note_id, (note.count, note.seen_at));
            }
        }
        for (id, count) in found {
            notes.insert(id, (count, self.meta.snapshot_at));
        }
        let endpoint = (follow_up.source.as_str(), follow_up.endpoint.as_str());
        let answered = history::answered(&database, &self.earlier, endpoint)?;
        let answered: HashMap<&str, (DateTime<Utc>, bool)> = answered
            .iter()
            .map(|a| (a.search_id.as_str(), (a.at, a.gone)))
            .collect();
        let fresh_since = follow_up.not_refreshed_for_s.map(|s| self.ago(s));
        notes.retain(|id, (_, seen_at)| {
            let search = self.plan.follow_up_search(follow_up, id);
            let Some((at, gone)) = answered.get(search.search_id.as_str()) else {
                return true;
            };
            let is_fresh = fresh_since.is_some_and(|since| *at > since);
            !(is_fresh || *gone && *seen_at <= *at)
        });
        let ranked = notes.into_iter().map(|(id, (count, _))| (id, count));
        Ok(ranked.collect())
    }

    fn ago(&self, seconds: u64) -> DateTime<Utc> {
        let span = i64::try_from(seconds).ok().and_then(TimeDelta::try_seconds);
        let ago = span.and_then(|span| self.meta.snapshot_at.checked_sub_signed(span));
        ago.unwrap_or(DateTime::<Utc>::UNIX_EPOCH)
    }
}

/// Returns true if an earlier run looked as deep as a recheck asks for, or to the end.
fn was_deep(look: &EarlierLook, search: &Search, recheck: Recheck) -> bool {
    let stop = look.stop.as_deref().and_then(StopReason::named);
    let is_shared = search.depths().len() > 1;
    look.pages >= recheck.pages || stop.is_some_and(|stop| stop.ends_deep_look(is_shared))
}

/// Returns the business dates whose ledgers may hold calls of the day `since` or later. A real
/// call is made before its commit, so older commits cannot have it. A simulated call is made soon
/// after the run's `snapshot_at`. One day of tolerance covers time zones and clock skew.
pub(crate) fn ledgers_since(
    commits: &[CommitRecord],
    since: NaiveDate,
    simulated: bool,
) -> BTreeSet<NaiveDate> {
    let first = since.checked_sub_days(Days::new(1)).unwrap_or(since);
    let is_late = |commit: &&CommitRecord| {
        let at = if simulated {
            commit.snapshot_at
        } else {
            commit.committed_at
        };
        !commit.pipeline.is_empty() && at.date_naive() >= first
    };
    let files = commits.iter().filter(is_late).flat_map(|c| &c.add);
    let ledger = files.filter(|file| ledger::is_ledger(&file.table));
    ledger.filter_map(AddedFile::date).collect()
}
