//! Keeps the time zone of each pipeline in the state of the lake.

use arrow::array::AsArray;
use chrono_tz::Tz;

use super::open_some;
use crate::load::Lake;
use crate::load::time_zones::TimeZones;
use crate::run::error::RunError;
use crate::spec::contracts::Contracts;

/// Stores the time zone of a pipeline after a run. If no zones are stored yet, those that earlier
/// runs recorded are stored, too.
///
/// # Errors
/// The lake cannot be read or written.
pub(crate) fn record(
    lake: &Lake,
    contracts: &Contracts,
    pipeline: &str,
    zone: Tz,
) -> Result<(), RunError> {
    let mut zones = match lake.recorded_time_zones() {
        Some(zones) => zones,
        None => of_runs(lake, contracts)?,
    };
    zones.insert(pipeline.to_owned(), zone);
    Ok(lake.record_time_zones(&zones)?)
}

/// Returns the time zone that the last run of each pipeline recorded.
fn of_runs(lake: &Lake, contracts: &Contracts) -> Result<TimeZones, RunError> {
    let database = open_some(lake, &contracts.tables, &["runs"])?;
    let answer = database.query(
        "SELECT pipeline, arg_max(timezone, started_at) FROM runs WHERE timezone IS NOT NULL \
         GROUP BY pipeline",
    )?;
    let mut zones = TimeZones::new();
    for batch in &answer.batches {
        let (names, values) = (batch.column(0).as_string::<i32>(), batch.column(1));
        for (name, zone) in names.iter().zip(values.as_string::<i32>()) {
            if let (Some(name), Some(Ok(zone))) = (name, zone.map(str::parse)) {
                zones.insert(name.to_owned(), zone);
            }
        }
    }
    Ok(zones)
}
