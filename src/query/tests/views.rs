//! The views over tables and other views: their columns, and their figures over small lakes.

use std::fmt::Write as _;

use indexmap::IndexMap;

use super::overviews::nine_days;
use super::*;

static RELATIONS: LazyLock<IndexMap<String, Table>> = LazyLock::new(|| {
    let contracts = Contracts::load(None).unwrap_or_else(|e| panic!("{e}"));
    contracts.tables_and_views()
});

pub(super) fn open(lake: &Lake) -> Database {
    Database::open(&lake.root, &RELATIONS, &FileColumns::default())
        .unwrap_or_else(|e| panic!("{e}"))
}

pub(super) fn views() -> impl Iterator<Item = &'static Table> {
    RELATIONS.values().filter(|table| table.query.is_some())
}

#[test]
fn every_view_has_the_columns_of_its_contract_over_an_empty_lake() {
    let lake = Lake::new();
    let database = open(&lake);
    assert_eq!(views().count(), 8);
    for view in views() {
        let name = view.name();
        let columns = format!(
            "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = '{name}' \
             ORDER BY column_index"
        );
        let declared = view.columns.iter();
        let declared = declared.map(|(name, column)| format!("{name}|{}", shown(column)));
        assert_eq!(
            rows(&database, &columns),
            declared.collect::<Vec<_>>(),
            "{name}"
        );
        assert_eq!(
            rows(&database, &format!("SELECT * FROM {name}")),
            [""; 0],
            "{name}"
        );
    }
}

#[test]
fn the_columns_that_a_view_is_created_with_are_those_that_its_query_has() {
    let mut lake = Lake::new();
    lake.add("notes", "note_id, title", &["'a', 'b'"]);
    lake.add(
        "engagement",
        "note_id, liked_count",
        &["'a', 1::INTEGER", "'b', 2"],
    );
    let database = open(&lake);
    let names = rows(
        &database,
        "SELECT view_name FROM duckdb_views() WHERE NOT internal",
    );
    assert_eq!(names.len(), 34);
    for name in names {
        let created = format!(
            "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = '{name}' \
             ORDER BY column_index"
        );
        // The query is bound anew, over the other views.
        let sql = rows(
            &database,
            &format!("SELECT sql FROM duckdb_views() WHERE view_name = '{name}'"),
        );
        let query = sql[0]
            .split_once(" AS ")
            .expect("CREATE VIEW x AS SELECT")
            .1;
        let query = query.trim_end_matches(';');
        let bound = format!("SELECT column_name, column_type FROM (DESCRIBE {query})");
        assert_eq!(rows(&database, &created), rows(&database, &bound), "{name}");
    }
    assert_eq!(rows(&database, "SELECT * FROM duckdb_tables()"), [""; 0]);
}

#[test]
fn a_view_reads_only_what_its_contract_names() {
    let lake = Lake::new();
    for view in views() {
        let query = view.query.as_ref().expect("a view has a query");
        let mut statements = String::new();
        for (relation, columns) in &query.reads {
            let kinds = rows(
                &open(&lake),
                &format!(
                    "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = '{relation}'"
                ),
            );
            let kind = |column: &String| {
                let kinds = kinds.iter().filter_map(|line| line.split_once('|'));
                let mut of_column = kinds.filter(|(name, _)| name == column);
                let (_, kind) = of_column
                    .next()
                    .unwrap_or_else(|| panic!("{relation} has no column {column}"));
                format!("CAST(NULL AS {kind}) AS \"{column}\"")
            };
            let columns: Vec<String> = columns.iter().map(kind).collect();
            let _ = writeln!(
                statements,
                "CREATE VIEW \"{relation}\" AS SELECT {};",
                columns.join(", ")
            );
        }
        let connection = Connection::open_in_memory().expect("DuckDB");
        let created = format!("{statements} CREATE VIEW v AS {}", query.sql);
        let created = connection.execute_batch(&created);
        created.unwrap_or_else(|e| panic!("{}: {e}", view.name()));
    }
}

