//! The simulated APIs without the network: maps a call to an answer.
//!
//! Paths, tokens, parameters and codes are read from the source contracts. This module defines
//! which data each operation returns, and in which envelope.

use std::collections::BTreeMap;
use std::io;

use axum::http::{Method, StatusCode};
use chrono::{DateTime, TimeDelta, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::{Map, Value};

use super::call::{ApiCall, Asked, Token};
use super::documented;
use super::envelope::{AnswerEnvelope, BusinessCode, Trace};
use super::json::note_detail::NoteDetail;
use super::json::note_page::NotePage;
use super::json::user_page::UserPage;
use super::params::{BadParam, Params};
use super::search::{self, NoteQuery, Paging};
use super::world::dice::Dice;
use crate::sandbox::http::routes::{Operation, Route};
use crate::sandbox::world::stream::World;
use crate::signing::Signer;
use crate::spec::class::CallClass;
use crate::spec::contracts::Contracts;
use crate::spec::source::AuthPlace;

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

/// The data of an answer.
#[derive(Serialize)]
#[serde(untagged)]
enum Data {
    Notes(Box<NotePage>),
    Users(UserPage),
    Detail(Box<NoteDetail>),
    Fields(Map<String, Value>),
}

/// Outcome of a call.
enum Outcome {
    Data(Data),
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
        let is_recent = (Utc::now() - at).abs() <= SIGN_AGE;
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
        let outcome = match route.operation {
            Operation::NoteSearch => params
                .note_query()
                .map(|query| self.notes(route, query, now, paging)),
            Operation::UserSearch => params
                .keyword()
                .and_then(|keyword| Ok((keyword, params.page()?)))
                .map(|(keyword, page)| self.users(route, &keyword, page, now, paging)),
            Operation::NoteDetail => {
                let fields = params.fields();
                let id = params.note_id();
                id.map(|id| self.detail(route, &id, fields.as_deref(), now))
            }
        };
        outcome.unwrap_or_else(|BadParam(problem)| {
            let code = route.codes.bad_request.clone();
            let meaning = code.meaning(&route.source);
            Outcome::Code(code, format!("{meaning}: {problem}"))
        })
    }

    fn notes(
        &self,
        route: &Route,
        mut query: NoteQuery,
        now: DateTime<Utc>,
        paging: Paging,
    ) -> Outcome {
        if let Some(code) = wished_code(&query.keyword) {
            return route.says(&code);
        }
        let is_documented = query.keyword == documented::NOTE_KEYWORD;
        query.page = paging.shown(query.page, || {
            if is_documented {
                1
            } else {
                search::last_note_page(&self.world, &query, now)
            }
        });
        let hits = match (is_documented, query.page) {
            (true, 1) => return Outcome::Documented(documented::NOTE_SEARCH),
            (true, _) => Vec::new(),
            (false, _) => search::note_page(&self.world, &query, paging.moved(), now),
        };
        let page = NotePage::of(&self.world, &query, &hits, now.timestamp());
        Outcome::Data(Data::Notes(Box::new(page)))
    }

    fn users(
        &self,
        route: &Route,
        keyword: &str,
        page: usize,
        now: DateTime<Utc>,
        paging: Paging,
    ) -> Outcome {
        if let Some(code) = wished_code(keyword) {
            return route.says(&code);
        }
        let is_documented = keyword == documented::USER_KEYWORD;
        let page = paging.shown(page, || {
            if is_documented {
                1
            } else {
                search::last_user_page(&self.world, keyword)
            }
        });
        let authors = match (is_documented, page) {
            (true, 1) => return Outcome::Documented(documented::USER_SEARCH),
            (true, _) => Vec::new(),
            (false, _) => search::user_page(&self.world, keyword, page, paging.moved()),
        };
        Outcome::Data(Data::Users(UserPage::of(&authors, now.timestamp())))
    }

    fn detail(
        &self,
        route: &Route,
        id: &str,
        fields: Option<&[&str]>,
        now: DateTime<Utc>,
    ) -> Outcome {
        if let Some(code) = wished_code(id) {
            return route.says(&code);
        }
        if id == documented::NOTE_ID {
            return match fields {
                None => Outcome::Documented(documented::NOTE_DETAIL),
                Some(fields) => {
                    let answer: Value = serde_json::from_str(documented::NOTE_DETAIL)
                        .expect("the documented answer is JSON");
                    Outcome::Data(Data::Fields(only(&answer["data"], fields)))
                }
            };
        }
        let Some(note) = self.world.note(id, now.timestamp()) else {
            return route.says(&route.codes.not_found);
        };
        let detail = NoteDetail::of(&note, now.timestamp());
        Outcome::Data(match fields {
            None => Data::Detail(Box::new(detail)),
            Some(fields) => {
                let detail = serde_json::to_value(detail).expect("a detail is JSON");
                Data::Fields(only(&detail, fields))
            }
        })
    }

    fn unknown_path(&self, path: &str, trace: Trace) -> ApiAnswer {
        match self.routes.first() {
            Some(route) => {
                let message = format!("no endpoint has the path {path}");
                let outcome = Outcome::Code(route.codes.not_found.clone(), message);
                ApiAnswer {
                    ..route.answer(outcome, trace)
                }
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
        // Only a map with non-text keys could fail, and there is none.
        let body = serde_json::to_string(&envelope).unwrap_or_default();
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

/// Returns the named fields of an object.
fn only(object: &Value, fields: &[&str]) -> Map<String, Value> {
    let found = fields.iter().filter_map(|field| {
        let value = object.get(field)?;
        Some(((*field).to_owned(), value.clone()))
    });
    found.collect()
}

/// Returns the code that a keyword or a note id requests.
fn wished_code(text: &str) -> Option<BusinessCode> {
    let code = CODE_WISHES
        .iter()
        .find_map(|wish| text.strip_prefix(wish))?;
    let is_number = !code.is_empty() && code.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| BusinessCode(code.to_owned()))
}
