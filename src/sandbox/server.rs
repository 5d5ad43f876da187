//! The sandbox on the network: HTTP calls to the APIs, and the control routes `/_sandbox`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};

use super::api::{Answer, Api, Call};
use super::clock::Clock;

/// What all calls share.
pub struct Shared {
    pub api: Api,
    pub clock: Clock,
    pub counts: Mutex<Counts>,
}

/// The only thing that the sandbox remembers.
#[derive(Default)]
pub struct Counts {
    /// API calls of any kind, unknown paths included.
    all: u64,
    by_endpoint: BTreeMap<String, EndpointCounts>,
}

#[derive(Clone, Copy, Default, Serialize)]
struct EndpointCounts {
    calls: u64,
    billed: u64,
}

pub fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/_sandbox", get(status))
        .route("/_sandbox/clock", post(advance_clock))
        .fallback(api)
        .with_state(shared)
}

/// A call to one of the APIs, whatever its path.
async fn api(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let query = Query::try_from_uri(&uri).map_or_else(|_| Vec::new(), |Query(pairs)| pairs);
    let call = Call {
        method,
        path: uri.path().to_owned(),
        query,
        bearer: bearer(&headers),
    };
    respond(&shared, &call)
}

/// Every answer of the APIs passes here.
fn respond(shared: &Shared, call: &Call) -> Response {
    let number = shared.next_number();
    let answer = shared.api.answer(call, shared.clock.now(), number);
    shared.count(&answer);
    json(answer.status, answer.body)
}

fn bearer(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let is_bearer = scheme.eq_ignore_ascii_case("bearer");
    is_bearer.then(|| token.trim().to_owned())
}

fn json(status: StatusCode, body: String) -> Response {
    let content_type = (CONTENT_TYPE, "application/json;charset=UTF-8");
    (status, [content_type], body).into_response()
}

impl Shared {
    fn next_number(&self) -> u64 {
        let mut counts = self.lock_counts();
        counts.all += 1;
        counts.all
    }

    fn count(&self, answer: &Answer) {
        if let Some(endpoint) = &answer.endpoint {
            let mut counts = self.lock_counts();
            let of_endpoint = counts.by_endpoint.entry(endpoint.clone()).or_default();
            of_endpoint.calls += 1;
            of_endpoint.billed += u64::from(answer.billed);
        }
    }

    /// Counts are whole after every step, so a panic elsewhere cannot have spoilt them.
    fn lock_counts(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Serialize)]
struct Status {
    seed: u64,
    clock: String,
    endpoints: BTreeMap<String, EndpointCounts>,
}

async fn status(State(shared): State<Arc<Shared>>) -> Response {
    let mut endpoints = shared.lock_counts().by_endpoint.clone();
    for name in shared.api.endpoint_names() {
        endpoints.entry(name.to_owned()).or_default();
    }
    let status = Status {
        seed: shared.api.world.seed,
        clock: shared.clock.now().to_rfc3339(),
        endpoints,
    };
    // Only a map with keys that are no text could fail, and there is none.
    json(
        StatusCode::OK,
        serde_json::to_string(&status).unwrap_or_default(),
    )
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AdvanceClock {
    advance_seconds: u64,
}

async fn advance_clock(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    match serde_json::from_slice::<AdvanceClock>(&body) {
        Ok(AdvanceClock { advance_seconds }) => {
            shared.clock.advance(Duration::from_secs(advance_seconds));
            status(State(shared)).await
        }
        Err(error) => {
            let problem = format!("send {{\"advance_seconds\": n}}: {error}\n");
            (StatusCode::BAD_REQUEST, problem).into_response()
        }
    }
}
