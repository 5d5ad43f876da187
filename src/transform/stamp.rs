//! Values that all rows of a run have in common.

use std::collections::HashMap;

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use chrono_tz::Tz;

use crate::transform::program::value::Cell;

/// Values that the rows of a run have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct RunStamp {
    pub run_id: String,
    pub pipeline: String,
    pub snapshot_at: DateTime<Utc>,
    /// The business date of `snapshot_at`.
    pub snapshot_date: NaiveDate,
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

    /// Returns the cells of the columns that every table has, by name.
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

/// Returns the days since 1970-01-01.
pub(crate) fn days(date: NaiveDate) -> i32 {
    date.num_days_from_ce() - NaiveDate::default().num_days_from_ce()
}
