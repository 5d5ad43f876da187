//! The columns that every table has: who observed the row, and when.

use std::collections::HashMap;

use chrono::{Datelike, NaiveDate};

use crate::run_meta::RunMeta;
use crate::transform::program::value::Cell;

/// Returns the cells of the columns that every table has, by name.
pub(crate) fn common_cells<'a>(
    meta: &'a RunMeta,
    source: &'a str,
) -> HashMap<&'static str, Cell<'a>> {
    HashMap::from([
        ("run_id", Cell::Text(meta.run_id.as_str().into())),
        ("pipeline", Cell::Text(meta.pipeline.as_str().into())),
        ("source", Cell::Text(source.into())),
        (
            "snapshot_at",
            Cell::Instant(meta.snapshot_at.timestamp_micros()),
        ),
        ("snapshot_date", Cell::Date(days(meta.snapshot_date))),
    ])
}

/// Returns the days since 1970-01-01.
pub(crate) fn days(date: NaiveDate) -> i32 {
    date.num_days_from_ce() - NaiveDate::default().num_days_from_ce()
}
