//! Faults that are answers themselves.

use chrono::DateTime;
use reqwest::redirect::Policy;
use serde_json::{Value, json};

use crate::sandbox::tests::bench::{self, Bench, client};
use crate::sandbox::tests::{NOTES, TOKEN};

#[tokio::test]
async fn a_code_comes_in_the_sources_envelope() {
    let fault = json!({"kind": "code", "code": 301, "status": 500, "retry_after": {"seconds": 7}});
    let bench = Bench::with_fault(fault).await;
    let answer = bench.answer().await;
    assert_eq!(answer.status(), 500);
    assert_eq!(answer.headers()["retry-after"], "7");
    let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!((&body["code"], &body["data"]), (&json!(301), &Value::Null));
    assert!(body["requestId"].is_string());

    let call = bench.last_call().await;
    assert_eq!((&call["status"], &call["code"]), (&json!(500), &json!(301)));
    assert_eq!(
        (&call["billed"], &call["fault"]),
        (&json!(false), &json!("code"))
    );
}

#[tokio::test]
async fn a_code_has_its_own_status_unless_another_is_given() {
    let bench = Bench::with_fault(json!({"kind": "code", "code": "302"})).await;
    assert_eq!(bench.answer().await.status(), 429);
    let of_detail = bench.get("/v1/notes/x").bearer_auth(TOKEN);
    assert_eq!(bench::json(of_detail).await["requestId"], Value::Null);
}

#[tokio::test]
async fn a_status_can_come_without_an_envelope() {
    for (body, wanted) in [
        ("html", "<!DOCTYPE html>"),
        ("json", "{\"error\""),
        ("empty", ""),
    ] {
        let bench = Bench::with_fault(json!({"kind": "status", "status": 502, "body": body})).await;
        let answer = bench.answer().await;
        assert_eq!(answer.status(), 502);
        let text = answer.text().await.unwrap();
        assert!(text.starts_with(wanted) && text.is_empty() == wanted.is_empty());
        assert_eq!(bench.last_call().await["code"], Value::Null);
    }
}

#[tokio::test]
async fn retry_after_can_be_a_date() {
    for seconds in [7, -3_600] {
        let retry_after = json!({"date_in_seconds": seconds});
        let fault = json!({"kind": "status", "status": 503, "retry_after": retry_after});
        let bench = Bench::with_fault(fault).await;
        let answer = bench.answer().await;
        let date = |name| {
            let text = answer.headers()[name].to_str().unwrap();
            assert!(text.ends_with(" GMT"), "{text}");
            DateTime::parse_from_rfc2822(text).unwrap()
        };
        assert_eq!((date("retry-after") - date("date")).num_seconds(), seconds);
    }
}

#[tokio::test]
async fn an_error_can_repeat_the_token() {
    let bench = Bench::with_fault(json!({"kind": "echo_token"})).await;
    let answer = bench.answer().await;
    assert_eq!(answer.status(), 400);
    let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    let message = body["message"].as_str().unwrap();
    assert!(
        message.contains(&format!("{NOTES}?token={TOKEN}&keyword=%E6")),
        "{message}"
    );
    let of_detail = bench::json(bench.get("/v1/notes/x").bearer_auth(TOKEN)).await;
    assert!(of_detail["message"].as_str().unwrap().contains(TOKEN));
    // That the log holds no token is checked whenever it is read.
    assert_eq!(bench.calls().await.len(), 2);
}

#[tokio::test]
async fn a_redirect_on_the_same_host_leads_to_the_answer() {
    let bench = Bench::with_fault(json!({"kind": "redirect", "to": "same_host"})).await;
    let first = bench.answer().await;
    assert_eq!(first.status(), 307);
    let location = first.headers()["location"].to_str().unwrap();
    assert!(location.starts_with(NOTES), "{location}");
    assert_eq!(bench::json(bench.get(location)).await["code"], 0);

    let calls = bench.calls().await;
    let seen = |call: &Value| (call["redirected"].clone(), call["billed"].clone());
    assert_eq!(seen(&calls[0]), (json!(false), json!(false)));
    assert_eq!(seen(&calls[1]), (json!(true), json!(true)));
}

#[tokio::test]
async fn a_redirect_to_another_host_shows_whether_the_token_came_along() {
    let bench = Bench::with_fault(json!({"kind": "redirect", "to": "other_host"})).await;
    let first = bench.answer().await;
    let location = first.headers()["location"].to_str().unwrap();
    let port = bench.base.rsplit(':').next().unwrap();
    let asked = bench.search().build().unwrap();
    let query = asked.url().query().unwrap();
    let wanted = format!("http://localhost:{port}{NOTES}?{query}&_sandbox_redirect=other_host");
    assert_eq!(location, wanted);

    let leaked = async |url: &str| {
        bench.client.get(url).send().await.unwrap();
        let call = bench.last_call().await;
        assert_eq!(call["redirected"], true);
        (call["token_given"].clone(), call["token_ok"].clone())
    };
    assert_eq!(leaked(location).await, (json!(true), json!(true)));
    let without = location.replace(&format!("token={TOKEN}&"), "");
    assert_eq!(leaked(&without).await, (json!(false), json!(false)));

    // Seen from the other name, the first one is the other host.
    let renamed = asked.url().as_str().replace("127.0.0.1", "localhost");
    let back = bench.client.get(renamed).send().await.unwrap();
    let location = back.headers()["location"].to_str().unwrap();
    assert!(location.starts_with(&format!("http://127.0.0.1:{port}/")));
}

#[tokio::test]
async fn a_redirect_can_go_on_for_ever() {
    let bench = Bench::with_fault(json!({"kind": "redirect", "to": "loop"})).await;
    let request = bench.search().build().unwrap();
    let error = client(Policy::limited(4))
        .execute(request)
        .await
        .unwrap_err();
    assert!(error.is_redirect());
    let calls = bench.calls().await;
    assert_eq!(calls.len(), 5);
    assert!(calls.iter().all(|call| call["status"] == 307));
}
