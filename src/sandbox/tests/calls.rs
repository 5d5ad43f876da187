//! What the sandbox remembers of calls.

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::bench::{self, Bench};
use super::{KEYWORD, USERS};

#[tokio::test]
async fn every_call_is_in_the_log() {
    let bench = Bench::start(json!({})).await;
    let body = bench::text(bench.search_page(KEYWORD, 2)).await;
    bench::json(bench.get("/v1/notes/x").bearer_auth("wrong")).await;
    bench::json(bench.get(USERS).query(&[("keyword", KEYWORD)])).await;
    bench::text(bench.get("/nowhere")).await;
    let mut calls = bench.calls().await;
    let mut last = 0;
    for call in &mut calls {
        let call = call.as_object_mut().unwrap();
        let (at, done) = (
            call.remove("at_us").unwrap(),
            call.remove("done_us").unwrap(),
        );
        assert!(at.as_u64().unwrap() >= last && done.as_u64() >= at.as_u64());
        last = at.as_u64().unwrap();
    }
    assert_eq!(
        calls[0],
        json!({
            "number": 1, "endpoint": "note_search", "source": "justoneapi", "keyword": KEYWORD,
            "note_id": null, "page": 2, "sort": "newest", "status": 200, "code": 0,
            "billed": true, "fault": null, "token_ok": true, "token_given": true,
            "redirected": false, "bytes_sent": body.len(),
        })
    );
    let some = |call: &Value, fields: &[&str]| -> Vec<Value> {
        fields.iter().map(|field| call[field].clone()).collect()
    };
    let fields = [
        "endpoint",
        "note_id",
        "page",
        "status",
        "code",
        "token_ok",
        "token_given",
    ];
    assert_eq!(
        json!(some(&calls[1], &fields)),
        json!(["note_detail", "x", null, 401, 401, false, true])
    );
    assert_eq!(
        json!(some(&calls[2], &fields)),
        json!(["user_search", null, 1, 401, 100, false, false])
    );
    assert_eq!(
        json!(some(&calls[3], &fields)),
        json!([null, null, null, 404, 404, false, false])
    );
}

#[tokio::test]
async fn the_log_can_be_emptied() {
    let bench = Bench::start(json!({})).await;
    bench.answer().await;
    let url = format!("{}/_sandbox/calls", bench.base);
    bench.client.delete(url).send().await.unwrap();
    assert!(bench.calls().await.is_empty());
    bench.answer().await;
    assert_eq!(bench.last_call().await["number"], 2);
    assert_eq!(bench.status().await["endpoints"]["note_search"]["calls"], 2);
}

#[tokio::test]
async fn an_answer_takes_as_long_as_the_latency() {
    let bench = Bench::start(json!({"latency_ms": 12})).await;
    bench.answer().await.text().await.unwrap();
    let call = bench.last_call().await;
    assert!(call["done_us"].as_u64().unwrap() - call["at_us"].as_u64().unwrap() >= 12_000);
}

#[tokio::test]
async fn calls_under_way_are_counted() {
    let bench = Bench::with_fault(json!({"kind": "timeout"})).await;
    let waiting = [
        bench.waiting().await,
        bench.waiting().await,
        bench.waiting().await,
    ];
    assert_eq!(bench.status().await["in_flight"], 3);
    waiting.iter().for_each(JoinHandle::abort);
    bench.settled().await;
    assert_eq!(bench.status().await["most_in_flight"], 3);
}

#[tokio::test]
async fn who_goes_away_before_the_answer_is_not_billed() {
    // An hour: what is seen is the end of the waiting, not its length.
    let bench = Bench::start(json!({"latency_ms": 3_600_000})).await;
    bench.waiting().await.abort();
    bench.settled().await;
    let call = bench.last_call().await;
    assert_eq!(
        (&call["billed"], &call["status"]),
        (&json!(false), &Value::Null)
    );
    assert_eq!(
        bench.status().await["endpoints"]["note_search"],
        json!({"calls": 1, "billed": 0})
    );
}
