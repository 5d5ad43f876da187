//! The time zone of a query.

use chrono_tz::Tz;

use crate::load::Lake;

/// Parses the value of `--timezone`.
pub(super) fn parse(text: &str) -> Result<Tz, String> {
    text.parse()
        .map_err(|_| "not an IANA time zone; write one such as Asia/Shanghai or UTC".to_owned())
}

/// Returns the time zone of the lake's pipelines. If they differ, it is UTC, and a warning says so. It
/// is also UTC in a lake that does not know its zones.
pub(super) fn of_lake(lake: &Lake) -> Tz {
    let zones = lake.time_zones();
    let mut different: Vec<Tz> = zones.into_values().collect();
    different.sort_by_key(|zone| zone.name());
    different.dedup();
    match different.as_slice() {
        [] => Tz::UTC,
        [zone] => *zone,
        several => {
            let names: Vec<&str> = several.iter().map(|zone| zone.name()).collect();
            tracing::warn!(
                "the pipelines of this lake are in several time zones ({}), so times are in UTC; set \
                 one with --timezone",
                names.join(", ")
            );
            Tz::UTC
        }
    }
}
