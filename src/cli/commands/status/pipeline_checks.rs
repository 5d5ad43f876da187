//! Problems of a pipeline.

use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::problem::{HealthKind, HealthProblem, Thresholds, spelled};
use crate::cli::output::print::{counted, grouped, priced};
use crate::cli::shell::{lake_flag, program, shell_word};
use crate::maintenance::status::spending::Spending;
use crate::maintenance::status::starts::FailedStart;
use crate::maintenance::status::state::{
    DueTimes, FAILING_RUNS, FailingSearch, KilledRun, PipelineState, PipelineStatus, ShardStatus,
};
use crate::plan::Shard;
use crate::spec::yaml::escape::escaped_line;

/// Longest delay of a scheduled run and of a shard that is no problem.
const GRACE: TimeDelta = TimeDelta::minutes(15);

/// Searches that a problem names.
const MOST_NAMED: usize = 3;

/// Checks of a pipeline.
pub(super) struct PipelineCheck<'s> {
    status: &'s PipelineStatus,
    /// Command that runs it.
    run: String,
    found: Vec<HealthProblem>,
}

impl<'s> PipelineCheck<'s> {
    /// Prepares the checks. `is_named` is true if the user named the lake, which then belongs into
    /// suggested commands.
    pub fn new(status: &'s PipelineStatus, is_named: bool) -> Self {
        let file = status.file.as_deref().and_then(Path::to_str);
        let file = file.map_or_else(|| "PIPELINE".to_owned(), shell_word);
        let lake = if is_named {
            lake_flag(&status.lake)
        } else {
            String::new()
        };
        PipelineCheck {
            status,
            run: format!("{} run {file}{lake}", program()),
            found: Vec::new(),
        }
    }

    pub fn problems(mut self, limits: &Thresholds) -> Vec<HealthProblem> {
        self.held_runs();
        self.killed_runs();
        for shard in &self.status.shards {
            self.failed_start(shard);
            self.last_run(shard);
            self.schedule(shard);
        }
        self.missing_shards();
        self.failing_searches();
        self.limits(limits);
        self.found
    }

    fn add(&mut self, kind: HealthKind, shard: Option<Shard>, message: String, hint: String) {
        self.found.push(HealthProblem {
            kind,
            pipeline: Some(self.status.pipeline.clone()),
            shard,
            run_id: None,
            lake: self.status.lake.clone(),
            message,
            hint,
        });
    }

    /// Adds a problem of one run.
    fn add_run(&mut self, of: (HealthKind, Option<Shard>, &str), message: String, hint: String) {
        let (kind, shard, run_id) = of;
        self.add(kind, shard, message, hint);
        if let Some(problem) = self.found.last_mut() {
            problem.run_id = Some(run_id.to_owned());
        }
    }

    /// Returns the command that runs a shard.
    fn run_of(&self, shard: Option<Shard>) -> String {
        let shard = shard.map_or_else(String::new, |shard| format!(" --shard {shard}"));
        format!("{}{shard}", self.run)
    }

    fn held_runs(&mut self) {
        let flag = lake_flag(&self.status.lake);
        for held in &self.status.held_runs {
            let id = &held.run_id;
            let message = format!("the tables of the run {id} are held");
            let program = program();
            let hint = format!(
                "`{program} show {id}{flag}` prints the wrong rows; then `{program} publish {id}{flag}` \
                 or `{program} discard {id}{flag}`"
            );
            self.add_run((HealthKind::HeldRun, None, id), message, hint);
        }
    }

