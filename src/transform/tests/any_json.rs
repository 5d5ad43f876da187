//! No answer, however odd, makes the transformation panic or lose count.

use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Map, Value};

use super::{built_in, count, documented, flattened, page};
use crate::transform::contracts::Transform;

static TRANSFORM: LazyLock<Transform> = LazyLock::new(built_in);

pub const SAMPLES: [(&str, &str); 3] = [
    ("justoneapi", "note_search"),
    ("justoneapi", "user_search"),
    ("xhs_open", "note_detail"),
];

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[#0-9.万+a-z话题\\[\\]<>/ ]{0,8}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ]
}

/// Any JSON, its keys often those that the contracts know.
pub fn json() -> impl Strategy<Value = Value> {
    let key = prop_oneof![
        4 => prop::sample::select(vec![
            "code", "data", "items", "users", "filters", "filter_tags", "model_type", "note", "ads",
            "user", "id", "userid", "timestamp", "images_list", "cover_image_index", "video_info_v2",
            "media", "stream", "h264", "corner_tag_info", "type", "desc", "author", "images", "tags",
            "fans", "liked_count", "location",
        ]).prop_map(str::to_owned),
        1 => any::<String>(),
    ];
    scalar().prop_recursive(6, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..6)
                .prop_map(|entries| Value::Object(entries.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// All values of a tree, from the root inward.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                pointers(item, &format!("{at}/{i}"), found);
            }
        }
        Value::Object(entries) => {
            for (key, item) in entries {
                let key = key.replace('~', "~0").replace('/', "~1");
                pointers(item, &format!("{at}/{key}"), found);
            }
        }
        _ => {}
    }
}

/// Flattens one answer; every item is a row of the ranking or the page is rejected.
fn survives(source: &str, endpoint: &str, body: String) -> Result<(), TestCaseError> {
    let items: Option<usize> = serde_json::from_str::<Value>(&body).ok().and_then(|body| {
        let path = match endpoint {
            "note_search" => "/data/items",
            "user_search" => "/data/users",
            _ => return None,
        };
        Some(body.pointer(path)?.as_array()?.len())
    });
    let tables = flattened(&TRANSFORM, &[page(source, endpoint, body)]);
    if let Some(items) = items {
        let hits = count(&tables.batches["search_results"]);
        let rejected = tables
            .rejects
            .iter()
            .filter(|r| r.table.as_deref() == Some("search_results"));
        prop_assert_eq!(hits + rejected.count(), items);
    }
    prop_assert_eq!(count(&tables.batches["rejects"]), tables.rejects.len());
    prop_assert_eq!(count(&tables.batches["drift"]), tables.drift.len());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_json_is_an_answer(value in json(), sample in prop::sample::select(SAMPLES.to_vec())) {
        survives(sample.0, sample.1, value.to_string())?;
    }

    #[test]
    fn any_value_may_stand_anywhere_in_an_answer(
        changes in prop::collection::vec((any::<Index>(), json()), 1..6),
        sample in prop::sample::select(SAMPLES.to_vec()),
    ) {
        let mut answer: Value = serde_json::from_str(&documented(sample.1)).expect("JSON");
        for (place, value) in changes {
            let mut places = Vec::new();
            pointers(&answer, "", &mut places);
            if let Some(old) = answer.pointer_mut(&places[place.index(places.len())]) {
                *old = value;
            }
        }
        survives(sample.0, sample.1, answer.to_string())?;
    }

    #[test]
    fn an_answer_may_end_anywhere(
        end in any::<Index>(),
        sample in prop::sample::select(SAMPLES.to_vec()),
    ) {
        let whole = documented(sample.1);
        let whole = whole.trim_end();
        let end = whole.floor_char_boundary(end.index(whole.len()));
        let tables = flattened(&TRANSFORM, &[page(sample.0, sample.1, &whole[..end])]);
        prop_assert_eq!(tables.rejects.len(), 1);
        prop_assert_eq!(tables.rejects[0].reason.as_str(), "the answer is not JSON");
    }
}
