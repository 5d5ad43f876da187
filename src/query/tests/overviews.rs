//! The overviews of notes and creators: their figures, and the rows that they read for one id.

use serde_json::Value;

use super::views::{at, open};
use super::*;

/// A lake with two notes over nine days: `a` of the creator `u`, `b` of somebody whose id is hashed.
pub(super) fn nine_days() -> Lake {
    let mut lake = Lake::new();
    let user = "64f000000000000000000001";
    let hashed = "0123456789abcdef".repeat(4);
    let days = [(1, 10), (8, 100), (9, 130), (10, 150)];
    for (i, (day, likes)) in days.into_iter().enumerate() {
        let (at, run) = (format!("TIMESTAMPTZ '2026-03-{day:02} 01:00:00Z'"), i + 1);
        let common = format!("'run{run}', 'brand', 'api', {at}, {at}");
        let columns = "run_id, pipeline, source, snapshot_at, fetched_at";
        let date = format!("2026-03-{day:02}");
        let mut add = |table: &str, more: &str, rows: &[String]| {
            let rows: Vec<String> = rows.iter().map(|row| format!("{common}, {row}")).collect();
            let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
            lake.add_on(&date, table, &format!("{columns}, {more}"), &rows);
        };
        let published = "TIMESTAMPTZ '2026-02-28 17:30:00Z'";
        add(
            "notes",
            "note_id, endpoint, title, author_user_id, published_at",
            &[
                format!("'a', 'note_search', 'A', '{user}', {published}"),
                format!("'a', 'note_detail', 'A', '{user}', {published}"),
                format!("'b', 'note_search', NULL, '{hashed}', NULL"),
            ],
        );
        add(
            "engagement",
            "note_id, endpoint, liked_count, collected_count, comments_count, shared_count",
            &[
                format!("'a', 'note_search', {likes}, 1, 1, 1"),
                format!("'a', 'note_detail', {}, 2, NULL, 1", likes + 1),
                "'b', 'note_search', NULL, NULL, NULL, NULL".to_owned(),
            ],
        );
        add(
            "users",
            "user_id, endpoint, nickname",
            &[
                format!("'{user}', 'user_search', '美妆'"),
                format!("'{hashed}', 'note_search', NULL"),
            ],
        );
        add(
            "user_stats",
            "user_id, endpoint, follower_count",
            &[format!("'{user}', 'user_search', {}", 900 + likes)],
        );
        add(
            "search_results",
            "search_id, keyword, keyword_set, entity, entity_id, rank, is_ad",
            &[
                "'s', '防晒', 'topics', 'note', 'a', 3, false".to_owned(),
                "'t', '兰蔻', 'brands', 'note', 'a', 7, true".to_owned(),
                "'s', '防晒', 'topics', 'note', 'b', 4, false".to_owned(),
            ],
        );
        add(
            "search_pages",
            "search_id, keyword, page, item_count, stop",
            &[
                "'s', '防晒', 1, 2, 'max_pages'".to_owned(),
                "'t', '兰蔻', 1, 1, 'max_pages'".to_owned(),
            ],
        );
        let label = if day < 10 { "NULL" } else { "'own'" };
        add(
            "searches",
            "keyword, keyword_set, keyword_label",
            &[
                format!("'兰蔻', 'brands', {label}"),
                "'防晒', 'topics', NULL".to_owned(),
            ],
        );
        add(
            "runs",
            "started_at, snapshot_date, timezone",
            &[format!("{at}, DATE '{date}', 'Asia/Shanghai'")],
        );
    }
    lake
}

#[test]
fn the_overview_of_a_note_has_its_facts_growth_and_places() {
    let lake = nine_days();
    let database = open(&lake);
    let overview = |columns: &str| {
        rows(
            &database,
            &format!("SELECT note_id, {columns} FROM note_overview ORDER BY note_id"),
        )
    };
    assert_eq!(
        overview("title, nickname, profile_url, published_date, published_hour"),
        [
            "a|A|美妆|https://www.xiaohongshu.com/user/profile/64f000000000000000000001|2026-03-01|1",
            "b|||||"
        ]
    );
    // The detail comes first. It has no comments, so those of the search count.
    assert_eq!(
        overview(
            "snapshots, liked_count, collected_count, comments_count, shared_count, engagement"
        ),
        ["a|4|151|2|1|1|155", "b|4|||||"]
    );
    // 24 h reach back to March 9, 7 days to March 8: March 1 is too old.
    assert_eq!(
        overview("liked_delta_24h, hours_24h, liked_delta_7d, engagement_delta_7d, hours_7d"),
        ["a|20|24.0|50|50|48.0", "b||24.0|||48.0"]
    );
    assert_eq!(
        overview("keywords, best_rank, is_paid, status, last_pipeline"),
        [
            "a|兰蔻, 防晒|3|true|seen|brand",
            "b|防晒|4|false|seen|brand"
        ]
    );
}

