//! Costs: exact sums, one currency at a time, and ledgers of the version before.

use std::path::{Path, PathBuf};

use duckdb::Connection;
use serde_json::{Value, json};

use crate::support::{Lake, collect, fail, succeed};

/// A pipeline of this name with two calls at 0.1 each, and more keys.
fn pipeline(lake: &Lake, name: &str, currency: &str, more: &str) -> PathBuf {
    let text = format!(
        "
version: 1
pipeline: {name}
source: {{name: justoneapi, base_url: sandbox}}
keyword_sets: {{words: [兰蔻, 防晒]}}
extract:
  - {{endpoint: note_search, keywords: [words], pages: {{max: 1}}}}
price: {{note_search: 0.1, currency: {currency}}}
load: {{marts: false}}
{more}
"
    );
    lake.write(&format!("{name}.yaml"), &text)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn left_today(lake: &Lake, pipeline: &Path) -> Value {
    let output = succeed(&mut lake.redlake(&["plan", text(pipeline), "--format", "json"]));
    let plan: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    plan["left_today"].clone()
}

#[test]
fn a_thousand_costs_have_an_exact_sum() {
    let lake = Lake::new();
    let words: Vec<String> = (0..1_000).map(|n| format!("word{n}")).collect();
    let limits = "limits: {requests_per_second: 100000, concurrency: 20}";
    let pipeline = pipeline(&lake, "many", "CNY", limits);
    let written = std::fs::read_to_string(&pipeline).expect("a pipeline");
    let written = written.replace("兰蔻, 防晒", &words.join(", "));
    std::fs::write(&pipeline, written).expect("writable");
    let args = ["extract", text(&pipeline), "--format", "json"];
    let output = succeed(&mut lake.redlake(&args));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["requests"]["sent"], 1_000);
    assert_eq!(report["cost"].to_string(), "100.0");
    let sums = "SELECT sum(cost)::VARCHAR AS sum, typeof(any_value(cost)) AS type, \
                any_value(currency) AS currency FROM";
    for (table, sum) in [("requests", "100.000000"), ("runs", "100.000000")] {
        let expected = json!({"sum": sum, "type": "DECIMAL(18,6)", "currency": "CNY"});
        assert_eq!(
            lake.query(&format!("{sums} {table}")),
            [expected],
            "{table}"
        );
    }
    let csv = succeed(&mut lake.redlake(&[
        "query",
        "SELECT sum(cost) AS cost FROM requests",
        "--format",
        "csv",
    ]));
    assert_eq!(String::from_utf8_lossy(&csv.stdout), "cost\n100.000000\n");
    // Programs that read the files find the same type as before.
    let file = format!("{}/tables/requests/*/*.parquet", lake.path().display());
    let kind = format!("SELECT typeof(any_value(cost)) FROM read_parquet('{file}')");
    assert_eq!(lake.value(&kind), "DOUBLE");
}

#[test]
fn two_currencies_are_never_added() {
    let lake = Lake::new();
    let budget = "limits: {cost_per_day: 0.5, requests_per_day: 100}";
    let yuan = pipeline(&lake, "yuan", "CNY", budget);
    let dollars = pipeline(&lake, "dollars", "USD", budget);
    let first = lake.run(&yuan, &[]);
    lake.run(&yuan, &[]);
    // Calls have no currency, so they count in every budget.
    assert_eq!(left_today(&lake, &yuan), json!({"calls": 96, "cost": 0.1}));
    assert_eq!(
        left_today(&lake, &dollars),
        json!({"calls": 96, "cost": 0.5})
    );
    assert_eq!(lake.run(&dollars, &[])["cost"], 0.2);
    let expected = [
        (&yuan, json!({"calls": 94, "cost": 0.1})),
        (&dollars, json!({"calls": 94, "cost": 0.3})),
    ];
    for (pipeline, left) in &expected {
        assert_eq!(left_today(&lake, pipeline), *left);
    }
    // Without journals the ledger counts.
    std::fs::remove_dir_all(lake.path().join("_state/runs")).expect("journals");
    for (pipeline, left) in &expected {
        assert_eq!(left_today(&lake, pipeline), *left);
    }
    let sums = lake.query("SELECT currency, sum(cost) AS cost FROM runs GROUP BY 1 ORDER BY 1");
    let sum = |currency: &str, cost: f64| json!({"currency": currency, "cost": cost});
    assert_eq!(sums, [sum("CNY", 0.4), sum("USD", 0.2)]);
    let runs = succeed(&mut lake.redlake(&["runs", "--format", "csv"]));
    let runs = String::from_utf8_lossy(&runs.stdout).into_owned();
    assert!(runs.contains(",0.200000,CNY,"), "{runs}");
    assert!(runs.contains(",0.200000,USD,"), "{runs}");
    let id = first["run_id"].as_str().expect("an id");
    let shown = succeed(&mut lake.redlake(&["show", id]));
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("| 0.20 CNY |"), "{shown}");
    let pruned = succeed(&mut lake.redlake(&["prune", "--run", id, "--dry-run"]));
    let pruned = String::from_utf8_lossy(&pruned.stdout).into_owned();
    let paid = "  paid for it       2 calls, 2 billed, 0.20 CNY\n";
    assert!(pruned.contains(paid), "{pruned}");
}