    fn killed_runs(&mut self) {
        for killed in self.status.lost_runs() {
            let KilledRun {
                run_id,
                shard,
                calls,
                pages_without_rows: pages,
                ..
            } = killed;
            // The run that is under way closed or continued it, or begins with that.
            let shards = &self.status.shards;
            let is_running = |s: &ShardStatus| s.shard == *shard && s.running.is_some();
            if shards.iter().any(is_running) {
                continue;
            }
            let pages = match pages {
                0 => String::new(),
                1 => "; 1 page of it is in no table".to_owned(),
                pages => format!("; {} pages of it are in no table", grouped(*pages)),
            };
            let calls = counted(*calls, "call");
            let message = format!("the run {run_id} was killed after {calls}{pages}");
            let hint = format!(
                "run `{}`: it continues the run, or closes it and makes the tables of its pages",
                self.run_of(*shard)
            );
            self.add_run((HealthKind::KilledRun, *shard, run_id), message, hint);
        }
    }

    /// Reports a start that failed before it had a run, unless a run is under way.
    fn failed_start(&mut self, shard: &ShardStatus) {
        let Some(start) = shard
            .failed_start
            .as_ref()
            .filter(|_| shard.running.is_none())
        else {
            return;
        };
        let FailedStart {
            at,
            exit_code,
            message,
            hint,
        } = start;
        let at = at.format("%Y-%m-%d %H:%M UTC");
        let message = escaped_line(message);
        let message =
            format!("the last start, at {at}, failed with exit code {exit_code}: {message}");
        let hint = hint.as_deref().map(|hint| escaped_line(hint).into_owned());
        let hint = hint
            .unwrap_or_else(|| format!("correct the cause, then `{}`", self.run_of(shard.shard)));
        self.add(HealthKind::FailedStart, shard.shard, message, hint);
    }

    /// Judges how the newest run of a shard ended.
    fn last_run(&mut self, shard: &ShardStatus) {
        let Some(last) = &shard.last_run else {
            return;
        };
        let run = self.run_of(shard.shard);
        let (word, hint) = match shard.state {
            PipelineState::Failed => (
                "failed",
                format!(
                    "correct the cause, then `{run}`; `{} show {}{}` lists its calls",
                    program(),
                    last.run_id,
                    lake_flag(&self.status.lake)
                ),
            ),
            PipelineState::Stopped => (
                "was stopped",
                format!("when there is budget, quota or balance again: `{run}` continues it"),
            ),
            PipelineState::Interrupted => ("was interrupted", format!("`{run}` continues it")),
            PipelineState::Complete
            | PipelineState::Partial
            | PipelineState::Running
            | PipelineState::NeverRun
            | PipelineState::Held
            | PipelineState::Killed => return,
        };
        let reason = last.reason.as_deref().map(escaped_line);
        let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
        let message = format!("the run {} {word}{reason}", last.run_id);
        let of = (HealthKind::LastRun, shard.shard, last.run_id.as_str());
        self.add_run(of, message, hint);
    }

    fn schedule(&mut self, shard: &ShardStatus) {
        let Some(due) = &self.status.schedule else {
            return;
        };
        let is_missed = match shard.snapshot_at {
            // A run that is under way when another is due does its work.
            _ if shard.running.is_some() => false,
            Some(last) => is_missed(due, last, self.status.now),
            // A pipeline that is new has time until its first due time.
            None => {
                let new_since = self.status.changed_at;
                new_since.is_none_or(|at| at < due.due_at)
                    && self.status.now - due.due_at > grace(due)
            }
        };
        if is_missed {
            let due_at = due.due_at.format("%Y-%m-%d %H:%M UTC");
            let last = match shard.snapshot_at {
                Some(last) => format!("the newest is of {}", last.format("%Y-%m-%d %H:%M UTC")),
                None => "it has none".to_owned(),
            };
            let message = format!("no run for {due_at}, when `schedule` was due: {last}");
            let run = self.run_of(shard.shard);
            let hint = format!(
                "check the scheduler and its log; `{run} --snapshot-at scheduled` catches up"
            );
            self.add(HealthKind::MissedSchedule, shard.shard, message, hint);
        }
    }

