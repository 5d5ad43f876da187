//! Whole pages: which count, which of several observations stays, and in which order.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, Schema, TimeUnit};
use proptest::prelude::*;
use proptest::sample::Index;

use super::{Tables, built_in, count, documented, flattened, note_search, notes, page, rows, time};
use crate::raw::page::RawPage;
use crate::transform::contracts::Transform;
use crate::transform::error::TransformError;
use crate::transform::tables::merge::releases;

/// The page with another number, fetched this many seconds after the first.
fn at(mut page: RawPage, number: u32, seconds: i64) -> RawPage {
    page.header.page = number;
    page.header.fetched_at = time("2026-03-09T20:00:01Z") + chrono::Duration::seconds(seconds);
    page
}

/// A group of rows that is larger than the batches a merge holds must not be looked through for each
/// of its rows.
#[test]
fn the_work_for_a_note_grows_with_its_images_and_not_with_their_square() {
    let transform = built_in();
    let looks = |images: usize| {
        let images = vec![r#"{"fileid":"f","width":1,"height":1}"#; images].join(",");
        let note = format!(r#"{{"id":"n","images_list":[{images}]}}"#);
        let item = format!(r#"{{"model_type":"note","note":{note}}}"#);
        let before = releases();
        let page = note_search(format!(r#"{{"code":0,"data":{{"items":[{item}]}}}}"#));
        let tables = flattened(&transform, &[page]);
        let rows = tables.batches["note_images"].num_rows();
        (rows, releases() - before)
    };
    let (rows, few) = looks(1_000);
    assert_eq!(rows, 1_000);
    let (rows, many) = looks(80_000);
    assert_eq!(rows, 80_000);
    assert!(
        many < few + 80,
        "{many} looks for 80,000 rows, {few} for 1,000"
    );
}

#[test]
fn an_unusable_answer_is_one_reject() {
    let transform = built_in();
    let cases = [
        ("<html>502</html>", "the answer is not JSON"),
        ("", "the answer is not JSON"),
        (
            r#"{"code":0,"data":{"items":[]}} x"#,
            "the answer is not JSON",
        ),
        (r#"{"code":0}"#, "the answer has no list of items"),
        (r#"{"code":0,"data":{}}"#, "the answer has no list of items"),
        (r#"{"code":0,"data":[]}"#, "the answer has no list of items"),
        (
            r#"{"code":0,"data":{"items":{"0":{}}}}"#,
            "the answer has no list of items",
        ),
        (
            r#"{"code":0,"data":{"items":"none"}}"#,
            "the answer has no list of items",
        ),
        ("[]", "the answer has no list of items"),
    ];
    for (body, reason) in cases {
        let tables = flattened(&transform, &[note_search(body)]);
        assert_eq!(tables.rejects.len(), 1, "{body}");
        assert_eq!(tables.rejects[0].reason, reason, "{body}");
        assert_eq!(tables.rejects[0].value.as_deref(), Some(body));
        assert_eq!(
            (&tables.rejects[0].table, tables.rejects[0].item_index),
            (&None, None)
        );
        let others = tables
            .batches
            .iter()
            .filter(|(name, _)| !["rejects", "drift"].contains(&name.as_str()));
        assert_eq!(
            others.map(|(_, batch)| count(batch)).sum::<usize>(),
            0,
            "{body}"
        );
    }
}

/// A key that comes twice is nobody's contract; it must not make the numbers wrong.
#[test]
fn keys_that_come_twice_are_accounted_for() {
    let note = r#""note":{"id":"n","images_list":[{"fileid":"a"},{"fileid":"b"}]}"#;
    for twice in [
        r#","note":null"#,
        r#","note":{"id":"m","images_list":[]}"#,
        "",
    ] {
        let body =
            format!(r#"{{"code":0,"data":{{"items":[{{"model_type":"note",{note}{twice}}}]}}}}"#);
        let tables = flattened(&built_in(), &[note_search(body)]);
        let tally = tables.tallies["note_images"];
        assert!(tally.balances(), "{twice}: {tally:?}");
        assert!(tally.given >= 2, "{twice}: {tally:?}");
    }
}

/// What nobody reads may be a number that nobody can hold.
#[test]
fn an_unknown_number_out_of_range_costs_nothing() {
    let body =
        r#"{"code":0,"new":1e999,"data":{"items":[],"other":123456789012345678901234567890}}"#;
    let tables = flattened(&built_in(), &[note_search(body)]);
    assert_eq!(tables.rejects, []);
    let told: Vec<_> = tables
        .drift
        .iter()
        .map(|d| (d.path.as_str(), d.json_type))
        .collect();
    assert_eq!(told, [("/data/other", "integer"), ("/new", "number")]);
}

#[test]
fn an_answer_that_is_no_json_has_no_drift() {
    let body = r#"{"code":0,"new":1,"data":{"items":[{"new":1},"#;
    let tables = flattened(&built_in(), &[note_search(body)]);
    assert_eq!(tables.rejects.len(), 1);
    assert_eq!(tables.drift, []);
}

#[test]
fn an_answer_without_data_is_an_empty_page() {
    let transform = built_in();
    let bodies = [
        r#"{"code":0,"data":null}"#,
        r#"{"code":0,"data":{"items":null}}"#,
        r#"{"code":0,"data":{"items":[]}}"#,
    ];
    for body in bodies {
        let tables = flattened(&transform, &[note_search(body)]);
        assert_eq!(tables.rejects, [], "{body}");
        assert_eq!(tables.drift, [], "{body}");
        assert_eq!(count(&tables.batches["search_pages"]), 1, "{body}");
        assert_eq!(count(&tables.batches["search_results"]), 0, "{body}");
    }
}

#[test]
fn a_note_that_is_gone_is_a_page_without_a_note() {
    let gone = page(
        "xhs_open",
        "note_detail",
        r#"{"code":404,"message":"deleted","data":null}"#,
    );
    let tables = flattened(&built_in(), &[gone]);
    assert_eq!(tables.rejects, []);
    assert_eq!(count(&tables.batches["notes"]), 0);
    assert_eq!(count(&tables.batches["search_pages"]), 1);
}

/// Flattens a detail that names this id, where the note `42` was asked for.
fn detail_about(note_id: &str) -> Tables {
    let body = format!(
        r#"{{"code":200,"data":{{"note_id":{note_id},"title":"t","tags":["a"],"author":{{"user_id":"u"}}}}}}"#
    );
    let mut page = page("xhs_open", "note_detail", body);
    page.header.search.note_id = Some("42".to_owned());
    flattened(&built_in(), &[page])
}

#[test]
fn an_answer_about_another_note_gives_no_rows() {
    for id in [r#""42""#, "42", r#""\u0034\u0032""#] {
        let tables = detail_about(id);
        assert_eq!(tables.rejects, [], "{id}");
        assert_eq!(rows(&tables, "notes", &["note_id"]), ["42"], "{id}");
    }
    let other = [
        r#""43""#,
        r#""42 ""#,
        "43",
        "-42",
        "18446744073709551615",
        "99999999999999999999999",
    ];
    let of_other = other.map(|id| (id, "the answer is about another note"));
    let blank = [r#""""#, r#"" \u3000""#].map(|id| (id, "the answer does not name its subject"));
    for (id, reason) in of_other.into_iter().chain(blank) {
        let tables = detail_about(id);
        let told: Vec<_> = tables
            .rejects
            .iter()
            .map(|r| (r.table.as_deref(), &*r.reason))
            .collect();
        assert_eq!(told, [(None, reason)], "{id}");
        assert!(tables.rejects[0].value.is_some(), "{id}");
        for table in [
            "notes",
            "engagement",
            "users",
            "user_stats",
            "note_tags",
            "search_pages",
        ] {
            assert_eq!(count(&tables.batches[table]), 0, "{id}: {table}");
        }
    }
}

#[test]
fn an_invalid_id_rejects_the_rows_that_need_one() {
    for id in ["null", "true", "4.5", "[42]"] {
        let tables = detail_about(id);
        assert!(
            tables
                .rejects
                .iter()
                .all(|r| r.column.as_deref() == Some("note_id")),
            "{id}"
        );
        assert_eq!(count(&tables.batches["notes"]), 0, "{id}");
        assert_eq!(count(&tables.batches["note_tags"]), 0, "{id}");
    }
}

#[test]
fn a_page_of_an_unknown_endpoint_is_an_error() {
    let transform = built_in();
    let meta = crate::run_meta::RunMeta::new(
        "r",
        "p",
        time("2026-03-09T20:00:00Z"),
        chrono_tz::UTC,
        false,
    );
    let error = transform.begin(meta).push(&page("shop", "list", "{}"));
    assert!(
        matches!(error, Err(TransformError::UnknownEndpoint { .. })),
        "{error:?}"
    );
}

#[test]
fn rows_have_the_columns_of_their_page() {
    let mut second = at(
        notes(&[
            r#"{"id":"a","timestamp":1773086400}"#,
            r#"{"id":"b","timestamp":1772000000}"#,
        ]),
        2,
        5,
    );
    second.header.items_before = 20;
    let tables = flattened(&built_in(), &[second]);
    let columns = [
        "entity_id",
        "page",
        "position",
        "rank",
        "sort",
        "note_type_filter",
        "published_within",
        "in_requested_window",
        "keyword",
        "run_id",
        "snapshot_date",
        "fetched_at",
    ];
    assert_eq!(
        rows(&tables, "search_results", &columns),
        [
            // In Shanghai it is the 10th already.
            "a|2|1|21|newest||1d|true|防晒|01a1ffd8-344f-70ea-82f1-ffa903442969|2026-03-10|2026-03-09T20:00:06Z",
            "b|2|2|22|newest||1d|false|防晒|01a1ffd8-344f-70ea-82f1-ffa903442969|2026-03-10|2026-03-09T20:00:06Z",
        ]
    );
}

#[test]
fn a_rank_beyond_all_numbers_is_a_reject() {
    let mut page = notes(&[r#"{"id":"a","user":{"userid":"u"}}"#]);
    page.header.items_before = u64::MAX;
    let tables = flattened(&built_in(), &[page]);
    assert_eq!(count(&tables.batches["search_results"]), 0);
    let rejects: Vec<_> = tables
        .rejects
        .iter()
        .map(|r| (r.table.as_deref(), r.column.as_deref(), r.reason.as_str()))
        .collect();
    assert_eq!(rejects, [(Some("search_results"), Some("rank"), "missing")]);
}

#[test]
fn of_several_observations_the_latest_stays() {
    let liked = |likes: &[u32]| {
        let note =
            |likes: &u32| format!(r##"{{"id":"n","liked_count":{likes},"desc":"#t{likes}"}}"##);
        let all: Vec<_> = likes.iter().map(note).collect();
        notes(&all.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let other_search = |mut page: RawPage| {
        page.header.search.search_id = "ffffffffffffffff".to_owned();
        page
    };
    let cases = [
        (
            "the later fetch",
            vec![at(liked(&[1]), 1, 9), at(liked(&[2]), 2, 3)],
            1,
        ),
        (
            "at the same time the later page",
            vec![at(liked(&[1]), 2, 0), at(liked(&[2]), 1, 0)],
            1,
        ),
        (
            "on one page the later place",
            vec![at(liked(&[3, 2, 1]), 1, 0)],
            1,
        ),
        (
            "of two equal places still one",
            vec![other_search(at(liked(&[1]), 1, 0)), at(liked(&[2]), 1, 0)],
            1,
        ),
    ];
    let transform = built_in();
    for (what, mut pages, likes) in cases {
        for _ in 0..2 {
            let tables = flattened(&transform, &pages);
            assert_eq!(
                rows(&tables, "engagement", &["note_id", "liked_count"]),
                [format!("n|{likes}")],
                "{what}"
            );
            // What belongs to the note belongs to the same observation.
            assert_eq!(
                rows(&tables, "note_tags", &["tag"]),
                [format!("t{likes}")],
                "{what}"
            );
            let hits: usize = count(&tables.batches["search_results"]);
            assert_eq!(
                hits,
                pages
                    .iter()
                    .map(|p| p.text().text.matches("\"id\"").count())
                    .sum::<usize>(),
                "{what}"
            );
            pages.reverse();
        }
    }
}

#[test]
fn all_parts_of_the_latest_observation_stay() {
    let first = at(notes(&[r##"{"id":"n","desc":"#a #b #c"}"##]), 1, 0);
    let second = at(notes(&[r##"{"id":"n","desc":"#d #e"}"##]), 2, 1);
    let tables = flattened(&built_in(), &[first, second]);
    assert_eq!(
        rows(&tables, "note_tags", &["tag_index", "tag"]),
        ["0|d", "1|e"]
    );
}

#[test]
fn tables_have_the_types_that_the_contracts_promise() {
    let tables = flattened(&built_in(), &[note_search(documented("note_search"))]);
    let kind = |table: &str, column: &str| {
        let schema: &Schema = tables.batches[table].schema_ref();
        let field = schema.field_with_name(column).expect("a column");
        (field.data_type().clone(), field.is_nullable())
    };
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    assert_eq!(kind("notes", "note_id"), (DataType::Utf8, false));
    assert_eq!(kind("notes", "title"), (DataType::Utf8, true));
    assert_eq!(kind("notes", "published_at"), (utc.clone(), true));
    assert_eq!(kind("notes", "latitude"), (DataType::Float64, true));
    assert_eq!(kind("notes", "has_music"), (DataType::Boolean, true));
    assert_eq!(kind("engagement", "liked_count"), (DataType::Int64, true));
    assert_eq!(kind("engagement", "snapshot_at"), (utc, false));
    assert_eq!(
        kind("engagement", "snapshot_date"),
        (DataType::Date32, false)
    );
}

/// Pages that overlap, disagree and are broken.
fn mixed_pages() -> Vec<RawPage> {
    let other = |mut page: RawPage| {
        page.header.search.search_id = "00ff00ff00ff00ff".to_owned();
        page
    };
    vec![
        at(note_search(documented("note_search")), 1, 0),
        at(
            notes(&[
                r##"{"id":"a","liked_count":1,"desc":"#x","user":{"userid":"u","nickname":"n1"}}"##,
            ]),
            2,
            1,
        ),
        at(
            notes(&[
                r#"{"id":"b"}"#,
                r##"{"id":"a","liked_count":2,"desc":"#y #x","user":{"userid":"u","nickname":"n2"}}"##,
            ]),
            3,
            2,
        ),
        other(at(
            notes(&[
                r#"{"id":"a","liked_count":3}"#,
                r#"{"id":"b","liked_count":2.5}"#,
            ]),
            3,
            2,
        )),
        other(at(note_search("no JSON"), 4, 3)),
        page("justoneapi", "user_search", documented("user_search")),
        page("xhs_open", "note_detail", documented("note_detail")),
        at(notes(&[r#"{"id":"a","new":1}"#, r#"{"user":{}}"#]), 4, 2),
    ]
}

fn same(a: &Tables, b: &Tables) -> Result<(), TestCaseError> {
    let names = |tables: &Tables| tables.batches.keys().cloned().collect::<Vec<_>>();
    prop_assert_eq!(names(a), names(b));
    for (name, batch) in &a.batches {
        prop_assert_eq!(batch, &b.batches[name], "{}", name);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_pages_does_not_matter(order in prop::collection::vec(any::<Index>(), 8)) {
        let transform: &Transform = &TRANSFORM;
        let mut pages = mixed_pages();
        let expected = flattened(transform, &pages);
        for (i, other) in order.iter().enumerate() {
            let other = other.index(pages.len());
            pages.swap(i, other);
        }
        same(&flattened(transform, &pages), &expected)?;
    }
}

static TRANSFORM: std::sync::LazyLock<Transform> = std::sync::LazyLock::new(built_in);

#[test]
fn mixed_pages_give_rows_of_every_kind() {
    let tables = flattened(&built_in(), &mixed_pages());
    let sizes: BTreeMap<_, _> = tables
        .batches
        .iter()
        .map(|(name, b)| (name.as_str(), count(b)))
        .collect();
    for table in [
        "notes",
        "engagement",
        "users",
        "note_tags",
        "search_results",
        "search_pages",
        "rejects",
        "drift",
    ] {
        assert!(sizes[table] > 0, "{table} is empty");
    }
}
