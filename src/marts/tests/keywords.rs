//! `keyword_daily`.

use serde_json::json;

use super::{cells, computed, counts, hit};
use crate::marts::earlier;

#[test]
fn a_keyword_whose_notes_have_no_counts_has_no_sums_and_no_voice() {
    let rows = computed(
        "keyword_daily",
        &[
            hit(json!({"entity_id": "a", "keyword": "silent"})),
            hit(json!({"entity_id": "b", "keyword": "heard"})),
            hit(json!({"entity_id": "c", "keyword": "heard", "is_ad": null})),
            hit(json!({"entity_id": "d", "keyword": "nothing", "keyword_set": "alone"})),
            hit(json!({"entity_id": "u", "keyword": "heard", "entity": "user"})),
            hit(json!({"entity_id": "e", "keyword": null})),
            hit(json!({"entity_id": null, "keyword": "heard"})),
            counts(json!({"note_id": "b", "liked_count": 7, "shared_count": null})),
            counts(json!({"note_id": "c", "collected_count": 3})),
            counts(json!({"note_id": "d", "liked_count": 0})),
            // Another pipeline's counts are its own.
            counts(json!({"note_id": "a", "pipeline": "q", "liked_count": 1_000})),
        ],
    );
    let columns = [
        "keyword",
        "hits",
        "notes",
        "liked_sum",
        "liked_median",
        "collected_sum",
        "shared_sum",
        "engagement_sum",
        "share_of_voice",
        "share_of_notes",
    ];
    let told: Vec<_> = rows.iter().map(|row| cells(row, &columns)).collect();
    let expected = json!([
        ["nothing", 1, 1, 0, 0.0, null, null, 0, null, 1.0],
        ["heard", 2, 2, 7, 7.0, 3, null, 10, 1.0, 2.0 / 3.0],
        [
            "silent",
            1,
            1,
            null,
            null,
            null,
            null,
            null,
            null,
            1.0 / 3.0
        ],
    ]);
    assert_eq!(json!(told), expected);
}

#[test]
fn a_note_counts_once_for_a_keyword_and_in_full_for_each() {
    let rows = computed(
        "keyword_daily",
        &[
            hit(json!({"entity_id": "both", "keyword": "k", "rank": 1, "is_ad": true})),
            hit(json!({"entity_id": "both", "keyword": "k", "rank": 9})),
            hit(json!({"entity_id": "both", "keyword": "l"})),
            hit(json!({"entity_id": "even", "keyword": "l"})),
            hit(json!({"entity_id": "none", "keyword": "n", "keyword_set": null})),
            counts(json!({"note_id": "both", "liked_count": 6})),
            counts(json!({"note_id": "even", "liked_count": 3})),
            (earlier::HITS, json!({"keyword": "l", "note_id": "both"})),
            (earlier::HITS, json!({"keyword": "l", "note_id": "gone"})),
            (
                earlier::HITS,
                json!({"keyword": "k", "note_id": "both", "pipeline": "q"}),
            ),
        ],
    );
    let columns = [
        "keyword",
        "hits",
        "ad_hits",
        "ad_share",
        "notes",
        "new_notes",
        "liked_sum",
        "liked_median",
        "share_of_voice",
    ];
    let told: Vec<_> = rows.iter().map(|row| cells(row, &columns)).collect();
    let expected = json!([
        ["n", 1, 0, 0.0, 1, 1, null, null, null],
        ["k", 2, 1, 0.5, 1, 1, 6, 6.0, 0.4],
        ["l", 2, 0, 0.0, 2, 1, 9, 4.5, 0.6],
    ]);
    assert_eq!(json!(told), expected);
}