/// Rows of `engagement` of two pipelines in two time zones, so that a note's snapshots of one instant
/// may lie on two dates.
fn random_counts(seed: u64, lake: &mut Lake) {
    let mut dice = fastrand::Rng::with_seed(seed);
    for run in 0..24 {
        let zone = dice.usize(..2);
        let (pipeline, offset) = [("utc", 0), ("shanghai", 8)][zone];
        let hour = dice.u32(..72);
        let day = |offset: u32| 1 + (hour + offset) / 24;
        let at = format!(
            "TIMESTAMPTZ '2026-03-{:02} {:02}:00:00Z'",
            day(0),
            hour % 24
        );
        let date = format!("2026-03-{:02}", day(offset));
        let mut counts = Vec::new();
        for note in ["a", "b", "c"] {
            for endpoint in ["note_search", "note_detail"] {
                if dice.bool() {
                    let mut count = || match dice.u32(..5) {
                        0 => "NULL".to_owned(),
                        _ => dice.u32(..100).to_string(),
                    };
                    counts.push(format!(
                        "'{note}', '{endpoint}', {at}, {at} + INTERVAL {} MICROSECOND, 'run{run:02}', \
                         '{pipeline}', 'api', {}, {}",
                        // No two runs fetch in the same microsecond. Of two such rows, the merge of
                        // pipelines takes either.
                        run % 7 * 1_000_000 + run,
                        count(),
                        count()
                    ));
                }
            }
        }
        if !counts.is_empty() {
            let counts: Vec<&str> = counts.iter().map(String::as_str).collect();
            let columns = "note_id, endpoint, snapshot_at, fetched_at, run_id, pipeline, source, \
                           liked_count, nice_count";
            lake.add_on(&date, "engagement", columns, &counts);
        }
    }
}

#[test]
fn deltas_are_those_of_a_window_over_all_rows_also_where_dates_overlap() {
    for seed in 0..12 {
        let mut lake = Lake::new();
        random_counts(seed, &mut lake);
        let database = open(&lake);
        let compare = |view: &str, columns: &str, plain: &str| {
            let shown = rows(
                &database,
                &format!("SELECT {columns} FROM {view} ORDER BY ALL"),
            );
            let expected = rows(&database, plain);
            assert!(!expected.is_empty(), "{view}, seed {seed}");
            assert_eq!(shown, expected, "{view}, seed {seed}");
            // A filter on a date gives the rows of that date, compared with those before it.
            let on = |date: &str| format!("SELECT {columns} FROM {view} WHERE dt = '{date}'");
            let dates = rows(&database, "SELECT DISTINCT dt::VARCHAR FROM engagement");
            let by_date = dates.iter().flat_map(|date| rows(&database, &on(date)));
            let mut by_date: Vec<String> = by_date.collect();
            let mut shown = shown;
            by_date.sort();
            shown.sort();
            assert_eq!(by_date, shown, "{view} by date, seed {seed}");
        };
        compare(
            "engagement_delta_by_endpoint",
            "note_id, endpoint, snapshot_at, previous_snapshot_at, liked_delta, nice_delta, run_id",
            "WITH once AS (SELECT * FROM engagement QUALIFY row_number() OVER (PARTITION BY note_id, \
             endpoint, snapshot_at ORDER BY fetched_at DESC, run_id DESC) = 1) \
             SELECT * FROM (SELECT note_id, endpoint, snapshot_at, lag(snapshot_at) OVER w AS previous, \
             liked_count - lag(liked_count) OVER w, nice_count - lag(nice_count) OVER w, run_id \
             FROM once WINDOW w AS (PARTITION BY note_id, endpoint ORDER BY snapshot_at)) \
             WHERE previous IS NOT NULL ORDER BY ALL",
        );
        compare(
            "engagement_delta",
            "note_id, snapshot_at, previous_snapshot_at, liked_delta, nice_delta",
            "WITH merged AS (SELECT note_id, snapshot_at, \
             first(liked_count ORDER BY endpoint, fetched_at DESC) FILTER (liked_count IS NOT NULL) AS likes, \
             first(nice_count ORDER BY endpoint, fetched_at DESC) FILTER (nice_count IS NOT NULL) AS nice \
             FROM engagement GROUP BY note_id, snapshot_at) \
             SELECT * FROM (SELECT note_id, snapshot_at, lag(snapshot_at) OVER w AS previous, \
             likes - lag(likes) OVER w, nice - lag(nice) OVER w \
             FROM merged WINDOW w AS (PARTITION BY note_id ORDER BY snapshot_at)) \
             WHERE previous IS NOT NULL ORDER BY ALL",
        );
    }
}

