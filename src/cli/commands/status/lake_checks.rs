//! Problems of a lake.

use super::problem::{HealthKind, HealthProblem, Thresholds, spelled};
use crate::cli::output::print::counted;
use crate::cli::shell::{lake_flag, program};
use crate::lake_layout::full_path;
use crate::load::files::LITTLE_SPACE;
use crate::maintenance::status::state::LakeStatus;

/// Returns what is wrong with a lake.
pub(super) fn lake_problems(lake: &LakeStatus, limits: &Thresholds) -> Vec<HealthProblem> {
    let mut found = Vec::new();
    let mut add = |kind, message: String, hint: String| {
        found.push(HealthProblem {
            kind,
            pipeline: None,
            shard: None,
            run_id: None,
            lake: lake.lake.clone(),
            message,
            hint,
        });
    };
    let (program, flag) = (program(), lake_flag(&lake.lake));
    let least = limits.min_free.unwrap_or(LITTLE_SPACE);
    if let Some(free) = lake.free_bytes.filter(|free| *free < least) {
        let place = full_path(&lake.lake);
        let free = gigabytes(free);
        let message = format!(
            "{free} free at {}, less than {}",
            place.display(),
            gigabytes(least)
        );
        let hint = format!(
            "free space, or move the lake; `{program} compact{flag}` and `{program} prune{flag}` make it \
             smaller"
        );
        add(HealthKind::Disk, message, hint);
    }
    if let Some(last) = lake.verified.as_ref().filter(|last| last.problems > 0) {
        let at = last.verified_at.format("%Y-%m-%d %H:%M UTC");
        let problems = counted(last.problems, "problem");
        let message = format!("the last verification, at {at}, found {problems}");
        let hint = format!(
            "`{program} verify{flag}` lists them; restore the files from a backup, or make the tables \
             again with `{program} transform PIPELINE --raw FILE…`"
        );
        add(HealthKind::Verify, message, hint);
    }
    // A lake that does not exist yet has nothing to verify.
    if let Some(most) = limits.max_verify_age.filter(|_| lake.exists) {
        let most = i64::try_from(most.as_duration().as_secs()).unwrap_or(i64::MAX);
        let message = match lake.verify_age_seconds {
            Some(age) if age > most => {
                let (age, most) = (spelled(age), spelled(most));
                Some(format!(
                    "the last verification was {age} ago, more than {most}"
                ))
            }
            Some(_) => None,
            None => Some("the lake was never verified".to_owned()),
        };
        if let Some(message) = message {
            let hint = format!("`{program} verify{flag}`, as an account that can write the lake");
            add(HealthKind::VerifyAge, message, hint);
        }
    }
    let days = lake.uncompacted_days;
    if limits.max_uncompacted_days.is_some_and(|most| days > most) {
        let oldest = lake.oldest_uncompacted;
        let since = oldest.map_or_else(String::new, |day| format!(", the oldest is {day}"));
        let message = format!("{} not compacted{since}", counted(days, "day"));
        add(
            HealthKind::Uncompacted,
            message,
            format!("`{program} compact{flag}`"),
        );
    }
    found
}

/// Formats a number of bytes for people.
pub(super) fn gigabytes(bytes: u64) -> String {
    if bytes < 1_000_000_000 {
        format!("{:.1} MB", bytes as f64 / 1e6)
    } else {
        format!("{:.1} GB", bytes as f64 / 1e9)
    }
}
