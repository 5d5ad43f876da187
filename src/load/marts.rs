//! The files of marts, and the inputs that they were computed from.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::files::{list, replace_json};
use super::{Lake, LakeError};
use crate::lake_layout::{self, STATE, state};
use crate::load::record::{CommitKind, CommitRecord};
use crate::spec::mart::{ByPeriod, DateSpan, Period};

/// Map from a date to the hash of the inputs of its figures.
pub type Inputs = BTreeMap<NaiveDate, String>;

/// Inputs and failures of the last computation of the marts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Computed {
    /// Hashes by date, and those of weeks by Monday.
    #[serde(flatten)]
    pub inputs: ByPeriod<Inputs>,
    /// The marts that could not be computed from these inputs.
    #[serde(default)]
    pub failed: Vec<FailedMart>,
}

/// A mart without rows for a date, because it could not be computed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedMart {
    /// The Monday if a weekly mart failed.
    pub date: NaiveDate,
    #[serde(default, skip_serializing_if = "Period::is_day")]
    pub period: Period,
    /// `None` if the tables could not be read for any mart of the date.
    pub mart: Option<String>,
    pub reason: String,
}

impl FailedMart {
    /// Returns true for a failure on this date, or in the week of this Monday.
    pub fn is_of(&self, period: Period, date: NaiveDate) -> bool {
        self.date == date && self.period == period
    }
}

impl Lake {
    /// Returns, for every date and week of these tables, a hash of `definition` and of what its
    /// figures depend on. All files of the commits are in place.
    ///
    /// - The commits that changed rows of the date or of an earlier one. Earlier dates count because
    ///   figures such as new notes look back.
    /// - Which of the pipelines of the date have commits on a later date.
    /// - For a date, the time zones of its pipelines.
    ///
    /// # Errors
    /// Fails if a record cannot be read.
    pub fn mart_inputs(
        &self,
        tables: &BTreeSet<String>,
        definition: &str,
    ) -> Result<ByPeriod<Inputs>, LakeError> {
        let zones = self.time_zones();
        let mut changes = Changes::default();
        let _held = self.lock_exclusive()?;
        let records = self.commits()?.into_iter();
        for record in records.filter(|record| changes_rows(record.kind)) {
            changes.insert(&record, tables);
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(definition.as_bytes());
        let mut days = Inputs::new();
        // By Monday: the hash up to the last date of the week, and the pipelines of the week.
        let mut weeks: BTreeMap<NaiveDate, (blake3::Hasher, BTreeSet<&str>)> = BTreeMap::new();
        for (date, of_date) in &changes.dates {
            hasher.update(format!("\n{date}").as_bytes());
            for id in &of_date.commits {
                hasher.update(format!(" {id}").as_bytes());
            }
            let pipelines: BTreeSet<&str> = of_date.pipelines.iter().map(String::as_str).collect();
            let mut of_day = hasher.clone();
            for pipeline in &pipelines {
                if let Some(zone) = zones.get(*pipeline) {
                    of_day.update(format!("\nzone {pipeline} {zone}").as_bytes());
                }
            }
            let span = Period::Day.span_of(*date);
            days.insert(*date, changes.with_later(of_day, &pipelines, span));
            let week = weeks.entry(Period::Week.span_of(*date).first);
            let (of_week, of_pipelines) = week.or_insert((hasher.clone(), BTreeSet::new()));
            *of_week = hasher.clone();
            of_pipelines.extend(pipelines);
        }
        let weeks = weeks.into_iter().map(|(monday, (hasher, pipelines))| {
            let span = Period::Week.span_of(monday);
            (monday, changes.with_later(hasher, &pipelines, span))
        });
        Ok(ByPeriod {
            weeks: weeks.collect(),
            days,
        })
    }

    /// Returns the inputs that the marts in the lake were computed from. Empty if unknown.
    pub fn computed_marts(&self) -> Computed {
        let text = fs::read_to_string(self.root.join(STATE).join(state::COMPUTED_MARTS));
        let computed = text.ok().and_then(|text| serde_json::from_str(&text).ok());
        computed.unwrap_or_default()
    }

    /// Stores the inputs that the marts were computed from. If they are lost, the marts are
    /// recomputed once.
    ///
    /// # Errors
    /// Fails if the file cannot be written.
    pub fn remember_marts(&self, computed: &Computed) -> Result<(), LakeError> {
        replace_json(&self.root.join(STATE).join(state::COMPUTED_MARTS), computed)
    }

    /// Returns the files of a mart for a date, relative to the lake.
    ///
    /// # Errors
    /// Fails if the folder cannot be listed.
    pub fn mart_files(&self, mart: &str, date: NaiveDate) -> Result<Vec<String>, LakeError> {
        let folder = lake_layout::mart_folder(mart, date);
        let path = self.root.join(&folder);
        if !path.exists() {
            return Ok(Vec::new());
        }
        let files = list(&path)?.into_iter();
        let files = files.filter(|path| lake_layout::is_parquet(path));
        let name = |path: &Path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            format!("{folder}/{name}")
        };
        Ok(files.map(|path| name(&path)).collect())
    }

