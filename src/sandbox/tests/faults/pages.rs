//! Faults of paging.

use serde_json::{Value, json};

use crate::sandbox::tests::bench::{self, Bench, note_ids};
use crate::sandbox::tests::{KEYWORD, NOTES, TOKEN, USERS};

/// The ids on a page.
async fn page(bench: &Bench, page: u64) -> Vec<String> {
    note_ids(&bench::json(bench.search_page(KEYWORD, page)).await)
}

/// The ids of all pages that are not empty, without a fault.
async fn pages() -> Vec<Vec<String>> {
    let bench = Bench::start(json!({})).await;
    let mut pages = Vec::new();
    for number in 1.. {
        match page(&bench, number).await {
            empty if empty.is_empty() => break,
            page => pages.push(page),
        }
    }
    assert!(pages.len() > 2);
    pages
}

#[tokio::test]
async fn a_page_can_be_the_one_before() {
    let right = pages().await;
    let bench = Bench::with_fault(json!({"kind": "duplicate"})).await;
    assert_eq!(page(&bench, 1).await, right[0]);
    assert_eq!(page(&bench, 2).await, right[0]);
    assert_eq!(page(&bench, 3).await, right[1]);
    assert_eq!(bench.last_call().await["page"], 3);
}

#[tokio::test]
async fn the_list_can_move_while_it_is_paged_through() {
    let right = pages().await;
    let fault = json!({"kind": "shift", "items": 3});
    let bench = Bench::start(json!({"on": [{"page": 2, "fault": fault}]})).await;
    assert_eq!(page(&bench, 1).await, right[0]);
    let moved = page(&bench, 2).await;
    assert_eq!(moved[..3], right[0][right[0].len() - 3..]);
    assert_eq!(moved[3..], right[1][..right[1].len() - 3]);

    // A list that has moved once is gone through once.
    let bench = Bench::with_fault(fault).await;
    let mut all = Vec::new();
    for number in 1..=right.len() as u64 + 1 {
        all.extend(page(&bench, number).await);
    }
    all.dedup();
    let mut seen = std::collections::HashSet::new();
    let repeated: Vec<_> = all.iter().filter(|id| !seen.insert(*id)).collect();
    assert_eq!(repeated.len(), 3);
    assert_eq!(seen.len(), right.concat().len());
}

#[tokio::test]
async fn pages_can_begin_again_at_the_end() {
    let right = pages().await;
    let bench = Bench::with_fault(json!({"kind": "endless_pages"})).await;
    let last = right.len() as u64;
    assert_eq!(page(&bench, last).await, right[right.len() - 1]);
    assert_eq!(page(&bench, last + 1).await, right[0]);
    assert_eq!(page(&bench, 100 * last + 2).await, right[1]);
}

#[tokio::test]
async fn the_last_page_can_come_again_and_again() {
    let right = pages().await;
    let bench = Bench::with_fault(json!({"kind": "repeat_last"})).await;
    for number in [right.len(), right.len() + 1, right.len() + 50] {
        assert_eq!(page(&bench, number as u64).await, right[right.len() - 1]);
    }
}

#[tokio::test]
async fn searches_in_sort_general_and_for_users_have_these_faults_too() {
    for path in [NOTES, USERS] {
        let bench = Bench::with_fault(json!({"kind": "repeat_last"})).await;
        let hits = async |page: &str| -> Value {
            let query = [("token", TOKEN), ("keyword", KEYWORD), ("page", page)];
            let body = bench::json(bench.get(path).query(&query)).await;
            let list = body["data"].get("users").or(body["data"].get("items"));
            list.unwrap().clone()
        };
        let (far, farther) = (hits("50").await, hits("51").await);
        assert!(!far.as_array().unwrap().is_empty());
        assert_eq!(far, farther);
        bench.set_faults(json!({})).await;
        assert!(hits("50").await.as_array().unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_note_has_no_pages() {
    let bench = Bench::with_fault(json!({"kind": "endless_pages"})).await;
    let id = crate::sandbox::json::note_detail::DOCUMENTED_ID;
    let detail = bench.get(&format!("/v1/notes/{id}")).bearer_auth(TOKEN);
    assert_eq!(bench::json(detail).await["code"], 200);
}
