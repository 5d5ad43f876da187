//! Handles a call to one of the APIs, from arrival to answer.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{ConnectInfo, Query, State};
use axum::http::header::{AUTHORIZATION, HOST};
use axum::http::{HeaderMap, Method, Uri};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use tokio::time::{Instant, sleep_until};

use crate::sandbox::api::ApiAnswer;
use crate::sandbox::faults::{Fault, RedirectTo};
use crate::sandbox::http::connection::{BodySending, Cutter};
use crate::sandbox::http::reply::{Message, Reply, disturbed, with_msg};
use crate::sandbox::request::{ApiCall, Asked};
use crate::sandbox::state::{Arrival, Handover, Shared, Underway};
use crate::sandbox::world::dice::Dice;
use crate::spec::class::CallClass;

/// Query parameter that marks a call that the sandbox has redirected.
const REDIRECTED: &str = "_sandbox_redirect";

/// A call and further data of its request.
struct Request {
    call: ApiCall,
    asked: Asked,
    /// Path and query as received, including the token: only for answers to the client.
    target: String,
    host: String,
}

/// Answers a call to one of the APIs, at any path.
pub async fn respond(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(cutter): ConnectInfo<Cutter>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let arrived = Instant::now();
    let request = Request::new(&shared, method, &uri, &headers);
    let (underway, fault) = receive(&shared, &request);
    let (number, fault) = (underway.number, fault.as_ref());
    let latency = shared.strikes().latency();
    let mut prepared = None;
    if !latency.is_zero() {
        // The time to compute the answer is part of the latency.
        prepared = Some(right_answer(&shared, &request, number, fault));
        // If the client disconnects meanwhile, this function ends here and the call is not billed.
        sleep_until(arrived + latency).await;
    }
    let right = prepared.unwrap_or_else(|| right_answer(&shared, &request, number, fault));
    let outcome = outcome(&shared, &request, number, fault, right);
    underway.hand_over(outcome.handover(), request.asked.endpoint.as_deref());
    match outcome.reply {
        Reply::Send(message) => {
            let Message {
                status,
                headers,
                content,
                ..
            } = message;
            let body = BodySending::new(content, underway, &shared.stop);
            let mut response = (status, Body::new(body)).into_response();
            response.headers_mut().extend(headers);
            response
        }
        Reply::Hang => {
            shared.stop.stopped().await;
            cutter.cut();
            ().into_response()
        }
        Reply::Reset => {
            cutter.cut();
            ().into_response()
        }
    }
}

impl Request {
    fn new(shared: &Shared, method: Method, uri: &Uri, headers: &HeaderMap) -> Self {
        let query = Query::try_from_uri(uri).map_or_else(|_| Vec::new(), |Query(pairs)| pairs);
        let call = ApiCall {
            method,
            path: uri.path().to_owned(),
            query,
            bearer: bearer(headers),
        };
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        Request {
            asked: shared.api.asked(&call),
            target: uri
                .path_and_query()
                .map(ToString::to_string)
                .unwrap_or_default(),
            host: host.unwrap_or_default().to_owned(),
            call,
        }
    }

    /// Returns the target of a redirect: the same path and query, with a mark.
    fn redirected(&self, to: RedirectTo, port: u16) -> String {
        let word = match to {
            RedirectTo::OtherHost => "other_host",
            RedirectTo::SameHost => "same_host",
            RedirectTo::Loop => "loop",
        };
        let target = match self.call.param(REDIRECTED) {
            Some(_) => self.target.clone(),
            None => {
                let link = if self.target.contains('?') { '&' } else { '?' };
                format!("{}{link}{REDIRECTED}={word}", self.target)
            }
        };
        let other_name = if self.host.starts_with("localhost") {
            "127.0.0.1"
        } else {
            "localhost"
        };
        match to {
            RedirectTo::OtherHost => format!("http://{other_name}:{port}{target}"),
            RedirectTo::SameHost | RedirectTo::Loop => target,
        }
    }
}

fn bearer(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let is_bearer = scheme.eq_ignore_ascii_case("bearer");
    is_bearer.then(|| token.trim().to_owned())
}

/// Records the arrival of a call, and selects the fault that strikes it.
fn receive(shared: &Shared, request: &Request) -> (Underway, Option<Fault>) {
    let redirected = request.call.param(REDIRECTED);
    // Held until the call has its number, so that the script strikes in the order of numbers.
    let mut strikes = shared.strikes();
    let fault = match redirected {
        Some("loop") => Some(Fault::Redirect {
            to: RedirectTo::Loop,
        }),
        Some(_) => None,
        None => strikes.next(&request.asked, &shared.api.question(&request.call)),
    };
    let arrival = Arrival {
        asked: request.asked.clone(),
        token: shared.api.token(&request.call),
        fault: fault.as_ref().map(Fault::kind),
        redirected: redirected.is_some(),
    };
    (Underway::begin(&shared.calls, arrival), fault)
}

