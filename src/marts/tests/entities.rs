//! `creator_daily`, `hashtag_daily` and `rank_history`.

use serde_json::json;

use super::{HOUR, cells, computed, counts, hit, note};
use crate::marts::earlier;

#[test]
fn creators_have_the_notes_that_name_them() {
    let rows = computed(
        "creator_daily",
        &[
            note(json!({"note_id": "a", "author_user_id": "u"})),
            // The newest that names one.
            note(json!({"note_id": "b", "author_user_id": "v"})),
            note(json!({"note_id": "b", "author_user_id": "u", "snapshot_at": 101 * HOUR})),
            note(json!({"note_id": "b", "author_user_id": null, "snapshot_at": 102 * HOUR})),
            note(json!({"note_id": "c", "author_user_id": null})),
            note(json!({"note_id": "d", "author_user_id": "w"})),
            (earlier::NOTES, json!({"note_id": "a"})),
            counts(json!({"note_id": "a", "liked_count": 4, "shared_count": 1})),
            counts(json!({"note_id": "b", "liked_count": 7})),
            hit(json!({"entity_id": "a", "rank": 5})),
            hit(json!({"entity_id": "a", "rank": 3, "keyword": "l"})),
            hit(json!({"entity_id": "u", "rank": 1, "entity": "user"})),
            ("user_stats", json!({"user_id": "u", "follower_count": 10})),
            (
                "user_stats",
                json!({"user_id": "u", "follower_count": null, "snapshot_at": 103 * HOUR}),
            ),
            (
                "user_stats",
                json!({"user_id": "u", "follower_count": 12, "snapshot_at": 102 * HOUR,
                                  "endpoint": "user_search"}),
            ),
            (
                "user_stats",
                json!({"user_id": "u", "follower_count": 11, "snapshot_at": 102 * HOUR}),
            ),
        ],
    );
    let columns = [
        "user_id",
        "notes",
        "new_notes",
        "engagement_sum",
        "liked_median",
        "follower_count",
        "best_rank",
    ];
    let told: Vec<_> = rows.iter().map(|row| cells(row, &columns)).collect();
    let expected = json!([
        ["u", 2, 1, 12, 5.5, 11, 3],
        ["w", 1, 1, null, null, null, null],
    ]);
    assert_eq!(json!(told), expected);
}

#[test]
fn tags_count_notes_once_and_authors_that_are_known() {
    let tag = |note: &str, tag: &str| ("note_tags", json!({"note_id": note, "tag": tag}));
    let rows = computed(
        "hashtag_daily",
        &[
            tag("a", "护肤"),
            tag("a", "护肤"),
            tag("b", "护肤"),
            tag("b", "SPF"),
            tag("c", "spf"),
            note(json!({"note_id": "a", "author_user_id": "u"})),
            note(json!({"note_id": "b", "author_user_id": "u"})),
            note(json!({"note_id": "c", "author_user_id": null})),
            (earlier::NOTES, json!({"note_id": "b"})),
            counts(json!({"note_id": "a", "liked_count": 1})),
            counts(json!({"note_id": "b", "collected_count": 2})),
        ],
    );
    let columns = ["tag", "notes", "authors", "new_notes", "engagement_sum"];
    let told: Vec<_> = rows.iter().map(|row| cells(row, &columns)).collect();
    let expected = json!([
        ["SPF", 1, 1, 0, 2],
        ["spf", 1, 0, 1, null],
        ["护肤", 2, 1, 1, 3],
    ]);
    assert_eq!(json!(told), expected);
}

#[test]
fn ranks_are_of_notes_their_authors_and_searched_users() {
    let rows = computed(
        "rank_history",
        &[
            hit(json!({"entity_id": "a", "rank": 4})),
            hit(json!({"entity_id": "a", "rank": 1, "is_ad": true})),
            hit(json!({"entity_id": "b", "rank": 2})),
            hit(json!({"entity_id": "b", "rank": 2, "sort": null})),
            hit(json!({"entity_id": "ad", "rank": 3, "is_ad": true})),
            hit(
                json!({"entity_id": "u", "rank": 8, "entity": "user", "sort": null, "is_ad": null}),
            ),
            hit(json!({"entity_id": "x", "rank": 9, "entity": null})),
            note(json!({"note_id": "a", "author_user_id": "u"})),
            note(json!({"note_id": "b", "author_user_id": "u"})),
            note(json!({"note_id": "ad", "author_user_id": null})),
        ],
    );
    let columns = [
        "sort",
        "entity",
        "entity_id",
        "hits",
        "ad_hits",
        "best_rank",
        "best_organic_rank",
        "median_rank",
    ];
    let told: Vec<_> = rows.iter().map(|row| cells(row, &columns)).collect();
    let expected = json!([
        [null, "creator", "u", 1, 0, 2, 2, 2.0],
        [null, "note", "b", 1, 0, 2, 2, 2.0],
        [null, "user", "u", 1, 0, 8, 8, 8.0],
        ["general", "creator", "u", 3, 1, 1, 2, 2.0],
        ["general", "note", "a", 2, 1, 1, 4, 2.5],
        ["general", "note", "ad", 1, 1, 3, null, 3.0],
        ["general", "note", "b", 1, 0, 2, 2, 2.0],
    ]);
    assert_eq!(json!(told), expected);
}