#[test]
fn pipelines_are_merged_or_told_apart() {
    let mut lake = Lake::new();
    let columns = "note_id, endpoint, pipeline, snapshot_at, fetched_at, run_id, title";
    lake.add(
        "notes",
        columns,
        &[
            "'n', 'note_search', 'brand', TIMESTAMPTZ '2026-03-09 01:00:00Z', NULL, 'r1', 'old'",
            "'n', 'note_search', 'trend', TIMESTAMPTZ '2026-03-09 02:00:00Z', NULL, 'r2', 'new'",
        ],
    );
    assert_eq!(
        lake.query("SELECT note_id, title, last_pipeline FROM notes_latest"),
        ["n|new|trend"]
    );
    assert_eq!(
        lake.query(
            "SELECT note_id, pipeline, title FROM notes_latest_by_pipeline ORDER BY pipeline"
        ),
        ["n|brand|old", "n|trend|new"]
    );
}

#[test]
fn hits_have_the_id_of_their_note_or_user() {
    let mut lake = Lake::new();
    lake.add(
        "search_results",
        "entity, entity_id",
        &["'note', 'n'", "'user', 'u'", "NULL, 'c'"],
    );
    assert_eq!(
        lake.query("SELECT entity_id, note_id, user_id FROM search_results ORDER BY entity_id"),
        ["c||", "n|n|", "u||u"]
    );
}

/// A snapshot, by its hours since the begin of 2026-03-09.
pub(super) fn at(hour: u32) -> String {
    let (day, hour) = (9 + hour / 24, hour % 24);
    format!("TIMESTAMPTZ '2026-03-{day:02} {hour:02}:00:00Z'")
}

/// A search for one keyword that is executed several times: pages in each run, and the hits.
struct Searched {
    lake: Lake,
    sort: &'static str,
    /// True if pages have the time of their last note, as those of older versions do not.
    has_times: bool,
    /// True if pages have the order of their search, as those of older versions do not.
    has_orders: bool,
}

impl Searched {
    fn new(sort: &'static str) -> Self {
        let lake = Lake::new();
        Searched {
            lake,
            sort,
            has_times: true,
            has_orders: true,
        }
    }

    /// Sets whether the pages of the runs that follow have the time of their last note.
    fn with_times(mut self, has_times: bool) -> Self {
        self.has_times = has_times;
        self
    }

    /// Sets whether the pages of the runs that follow have the order of their search.
    fn with_orders(mut self, has_orders: bool) -> Self {
        self.has_orders = has_orders;
        self
    }

