//! HTTP server of the sandbox: its routes, and the control routes below `/_sandbox`.

pub mod connection;
mod reply;
mod respond;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};

use crate::sandbox::faults::{FaultPlan, Strikes};
use crate::sandbox::http::reply::JSON;
use crate::sandbox::http::respond::respond;
use crate::sandbox::state::{Counts, Shared};

pub fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/_sandbox", get(status))
        .route("/_sandbox/clock", post(advance_clock))
        .route("/_sandbox/faults", get(faults).post(set_faults))
        .route("/_sandbox/calls", get(calls).delete(forget_calls))
        .fallback(respond)
        .with_state(shared)
}

fn json(value: &impl Serialize) -> Response {
    let body = serde_json::to_string(value).expect("answers have text keys only");
    ([(CONTENT_TYPE, JSON)], body).into_response()
}

fn refused(problem: String) -> Response {
    (StatusCode::BAD_REQUEST, problem + "\n").into_response()
}

#[derive(Serialize)]
struct Status {
    seed: u64,
    clock: String,
    #[serde(flatten)]
    counts: Counts,
}

async fn status(State(shared): State<Arc<Shared>>) -> Response {
    let mut counts = shared.calls.counts();
    for name in shared.api.endpoint_names() {
        counts.endpoints.entry(name.to_owned()).or_default();
    }
    json(&Status {
        seed: shared.api.world.seed,
        clock: shared.clock.now().to_rfc3339(),
        counts,
    })
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
        Err(error) => refused(format!("send {{\"advance_seconds\": n}}: {error}")),
    }
}

async fn faults(State(shared): State<Arc<Shared>>) -> Response {
    json(shared.strikes().plan())
}

/// Replaces the fault plan. The new plan starts from its beginning, also if it equals the current
/// one.
async fn set_faults(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let plan = match serde_json::from_slice::<FaultPlan>(&body) {
        Ok(plan) => plan,
        Err(error) => return refused(format!("send a fault plan as JSON: {error}")),
    };
    if let Err(problem) = plan.check() {
        return refused(problem);
    }
    let mut strikes = shared.strikes();
    *strikes = Strikes::new(plan);
    json(strikes.plan())
}

async fn calls(State(shared): State<Arc<Shared>>) -> Response {
    let content_type = (CONTENT_TYPE, "application/x-ndjson");
    ([content_type], shared.calls.ndjson()).into_response()
}

async fn forget_calls(State(shared): State<Arc<Shared>>) -> Response {
    shared.calls.forget();
    StatusCode::NO_CONTENT.into_response()
}