    /// Finds shards that did not take part in the newest run of the others.
    fn missing_shards(&mut self) {
        let status = self.status;
        let newest = status.shards.iter().max_by_key(|shard| shard.snapshot_at);
        let Some((newest, newest_at)) = newest.and_then(|s| Some((s, s.snapshot_at?))) else {
            return;
        };
        for shard in &status.shards {
            let is_behind = match shard.snapshot_at {
                None => true,
                // Rehearsals of several shards take one simulated time after the other.
                Some(_) if status.simulated => false,
                Some(at) => newest_at - at > GRACE,
            };
            let is_late = newest.started_at.is_some_and(|at| status.now - at > GRACE);
            let is_told = |problem: &HealthProblem| problem.shard == shard.shard;
            if is_behind
                && (is_late || status.simulated)
                && shard.running.is_none()
                && !self.found.iter().any(is_told)
                && let Some(part) = shard.shard
            {
                let at = newest_at.format("%Y-%m-%d %H:%M:%S UTC");
                let message = format!("shard {part} has no run of {at}, as other shards have");
                let hint = format!("check its machine; `{}`", self.run_of(shard.shard));
                self.add(HealthKind::MissingShard, shard.shard, message, hint);
            }
        }
    }

    fn failing_searches(&mut self) {
        let failing = &self.status.failing_searches;
        let Some(first) = failing.first() else {
            return;
        };
        let named = failing.iter().take(MOST_NAMED).map(name);
        let mut names = named.collect::<Vec<_>>().join(", ");
        if failing.len() > MOST_NAMED {
            names.push_str(", …");
        }
        let error = first.error.as_deref().map(escaped_line);
        let error = error.map_or_else(String::new, |error| format!(": {error}"));
        let message = format!(
            "{} failed in each of the last {FAILING_RUNS} runs ({names}){error}",
            counted(failing.len() as u64, "search")
        );
        let hint = format!(
            "correct or remove them in the pipeline; `{} query \"select keyword, note_id, error from \
             searches where status = 'failed' order by snapshot_at desc limit 100\"{}` lists them",
            program(),
            lake_flag(&self.status.lake)
        );
        self.add(HealthKind::FailingSearches, None, message, hint);
    }

    fn limits(&mut self, limits: &Thresholds) {
        let status = self.status;
        if let Some(max) = limits.max_age {
            self.age(max.as_duration());
        }
        let costs = [
            (
                HealthKind::CostToday,
                "today",
                &status.today,
                limits.max_cost_today,
            ),
            (
                HealthKind::CostMonth,
                "this month",
                &status.month,
                limits.max_cost_month,
            ),
        ];
        for (kind, when, spending, most) in costs {
            if let Some((most, cost)) = most.and_then(|most| Some((most, over(spending, most)?))) {
                let message = format!("{cost} spent {when}, more than {}", priced(most, None));
                let hint = "lower `cost_per_day` in the pipeline, or run it less often".to_owned();
                self.add(kind, None, message, hint);
            }
        }
        for shard in &status.shards {
            self.counts(shard, limits);
        }
    }

    fn age(&mut self, most: Duration) {
        let most_s = i64::try_from(most.as_secs()).unwrap_or(i64::MAX);
        let most = spelled(most_s);
        let message = match self.status.age_seconds {
            Some(age) if age > most_s => {
                format!("the newest data is {} old, more than {most}", spelled(age))
            }
            Some(_) => return,
            None => format!("there is no complete run, and data of the last {most} is asked for"),
        };
        let hint = format!("check the scheduler and its log, or run `{}`", self.run);
        self.add(HealthKind::Age, None, message, hint);
    }