#[test]
fn the_overview_of_a_creator_sums_the_newest_counts_of_the_notes() {
    let lake = nine_days();
    assert_eq!(
        rows(
            &open(&lake),
            "SELECT nickname, profile_url IS NOT NULL, follower_count, follower_delta_24h, follower_delta_7d, \
             follower_band, notes, engagement, engagement_per_note, round(engagement_rate, 4), best_rank \
             FROM creator_overview ORDER BY nickname"
        ),
        [
            "美妆|true|1050|20|50|1k-10k|1|155|155.0|0.1476|3",
            "|false|||||1||||4"
        ]
    );
}

/// Rows of `notes`, `engagement` and `users`, of two pipelines: an answer may lack any value, several
/// endpoints may answer in a snapshot, and an endpoint may answer twice in it.
fn random_observations(seed: u64, lake: &mut Lake) {
    let mut dice = fastrand::Rng::with_seed(seed);
    for run in 0..8 {
        let at = at(dice.u32(..4) * 10);
        let pipeline = ["p", "q"][dice.usize(..2)];
        let mut add = |table: &str, id: &str, columns: &str, ids: &[&str], values: &[&[&str]]| {
            let mut rows = Vec::new();
            for endpoint in ["note_search", "note_detail", "user_search"] {
                for id in ids.iter().filter(|_| dice.bool()).collect::<Vec<_>>() {
                    let mut row = format!(
                        "'run{run}', '{pipeline}', 'api', {at}, {at} + INTERVAL {} SECOND, '{id}', \
                         '{endpoint}'",
                        dice.u32(..90) * 8 + run
                    );
                    for values in values {
                        let value = dice.choice(*values).filter(|_| dice.u32(..3) > 0);
                        row.push_str(", ");
                        row.push_str(value.unwrap_or(&"NULL"));
                    }
                    rows.push(row);
                }
            }
            let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
            let columns = format!(
                "run_id, pipeline, source, snapshot_at, fetched_at, {id}, endpoint, {columns}"
            );
            if !rows.is_empty() {
                lake.add(table, &columns, &rows);
            }
        };
        let (notes, users) = (["a", "b", "c"], ["u", "v"]);
        let (texts, times): (&[&str], &[&str]) = (
            &["'x'", "'y'"],
            &[
                "TIMESTAMPTZ '2026-03-01 00:00:00Z'",
                "TIMESTAMPTZ '2026-03-02 00:00:00Z'",
            ],
        );
        let counts: &[&str] = &["1", "20", "300"];
        add(
            "notes",
            "note_id",
            "title, note_type, author_user_id, published_at, note_url",
            &notes,
            &[texts, texts, &["'u'", "'v'"], times, texts],
        );
        add(
            "engagement",
            "note_id",
            "liked_count, collected_count, comments_count, shared_count",
            &notes,
            &[counts; 4],
        );
        add("users", "user_id", "nickname", &users, &[texts]);
    }
}

#[test]
fn overviews_merge_observations_as_the_latest_views_do() {
    for seed in 0..12 {
        let mut lake = Lake::new();
        random_observations(seed, &mut lake);
        let database = open(&lake);
        let counts = "liked_count, collected_count, comments_count, shared_count";
        let facts = "title, note_type, published_at, note_url, last_pipeline";
        let found = rows(
            &database,
            &format!(
                "SELECT note_id, user_id, nickname, snapshots, {facts}, {counts} FROM note_overview ORDER BY 1"
            ),
        );
        let expected = rows(
            &database,
            &format!(
                "SELECT note_id, author_user_id, nickname, snapshots, {facts}, {counts} \
                 FROM (SELECT note_id, count(DISTINCT snapshot_at) AS snapshots FROM notes GROUP BY note_id) \
                 JOIN (SELECT note_id, author_user_id, {facts} FROM notes_latest) \
                 USING (note_id) LEFT JOIN (SELECT note_id, {counts} FROM engagement_latest) USING (note_id) \
                 LEFT JOIN (SELECT user_id AS author_user_id, nickname FROM users_latest) \
                 USING (author_user_id) ORDER BY 1"
            ),
        );
        assert_eq!(found, expected, "seed {seed}");
        assert_eq!(found.len(), 3, "seed {seed}");
        let found = rows(
            &database,
            "SELECT user_id, notes, engagement, last_published_at FROM creator_overview ORDER BY 1",
        );
        let expected = rows(
            &database,
            "SELECT user_id, count(note_id), sum(list_sum([liked_count, collected_count, comments_count, \
             shared_count])::BIGINT)::BIGINT, max(published_at) \
             FROM users_latest LEFT JOIN (SELECT note_id, author_user_id AS user_id, published_at \
             FROM notes_latest) USING (user_id) \
             LEFT JOIN (SELECT note_id, liked_count, collected_count, comments_count, shared_count \
             FROM engagement_latest) USING (note_id) \
             GROUP BY user_id ORDER BY 1",
        );
        assert_eq!(found, expected, "seed {seed}");
        assert_eq!(found.len(), 2, "seed {seed}");
    }
}

