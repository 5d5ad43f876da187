//! From raw pages to tables. Pure: the same pages and contracts give the same rows, byte for byte.

pub mod coerce;
pub mod compile;
pub mod decode;
pub mod drift;
pub mod mapping;
pub mod reject;
pub mod select;
pub mod table;

mod emit;
mod tree;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use chrono::{DateTime, Datelike, NaiveDate, Utc};
use chrono_tz::Tz;
use thiserror::Error;

use crate::raw::RawPage;
use crate::spec::contracts::Contracts;
use crate::spec::diagnostic::Diagnostics;
use crate::spec::table::RowsFrom;
use coerce::Cell;
use drift::{Drift, DriftRow};
use emit::{Context, Emitter};
use mapping::Programs;
use reject::{Reject, fragment};
use table::TableBuilder;

/// The compiled contracts: turns any number of runs into tables.
pub struct Transform {
    contracts: Arc<Contracts>,
    programs: Programs,
}

/// What the rows of a run have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct RunStamp {
    pub run_id: String,
    pub pipeline: String,
    pub snapshot_at: DateTime<Utc>,
    /// The business date of `snapshot_at`.
    pub snapshot_date: NaiveDate,
}

/// A run's pages, as tables.
#[derive(Debug, Default)]
pub struct Tables {
    pub batches: BTreeMap<String, RecordBatch>,
    pub rejects: Vec<Reject>,
    pub drift: Vec<DriftRow>,
}

#[derive(Debug, Error)]
pub enum TransformError {
    #[error("the page asks for {endpoint} of {source_name}, which no source contract declares")]
    UnknownEndpoint {
        source_name: String,
        endpoint: String,
    },
    #[error("a table could not be built")]
    Arrow(#[from] ArrowError),
}

impl RunStamp {
    pub fn new(run_id: &str, pipeline: &str, snapshot_at: DateTime<Utc>, timezone: Tz) -> Self {
        RunStamp {
            run_id: run_id.to_owned(),
            pipeline: pipeline.to_owned(),
            snapshot_at,
            snapshot_date: snapshot_at.with_timezone(&timezone).date_naive(),
        }
    }

    /// The cells of the columns that every table has, by name.
    pub fn cells<'a>(&'a self, source: &'a str) -> HashMap<&'static str, Cell<'a>> {
        HashMap::from([
            ("run_id", Cell::Text(self.run_id.as_str().into())),
            ("pipeline", Cell::Text(self.pipeline.as_str().into())),
            ("source", Cell::Text(source.into())),
            (
                "snapshot_at",
                Cell::Instant(self.snapshot_at.timestamp_micros()),
            ),
            ("snapshot_date", Cell::Date(days(self.snapshot_date))),
        ])
    }
}

/// Days since 1970-01-01.
fn days(date: NaiveDate) -> i32 {
    date.num_days_from_ce() - NaiveDate::default().num_days_from_ce()
}

impl Transform {
    /// # Errors
    /// Every mistake in the mappings of the source contracts.
    pub fn new(contracts: Arc<Contracts>) -> Result<Self, Diagnostics> {
        let programs = compile::compile(&contracts)?;
        Ok(Transform {
            contracts,
            programs,
        })
    }

    /// Begins the tables of one run.
    pub fn begin(&self, stamp: RunStamp) -> Flattener<'_> {
        let builders = self
            .contracts
            .tables
            .values()
            .map(TableBuilder::new)
            .collect();
        Flattener {
            transform: self,
            stamp,
            builders,
            rejects: Vec::new(),
            drift: BTreeMap::new(),
        }
    }
}

/// Collects the pages of one run.
pub struct Flattener<'t> {
    transform: &'t Transform,
    stamp: RunStamp,
    /// By the tables' order in the contracts.
    builders: Vec<TableBuilder>,
    rejects: Vec<Reject>,
    drift: BTreeMap<(String, String), Drift>,
}