#[test]
fn decimals_are_for_numbers() {
    let lake = Lake::new();
    let pipeline = pipeline(&lake, "yuan", "CNY", "");
    let cases = [
        (
            "currency: {type: string",
            "currency: {type: string, decimals: 2",
        ),
        (
            "cost: {type: float64, decimals: 6",
            "cost: {type: float64, decimals: 19",
        ),
    ];
    let messages = [
        "`currency` has decimals, and is of type string",
        "`cost` has more than 18 decimals",
    ];
    for ((old, new), message) in cases.into_iter().zip(messages) {
        let schemas = lake.schemas(&[("tables/requests.yaml", old, new)]);
        let args = ["validate", text(&pipeline), "--schemas", text(&schemas)];
        let (code, said) = fail(&mut lake.redlake(&args));
        assert_eq!(code, 2, "{said}");
        assert!(said.contains(message), "{said}");
        assert!(said.contains("tables/requests.yaml:"), "{said}");
    }
}

/// Takes the currency out of the ledger of a lake, as the version before wrote it.
fn without_currency(lake: &Lake) {
    let duckdb = Connection::open_in_memory().expect("DuckDB");
    for table in ["requests", "runs"] {
        let mut files = Vec::new();
        collect(&lake.path().join("tables").join(table), &mut files);
        for (path, _) in files {
            let (path, new) = (text(&path), path.with_extension("new"));
            let new = text(&new);
            let copy = format!(
                "COPY (SELECT * EXCLUDE currency FROM read_parquet('{path}', \
                 hive_partitioning = false)) TO '{new}' (FORMAT parquet)"
            );
            duckdb.execute_batch(&copy).expect("a copy");
            std::fs::rename(new, path).expect("replaced");
        }
    }
    std::fs::remove_file(lake.path().join("_state/columns.json")).expect("a summary");
    std::fs::remove_dir_all(lake.path().join("_state/runs")).expect("journals");
}

#[test]
fn a_ledger_of_the_version_before_is_summed_and_counts() {
    let lake = Lake::new();
    let budget = "limits: {cost_per_day: 0.5}";
    let yuan = pipeline(&lake, "yuan", "CNY", budget);
    let id = lake.run(&yuan, &[])["run_id"].clone();
    let id = id.as_str().expect("an id");
    without_currency(&lake);
    let left = json!({"calls": null, "cost": 0.3});
    assert_eq!(left_today(&lake, &yuan), left);
    // Its currency is unknown, so it counts in every budget.
    let dollars = pipeline(&lake, "dollars", "USD", budget);
    assert_eq!(left_today(&lake, &dollars), left);
    let shown = succeed(&mut lake.redlake(&["show", id]));
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("| 0.20 |"), "{shown}");
    lake.run(&yuan, &[]);
    let sums = lake.query(
        "SELECT currency, sum(cost)::VARCHAR AS cost FROM requests GROUP BY 1 ORDER BY 1 NULLS LAST",
    );
    let sum = |currency: Value| json!({"currency": currency, "cost": "0.200000"});
    assert_eq!(sums, [sum(json!("CNY")), sum(Value::Null)]);
}

#[test]
fn a_run_that_is_closed_after_the_currency_changed_keeps_its_own() {
    let lake = Lake::new();
    let stopped = pipeline(&lake, "usd", "USD", "limits: {requests_per_run: 1}");
    let (code, _) = fail(&mut lake.redlake(&["run", text(&stopped)]));
    assert_eq!(code, 5);
    // The same searches in another currency are another run, not a continuation.
    let changed = pipeline(&lake, "usd", "CNY", "");
    let report = lake.run(&changed, &[]);
    assert_eq!(report["continued"], false);
    let of_runs = "SELECT currency, sum(cost)::DOUBLE AS cost, sum(billed_requests)::INT AS billed \
                   FROM runs GROUP BY currency ORDER BY currency";
    let expected = [
        json!({"currency": "CNY", "cost": 0.2, "billed": 2}),
        json!({"currency": "USD", "cost": 0.1, "billed": 1}),
    ];
    assert_eq!(lake.query(of_runs), expected);
    let of_calls = "SELECT currency, sum(cost)::DOUBLE AS cost, count(*)::INT AS billed FROM requests \
                    GROUP BY currency ORDER BY currency";
    assert_eq!(lake.query(of_calls), expected);
}

#[test]
fn a_price_that_no_sum_could_hold_is_refused() {
    let lake = Lake::new();
    let dear = pipeline(&lake, "dear", "CNY", "");
    let written = std::fs::read_to_string(&dear).expect("a pipeline");
    std::fs::write(
        &dear,
        written.replace("note_search: 0.1", "note_search: 2e12"),
    )
    .expect("writable");
    let (code, told) = fail(&mut lake.redlake(&["validate", text(&dear)]));
    assert_eq!(code, 2);
    assert!(told.contains("`2e12` is not a price"), "{told}");
}