/// Rows that a query reads from the files of each table, after filters, scan by scan in ascending order.
fn scanned(database: &Database, sql: &str) -> IndexMap<String, Vec<u64>> {
    let plan = rows(database, &format!("EXPLAIN (ANALYZE, FORMAT JSON) {sql}"));
    let (_, plan) = plan[0].split_once('|').expect("a key and a plan");
    let plan: Value = serde_json::from_str(plan).unwrap_or_else(|e| panic!("{plan}: {e}"));
    let mut scans = IndexMap::<String, Vec<u64>>::new();
    let mut operators = vec![&plan];
    while let Some(operator) = operators.pop() {
        operators.extend(operator["children"].as_array().into_iter().flatten());
        if let Some(files) = operator["extra_info"]["Filename(s)"].as_str() {
            let table = files
                .split("/tables/")
                .nth(1)
                .and_then(|path| path.split('/').next());
            let table = table.unwrap_or_else(|| panic!("no table in {files}"));
            let count = operator["operator_cardinality"].as_u64();
            let count = count.unwrap_or_else(|| panic!("no count of rows in {operator}"));
            scans.entry(table.to_owned()).or_default().push(count);
        }
    }
    scans.values_mut().for_each(|counts| counts.sort_unstable());
    scans
}

#[test]
fn the_overview_of_one_note_or_creator_reads_their_rows_only() {
    let mut lake = Lake::new();
    // Note n<i> of user u<i> was found twice.
    for hour in [1, 2] {
        let at = at(hour);
        let common = format!("'run{hour}', 'p', 'api', {at}, {at}, 'note_search'");
        let mut add = |table: &str, more: &str, values: &dyn Fn(u32) -> String| {
            let rows: Vec<_> = (0..500)
                .map(|i| format!("{common}, {}", values(i)))
                .collect();
            let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
            let columns = "run_id, pipeline, source, snapshot_at, fetched_at, endpoint";
            lake.add(table, &format!("{columns}, {more}"), &rows);
        };
        add("notes", "note_id, author_user_id, title", &|i| {
            format!("'n{i:03}', 'u{i:03}', 'T'")
        });
        add("engagement", "note_id, liked_count", &|i| {
            format!("'n{i:03}', {i}")
        });
        add("users", "user_id, nickname", &|i| {
            format!("'u{i:03}', 'name {i}'")
        });
        add("user_stats", "user_id, follower_count", &|i| {
            format!("'u{i:03}', {i}")
        });
        add("search_results", "entity, entity_id, rank, is_ad", &|i| {
            format!("'note', 'n{i:03}', {}, false", i + 1)
        });
    }
    let database = open(&lake);

    let one = "FROM note_overview WHERE note_id = 'n007'";
    assert_eq!(
        rows(
            &database,
            &format!("SELECT nickname, liked_count, snapshots {one}")
        ),
        ["name 7|7|2"]
    );
    let scans = scanned(&database, &format!("SELECT * {one}"));
    // The newest snapshot is that of all notes.
    assert_eq!(scans["engagement"], [2, 2, 1000]);
    // In a lake as small as this, DuckDB reads all notes for the pages of older versions.
    assert_eq!(scans["notes"], [2, 2, 1000]);
    for table in ["users", "search_results"] {
        assert_eq!(scans[table].iter().max(), Some(&2), "{table}: {scans:?}");
    }

    let one = "FROM creator_overview WHERE user_id = 'u007'";
    assert_eq!(
        rows(
            &database,
            &format!("SELECT nickname, engagement, best_rank {one}")
        ),
        ["name 7|7|8"]
    );
    let scans = scanned(&database, &format!("SELECT * {one}"));
    for table in ["notes", "engagement", "users", "search_results"] {
        assert_eq!(scans[table].iter().max(), Some(&2), "{table}: {scans:?}");
    }
    // The newest snapshot is that of all users.
    assert_eq!(scans["user_stats"].last(), Some(&1000));
}
