//! The simulated APIs without the network: maps a call to its endpoint and its answer.
//!
//! Paths, tokens, signatures, parameters and codes are read from the source contracts. The data of
//! each endpoint comes from [`json`](super::json).

use std::collections::BTreeMap;
use std::io;

use axum::http::{Method, StatusCode};
use chrono::{DateTime, TimeDelta, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use serde_json::value::RawValue;

use super::envelope::{AnswerEnvelope, BusinessCode, Codes, Trace};
use super::json::{ENDPOINTS, Find};
use super::request::{ApiCall, Asked, BadParam, Findings, Params, Question, Token};
use super::search::Paging;
use super::world::dice::Dice;
use super::world::stream::World;
use crate::clock;
use crate::signing::Signer;
use crate::spec::class::CallClass;
use crate::spec::contracts::Contracts;
use crate::spec::source::{AuthPlace, Endpoint, Source};

/// All endpoints that the sandbox serves.
pub struct Api {
    pub world: World,
    token: SecretString,
    /// Signers of the calls, by source.
    signers: BTreeMap<String, Signer>,
    routes: Vec<Route>,
}

/// An answer of the sandbox.
#[derive(Clone, Debug)]
pub struct ApiAnswer {
    pub status: StatusCode,
    /// `None` if no source could give a code.
    pub code: Option<BusinessCode>,
    /// True if the answer has the requested data.
    pub success: bool,
    pub billed: bool,
    pub body: String,
}

/// Outcome of a call.
enum Outcome {
    Data(Box<RawValue>),
    /// A complete documented answer, including its envelope.
    Documented(&'static str),
    /// A code and its message.
    Code(BusinessCode, String),
}

/// Maximum difference of a signature's timestamp from the current time, in either direction.
const SIGN_AGE: TimeDelta = TimeDelta::minutes(5);

/// Prefixes of a keyword or note id that requests a code: `code:303`, `code-429`.
const CODE_WISHES: [&str; 2] = ["code:", "code-"];

impl Api {
    /// Creates the endpoints of all contracts.
    ///
    /// # Errors
    /// A contract lacks a code that the sandbox has to answer with.
    pub fn new(
        contracts: &Contracts,
        world: World,
        token: SecretString,
        signers: BTreeMap<String, Signer>,
    ) -> io::Result<Self> {
        let mut routes = Vec::new();
        for source in contracts.sources.values() {
            for (name, endpoint) in &source.endpoints {
                routes.extend(Route::of(source, name, endpoint)?);
            }
        }
        Ok(Api {
            world,
            token,
            signers,
            routes,
        })
    }

    pub fn endpoint_names(&self) -> impl Iterator<Item = &str> {
        self.routes.iter().map(|route| route.name.as_str())
    }

    /// Returns what a call asks for.
    pub fn asked(&self, call: &ApiCall) -> Asked {
        let Some((route, path_params)) = self.route(call) else {
            return Asked::default();
        };
        let given = [path_params, call.query.clone()].concat();
        let params = Params {
            endpoint: &route.endpoint,
            given: &given,
        };
        Asked {
            endpoint: Some(route.name.clone()),
            source: Some(route.source_name().to_owned()),
            keyword: params.keyword().ok(),
            note_id: params.note_id().ok(),
            page: params.page().ok().map(|page| page as u64),
            sort: params.sort().map(str::to_owned),
        }
    }

    /// Path and parameters of a call, without its token and its sign: equal for equal questions.
    pub fn question(&self, call: &ApiCall) -> String {
        let source = self.route(call).map(|(route, _)| &route.source);
        let signing = source.and_then(|source| source.signing.as_ref());
        let is_of_caller = |name: &str| {
            source.is_some_and(|source| source.auth.name == name)
                || signing.is_some_and(|s| s.timestamp == name || s.sign == name)
        };
        let query = call.query.iter().filter(|(name, _)| !is_of_caller(name));
        let mut params: Vec<_> = query
            .map(|(name, value)| format!("{name:?}={value:?}"))
            .collect();
        params.sort();
        format!("{} {} {}", call.method, call.path, params.join(" "))
    }

    pub fn token(&self, call: &ApiCall) -> Token {
        match self.route(call) {
            Some((route, _)) => self.token_for(route, call),
            None => Token::Missing,
        }
    }

    /// The answer to the call with this number.
    pub fn answer(
        &self,
        call: &ApiCall,
        now: DateTime<Utc>,
        number: u64,
        paging: Paging,
    ) -> ApiAnswer {
        let trace = self.trace(now, number);
        match self.route(call) {
            Some((route, path_params)) => {
                let outcome = match self.token_for(route, call) {
                    Token::Right if !self.is_signed(route, call) => {
                        let message =
                            "the call is not signed, or not with the application's secret";
                        Outcome::Code(route.codes.auth.clone(), message.to_owned())
                    }
                    Token::Right => self.outcome(route, call, path_params, now, paging),
                    Token::Missing | Token::Wrong => route.says(&route.codes.auth),
                };
                route.answer(outcome, trace)
            }
            None => self.unknown_path(&call.path, trace),
        }
    }

    /// Returns an answer with a code instead of the requested data. The message is the meaning of
    /// the code if `message` is `None`.
    pub fn refuse(
        &self,
        call: &ApiCall,
        now: DateTime<Utc>,
        number: u64,
        code: BusinessCode,
        message: Option<String>,
    ) -> ApiAnswer {
        let trace = self.trace(now, number);
        match self.route_or_first(call) {
            Some(route) => {
                let message = message.unwrap_or_else(|| code.meaning(&route.source));
                route.answer(Outcome::Code(code, message), trace)
            }
            None => ApiAnswer::of_nobody(),
        }
    }

    /// The first code of a class in the contract of the source that is called.
    pub fn code_of_class(&self, call: &ApiCall, class: CallClass) -> Option<BusinessCode> {
        BusinessCode::of_class(&self.route_or_first(call)?.source, &[class])
    }

    fn trace(&self, now: DateTime<Utc>, number: u64) -> Trace {
        let request_id = Dice::new(self.world.seed, "request id", &number.to_string()).hex(32);
        Trace::new(now, request_id)
    }

    /// The route of a call and what its path says. All endpoints are asked by GET.
    fn route(&self, call: &ApiCall) -> Option<(&Route, Vec<(String, String)>)> {
        let mut routes = self.routes.iter().filter(|_| call.method == Method::GET);
        routes.find_map(|route| Some((route, route.path_params(&call.path)?)))
    }

    /// No contract says who answers for a path that none declares: the first source does.
    fn route_or_first(&self, call: &ApiCall) -> Option<&Route> {
        let route = self.route(call).map(|(route, _)| route);
        route.or(self.routes.first())
    }

    fn token_for(&self, route: &Route, call: &ApiCall) -> Token {
        let auth = &route.source.auth;
        let given = match auth.place {
            AuthPlace::Query => call.param(&auth.name),
            AuthPlace::Bearer => call.bearer.as_deref(),
        };
        match given {
            None => Token::Missing,
            Some(token) if token == self.token.expose_secret() => Token::Right,
            Some(_) => Token::Wrong,
        }
    }

    /// Returns whether a call is signed as it has to be, at about this time.
    fn is_signed(&self, route: &Route, call: &ApiCall) -> bool {
        let signer = self.signers.get(route.source_name());
        let (Some(signer), Some(signing), Some(method)) = (
            signer,
            &route.source.signing,
            &route.endpoint.signing_method,
        ) else {
            return true;
        };
        let seconds = call
            .param(&signing.timestamp)
            .and_then(|text| text.parse().ok());
        let Some(at) = seconds.and_then(|seconds| DateTime::from_timestamp(seconds, 0)) else {
            return false;
        };
        // The caller uses the clock of the machine, regardless of the simulated time.
        let is_recent = (clock::now() - at).abs() <= SIGN_AGE;
        let sign = signer.sign(signing, method, at).sign;
        is_recent && call.param(&signing.sign) == Some(sign.as_str())
    }

    fn outcome(
        &self,
        route: &Route,
        call: &ApiCall,
        path_params: Vec<(String, String)>,
        now: DateTime<Utc>,
        paging: Paging,
    ) -> Outcome {
        let given = [path_params, call.query.clone()].concat();
        let params = Params {
            endpoint: &route.endpoint,
            given: &given,
        };
        let question = Question {
            params: &params,
            world: &self.world,
            now,
            paging,
        };
        match (route.find)(&question) {
            Err(BadParam(problem)) => {
                let code = route.codes.bad_request.clone();
                let meaning = code.meaning(&route.source);
                Outcome::Code(code, format!("{meaning}: {problem}"))
            }
            Ok(found) => match (wished_code(&params), found, params.fields()) {
                (Some(code), ..) => route.says(&code),
                (None, Findings::Nothing, _) => route.says(&route.codes.not_found),
                (None, Findings::Documented(answer), None) => Outcome::Documented(answer),
                (None, Findings::Documented(answer), Some(fields)) => {
                    Outcome::Data(only(&parsed(answer)["data"], &fields))
                }
                (None, Findings::Data(data), None) => Outcome::Data(data),
                (None, Findings::Data(data), Some(fields)) => {
                    Outcome::Data(only(&parsed(data.get()), &fields))
                }
            },
        }
    }

    fn unknown_path(&self, path: &str, trace: Trace) -> ApiAnswer {
        match self.routes.first() {
            Some(route) => {
                let message = format!("no endpoint has the path {path}");
                let outcome = Outcome::Code(route.codes.not_found.clone(), message);
                route.answer(outcome, trace)
            }
            None => ApiAnswer::of_nobody(),
        }
    }
}

impl ApiAnswer {
    /// Error for a sandbox whose contracts do not have an endpoint that the sandbox knows.
    fn of_nobody() -> Self {
        ApiAnswer {
            status: StatusCode::NOT_FOUND,
            code: None,
            success: false,
            billed: false,
            body: String::new(),
        }
    }
}

impl Route {
    /// Returns a code with its own meaning as the message.
    fn says(&self, code: &BusinessCode) -> Outcome {
        Outcome::Code(code.clone(), code.meaning(&self.source))
    }

    fn answer(&self, outcome: Outcome, trace: Trace) -> ApiAnswer {
        let success = !matches!(outcome, Outcome::Code(..));
        let (code, message, data) = match outcome {
            Outcome::Documented(body) => {
                return self.write(self.codes.success.clone(), success, body.to_owned());
            }
            Outcome::Data(data) => {
                let code = self.codes.success.clone();
                let meaning = code.meaning(&self.source);
                (code, meaning, Some(data))
            }
            Outcome::Code(code, message) => (code, message, None),
        };
        let has_trace = self.source.envelope.request_id.is_some();
        let envelope = AnswerEnvelope {
            code,
            data,
            message,
            trace: has_trace.then_some(trace),
        };
        let body = serde_json::to_string(&envelope).expect("an envelope has text keys only");
        self.write(envelope.code, success, body)
    }

    fn write(&self, code: BusinessCode, success: bool, body: String) -> ApiAnswer {
        ApiAnswer {
            status: code.http_status(&self.source),
            billed: code.is_billed(&self.source),
            code: Some(code),
            success,
            body,
        }
    }
}

/// An endpoint of a source contract that the sandbox can answer.
struct Route {
    name: String,
    find: Find,
    source: Source,
    endpoint: Endpoint,
    codes: Codes,
}

impl Route {
    /// Returns the route of an endpoint, if the sandbox can answer it.
    ///
    /// # Errors
    /// The contract lacks a code that the sandbox has to answer with.
    fn of(source: &Source, name: &str, endpoint: &Endpoint) -> io::Result<Option<Self>> {
        let Some((_, find)) = ENDPOINTS.iter().find(|(known, _)| *known == name) else {
            return Ok(None);
        };
        Ok(Some(Route {
            name: name.to_owned(),
            find: *find,
            codes: Codes::of(source)?,
            source: source.clone(),
            endpoint: endpoint.clone(),
        }))
    }

    /// Returns the parameters in the path of a call, if the path belongs to this endpoint.
    fn path_params(&self, path: &str) -> Option<Vec<(String, String)>> {
        path_params(&self.endpoint.path, path)
    }

    fn source_name(&self) -> &str {
        &self.source.source.value
    }
}

/// Returns the values of the `{name}` parts of a template, if the path matches the template.
fn path_params(template: &str, path: &str) -> Option<Vec<(String, String)>> {
    let (mut template, mut path) = (template.split('/'), path.split('/'));
    let mut params = Vec::new();
    loop {
        match (template.next(), path.next()) {
            (None, None) => return Some(params),
            (Some(wanted), Some(part)) => {
                let name = wanted
                    .strip_prefix('{')
                    .and_then(|rest| rest.strip_suffix('}'));
                match name {
                    Some(name) if !part.is_empty() => {
                        params.push((name.to_owned(), part.to_owned()));
                    }
                    None if wanted == part => {}
                    _ => return None,
                }
            }
            _ => return None,
        }
    }
}

fn parsed(json: &str) -> Value {
    serde_json::from_str(json).expect("the sandbox and the documents of the providers write JSON")
}

/// Returns the named fields of an object.
fn only(object: &Value, fields: &[&str]) -> Box<RawValue> {
    let found = fields
        .iter()
        .filter_map(|field| Some((*field, object.get(field)?)));
    let found: BTreeMap<&str, &Value> = found.collect();
    serde_json::value::to_raw_value(&found).expect("a map with text keys is JSON")
}

/// Returns the code that the keyword or the note id of a call requests.
fn wished_code(params: &Params) -> Option<BusinessCode> {
    let subject = params.keyword().or_else(|_| params.note_id()).ok()?;
    let code = CODE_WISHES
        .iter()
        .find_map(|wish| subject.strip_prefix(wish))?;
    let is_number = !code.is_empty() && code.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| BusinessCode(code.to_owned()))
}
