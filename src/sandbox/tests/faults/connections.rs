//! Faults of the connection, and answers that do not end in time.

use std::error::Error;
use std::io;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use crate::sandbox::tests::bench::Bench;

/// Long enough for an answer that is there, and no longer.
const MOMENT: Duration = Duration::from_millis(5);

/// The kind of the I/O error that an error comes from.
fn io_kind(error: &reqwest::Error) -> Option<io::ErrorKind> {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        source = error.source();
    }
    None
}

#[tokio::test]
async fn a_timeout_sends_no_byte_until_the_sandbox_stops() {
    let bench = Bench::with_fault(json!({"kind": "timeout"})).await;
    let mut waiting = bench.waiting().await;
    assert!(timeout(MOMENT, &mut waiting).await.is_err());
    let call = bench.last_call().await;
    assert_eq!(
        (&call["status"], &call["done_us"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(
        (&call["billed"], &call["bytes_sent"]),
        (&json!(false), &json!(0))
    );
    bench.sandbox.stop().await;
    assert!(waiting.await.unwrap().is_err());
}

#[tokio::test]
async fn a_timeout_ends_when_the_client_goes_away() {
    let bench = Bench::with_fault(json!({"kind": "timeout", "billed": true})).await;
    bench.waiting().await.abort();
    bench.settled().await;
    assert_eq!(bench.last_call().await["billed"], true);
}

#[tokio::test]
async fn a_reset_comes_before_any_byte() {
    // On a connection that has served before, where a client may take a reset for one that was
    // idle for too long, and ask again by itself.
    let bench = Bench::start(json!({"script": [null, {"kind": "reset"}]})).await;
    bench.code().await;
    let error = bench.search().send().await.unwrap_err();
    assert_eq!(bench.calls().await.len(), 2);
    assert_eq!(io_kind(&error), Some(io::ErrorKind::ConnectionReset));
    let call = bench.last_call().await;
    assert_eq!(
        (&call["status"], &call["billed"]),
        (&Value::Null, &json!(false))
    );
}

#[tokio::test]
async fn half_an_answer_can_be_all_there_is() {
    let bench = Bench::with_fault(json!({"kind": "timeout_in_body"})).await;
    let mut answer = bench.answer().await;
    let half = answer.content_length().unwrap() / 2;
    let mut read = 0;
    while read < half {
        read += answer.chunk().await.unwrap().unwrap().len() as u64;
    }
    assert!(timeout(MOMENT, answer.chunk()).await.is_err());
    let call = bench.last_call().await;
    assert_eq!(
        (&call["bytes_sent"], &call["done_us"]),
        (&json!(half), &Value::Null)
    );
    assert_eq!((&call["billed"], &call["code"]), (&json!(true), &json!(0)));
    bench.sandbox.stop().await;
    assert!(answer.chunk().await.is_err());
}

#[tokio::test]
async fn an_answer_can_break_off_in_the_middle() {
    let bench = Bench::with_fault(json!({"kind": "reset_in_body"})).await;
    let mut answer = bench.answer().await;
    let length = answer.content_length().unwrap();
    let mut read = 0;
    let end = loop {
        match answer.chunk().await {
            Ok(Some(chunk)) => read += chunk.len() as u64,
            end => break end,
        }
    };
    assert!(end.is_err());
    assert_eq!(read, length / 2);
    let call = bench.last_call().await;
    assert_eq!(
        (&call["billed"], &call["done_us"]),
        (&json!(true), &Value::Null)
    );
}

#[tokio::test]
async fn an_answer_can_come_slowly() {
    let fault = json!({"kind": "drip", "bytes_per_second": 20_000});
    let bench = Bench::with_fault(fault).await;
    // A refusal, which is short: about 130 bytes.
    let answer = bench.search_page("code:303", 1).send().await.unwrap();
    let length = answer.content_length().unwrap();
    let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!(body["code"], 303);
    let call = bench.last_call().await;
    let took = call["done_us"].as_u64().unwrap() - call["at_us"].as_u64().unwrap();
    assert!(took >= length * 1_000_000 / 20_000, "{took} µs");
}
