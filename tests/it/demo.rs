//! The main job on the built-in sandbox.

use serde_json::json;

use crate::support::{Lake, fail, repository, succeed};

#[test]
fn the_report_accounts_for_every_search_call_and_row() {
    let lake = Lake::new();
    let report = lake.run(&repository("pipelines/demo.yaml"), &[]);
    assert_eq!(report["pipeline"], "demo");
    assert_eq!(report["status"], "complete");
    assert_eq!(report["snapshot_at"], "2026-03-09T04:00:00Z");
    assert_eq!(
        report["searches"],
        json!({"planned": 35, "done": 35, "failed": 0})
    );
    assert_eq!(report["rejects"], 0);
    assert_eq!(report["drift"], 0);
    // Six keywords in two orders three pages deep; users until the empty page; twenty details.
    assert_eq!(
        report["stops"],
        json!({"max_pages": 12, "empty": 3, "single": 20})
    );
    let sent = &report["requests"]["sent"];
    assert_eq!(report["requests"]["billed"], *sent);
    assert_eq!(report["pages"], *sent);
    let priced = sent.as_f64().expect("a number") - 20.0;
    assert_eq!(report["cost"], json!(priced / 10.0));
    for (table, rows) in report["rows"].as_object().expect("rows by table") {
        assert_eq!(
            lake.value(&format!("select count(*) from {table}")),
            *rows,
            "{table}"
        );
    }
    assert_eq!(lake.value("select count(*) from requests"), *sent);
    assert_eq!(lake.value("select count(*) from search_pages"), *sent);
    assert_eq!(
        lake.value("select sum(item_count)::bigint from search_pages"),
        report["items"]
    );
    assert_eq!(
        lake.value("select count(*) from requests where billed = 'yes'"),
        *sent
    );
    let run = &lake.query("select status, searches_planned, requests, cost from runs")[0];
    assert_eq!(run["status"], "complete");
    assert_eq!(run["searches_planned"], 35);
    assert_eq!(run["requests"], *sent);
    assert_eq!(run["cost"], report["cost"]);
}

#[test]
fn the_summary_says_what_happened_and_what_to_type_next() {
    let lake = Lake::new();
    let pipeline = repository("pipelines/demo.yaml");
    let output = succeed(&mut lake.redlake(&["run", pipeline.to_str().expect("UTF-8")]));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(text.starts_with("demo: complete in "), "{text}");
    assert!(text.contains("35 of 35 done, 0 failed"), "{text}");
    let next = text.lines().last().expect("a last line").trim();
    let sql = next.split('"').nth(1).expect("a query in quotes");
    assert_eq!(lake.query(sql).len(), 10);
}

#[test]
fn notes_are_one_row_an_endpoint_and_hits_keep_their_places() {
    let lake = Lake::new();
    lake.run(&repository("pipelines/demo.yaml"), &[]);
    for (table, key) in [
        ("notes", "note_id, endpoint"),
        ("engagement", "note_id, endpoint"),
        ("users", "user_id, endpoint"),
        ("user_stats", "user_id, endpoint"),
        ("note_images", "note_id, endpoint, image_index"),
        ("note_videos", "note_id, endpoint, codec, video_index"),
        ("note_tags", "note_id, endpoint, origin, tag_index"),
        ("note_badges", "note_id, endpoint, badge_index"),
        ("search_results", "search_id, page, position"),
        ("search_facets", "search_id, facet_id, option_id"),
        ("notes_latest", "note_id"),
        ("users_latest", "user_id"),
    ] {
        let doubles = format!(
            "select count(*) from (select 1 from {table} group by {key} having count(*) > 1)"
        );
        assert_eq!(lake.value(&doubles), 0, "{table} by {key}");
    }
    // Every hit has its place: pages of general overlap by two, and ranks run on.
    let places = "select count(*) from search_results where rank != (page - 1) * 20 + position";
    assert_eq!(lake.value(places), 0);
    let repeated = "select count(*) from (select 1 from search_results where entity = 'note' \
                    group by search_id, entity_id having count(*) > 1)";
    assert_ne!(lake.value(repeated), 0);
    let new = "select sum(item_count - new_item_count)::bigint from search_pages \
               where endpoint = 'note_search'";
    let repeats = "select (count(*) - count(distinct (search_id, entity_id)))::bigint \
                   from search_results where endpoint = 'note_search' and entity is not null";
    assert_eq!(lake.value(new), lake.value(repeats));
    // A page has the time of its last note that is no paid placement.
    let last = "from search_pages p left join (select search_id, page, \
                max_by(published_at, position) as last_at from search_results \
                join notes using (note_id, endpoint) where not is_ad group by all) \
                using (search_id, page) where endpoint = 'note_search' and item_count > 0";
    let other =
        format!("select count(*) {last} and last_note_published_at is distinct from last_at");
    assert_eq!(lake.value(&other), 0);
    let known = format!("select count(last_note_published_at) {last}");
    assert_eq!(lake.value(&known), 36);
    // Images belong to notes that are there.
    let orphans = "select count(*) from note_images anti join notes using (note_id, endpoint)";
    assert_eq!(lake.value(orphans), 0);
    let counted = "select count(*) from notes where image_count != (select count(*) from \
                   note_images i where i.note_id = notes.note_id and i.endpoint = notes.endpoint)";
    assert_eq!(lake.value(counted), 0);
}