    /// Adds the run of an hour: the number of pages, the stop reason of the last one (SQL), and the
    /// notes, each with the hour of its publication.
    fn run(mut self, hour: u32, pages: u32, stop: &str, notes: &[(&str, u32)]) -> Self {
        let run = format!("'run{hour}', {}", at(hour));
        let order = if self.has_orders {
            format!("'{}'", self.sort)
        } else {
            "NULL::VARCHAR".to_owned()
        };
        let pages: Vec<String> = (1..=pages)
            .map(|page| {
                let stop = if page == pages { stop } else { "NULL" };
                let last = notes.last().filter(|_| self.has_times && page == pages);
                let last = last.map_or("NULL::TIMESTAMPTZ".to_owned(), |(_, hour)| at(*hour));
                format!(
                    "{run}, 's', 'k', {page}, {}, {stop}, {last}, {order}",
                    notes.len()
                )
            })
            .collect();
        let hits = notes.iter().enumerate().map(|(i, (note, _))| {
            format!(
                "{run}, 's', 'k', '{}', 'note', '{note}', {}, false",
                self.sort,
                i + 1
            )
        });
        let hits: Vec<String> = hits.collect();
        let seen = notes.iter().map(|(note, published)| {
            format!("{run}, '{note}', 'note_search', 'p', {}", at(*published))
        });
        let seen: Vec<String> = seen.collect();
        let files = [
            (
                "search_pages",
                "search_id, keyword, page, item_count, stop, last_note_published_at, sort",
                pages,
            ),
            (
                "search_results",
                "search_id, keyword, sort, entity, entity_id, rank, is_ad",
                hits,
            ),
            ("notes", "note_id, endpoint, pipeline, published_at", seen),
        ];
        for (table, columns, rows) in files {
            let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
            if !rows.is_empty() {
                self.lake
                    .add(table, &format!("run_id, snapshot_at, {columns}"), &rows);
            }
        }
        self
    }

    /// Adds a request for a note that is gone.
    fn gone(mut self, hour: u32, note: &str) -> Self {
        let row = format!(
            "'run{hour}', {}, 'd', NULL, 1, 0, 'gone', '{note}'",
            at(hour)
        );
        let columns = "run_id, snapshot_at, search_id, keyword, page, item_count, stop, note_id";
        self.lake.add("search_pages", columns, &[&row]);
        self
    }

    /// The state of each note, with the hours of its times as in [`at`].
    fn states(&self) -> Vec<String> {
        let hours = ["last_seen_at", "missing_since", "gone_since"]
            .map(|column| format!("date_diff('hour', {}, {column})", at(0)));
        let hours = hours.join(", ");
        rows(
            &open(&self.lake),
            &format!("SELECT note_id, status, {hours} FROM note_lifecycle ORDER BY note_id"),
        )
    }
}

#[test]
fn a_note_is_missing_once_a_look_at_least_as_deep_does_not_return_it() {
    let searched = Searched::new("general")
        .run(1, 2, "'max_pages'", &[("a", 0), ("b", 0)])
        // Not as deep, then cut short, then empty: nothing is known of b.
        .run(2, 1, "'known_share'", &[("a", 0)])
        .run(3, 2, "NULL", &[("a", 0)])
        .run(4, 2, "'empty'", &[]);
    assert_eq!(searched.states(), ["a|seen|3||", "b|seen|1||"]);
    let searched =
        searched
            .run(5, 2, "'max_pages'", &[("a", 0)])
            .run(6, 2, "'max_pages'", &[("a", 0)]);
    assert_eq!(searched.states(), ["a|seen|6||", "b|missing|1|5|"]);
    // A shorter list that was seen to its end is as deep as any.
    let searched = searched.run(7, 1, "'short_page'", &[("c", 0)]);
    assert_eq!(
        searched.states(),
        ["a|missing|6|7|", "b|missing|1|5|", "c|seen|7||"]
    );
    assert_eq!(
        searched.run(8, 1, "'short_page'", &[("b", 0)]).states(),
        ["a|missing|6|7|", "b|seen|8||", "c|missing|7|8|"]
    );
    // Also if the find was deeper than any look that was completed.
    let searched = Searched::new("general").run(1, 3, "NULL", &[("a", 0)]).run(
        2,
        1,
        "'short_page'",
        &[("b", 0)],
    );
    assert_eq!(searched.states(), ["a|missing|1|2|", "b|seen|2||"]);
}