    fn counts(&mut self, shard: &ShardStatus, limits: &Thresholds) {
        let Some(last) = &shard.last_run else {
            return;
        };
        let (program, flag) = (program(), lake_flag(&self.status.lake));
        let (id, run) = (&last.run_id, self.run_of(shard.shard));
        let failed = if last.searches_failed == 1 {
            "1 failed search".to_owned()
        } else {
            format!("{} failed searches", grouped(last.searches_failed))
        };
        let rejects = counted(last.rejects, "reject");
        let drift = format!("{} outside the contract", counted(last.drift, "value"));
        if is_above(last.searches_failed, limits.max_failed_searches) {
            let hint = format!("`{run} --resume failed` asks for them again");
            let message = format!("{failed} in the run {id}");
            self.add(HealthKind::FailedSearches, shard.shard, message, hint);
        }
        if is_above(last.rejects, limits.max_rejects) {
            let hint = format!(
                "`{program} query \"select reason, count(*) from rejects where run_id = '{id}' group \
                 by all\"{flag}` says why"
            );
            let message = format!("{rejects} in the run {id}");
            self.add(HealthKind::Rejects, shard.shard, message, hint);
        }
        if is_above(last.drift, limits.max_drift) {
            let hint = format!(
                "`{program} query \"select path, kind, count from drift where run_id = '{id}'\"{flag}` \
                 lists them"
            );
            let message = format!("{drift} in the run {id}");
            self.add(HealthKind::Drift, shard.shard, message, hint);
        }
    }
}

fn is_above(count: u64, most: Option<u64>) -> bool {
    most.is_some_and(|most| count > most)
}

/// Returns the first amount that is above `most`, with its currency.
fn over(spending: &Spending, most: f64) -> Option<String> {
    // Ledgers of the version before have no currency. Their costs count with each.
    let unnamed = spending.costs.iter().filter(|sum| sum.currency.is_none());
    let unnamed: f64 = unnamed.map(|sum| sum.cost).sum();
    let named = spending.costs.iter().filter(|sum| sum.currency.is_some());
    let named = named.map(|sum| (sum.cost + unnamed, sum.currency.as_deref()));
    let mut sums = named.chain([(unnamed, None)]);
    let (cost, currency) = sums.find(|(cost, _)| *cost > most)?;
    Some(priced(cost, currency))
}

/// Returns the name of a search for people.
fn name(search: &FailingSearch) -> String {
    let subject = search.keyword.as_deref().or(search.note_id.as_deref());
    let subject = subject.unwrap_or(&search.search_id);
    escaped_line(&format!("{} {subject}", search.endpoint)).to_string()
}

/// Returns true if a time of the schedule passed without a run. `last` is the snapshot time of the
/// newest run.
fn is_missed(due: &DueTimes, last: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    let is_behind = due.previous_at.is_some_and(|previous| last < previous);
    last < due.due_at && (is_behind || now - due.due_at > grace(due))
}

/// Returns the delay after a due time that is no problem: [`GRACE`], or half the interval if that is
/// shorter.
fn grace(due: &DueTimes) -> TimeDelta {
    let interval = due.previous_at.map(|previous| due.due_at - previous);
    interval.map_or(GRACE, |interval| GRACE.min(interval / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        format!("2026-03-09T{text}Z").parse().expect("a time")
    }

    fn due(previous: &str, newest: &str) -> DueTimes {
        DueTimes {
            cron: String::new(),
            due_at: at(newest),
            previous_at: Some(at(previous)),
            next_at: None,
        }
    }

    #[test]
    fn a_due_time_is_missed_after_a_while_or_when_the_one_before_is_missed_too() {
        let hourly = due("11:00:00", "12:00:00");
        let missed = |last, now| is_missed(&hourly, at(last), at(now));
        assert!(!missed("12:00:00", "12:59:59"));
        assert!(!missed("11:00:00", "12:14:59"));
        assert!(missed("11:00:00", "12:15:01"));
        assert!(missed("10:00:00", "12:00:01"));
        let often = due("11:55:00", "12:00:00");
        assert!(!is_missed(&often, at("11:55:00"), at("12:02:30")));
        assert!(is_missed(&often, at("11:55:00"), at("12:02:31")));
    }
}
