//! The metrics of `redlake status`.

use super::{Gauge, Gauges, MetricsFile, flag, labels, timestamp, write_or_warn};
use crate::clock;
use crate::maintenance::status::spending::Spending;
use crate::maintenance::status::state::{LakeStatus, PipelineState, PipelineStatus};

const HEALTHY: Gauge = Gauge(
    "redlake_status_healthy",
    "1 if `redlake status` found no problem, 0 otherwise.",
);
const PROBLEMS: Gauge = Gauge("redlake_status_problems", "Problems by kind and pipeline.");
const AT: Gauge = Gauge(
    "redlake_status_timestamp_seconds",
    "Time of the last `redlake status`.",
);
const STATE: Gauge = Gauge(
    "redlake_pipeline_state",
    "1 for the state of a pipeline or shard, 0 for the others.",
);
const DATA: Gauge = Gauge(
    "redlake_pipeline_data_timestamp_seconds",
    "Logical time of the newest complete or partial run.",
);
const AGE: Gauge = Gauge(
    "redlake_pipeline_data_age_seconds",
    "Age of the newest data; 0 in the sandbox.",
);
const CALLS: Gauge = Gauge(
    "redlake_pipeline_calls",
    "Calls today and in this month, in the time zone of the pipeline.",
);
const COST: Gauge = Gauge(
    "redlake_pipeline_cost",
    "Cost today and in this month, in the time zone of the pipeline.",
);
const FAILING: Gauge = Gauge(
    "redlake_pipeline_failing_searches",
    "Searches that failed in each of the last 3 runs.",
);
const HELD: Gauge = Gauge("redlake_pipeline_held_runs", "Runs whose tables are held.");
const KILLED: Gauge = Gauge(
    "redlake_pipeline_killed_runs",
    "Runs that were killed before their commit and were not continued.",
);
const FREE: Gauge = Gauge(
    "redlake_lake_free_bytes",
    "Free space on the disk of the lake.",
);
const TABLES: Gauge = Gauge("redlake_lake_table_bytes", "Size of tables and marts.");
const RAW: Gauge = Gauge("redlake_lake_raw_bytes", "Size of the raw files.");
const UNCOMPACTED: Gauge = Gauge(
    "redlake_lake_uncompacted_days",
    "Past days that have something to compact.",
);
const VERIFIED: Gauge = Gauge(
    "redlake_lake_last_verify_timestamp_seconds",
    "Time of the last `redlake verify`.",
);
const DAMAGED: Gauge = Gauge(
    "redlake_lake_verify_problems",
    "Problems that the last `redlake verify` found.",
);

/// Writes the metrics of lakes and their pipelines. `problems` are kind and pipeline of each problem;
/// `None` if the state could not be found out.
pub fn write(to: &MetricsFile, lakes: &[LakeStatus], problems: Option<&[(String, String)]>) {
    let Some(file) = &to.metrics_file else {
        return;
    };
    let mut gauges = Gauges::default();
    // A label of its own for each pipeline: files of several pipelines may lie in one folder.
    for pipeline in lakes.iter().flat_map(|lake| &lake.pipelines) {
        let name = pipeline.pipeline.as_str();
        let is_of = |of: &str| of.is_empty() || of == name;
        let is_healthy = problems.is_some_and(|all| !all.iter().any(|(_, of)| is_of(of)));
        gauges.add(HEALTHY, labels(&[("pipeline", name)]), flag(is_healthy));
        let now = timestamp(clock::now());
        gauges.add(AT, labels(&[("pipeline", name)]), now);
    }
    let mut counted: std::collections::BTreeMap<(&str, &str), u64> = Default::default();
    for (kind, pipeline) in problems.unwrap_or_default() {
        *counted.entry((kind, pipeline)).or_default() += 1;
    }
    for ((kind, pipeline), number) in counted {
        let of = labels(&[("kind", kind), ("pipeline", pipeline)]);
        gauges.add(PROBLEMS, of, number as f64);
    }
    for lake in lakes {
        for status in &lake.pipelines {
            add_pipeline(&mut gauges, status);
        }
        if lake.exists {
            add_lake(&mut gauges, lake);
        }
    }
    write_or_warn(file, gauges);
}

fn add_pipeline(gauges: &mut Gauges, status: &PipelineStatus) {
    let lake = status.lake.to_string_lossy();
    let of = |more: &[(&str, &str)]| {
        let mut all = labels(&[("pipeline", &status.pipeline), ("lake", &lake)]);
        all.extend(labels(more));
        all
    };
    for shard in &status.shards {
        let part = shard.shard.map(|shard| shard.to_string());
        let part = part.unwrap_or_default();
        for state in PipelineState::ALL {
            let labels = of(&[("shard", &part), ("state", state.as_str())]);
            gauges.add(STATE, labels, flag(state == shard.state));
        }
    }
    if let Some(at) = status.data_at {
        gauges.add(DATA, of(&[]), timestamp(at));
    }
    if let Some(age) = status.age_seconds {
        gauges.add(AGE, of(&[]), age as f64);
    }
    for (period, Spending { calls, costs }) in [("today", &status.today), ("month", &status.month)]
    {
        gauges.add(CALLS, of(&[("period", period)]), *calls as f64);
        for sum in costs {
            let currency = sum.currency.as_deref().unwrap_or_default();
            let labels = of(&[("period", period), ("currency", currency)]);
            gauges.add(COST, labels, sum.cost);
        }
    }
    for (gauge, number) in [
        (FAILING, status.failing_searches.len()),
        (HELD, status.held_runs.len()),
        (KILLED, status.lost_runs().count()),
    ] {
        gauges.add(gauge, of(&[]), number as f64);
    }
}

fn add_lake(gauges: &mut Gauges, lake: &LakeStatus) {
    let of = || labels(&[("lake", &lake.lake.to_string_lossy())]);
    if let Some(free) = lake.free_bytes {
        gauges.add(FREE, of(), free as f64);
    }
    gauges.add(TABLES, of(), lake.table_bytes as f64);
    gauges.add(RAW, of(), lake.raw_bytes as f64);
    gauges.add(UNCOMPACTED, of(), lake.uncompacted_days as f64);
    if let Some(last) = &lake.verified {
        gauges.add(VERIFIED, of(), timestamp(last.verified_at));
        gauges.add(DAMAGED, of(), last.problems as f64);
    }
}
