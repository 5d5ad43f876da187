//! What searches find, and that their answers agree with each other and with the clock.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta};
use serde_json::Value;

use super::{KEYWORD, NOTES, USERS, all_notes, ask, ask_at, call, detail, ids, noon, notes_at};
use crate::sandbox::search::{OVERLAP, PAGE_SIZE};
use crate::sandbox::world::phrases::TOPICS;

fn numbers(notes: &[Value], field: &str) -> Vec<i64> {
    notes
        .iter()
        .filter_map(|note| note[field].as_i64())
        .collect()
}

fn is_descending(numbers: &[i64]) -> bool {
    numbers.windows(2).all(|pair| pair[0] >= pair[1])
}

#[test]
fn counts_grow_with_time_and_never_fall() {
    let query = [("keyword", KEYWORD), ("sort", "time_descending")];
    let (mut young, mut grown) = (0, 0);
    for now in notes_at(&query, noon()) {
        let (later, ..) = ask_at(
            &detail(now["id"].as_str().unwrap()),
            noon() + TimeDelta::hours(1),
        );
        let later = &later["data"];
        for (before, after) in [
            ("liked_count", "like_count"),
            ("collected_count", "favorite_count"),
            ("comments_count", "comment_count"),
            ("shared_count", "share_count"),
        ] {
            assert!(later[after].as_i64() >= now[before].as_i64());
        }
        if now["timestamp"].as_i64().unwrap() > (noon() - TimeDelta::days(3)).timestamp() {
            young += 1;
            grown += i32::from(later["like_count"].as_i64() > now["liked_count"].as_i64());
        }
    }
    assert!(young > 0 && grown * 10 >= young * 8, "{grown} of {young}");
}

#[test]
fn pages_of_sort_general_overlap() {
    let page = |page| notes_at(&[("keyword", KEYWORD), ("page", page)], noon());
    let (first, second) = (page("1"), page("2"));
    assert_eq!(
        ids(&first)[first.len() - OVERLAP..],
        ids(&second)[..OVERLAP]
    );
    let all = all_notes(&[("keyword", KEYWORD)]);
    let different: HashSet<_> = ids(&all).into_iter().collect();
    let pages = all.len().div_ceil(PAGE_SIZE - 2);
    assert_eq!(all.len(), different.len() + OVERLAP * (pages - 1));
}

#[test]
fn sort_general_has_an_advertisement_and_a_card_on_a_page() {
    let (body, ..) = ask(&call(NOTES, &[("keyword", KEYWORD)]));
    let items = body["data"]["items"].as_array().unwrap();
    let of_kind = |kind: &str| {
        items
            .iter()
            .filter(|item| item["model_type"] == kind)
            .count()
    };
    assert_eq!(
        (items.len(), of_kind("ads"), of_kind("note")),
        (PAGE_SIZE, 1, PAGE_SIZE - 2)
    );
}

#[test]
fn other_sorts_are_in_order_and_complete() {
    for (sort, field) in [
        ("time_descending", "timestamp"),
        ("popularity_descending", "liked_count"),
        ("comment_descending", "comments_count"),
        ("collect_descending", "collected_count"),
    ] {
        let notes = all_notes(&[("keyword", KEYWORD), ("sort", sort)]);
        assert!(is_descending(&numbers(&notes, field)), "{sort}");
        let different: HashSet<_> = ids(&notes).into_iter().collect();
        assert_eq!(different.len(), notes.len(), "{sort}");
        assert!((30..=220).contains(&notes.len()), "{sort}");
    }
}

#[test]
fn the_note_type_filter_is_exact() {
    for (word, kind) in [("_1", "video"), ("_2", "normal")] {
        let notes = all_notes(&[("keyword", KEYWORD), ("noteType", word)]);
        assert!(!notes.is_empty() && notes.iter().all(|note| note["type"] == kind));
    }
}

#[test]
fn the_time_window_is_imprecise() {
    let since = (noon() - TimeDelta::weeks(1)).timestamp();
    let (mut outside, mut all_outside) = (0, 0);
    for topic in TOPICS.iter().take(20) {
        let query = [("keyword", topic.name), ("sort", "time_descending")];
        let windowed = all_notes(&[&query[..], &[("noteTime", "一周内")]].concat());
        let all = all_notes(&query);
        let count = |notes: &[Value]| {
            numbers(notes, "timestamp")
                .iter()
                .filter(|t| **t < since)
                .count()
        };
        assert_eq!(
            windowed.len() - count(&windowed),
            all.len() - count(&all),
            "none inside is lost"
        );
        outside += count(&windowed);
        all_outside += count(&all);
    }
    let percent = outside * 100 / all_outside;
    assert!((1..=6).contains(&percent), "{percent} %");
}

#[test]
fn a_searched_note_and_its_detail_agree() {
    for note in notes_at(&[("keyword", "露营好物")], noon()) {
        let (body, code, status) = ask(&detail(note["id"].as_str().unwrap()));
        assert_eq!((code, status), (200.into(), 200));
        let detail = &body["data"];
        for (here, there) in [
            ("/id", "/note_id"),
            ("/liked_count", "/like_count"),
            ("/collected_count", "/favorite_count"),
            ("/user/userid", "/author/user_id"),
            ("/user/nickname", "/author/nickname"),
        ] {
            assert_eq!(note.pointer(here), detail.pointer(there), "{here}");
        }
        assert_eq!(note["title"].as_str().unwrap_or_default(), detail["title"]);
        let published = DateTime::parse_from_rfc3339(detail["publish_time"].as_str().unwrap());
        assert_eq!(note["timestamp"], published.unwrap().timestamp());
    }
}

#[test]
fn user_searches_end() {
    let mut seen = HashSet::new();
    for page in ["1", "2", "3", "4", "5"] {
        let (body, code, _) = ask(&call(USERS, &[("keyword", "咖啡"), ("page", page)]));
        assert_eq!(code, 0);
        assert_eq!(body["data"]["filters"][0]["id"], "fans_count");
        let users = body["data"]["users"].as_array().unwrap();
        if users.is_empty() {
            assert!((20..=60).contains(&seen.len()));
            return;
        }
        for user in users {
            assert!(seen.insert(user["id"].as_str().unwrap().to_owned()));
        }
    }
    panic!("the search has no end");
}

#[test]
fn the_clock_may_run_out() {
    let end = DateTime::<chrono::Utc>::MAX_UTC;
    assert!(!notes_at(&[("keyword", KEYWORD)], end).is_empty());
}
