//! Several machines that share a pipeline.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::{Lake, SandboxProcess, fail, succeed};

fn pipeline(lake: &Lake, limits: &str) -> PathBuf {
    lake.write(
        "shared.yaml",
        &format!(
            "
version: 1
pipeline: shared
source: {{name: justoneapi}}
keyword_sets: {{words: [a, b, c, d, e, f, g, h, i, j, k, l]}}
extract:
  - {{endpoint: note_search, keywords: [words], filters: {{sort: [general, newest]}}, pages: {{max: 1}}}}
limits: {{requests_per_second: 1000, concurrency: 8{limits}}}
price: {{note_search: 0.1, currency: CNY}}
"
        ),
    )
}

#[test]
fn together_the_shards_ask_for_each_search_once() {
    let sandbox = SandboxProcess::with(&["--frozen"]);
    let lake = Lake::new();
    let pipeline = pipeline(&lake, "");
    let path = pipeline.to_str().expect("UTF-8");
    for shard in ["1/3", "2/3", "3/3"] {
        succeed(&mut sandbox.redlake(&lake, &["run", path, "--shard", shard], "sandbox"));
    }
    let asked = "select count(*) as n, count(distinct search_id) as searches from requests";
    assert_eq!(lake.query(asked)[0]["n"], 24);
    assert_eq!(lake.query(asked)[0]["searches"], 24);
    let runs = lake.query("select shard, searches_planned, plan_hash from runs order by shard");
    let planned = runs
        .iter()
        .map(|r| r["searches_planned"].as_u64().expect("a number"));
    assert_eq!(planned.sum::<u64>(), 24);
    let shards: Vec<&Value> = runs.iter().map(|r| &r["shard"]).collect();
    assert_eq!(shards, ["1/3", "2/3", "3/3"]);
    assert!(runs.iter().all(|r| r["plan_hash"] == runs[0]["plan_hash"]));
    // The same part is the same searches the next time.
    let first = "select distinct search_id from requests semi join \
                 (select run_id from runs where shard = '1/3') using (run_id) order by 1";
    let before = lake.query(first);
    succeed(&mut sandbox.redlake(&lake, &["run", path, "--shard", "1/3"], "sandbox"));
    assert_eq!(lake.query(first), before);
}

#[test]
fn the_shards_share_the_budgets() {
    let sandbox = SandboxProcess::with(&["--frozen"]);
    let lake = Lake::new();
    let pipeline = pipeline(&lake, ", requests_per_day: 10");
    let path = pipeline.to_str().expect("UTF-8");
    for shard in ["1/2", "2/2"] {
        let args = ["run", path, "--shard", shard];
        let output = sandbox.redlake(&lake, &args, "sandbox").output();
        assert_eq!(output.expect("the binary starts").status.code(), Some(5));
    }
    assert_eq!(sandbox.calls().len(), 10);
}

#[test]
fn what_cannot_be_divided_is_told_before_any_call() {
    let lake = Lake::new();
    let pipeline = pipeline(&lake, ", requests_per_run: 9");
    let path = pipeline.to_str().expect("UTF-8");
    for (shard, said) in [
        ("1/9", "concurrency: 8 cannot be divided among 9 shards"),
        ("0/4", "`0/4` is not a shard"),
        ("5/4", "`5/4` is not a shard"),
        ("x", "`x` is not a shard"),
    ] {
        for command in ["run", "plan"] {
            let (code, stderr) = fail(&mut lake.redlake(&[command, path, "--shard", shard]));
            assert_eq!(code, 2, "{shard}");
            assert!(stderr.contains(said), "{shard}: {stderr}");
        }
    }
}

#[test]
fn a_run_of_another_division_is_closed_and_not_lost() {
    let sandbox = SandboxProcess::with(&["--frozen"]);
    let lake = Lake::new();
    let pipeline = pipeline(&lake, ", requests_per_run: 10");
    let path = pipeline.to_str().expect("UTF-8");
    let args = ["run", path, "--shard", "1/2"];
    let output = sandbox.redlake(&lake, &args, "sandbox").output();
    let output = output.expect("the binary starts");
    assert_eq!(output.status.code(), Some(5));
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(
        stdout.contains(" --shard 1/2    # continues this run"),
        "{stdout}"
    );
    // The other part leaves it alone, and is not alarmed by it.
    let other = ["run", path, "--shard", "2/2"];
    let output = sandbox.redlake(&lake, &other, "sandbox").output();
    let stderr = String::from_utf8_lossy(&output.expect("it starts").stderr).into_owned();
    assert!(!stderr.contains("WARN"), "{stderr}");
    let stopped = "select count(*) from runs where status = 'stopped'";
    assert_eq!(lake.value(stopped), 2);
    // Undivided, both are closed.
    let whole = sandbox.redlake(&lake, &["run", path], "sandbox").output();
    let stderr = String::from_utf8_lossy(&whole.expect("it starts").stderr).into_owned();
    assert!(
        stderr.contains("the shards of the pipeline have changed"),
        "{stderr}"
    );
    let runs = "select status, reason from runs where shard is not null group by all";
    assert_eq!(
        lake.query(runs),
        [json!({
            "status": "partial",
            "reason": "closed: the shards of the pipeline have changed"
        })]
    );
}
