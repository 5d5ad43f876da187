//! A sandbox with a client, for tests over a real connection.

use std::sync::Arc;

use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response};
use serde_json::Value;
use tokio::task::JoinHandle;

use super::{KEYWORD, NOTES, TOKEN, contracts, noon};
use crate::sandbox::{Options, Sandbox, SandboxClock, faults};

pub struct Bench {
    pub sandbox: Sandbox,
    pub client: Client,
    pub base: String,
}

impl Bench {
    /// With a fault plan as JSON.
    pub async fn start(plan: Value) -> Self {
        let faults: faults::FaultPlan = serde_json::from_value(plan).unwrap();
        Bench::with(Options {
            faults,
            ..Options::new(SandboxClock::frozen(noon()), TOKEN.into())
        })
        .await
    }

    /// With a fault that strikes every call.
    pub async fn with_fault(fault: Value) -> Self {
        Bench::start(serde_json::json!({"on": [{"fault": fault}]})).await
    }

    pub async fn with(options: Options) -> Self {
        let sandbox = Sandbox::start(options, Arc::new(contracts()))
            .await
            .unwrap();
        Bench {
            base: sandbox.base_url(),
            client: client(Policy::none()),
            sandbox,
        }
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.base))
    }

    /// A note search by newest first.
    pub fn search_page(&self, keyword: &str, page: u64) -> RequestBuilder {
        let page = page.to_string();
        self.get(NOTES).query(&[
            ("token", TOKEN),
            ("keyword", keyword),
            ("sort", "time_descending"),
            ("page", &page),
        ])
    }

    pub fn search(&self) -> RequestBuilder {
        self.search_page(KEYWORD, 1)
    }

    pub async fn answer(&self) -> Response {
        self.search().send().await.unwrap()
    }

    /// The business code of an answer to a search.
    pub async fn code(&self) -> Value {
        json(self.search()).await["code"].clone()
    }

    pub async fn set_faults(&self, plan: Value) -> Response {
        let url = format!("{}/_sandbox/faults", self.base);
        let request = self.client.post(url).body(plan.to_string());
        request.send().await.unwrap()
    }

    pub async fn status(&self) -> Value {
        json(self.get("/_sandbox")).await
    }

    /// A search whose answer is being waited for.
    pub async fn waiting(&self) -> JoinHandle<reqwest::Result<Response>> {
        let before = self.status().await["in_flight"].as_u64();
        let waiting = tokio::spawn(self.search().send());
        while self.status().await["in_flight"].as_u64() <= before {
            tokio::task::yield_now().await;
        }
        waiting
    }

    /// Waits until no call is under way.
    pub async fn settled(&self) {
        while self.status().await["in_flight"] != 0 {
            tokio::task::yield_now().await;
        }
    }

    /// The log of calls.
    pub async fn calls(&self) -> Vec<Value> {
        let text = text(self.get("/_sandbox/calls")).await;
        assert!(!text.contains(TOKEN), "{text}");
        let lines = text.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The log's last entry.
    pub async fn last_call(&self) -> Value {
        self.calls().await.pop().unwrap()
    }
}

pub fn client(redirects: Policy) -> Client {
    // Another test may have installed it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = Client::builder().no_proxy().redirect(redirects);
    builder.build().unwrap()
}

pub async fn text(request: RequestBuilder) -> String {
    request.send().await.unwrap().text().await.unwrap()
}

pub async fn json(request: RequestBuilder) -> Value {
    serde_json::from_str(&text(request).await).unwrap()
}

/// The ids of the notes on a page.
pub fn note_ids(page: &Value) -> Vec<String> {
    let items = page["data"]["items"].as_array().unwrap();
    let ids = items.iter().filter_map(|item| item["note"]["id"].as_str());
    ids.map(str::to_owned).collect()
}
