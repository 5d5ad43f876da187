//! When commits happen. Their order is that of their times, so a clock that is set back, by a power cut or
//! on another machine, must not put a commit before one that it follows.

use std::fs;
use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::commit::records;
use super::files::replace_json;
use super::{LakeError, STATE};

/// The time of the lake's newest commit.
#[derive(Serialize, Deserialize)]
struct Newest {
    committed_at: DateTime<Utc>,
}

/// The time of the next commit: now, or just after the newest one. The commit lock is held.
///
/// # Errors
/// The newest time cannot be written, or, where it is not known, a record not be read.
pub(super) fn next(root: &Path) -> Result<DateTime<Utc>, LakeError> {
    let path = root.join(STATE).join("clock.json");
    let kept = fs::read_to_string(&path).ok();
    let kept = kept.and_then(|text| serde_json::from_str::<Newest>(&text).ok());
    let newest = match kept {
        Some(kept) => Some(kept.committed_at),
        None => records(root)?
            .iter()
            .map(|record| record.committed_at)
            .max(),
    };
    let committed_at = after(newest, Utc::now());
    replace_json(&path, &Newest { committed_at })?;
    Ok(committed_at)
}

fn after(newest: Option<DateTime<Utc>>, now: DateTime<Utc>) -> DateTime<Utc> {
    let Some(newest) = newest.filter(|newest| *newest >= now) else {
        return now;
    };
    if newest - now > TOLERATED {
        tracing::warn!(
            "this machine's clock says {}, and the lake's newest commit was at {}: one of the two is wrong; \
             commits keep their order all the same",
            now.format("%F %T UTC"),
            newest.format("%F %T UTC")
        );
    }
    let next = newest.checked_add_signed(TimeDelta::microseconds(1));
    next.unwrap_or(newest)
}

/// By so much the clocks of machines differ that are set well.
const TOLERATED: TimeDelta = TimeDelta::seconds(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_back_does_not_put_a_commit_before_another() {
        let at = |seconds| DateTime::from_timestamp(seconds, 0).expect("a time");
        assert_eq!(after(None, at(10)), at(10));
        assert_eq!(after(Some(at(9)), at(10)), at(10));
        let step = TimeDelta::microseconds(1);
        assert_eq!(after(Some(at(10)), at(10)), at(10) + step);
        assert_eq!(after(Some(at(9_000)), at(10)), at(9_000) + step);
    }
}