/// Outcome of a call.
struct Outcome {
    reply: Reply,
    billed: bool,
    limit: Option<CallClass>,
}

impl Outcome {
    fn handover(&self) -> Handover {
        let message = match &self.reply {
            Reply::Send(message) => Some(message),
            Reply::Hang | Reply::Reset => None,
        };
        Handover {
            status: message.map(|message| message.status.as_u16()),
            code: message.and_then(|message| message.code.clone()),
            billed: self.billed,
            limit: self.limit.map(|class| class.to_string()),
        }
    }
}

/// Returns the answer to the call, for the page that a fault makes of it.
fn right_answer(
    shared: &Shared,
    request: &Request,
    number: u64,
    fault: Option<&Fault>,
) -> ApiAnswer {
    let paging = fault.map(Fault::paging).unwrap_or_default();
    let now = shared.clock.now();
    shared.api.answer(&request.call, now, number, paging)
}

/// Bills the call and decides the reply. There is no await in here: a call is both billed and
/// answered, or neither.
fn outcome(
    shared: &Shared,
    request: &Request,
    number: u64,
    fault: Option<&Fault>,
    right: ApiAnswer,
) -> Outcome {
    let (api, call, now) = (&shared.api, &request.call, shared.clock.now());
    let unbilled = |message| Outcome {
        reply: Reply::Send(message),
        billed: false,
        limit: None,
    };
    match fault {
        Some(Fault::Status {
            status,
            body,
            retry_after,
        }) => unbilled(Message::status(*status, *body).with_retry_after(*retry_after)),
        Some(Fault::Redirect { to }) => {
            unbilled(Message::redirect(&request.redirected(*to, shared.port)))
        }
        Some(Fault::EchoToken {}) => {
            let code = api.code_of_class(call, CallClass::BadRequest);
            let bearer = call
                .bearer
                .iter()
                .map(|token| format!(" with Bearer {token}"));
            let sent = request.target.clone() + &bearer.collect::<String>();
            let message = Some(format!("cannot understand {sent}"));
            unbilled(Message::of(match code {
                Some(code) => api.refuse(call, now, number, code, message),
                None => right,
            }))
        }
        Some(Fault::Code {
            code,
            status,
            retry_after,
            msg,
        }) => {
            let answer = api.refuse(call, now, number, code.clone(), None);
            let answer = match msg {
                Some(msg) => with_msg(answer, msg),
                None => answer,
            };
            let (answer, billed, limit) = settle(shared, request, now, number, answer, fault);
            let message = Message::of(answer)
                .with_status(*status)
                .with_retry_after(*retry_after);
            Outcome {
                reply: Reply::Send(message),
                billed,
                limit,
            }
        }
        _ => {
            let (answer, billed, limit) = settle(shared, request, now, number, right, fault);
            let dice = Dice::new(shared.strikes().plan().seed, "garbage", &number.to_string());
            Outcome {
                reply: disturbed(fault, answer, dice),
                billed,
                limit,
            }
        }
    }
}

/// Bills an answer, or refuses it if the quota or balance of its source is used up. Returns the
/// final answer, true if it is billed, and the limit. Runs under one lock, so two calls never take
/// the last unit.
fn settle(
    shared: &Shared,
    request: &Request,
    now: DateTime<Utc>,
    number: u64,
    answer: ApiAnswer,
    fault: Option<&Fault>,
) -> (ApiAnswer, bool, Option<CallClass>) {
    let is_billed =
        |answer: &ApiAnswer| fault.map_or(answer.billed, |fault| fault.billed(answer.billed));
    let Some(source) = &request.asked.source else {
        let billed = is_billed(&answer);
        return (answer, billed, None);
    };
    let mut strikes = shared.strikes();
    let mut limits = strikes.limits_reached(source).filter(|_| answer.success);
    let refusal = limits.find_map(|limit| {
        let code = shared.api.code_of_class(&request.call, limit)?;
        Some((limit, code))
    });
    let (answer, limit) = match refusal {
        Some((limit, code)) => {
            let refusal = shared.api.refuse(&request.call, now, number, code, None);
            (refusal, Some(limit))
        }
        None => (answer, None),
    };
    let billed = is_billed(&answer);
    if billed {
        strikes.count_billed(source);
    }
    (answer, billed, limit)
}
