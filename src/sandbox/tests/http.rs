//! The sandbox over a real connection.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{KEYWORD, NOTES, TOKEN, contracts, noon};
use crate::sandbox::{Clock, Options, Sandbox};

async fn start() -> Sandbox {
    let options = Options::new(Clock::frozen(noon()), TOKEN.into());
    Sandbox::start(options, Arc::new(contracts()))
        .await
        .unwrap()
}

fn client() -> reqwest::Client {
    // Another test may have installed it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

async fn body(request: reqwest::RequestBuilder) -> Value {
    let text = request.send().await.unwrap().text().await.unwrap();
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn it_answers_and_counts() {
    let (sandbox, client) = (start().await, client());
    let base = sandbox.base_url();
    let search = |keyword| {
        let query = [("token", TOKEN), ("keyword", keyword)];
        body(client.get(format!("{base}{NOTES}")).query(&query))
    };
    assert_eq!(search(KEYWORD).await["code"], 0);
    assert_eq!(search("code:303").await["code"], 303);
    let unauthorized = client
        .get(format!("{base}/v1/notes/x"))
        .bearer_auth("wrong");
    assert_eq!(body(unauthorized).await["code"], 401);

    let status = body(client.get(format!("{base}/_sandbox"))).await;
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
    sandbox.stop().await;
}

#[tokio::test]
async fn its_clock_can_be_advanced() {
    let (sandbox, client) = (start().await, client());
    let clock = format!("{}/_sandbox/clock", sandbox.base_url());
    let status = body(client.post(&clock).body(r#"{"advance_seconds": 3600}"#)).await;
    assert_eq!(status["clock"], "2026-03-09T05:00:00+00:00");
    let refused = client.post(&clock).body("an hour").send().await.unwrap();
    assert_eq!(refused.status(), 400);
    sandbox.stop().await;
}

#[tokio::test]
async fn it_stops_although_a_client_keeps_its_connection() {
    let (sandbox, client) = (start().await, client());
    let base = sandbox.base_url();
    body(client.get(format!("{base}/_sandbox"))).await;
    sandbox.stop().await;
    assert!(client.get(format!("{base}/_sandbox")).send().await.is_err());
}
