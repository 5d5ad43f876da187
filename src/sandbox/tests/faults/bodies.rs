//! Faults of the body.

use serde_json::{Value, json};

use crate::sandbox::tests::bench::{self, Bench};
use crate::sandbox::tests::{KEYWORD, NOTES, answer, call};

const MEBIBYTE: usize = 1 << 20;

/// The body of the right answer to [`Bench::search`].
fn right() -> Vec<u8> {
    let query = [("keyword", KEYWORD), ("sort", "time_descending")];
    answer(&call(NOTES, &query)).body.into_bytes()
}

/// Content-Type, body and log entry of a call with a fault; all come with status 200.
async fn with_fault(fault: Value) -> (String, Vec<u8>, Value) {
    let bench = Bench::with_fault(fault).await;
    let answer = bench.answer().await;
    assert_eq!(answer.status(), 200);
    let content_type = answer.headers()["content-type"]
        .to_str()
        .unwrap()
        .to_owned();
    let body = answer.bytes().await.unwrap().to_vec();
    let call = bench.last_call().await;
    assert!(call["done_us"].is_u64(), "{call}");
    (content_type, body, call)
}

#[tokio::test]
async fn the_json_can_end_in_the_middle() {
    let (_, body, call) = with_fault(json!({"kind": "truncated"})).await;
    assert_eq!(body, right()[..right().len() / 2]);
    assert_eq!(
        (&call["billed"], &call["bytes_sent"]),
        (&json!(true), &json!(body.len()))
    );
}

#[tokio::test]
async fn the_body_can_be_nonsense() {
    let (content_type, body, call) = with_fault(json!({"kind": "garbage"})).await;
    assert!(content_type.contains("json") && String::from_utf8(body.clone()).is_err());
    assert_eq!(
        (&call["billed"], &call["code"]),
        (&json!(true), &Value::Null)
    );
    let (_, again, _) = with_fault(json!({"kind": "garbage"})).await;
    assert_eq!(body, again, "equal seeds give equal garbage");

    let (content_type, body, _) = with_fault(json!({"kind": "html"})).await;
    assert!(content_type.contains("html") && body.starts_with(b"<!DOCTYPE html>"));

    let (_, body, call) = with_fault(json!({"kind": "empty", "billed": false})).await;
    assert!(body.is_empty());
    assert_eq!(call["billed"], false);
}

#[tokio::test]
async fn the_right_answer_can_come_with_another_type() {
    let fault = json!({"kind": "content_type", "content_type": "text/plain"});
    let (content_type, body, _) = with_fault(fault).await;
    assert_eq!((content_type.as_str(), body), ("text/plain", right()));
}

#[tokio::test]
async fn the_right_answer_can_be_compressed() {
    let (_, body, call) = with_fault(json!({"kind": "gzip"})).await;
    assert_eq!(body, right());
    assert!(call["bytes_sent"].as_u64().unwrap() < body.len() as u64 / 2);
}

#[tokio::test]
async fn the_right_answer_can_be_no_json() {
    let right = String::from_utf8(right()).unwrap();
    let (_, body, call) = with_fault(json!({"kind": "trailing"})).await;
    let body = String::from_utf8(body).unwrap();
    assert_eq!(body, format!("{right}\n<!-- served by proxy-7 -->"));
    assert_eq!(call["billed"], true);

    let (_, body, call) = with_fault(json!({"kind": "nan"})).await;
    let body = String::from_utf8(body).unwrap();
    let start = right.strip_suffix('}').unwrap();
    assert_eq!(body, format!("{start},\"score\":NaN}}"));
    assert_eq!(call["billed"], true);
}

#[tokio::test]
async fn the_right_answer_can_be_without_data() {
    for (kind, data) in [("empty_data", json!({})), ("null_data", Value::Null)] {
        let (_, body, call) = with_fault(json!({"kind": kind})).await;
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&body["code"], &body["data"]), (&json!(0), &data));
        assert_eq!(call["billed"], true);
    }
}

#[tokio::test]
async fn the_right_answer_can_be_called_compressed() {
    let bench = Bench::with_fault(json!({"kind": "false_gzip"})).await;
    let answer = bench.answer().await;
    assert!(answer.bytes().await.unwrap_err().is_decode());
    assert_eq!(bench.last_call().await["billed"], true);
}

#[tokio::test]
async fn a_code_can_have_its_words_in_another_field() {
    let (_, body, call) = with_fault(json!({"kind": "code", "code": -1, "msg": "slow"})).await;
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&body["code"], &body["msg"]), (&json!(-1), &json!("slow")));
    assert_eq!((body.get("message"), &call["code"]), (None, &json!(-1)));
}

#[tokio::test]
async fn an_answer_can_be_huge() {
    let (_, body, call) = with_fault(json!({"kind": "huge", "megabytes": 3})).await;
    assert_eq!(body.len(), 3 * MEBIBYTE);
    assert_eq!(call["bytes_sent"], 3 * MEBIBYTE);
    let body: Value = serde_json::from_slice(&body).unwrap();
    let right: Value = serde_json::from_slice(&right()).unwrap();
    assert_eq!(body["data"], right["data"]);
}

#[tokio::test]
async fn a_small_answer_can_unpack_to_a_huge_one() {
    let (_, body, call) = with_fault(json!({"kind": "bomb", "megabytes": 3})).await;
    assert_eq!(body.len(), 3 * MEBIBYTE);
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["code"], 0);
    assert!(call["bytes_sent"].as_u64().unwrap() < 30_000, "{call}");
}

#[tokio::test]
async fn an_answer_can_have_no_end() {
    let bench = Bench::with_fault(json!({"kind": "endless"})).await;
    let mut answer = bench.answer().await;
    let mut read = 0;
    while read < 8 * MEBIBYTE {
        read += answer.chunk().await.unwrap().unwrap().len();
    }
    drop(answer);
    bench.settled().await;
    let sent = bench.last_call().await["bytes_sent"].clone();
    assert!(sent.as_u64().unwrap() >= read as u64);
    assert_eq!(
        bench.last_call().await["bytes_sent"],
        sent,
        "nobody reads it any more"
    );
}

#[tokio::test]
async fn an_endless_answer_ends_with_the_sandbox() {
    let bench = Bench::with_fault(json!({"kind": "endless"})).await;
    let mut answer = bench.answer().await;
    let reading = tokio::spawn(async move { while let Ok(Some(_)) = answer.chunk().await {} });
    bench.sandbox.stop().await;
    reading.await.unwrap();
}

#[tokio::test]
async fn a_fault_of_the_body_strikes_refusals_too() {
    let bench = Bench::with_fault(json!({"kind": "truncated"})).await;
    let text = bench::text(bench.search_page("code:303", 1)).await;
    assert!(serde_json::from_str::<Value>(&text).is_err() && text.contains("303"));
    assert_eq!(bench.last_call().await["billed"], false);
}
