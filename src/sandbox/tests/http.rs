//! The sandbox over a real connection.

use serde_json::json;

use super::bench::{self, Bench};
use super::{KEYWORD, NOTES, TOKEN};

#[tokio::test]
async fn it_answers_and_counts() {
    let bench = Bench::start(json!({})).await;
    let search = |keyword| {
        let query = [("token", TOKEN), ("keyword", keyword)];
        bench::json(bench.get(NOTES).query(&query))
    };
    assert_eq!(search(KEYWORD).await["code"], 0);
    assert_eq!(search("code:303").await["code"], 303);
    let unauthorized = bench.get("/v1/notes/x").bearer_auth("wrong");
    assert_eq!(bench::json(unauthorized).await["code"], 401);

    let status = bench.status().await;
    assert_eq!(status["seed"], 1);
    assert_eq!(
        status["endpoints"]["note_search"],
        json!({"calls": 2, "billed": 1})
    );
    assert_eq!(
        status["endpoints"]["note_detail"],
        json!({"calls": 1, "billed": 0})
    );
    assert_eq!(
        status["endpoints"]["user_search"],
        json!({"calls": 0, "billed": 0})
    );
    bench.sandbox.stop().await;
}

#[tokio::test]
async fn its_clock_can_be_advanced() {
    let bench = Bench::start(json!({})).await;
    let post = |body| {
        let url = format!("{}/_sandbox/clock", bench.base);
        bench.client.post(url).body(body)
    };
    let status = bench::json(post(r#"{"advance_seconds": 3600}"#)).await;
    assert_eq!(status["clock"], "2026-03-09T05:00:00+00:00");
    assert_eq!(post("an hour").send().await.unwrap().status(), 400);
    bench.sandbox.stop().await;
}

#[tokio::test]
async fn it_stops_although_a_client_keeps_its_connection() {
    let bench = Bench::start(json!({})).await;
    bench.status().await;
    let again = bench.get("/_sandbox");
    bench.sandbox.stop().await;
    assert!(again.send().await.is_err());
}