#[test]
fn in_the_order_newest_a_look_counts_only_for_notes_that_are_newer_than_its_last_hit() {
    for (before, after) in [(true, true), (false, false), (false, true), (true, false)] {
        let searched = Searched::new("newest")
            .with_times(before)
            .run(
                5,
                1,
                "'max_pages'",
                &[("new", 4), ("middle", 3), ("old", 2)],
            )
            .run(8, 1, "'max_pages'", &[("newest", 7), ("new", 4)])
            .with_times(after)
            .run(9, 1, "'max_pages'", &[("newest", 7), ("old", 2)]);
        assert_eq!(
            searched.states(),
            [
                "middle|missing|5|9|",
                "new|missing|8|9|",
                "newest|seen|9||",
                "old|seen|9||"
            ],
            "{before} {after}"
        );
        // `old` fell off the page, since newer notes are on it.
        let searched = searched.run(10, 1, "'max_pages'", &[("newest", 7), ("middle", 3)]);
        assert_eq!(
            searched.states(),
            [
                "middle|seen|10||",
                "new|missing|8|9|",
                "newest|seen|10||",
                "old|seen|9||"
            ],
            "{before} {after}"
        );
        // The list was seen to its end.
        let searched = searched.run(11, 1, "'short_page'", &[("newest", 7)]);
        assert_eq!(
            searched.states(),
            [
                "middle|missing|10|11|",
                "new|missing|8|9|",
                "newest|seen|11||",
                "old|missing|9|11|"
            ],
            "{before} {after}"
        );
    }
}

#[test]
fn pages_of_older_versions_do_not_tell_the_order_of_their_search() {
    let deep = "'max_pages'";
    for (before, after) in [(true, true), (false, false), (false, true), (true, false)] {
        let general = Searched::new("general")
            .with_orders(before)
            .run(1, 2, deep, &[("a", 0), ("b", 0)])
            .with_orders(after)
            // In the order newest, this would be a look that did not reach b.
            .run(2, 2, deep, &[("a", 3)]);
        assert_eq!(
            general.states(),
            ["a|seen|2||", "b|missing|1|2|"],
            "{before} {after}"
        );
        let newest = Searched::new("newest")
            .with_orders(before)
            .run(5, 1, deep, &[("a", 4), ("b", 3)])
            .with_orders(after)
            // In another order, b would be missing.
            .run(6, 1, deep, &[("c", 5), ("a", 4)])
            .run(7, 1, deep, &[("c", 5), ("d", 1)]);
        assert_eq!(
            newest.states(),
            [
                "a|missing|6|7|",
                "b|missing|5|7|",
                "c|seen|7||",
                "d|seen|7||"
            ],
            "{before} {after}"
        );
    }
}

#[test]
fn in_the_order_newest_looks_of_the_same_day_and_of_later_days_count() {
    let deep = "'max_pages'";
    let searched = Searched::new("newest")
        // It went back to hour 2, but before the notes were seen last.
        .run(5, 1, deep, &[("a", 4), ("b", 3), ("c", 2)])
        .run(6, 1, deep, &[("a", 4), ("b", 3), ("c", 2)])
        .run(22, 1, deep, &[("d", 21), ("b", 3)])
        .run(25, 1, deep, &[("e", 24)])
        .run(30, 1, deep, &[("e", 24), ("d", 21)])
        .run(50, 1, deep, &[("e", 24), ("c", 2)])
        .run(55, 1, deep, &[("e", 24), ("f", 1)]);
    assert_eq!(
        searched.states(),
        [
            // Of the same day.
            "a|missing|6|22|",
            // The look at 25 did not reach it, nor did that at 30.
            "b|missing|22|50|",
            "c|missing|50|55|",
            "d|missing|30|50|",
            "e|seen|55||",
            "f|seen|55||"
        ]
    );
}

