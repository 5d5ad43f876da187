//! `note_growth`.

use serde_json::json;

use super::{HOUR, before, cells, computed, counts, note};

#[test]
fn counts_are_those_of_the_last_snapshot_detail_before_search() {
    let at = |hour: i64| 100 * HOUR + hour * HOUR;
    let rows = computed(
        "note_growth",
        &[
            counts(
                json!({"note_id": "n", "snapshot_at": at(1), "liked_count": 50, "collected_count": 9}),
            ),
            counts(
                json!({"note_id": "n", "snapshot_at": at(2), "liked_count": 60, "comments_count": 2}),
            ),
            counts(
                json!({"note_id": "n", "snapshot_at": at(2), "endpoint": "note_detail",
                          "liked_count": 61, "comments_count": null}),
            ),
            // The same snapshot twice: the newer run counts.
            counts(
                json!({"note_id": "n", "snapshot_at": at(2), "endpoint": "note_detail",
                          "run_id": "s", "liked_count": 62}),
            ),
            counts(
                json!({"note_id": "n", "snapshot_at": at(2), "endpoint": "unheard_of", "shared_count": 4}),
            ),
        ],
    );
    let columns = [
        "snapshot_at",
        "liked_count",
        "collected_count",
        "comments_count",
        "shared_count",
    ];
    let expected = json!(["1970-01-05T06:00:00Z", 62, null, 2, 4]);
    assert_eq!(json!(cells(&rows[0], &columns)), expected);
    assert_eq!(rows.len(), 1);
}

#[test]
fn a_single_snapshot_has_no_growth() {
    let rows = computed(
        "note_growth",
        &[
            counts(json!({"note_id": "old", "liked_count": 5})),
            note(json!({"note_id": "old", "published_at": 0})),
            counts(json!({"note_id": "young", "liked_count": 5})),
            note(
                json!({"note_id": "young", "published_at": 170 * HOUR, "snapshot_at": 171 * HOUR}),
            ),
            counts(json!({"note_id": "ageless", "liked_count": 5})),
        ]
        .map(|(relation, mut row)| {
            row["snapshot_at"] = json!(171 * HOUR);
            (relation, row)
        }),
    );
    let columns = [
        "note_id",
        "previous_snapshot_at",
        "hours",
        "liked_delta",
        "liked_per_hour",
        "hours_since_publication",
        "is_rising",
    ];
    let told: Vec<_> = rows.iter().map(|row| cells(row, &columns)).collect();
    let expected = json!([
        ["ageless", null, null, null, null, null, null],
        // Too old to be rising, however it grew.
        ["old", null, null, null, null, 171.0, false],
        ["young", null, null, null, null, 1.0, null],
    ]);
    assert_eq!(json!(told), expected);
}

#[test]
fn growth_is_rising_at_its_limits_and_unknown_without_time() {
    let grown = |id: &str, likes: i64, hours: i64, published: i64| {
        [
            counts(json!({"note_id": id, "snapshot_at": 200 * HOUR, "liked_count": likes})),
            before(json!({"note_id": id, "snapshot_at": (200 - hours) * HOUR, "liked_count": 0})),
            note(json!({"note_id": id, "published_at": published * HOUR})),
        ]
    };
    let rows: Vec<_> = [
        grown("a: just rising", 100, 10, 32),
        grown("b: too few", 99, 1, 32),
        grown("c: too slow", 100, 11, 32),
        grown("d: too old", 100, 10, 31),
        grown("e: no time", 100, 0, 32),
        grown("f: fell", -30, 10, 32),
    ]
    .into_iter()
    .flatten()
    .collect();
    let rows = computed("note_growth", &rows);
    let columns = ["hours", "liked_delta", "liked_per_hour", "is_rising"];
    let told: Vec<_> = rows.iter().map(|row| cells(row, &columns)).collect();
    let expected = json!([
        [10.0, 100, 10.0, true],
        [1.0, 99, 99.0, false],
        [11.0, 100, 100.0 / 11.0, false],
        [10.0, 100, 10.0, false],
        [0.0, 100, null, null],
        [10.0, -30, -3.0, false],
    ]);
    assert_eq!(json!(told), expected);
}

#[test]
fn a_change_is_unknown_where_one_of_the_counts_is() {
    let rows = computed(
        "note_growth",
        &[
            counts(
                json!({"note_id": "n", "liked_count": 9, "collected_count": null, "comments_count": 4}),
            ),
            before(
                json!({"note_id": "n", "snapshot_at": 98 * HOUR, "liked_count": null, "collected_count": 1,
                          "comments_count": 5}),
            ),
        ],
    );
    let columns = [
        "hours",
        "liked_delta",
        "collected_delta",
        "comments_delta",
        "comments_per_hour",
        "shared_delta",
    ];
    assert_eq!(
        json!(cells(&rows[0], &columns)),
        json!([2.0, null, null, -1, -0.5, null])
    );
}