#[test]
fn the_notes_asked_in_detail_are_those_liked_most() {
    let lake = Lake::new();
    lake.run(&repository("pipelines/demo.yaml"), &[]);
    let asked = "select string_agg(note_id, ' ' order by note_id) from notes where endpoint = 'note_detail'";
    let top = "select string_agg(note_id, ' ' order by note_id) from (select note_id from engagement \
               where endpoint = 'note_search' order by liked_count desc, note_id limit 20)";
    assert_eq!(lake.value(asked), lake.value(top));
    // The latest view takes the text from the detail and the cover from the search.
    let merged = "select count(*) from notes_latest where content_text is not null and \
                  cover_url is not null and endpoints like '%note_detail%'";
    assert_eq!(lake.value(merged), 20);
}

#[test]
fn a_second_run_adds_a_second_snapshot_with_grown_counts() {
    let lake = Lake::new();
    let pipeline = repository("pipelines/demo.yaml");
    let first = lake.run(&pipeline, &[]);
    let second = lake.run(&pipeline, &[]);
    assert_eq!(second["snapshot_at"], "2026-03-09T05:00:00Z");
    let seen_twice = lake.query(
        "select note_id, count(*) as n, min_by(liked_count, snapshot_at) as before, \
         max_by(liked_count, snapshot_at) as after from engagement \
         where endpoint = 'note_search' group by note_id having count(*) > 1",
    );
    assert!(
        seen_twice.len() > 400,
        "only {} notes were seen twice",
        seen_twice.len()
    );
    let count = |row: &serde_json::Value, name: &str| row[name].as_i64().expect("a count");
    assert!(seen_twice.iter().all(|r| count(r, "n") == 2));
    assert!(
        seen_twice
            .iter()
            .all(|r| count(r, "after") >= count(r, "before"))
    );
    let grown = seen_twice
        .iter()
        .filter(|r| count(r, "after") > count(r, "before"))
        .count();
    assert!(grown * 2 > seen_twice.len(), "only {grown} notes grew");
    let sum: i64 = seen_twice
        .iter()
        .map(|r| count(r, "after") - count(r, "before"))
        .sum();
    let delta = "select sum(liked_delta)::bigint from engagement_delta_by_endpoint where endpoint = 'note_search'";
    assert_eq!(lake.value(delta), sum);
    assert_eq!(
        lake.value("select count(*) from engagement_delta_by_endpoint where hours != 1"),
        0
    );
    assert_eq!(lake.value("select count(*) from runs"), 2);
    let listed = succeed(&mut lake.redlake(&["runs", "--format", "csv"]));
    let listed = String::from_utf8(listed.stdout).expect("UTF-8");
    for report in [&first, &second] {
        assert!(
            listed.contains(report["run_id"].as_str().expect("an id")),
            "{listed}"
        );
    }
}

#[test]
fn flattening_a_run_again_gives_the_same_bytes() {
    let lake = Lake::new();
    let pipeline = repository("pipelines/demo.yaml");
    lake.run(&pipeline, &[]);
    let before = lake.table_files();
    let raw = lake.raw_files();
    assert_eq!(raw.len(), 2, "one raw file a source");
    // One of the two is enough: the run's other file must not be forgotten.
    let pipeline = pipeline.to_str().expect("UTF-8");
    let one = raw[0].to_str().expect("UTF-8");
    succeed(&mut lake.redlake(&["transform", pipeline, "--raw", one]));
    assert_eq!(before.len(), 14);
    assert_eq!(lake.table_files(), before);
}

/// 1 MiB is less than the rows of the demo, which spill.
#[test]
fn threads_and_memory_do_not_change_the_files() {
    let lake = Lake::new();
    let pipeline = repository("pipelines/demo.yaml");
    lake.run(&pipeline, &["--threads", "1"]);
    let before = lake.table_files();
    let raw = lake.raw_files();
    let (pipeline, raw) = (
        pipeline.to_str().expect("UTF-8"),
        raw[0].to_str().expect("UTF-8"),
    );
    for [threads, memory] in [["2", "256"], ["1", "1"], ["8", "1"]] {
        let limits = ["--threads", threads, "--memory", memory];
        succeed(
            lake.redlake(&["transform", pipeline, "--raw", raw])
                .args(limits),
        );
        assert_eq!(
            lake.table_files(),
            before,
            "{threads} threads, {memory} MiB"
        );
    }
    let none = fail(
        lake.redlake(&["transform", pipeline, "--raw", raw])
            .args(["--memory", "0"]),
    );
    assert_eq!(none.0, 2, "{}", none.1);
}

#[test]
fn extract_keeps_pages_and_ledger_and_transform_makes_the_tables() {
    let lake = Lake::new();
    let pipeline = repository("pipelines/demo.yaml");
    let path = pipeline.to_str().expect("UTF-8");
    let at = ["--snapshot-at", "2026-03-09T12:00:00+08:00"];
    succeed(&mut lake.redlake(&["extract", path, at[0], at[1]]));
    assert_eq!(lake.value("select count(*) from notes"), 0);
    assert_eq!(lake.value("select count(*) from runs"), 1);
    let raw = lake.raw_files();
    succeed(&mut lake.redlake(&["transform", path, "--raw", raw[0].to_str().expect("UTF-8")]));
    let whole = Lake::new();
    whole.run(&pipeline, &at);
    let rows = "select count(*), sum(liked_count)::bigint from engagement";
    assert_eq!(lake.query(rows), whole.query(rows));
}
