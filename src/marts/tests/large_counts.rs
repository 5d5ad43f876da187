//! Counts as large as int64 allows: sums and differences that do not fit are null, none wraps.

use serde_json::{Value, json};

use super::{HOUR, before, cells, computed, counts, hit, note};

const MAX: i64 = i64::MAX;
const MIN: i64 = i64::MIN;

/// What `keyword_daily` says of one keyword with notes of these likes, and shares.
fn of_likes(likes: &[(i64, Option<i64>)]) -> Value {
    let rows = likes.iter().enumerate().flat_map(|(at, (liked, shared))| {
        let id = format!("n{at}");
        [
            hit(json!({"entity_id": id})),
            counts(json!({"note_id": id, "liked_count": liked, "shared_count": shared})),
        ]
    });
    let rows = computed("keyword_daily", &rows.collect::<Vec<_>>());
    assert_eq!(rows.len(), 1);
    let columns = ["liked_sum", "shared_sum", "engagement_sum", "liked_median"];
    json!(cells(&rows[0], &columns))
}

#[test]
fn sums_are_exact_up_to_the_limits_of_int64_and_null_beyond() {
    let top = MAX as f64;
    assert_eq!(of_likes(&[(MAX, None)]), json!([MAX, null, MAX, top]));
    assert_eq!(of_likes(&[(MIN, None)]), json!([MIN, null, MIN, -top]));
    assert_eq!(of_likes(&[(MAX, Some(0))]), json!([MAX, 0, MAX, top]));
    assert_eq!(of_likes(&[(MAX, Some(1))]), json!([MAX, 1, null, top]));
    assert_eq!(of_likes(&[(MIN, Some(-1))]), json!([MIN, -1, null, -top]));
    let both = [(MAX, None), (MAX, None)];
    assert_eq!(of_likes(&both), json!([null, null, null, top]));
    let both = [(MIN, None), (MIN, None)];
    assert_eq!(of_likes(&both), json!([null, null, null, -top]));
    // What is beyond on the way, but not in the end, is exact.
    let back = [(MAX, Some(MIN)), (MAX, Some(3)), (MIN, Some(4))];
    let (liked, shared) = (MAX - 1, MIN + 7);
    assert_eq!(of_likes(&back), json!([liked, shared, 6 - 1, top]));
    // A carry from the low halves into the high ones.
    let carried = [(MAX - 0xffff_ffff, None), (0xffff_ffff, None)];
    let middle = (MAX - 0xffff_ffff) as f64 / 2.0 + f64::from(u32::MAX) / 2.0;
    assert_eq!(of_likes(&carried), json!([MAX, null, MAX, middle]));
    let beyond = [(MAX - 0xffff_ffff, None), (0x1_0000_0000, None)];
    assert_eq!(of_likes(&beyond)[0], json!(null));
}

#[test]
fn shares_of_sums_that_do_not_fit_are_still_computed() {
    let rows = computed(
        "keyword_daily",
        &[
            hit(json!({"entity_id": "a", "keyword": "huge"})),
            hit(json!({"entity_id": "b", "keyword": "huge"})),
            hit(json!({"entity_id": "c", "keyword": "large"})),
            hit(json!({"entity_id": "d", "keyword": "silent"})),
            counts(json!({"note_id": "a", "liked_count": MAX})),
            counts(json!({"note_id": "b", "liked_count": MAX, "comments_count": 4})),
            counts(json!({"note_id": "c", "collected_count": MAX, "shared_count": MAX})),
        ],
    );
    let columns = [
        "keyword",
        "liked_sum",
        "comments_sum",
        "engagement_sum",
        "share_of_voice",
    ];
    let told: Vec<_> = rows.iter().map(|row| cells(row, &columns)).collect();
    let expected = json!([
        ["huge", null, 4, null, 0.5],
        ["large", null, null, null, 0.5],
        ["silent", null, null, null, null],
    ]);
    assert_eq!(json!(told), expected);
}

#[test]
fn engagement_of_creators_and_hashtags_is_null_where_it_does_not_fit() {
    let tag = |id: &str| ("note_tags", json!({"note_id": id, "tag": "t"}));
    let rows = [
        note(json!({"note_id": "a", "author_user_id": "u"})),
        note(json!({"note_id": "b", "author_user_id": "u"})),
        note(json!({"note_id": "c", "author_user_id": "v"})),
        tag("a"),
        tag("c"),
        counts(json!({"note_id": "a", "liked_count": MAX, "shared_count": MAX})),
        counts(json!({"note_id": "b", "liked_count": 1})),
        counts(json!({"note_id": "c", "liked_count": MAX - 5, "shared_count": 5})),
    ];
    let columns = ["user_id", "notes", "engagement_sum", "liked_median"];
    let creators = computed("creator_daily", &rows);
    let told: Vec<_> = creators.iter().map(|row| cells(row, &columns)).collect();
    let half = MAX as f64 / 2.0;
    let expected = json!([["u", 2, null, half], ["v", 1, MAX, MAX as f64]]);
    assert_eq!(json!(told), expected);
    let hashtags = computed("hashtag_daily", &rows);
    let told = cells(&hashtags[0], &["tag", "notes", "engagement_sum"]);
    assert_eq!(json!(told), json!(["t", 2, null]));
}

#[test]
fn growth_that_does_not_fit_is_null() {
    let changes = [
        ("a", MAX, 0, json!(MAX)),
        ("b", MAX, -1, json!(null)),
        ("c", MIN, 0, json!(MIN)),
        ("d", MIN, 1, json!(null)),
        ("e", -1, MIN, json!(MAX)),
        ("f", 0, MIN, json!(null)),
        ("g", MAX, MAX, json!(0)),
        ("h", 5, 0x1_0000_0003, json!(-0xffff_fffe_i64)),
    ];
    let rows = changes.iter().flat_map(|(id, now, then, _)| {
        [
            counts(json!({"note_id": id, "liked_count": now})),
            before(json!({"note_id": id, "liked_count": then, "snapshot_at": 98 * HOUR})),
        ]
    });
    let rows = computed("note_growth", &rows.collect::<Vec<_>>());
    assert_eq!(rows.len(), changes.len());
    for (row, (id, _, _, delta)) in rows.iter().zip(&changes) {
        assert_eq!((&row["note_id"], &row["liked_delta"]), (&json!(id), delta));
        let per_hour = delta.as_i64().map(|delta| delta as f64 / 2.0);
        assert_eq!(row["liked_per_hour"], json!(per_hour), "{id}");
        assert_eq!(row["hours"], 2.0);
    }
}