    /// Returns true if `files` is exactly one file with these bytes, or empty if `bytes` is `None`.
    pub fn is_in_place(&self, files: &[String], bytes: Option<&[u8]>) -> bool {
        match (files, bytes) {
            ([], None) => true,
            ([file], Some(bytes)) => {
                fs::read(self.root.join(file)).is_ok_and(|there| there == bytes)
            }
            _ => false,
        }
    }
}

/// The commits that changed rows of tables.
#[derive(Default)]
struct Changes {
    dates: BTreeMap<NaiveDate, DateChanges>,
    /// The last date on which each pipeline has commits.
    last_dates: BTreeMap<String, NaiveDate>,
    /// The last date of each pruning, by commit.
    prunings: BTreeMap<String, NaiveDate>,
}

#[derive(Default)]
struct DateChanges {
    commits: BTreeSet<String>,
    pipelines: BTreeSet<String>,
}

impl Changes {
    fn insert(&mut self, record: &CommitRecord, tables: &BTreeSet<String>) {
        let dates = dates(record, tables);
        let Some(last) = dates.last().copied() else {
            return;
        };
        let is_pruning = record.kind == CommitKind::Prune;
        for date in dates {
            let of_date = self.dates.entry(date).or_default();
            of_date.commits.insert(record.commit_id.clone());
            if !is_pruning {
                of_date.pipelines.insert(record.pipeline.clone());
            }
        }
        if is_pruning {
            self.prunings.insert(record.commit_id.clone(), last);
        } else {
            let known = self.last_dates.entry(record.pipeline.clone());
            let known = known.or_insert(last);
            *known = last.max(*known);
        }
    }

    /// Returns the hash with the pipelines among `pipelines` that have commits after the span. A
    /// pruning after the span can take such rows away, so it is part of the hash.
    fn with_later(
        &self,
        mut hasher: blake3::Hasher,
        pipelines: &BTreeSet<&str>,
        span: DateSpan,
    ) -> String {
        for pipeline in pipelines {
            if self
                .last_dates
                .get(*pipeline)
                .is_some_and(|last| *last > span.last)
            {
                hasher.update(format!("\nover {pipeline}").as_bytes());
            }
        }
        let later = self.prunings.iter().filter(|(_, last)| **last > span.last);
        for (id, _) in later {
            hasher.update(format!("\npruned {id}").as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }
}

/// Returns true if a commit of this kind changes the rows of tables.
fn changes_rows(kind: CommitKind) -> bool {
    match kind {
        CommitKind::Run | CommitKind::Replace | CommitKind::Prune => true,
        CommitKind::Compact | CommitKind::Marts => false,
    }
}

/// Returns the dates of the files of these tables that a commit adds or removes.
fn dates(record: &CommitRecord, tables: &BTreeSet<String>) -> BTreeSet<NaiveDate> {
    let added = record.add.iter().map(|file| &file.path);
    let changed = added.chain(&record.remove);
    changed.filter_map(|path| date(path, tables)).collect()
}

fn date(path: &str, tables: &BTreeSet<String>) -> Option<NaiveDate> {
    let (table, date) = lake_layout::table_of(path)?;
    tables.contains(table).then_some(date)
}
