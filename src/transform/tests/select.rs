use super::{built_in, flattened, notes, page};
use crate::transform::tables::select::{first, found_notes};

#[test]
fn the_most_liked_notes_come_first() {
    let found = notes(&[
        r#"{"id":"d","liked_count":5,"shared_count":1}"#,
        r#"{"id":"c","liked_count":9,"shared_count":2}"#,
        r#"{"id":"b","liked_count":9,"shared_count":3}"#,
        r#"{"id":"a"}"#,
        r#"{"id":"e","liked_count":0}"#,
    ]);
    // A detail is another endpoint's row, whatever its count.
    let detail = page(
        "xhs_open",
        "note_detail",
        r#"{"data":{"note_id":"x","like_count":99}}"#,
    );
    let tables = flattened(&built_in(), &[found, detail]);
    let engagement = &tables.batches["engagement"];
    let top = |by: &str, top| first(found_notes(engagement, "note_search", by), top).join(" ");
    assert_eq!(top("liked_count", 9), "b c d e a");
    assert_eq!(top("liked_count", 2), "b c");
    assert_eq!(top("liked_count", 0), "");
    assert_eq!(top("shared_count", 3), "b c d");
    assert_eq!(top("no_such_count", 3), "");
    assert_eq!(found_notes(engagement, "user_search", "liked_count"), []);
}