impl Flattener<'_> {
    /// Flattens one page. A page that is no page becomes a reject.
    ///
    /// # Errors
    /// A page of an endpoint that the contracts do not know.
    pub fn push(&mut self, page: &RawPage) -> Result<(), TransformError> {
        let search = &page.header.search;
        let key = (search.source.clone(), search.endpoint.clone());
        let program =
            self.transform
                .programs
                .get(&key)
                .ok_or_else(|| TransformError::UnknownEndpoint {
                    source_name: search.source.clone(),
                    endpoint: search.endpoint.clone(),
                })?;
        if !page.header.accepted {
            let reason = format!("the answer is no page: {}", page.header.class);
            return self.reject_page(page, &reason);
        }
        let body = page.body.trim_start_matches('\u{feff}');
        let mut drift = Drift::default();
        let repaired;
        let mut walked = decode::walk(program, body, &mut drift);
        if walked.is_err()
            && let Some(text) = decode::without_lone_surrogates(body)
        {
            repaired = text;
            drift = Drift::default();
            walked = decode::walk(program, &repaired, &mut drift);
        }
        self.drift.entry(key).or_default().merge(drift);
        let frame = match walked {
            Ok(walked) if walked.has_items => walked.frame,
            Ok(_) => return self.reject_page(page, "the answer has no list of items"),
            Err(_) => return self.reject_page(page, "the answer is no JSON"),
        };
        let mut emitter = Emitter {
            tables: &self.transform.contracts.tables,
            context: Context::new(&self.stamp, &page.header),
            builders: &mut self.builders,
            rejects: &mut self.rejects,
        };
        emitter.page(program, &frame);
        Ok(())
    }

    fn reject_page(&mut self, page: &RawPage, reason: &str) -> Result<(), TransformError> {
        let search = &page.header.search;
        self.rejects.push(Reject {
            source: search.source.clone(),
            table: None,
            endpoint: search.endpoint.clone(),
            search_id: search.search_id.clone(),
            page: page.header.page,
            item_index: None,
            column: None,
            reason: reason.to_owned(),
            value: Some(fragment(&page.body)),
        });
        Ok(())
    }

    /// The tables that pages feed, with `rejects` and `drift`.
    ///
    /// # Errors
    /// A contract whose tables cannot hold what it maps.
    pub fn finish(self) -> Result<Tables, TransformError> {
        let tables = &self.transform.contracts.tables;
        let drift: Vec<DriftRow> = self
            .drift
            .iter()
            .flat_map(|((source, endpoint), drift)| drift.rows(source, endpoint))
            .collect();
        let mut built = BTreeMap::new();
        for (table, mut builder) in tables.values().zip(self.builders) {
            match (table.rows_from, table.name()) {
                (RowsFrom::Pages, _) => {}
                (_, "rejects") => {
                    for reject in &self.rejects {
                        let common = self.stamp.cells(&reject.source);
                        table::push_record(&mut builder, table, &common, reject)?;
                    }
                }
                (_, "drift") => {
                    for row in &drift {
                        let common = self.stamp.cells(&row.source);
                        table::push_record(&mut builder, table, &common, row)?;
                    }
                }
                _ => continue, // the ledger, which does not come from pages
            }
            built.insert(table.name(), builder.build()?);
        }
        let mut newest = HashMap::new();
        for parent in tables.values().filter_map(|t| t.latest_with.as_ref()) {
            if let Some(observations) = built.get(parent.value.as_str()) {
                newest.insert(parent.value.as_str(), observations.newest()?);
            }
        }
        let mut batches = BTreeMap::new();
        for (name, observations) in built {
            let parent = tables[name].latest_with.as_ref();
            let parent = parent.and_then(|p| newest.get(p.value.as_str()));
            batches.insert(name.to_owned(), observations.finish(parent)?);
        }
        Ok(Tables {
            batches,
            rejects: self.rejects,
            drift,
        })
    }
}