#[test]
fn a_whole_list_in_the_order_newest_counts_also_if_its_last_note_has_no_publication_time() {
    for has_times in [true, false] {
        let mut searched = Searched::new("newest")
            .with_times(has_times)
            .run(5, 1, "'max_pages'", &[("a", 4), ("b", 3)])
            .with_times(false);
        let at8 = format!("'run8', {}", at(8));
        let page = format!("{at8}, 's', 'k', 1, 1, 'short_page'");
        let hit = format!("{at8}, 's', 'k', 'newest', 'note', 'c', 1, false");
        let note = format!("{at8}, 'c', 'note_search', 'p'");
        for (table, columns, row) in [
            (
                "search_pages",
                "search_id, keyword, page, item_count, stop",
                page,
            ),
            (
                "search_results",
                "search_id, keyword, sort, entity, entity_id, rank, is_ad",
                hit,
            ),
            ("notes", "note_id, endpoint, pipeline", note),
        ] {
            let columns = format!("run_id, snapshot_at, {columns}");
            searched.lake.add(table, &columns, &[&row]);
        }
        assert_eq!(
            searched.states(),
            ["a|missing|5|8|", "b|missing|5|8|", "c|seen|8||"],
            "{has_times}"
        );
    }
}

#[test]
fn a_note_is_gone_once_a_request_for_it_says_so_until_it_is_seen_again() {
    let searched = Searched::new("general")
        .run(1, 1, "'max_pages'", &[("a", 0), ("b", 0)])
        .gone(2, "a")
        .gone(3, "a")
        .gone(1, "b");
    assert_eq!(searched.states(), ["a|gone|1||2", "b|gone|1||1"]);
    let searched = searched.run(4, 1, "'max_pages'", &[("a", 0)]);
    assert_eq!(searched.states(), ["a|seen|4||", "b|gone|1|4|1"]);
}

#[test]
fn edits_are_told_once_with_the_text_before_and_after() {
    let mut lake = Lake::new();
    let columns = "note_id, endpoint, pipeline, snapshot_at, fetched_at, run_id, title, description, content_text";
    let row = |endpoint: &str, pipeline: &str, hour: u32, texts: &str| {
        let at = at(hour);
        format!("'n', '{endpoint}', '{pipeline}', {at}, {at}, 'r{hour}', {texts}")
    };
    let all = [
        row("note_search", "p", 1, "'old', 'cut', NULL"),
        row("note_detail", "p", 1, "'old', NULL, 'whole'"),
        row("note_search", "p", 2, "'old', 'cut', NULL"),
        row("note_detail", "p", 3, "'new', NULL, 'whole 2'"),
        row("note_search", "p", 4, "'new', 'cut', NULL"),
        // Another pipeline hashes titles: its first row is no edit.
        row("note_search", "q", 5, "'hash', 'cut', NULL"),
        row("note_search", "p", 6, "NULL, 'cut', NULL"),
    ];
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    lake.add("notes", columns, &all);
    assert_eq!(
        rows(
            &open(&lake),
            "SELECT field, before, after, hour(previous_snapshot_at), hour(snapshot_at), endpoints, pipelines \
             FROM note_edits ORDER BY snapshot_at, field"
        ),
        [
            "content_text|whole|whole 2|1|3|note_detail|p",
            "title|old|new|1|3|note_detail,note_search|p",
            "title|new||4|6|note_search|p",
        ]
    );
}

#[test]
fn dimensions_describe_dates_keywords_and_pipelines() {
    let lake = nine_days();
    let database = open(&lake);
    assert_eq!(
        rows(
            &database,
            "SELECT * FROM dim_date WHERE date = DATE '2027-01-01'"
        ),
        [""; 0]
    );
    assert_eq!(
        rows(
            &database,
            "SELECT * FROM dim_date WHERE date IN (DATE '2016-01-03', DATE '2026-12-31') ORDER BY date"
        ),
        [
            "2016-01-03|2016|1|1|2016-01-01|2015|53|2015-12-28|7|Sunday|true",
            "2026-12-31|2026|4|12|2026-12-01|2026|53|2026-12-28|4|Thursday|false"
        ]
    );
    assert_eq!(
        rows(&database, "SELECT * FROM dim_keyword ORDER BY keyword"),
        ["brand|brands|兰蔻|own", "brand|topics|防晒|"]
    );
    assert_eq!(
        rows(
            &database,
            "SELECT pipeline, timezone, runs FROM dim_pipeline"
        ),
        ["brand|Asia/Shanghai|4"]
    );
}
