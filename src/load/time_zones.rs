//! The time zone of each pipeline, in `_state/time_zones.json`.
//!
//! The column `timezone` of the table `runs` has the same zones by run. This file answers without a
//! look at the tables.

use std::collections::BTreeMap;
use std::path::PathBuf;

use chrono_tz::Tz;

use super::files::replace_json;
use super::{Lake, LakeError};
use crate::lake_layout::{STATE, state};

/// Time zones by pipeline.
pub type TimeZones = BTreeMap<String, Tz>;

impl Lake {
    /// Returns the time zone of each pipeline, as of its last run. Empty in a lake that only an
    /// older version wrote. Zones that this version does not know are left out.
    pub fn time_zones(&self) -> TimeZones {
        self.recorded_time_zones().unwrap_or_default()
    }

    /// Returns the time zones if their file is there and readable.
    pub fn recorded_time_zones(&self) -> Option<TimeZones> {
        let text = std::fs::read_to_string(self.time_zones_path()).ok()?;
        let names: BTreeMap<String, String> = serde_json::from_str(&text).ok()?;
        let known = names.into_iter().filter_map(|(pipeline, zone)| {
            let zone = zone.parse::<Tz>().ok()?;
            Some((pipeline, zone))
        });
        Some(known.collect())
    }

    /// Stores the time zones. Does nothing if they are stored already.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn record_time_zones(&self, zones: &TimeZones) -> Result<(), LakeError> {
        if self.recorded_time_zones().as_ref() == Some(zones) {
            return Ok(());
        }
        let names: BTreeMap<&str, &str> = zones
            .iter()
            .map(|(pipeline, zone)| (pipeline.as_str(), zone.name()))
            .collect();
        replace_json(&self.time_zones_path(), &names)
    }

    fn time_zones_path(&self) -> PathBuf {
        self.root.join(STATE).join(state::TIME_ZONES)
    }
}
