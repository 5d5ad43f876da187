//! The simulated APIs without their network: a call in, an answer out.
//!
//! What the source contracts say is not repeated here: paths, tokens, parameters and codes are
//! read from them. This module knows which data each operation shows, and in which envelope.

use std::io;

use axum::http::{Method, StatusCode};
use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use crate::spec::contracts::Contracts;
use crate::spec::source::{AuthPlace, Endpoint, Source};

use super::documented;
use super::envelope::{BusinessCode, Envelope, Trace};
use super::json::note_detail::NoteDetail;
use super::json::note_page::NotePage;
use super::json::user_page::UserPage;
use super::params::{BadParam, Params};
use super::search::{self, NoteQuery};
use super::world::World;
use super::world::dice::Dice;

/// All endpoints that the sandbox serves.
pub struct Api {
    pub world: World,
    token: SecretString,
    routes: Vec<Route>,
}

/// An endpoint of a source contract that the sandbox can answer.
struct Route {
    name: String,
    operation: Operation,
    source: Source,
    endpoint: Endpoint,
    codes: Codes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    NoteSearch,
    UserSearch,
    NoteDetail,
}

/// The codes of a source that the sandbox needs by their class.
struct Codes {
    success: BusinessCode,
    auth: BusinessCode,
    bad_request: BusinessCode,
    not_found: BusinessCode,
}

/// What a client asks.
#[derive(Clone, Debug, Default)]
pub struct Call {
    pub method: Method,
    pub path: String,
    pub query: Vec<(String, String)>,
    pub bearer: Option<String>,
}

/// What the sandbox says.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The endpoint that was called; `None` for a path that no contract declares.
    pub endpoint: Option<String>,
    pub status: StatusCode,
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
}

/// How a call ends.
enum Outcome {
    Data(Data),
    /// An answer that stands ready, envelope and all.
    Documented(&'static str),
    /// A code and what to say of it.
    Code(BusinessCode, String),
}

/// A keyword or note id that asks for a code: `code:303`, `code-429`.
const CODE_WISHES: [&str; 2] = ["code:", "code-"];

impl Api {
    /// # Errors
    /// If a contract lacks a code that the sandbox has to answer with.
    pub fn new(contracts: &Contracts, seed: u64, token: SecretString) -> io::Result<Self> {
        let mut routes = Vec::new();
        for source in contracts.sources.values() {
            for (name, endpoint) in &source.endpoints {
                if let Some(operation) = Operation::of_endpoint(name) {
                    routes.push(Route {
                        name: name.clone(),
                        operation,
                        codes: Codes::of(source)?,
                        source: source.value.clone(),
                        endpoint: endpoint.clone(),
                    });
                }
            }
        }
        Ok(Api {
            world: World {
                seed,
                notes_a_day: None,
            },
            token,
            routes,
        })
    }

    pub fn endpoint_names(&self) -> impl Iterator<Item = &str> {
        self.routes.iter().map(|route| route.name.as_str())
    }

    /// The answer to the call with this number.
    pub fn answer(&self, call: &Call, now: DateTime<Utc>, number: u64) -> Answer {
        let request_id = Dice::new(self.world.seed, "request id", &number.to_string()).hex(32);
        let trace = Trace::new(now, request_id);
        match self.route(call) {
            Some((route, path_params)) => {
                let outcome = match self.knows_token(route, call) {
                    true => self.outcome(route, call, path_params, now),
                    false => route.says(&route.codes.auth),
                };
                let endpoint = Some(route.name.clone());
                Answer {
                    endpoint,
                    ..route.write(outcome, trace)
                }
            }
            None => self.unknown_path(&call.path, trace),
        }
    }

    /// The route of a call and what its path says. All endpoints are asked by GET.
    fn route(&self, call: &Call) -> Option<(&Route, Vec<(String, String)>)> {
        let mut routes = self.routes.iter().filter(|_| call.method == Method::GET);
        routes.find_map(|route| Some((route, path_params(&route.endpoint.path, &call.path)?)))
    }

    fn knows_token(&self, route: &Route, call: &Call) -> bool {
        let auth = &route.source.auth;
        let given = match auth.place {
            AuthPlace::Query => {
                let mut query = call.query.iter();
                query
                    .find(|(name, _)| *name == auth.name)
                    .map(|(_, value)| value)
            }
            AuthPlace::Bearer => call.bearer.as_ref(),
        };
        given.is_some_and(|token| token == self.token.expose_secret())
    }

    fn outcome(
        &self,
        route: &Route,
        call: &Call,
        path_params: Vec<(String, String)>,
        now: DateTime<Utc>,
    ) -> Outcome {
        let given = [path_params, call.query.clone()].concat();
        let params = Params {
            endpoint: &route.endpoint,
            given: &given,
        };
        let outcome = match route.operation {
            Operation::NoteSearch => params
                .note_query()
                .map(|query| self.notes(route, &query, now)),
            Operation::UserSearch => params
                .keyword()
                .and_then(|keyword| Ok((keyword, params.page()?)))
                .map(|(keyword, page)| self.users(route, &keyword, page, now)),
            Operation::NoteDetail => params.note_id().map(|id| self.detail(route, &id, now)),
        };
        outcome.unwrap_or_else(|BadParam(problem)| {
            let code = route.codes.bad_request.clone();
            let meaning = code.meaning(&route.source);
            Outcome::Code(code, format!("{meaning}: {problem}"))
        })
    }

    fn notes(&self, route: &Route, query: &NoteQuery, now: DateTime<Utc>) -> Outcome {
        if let Some(code) = wished_code(&query.keyword) {
            return route.says(&code);
        }
        let hits = match (query.keyword == documented::NOTE_KEYWORD, query.page) {
            (true, 1) => return Outcome::Documented(documented::NOTE_SEARCH),
            (true, _) => Vec::new(),
            (false, _) => search::note_page(&self.world, query, now),
        };
        let page = NotePage::of(&self.world, query, &hits, now.timestamp());
        Outcome::Data(Data::Notes(Box::new(page)))
    }

    fn users(&self, route: &Route, keyword: &str, page: usize, now: DateTime<Utc>) -> Outcome {
        if let Some(code) = wished_code(keyword) {
            return route.says(&code);
        }
        let authors = match (keyword == documented::USER_KEYWORD, page) {
            (true, 1) => return Outcome::Documented(documented::USER_SEARCH),
            (true, _) => Vec::new(),
            (false, _) => search::user_page(&self.world, keyword, page),
        };
        Outcome::Data(Data::Users(UserPage::of(&authors, now.timestamp())))
    }

    fn detail(&self, route: &Route, id: &str, now: DateTime<Utc>) -> Outcome {
        if let Some(code) = wished_code(id) {
            return route.says(&code);
        }
        if id == documented::NOTE_ID {
            return Outcome::Documented(documented::NOTE_DETAIL);
        }
        match self.world.note(id, now.timestamp()) {
            Some(note) => {
                let detail = NoteDetail::of(&note, now.timestamp());
                Outcome::Data(Data::Detail(Box::new(detail)))
            }
            None => route.says(&route.codes.not_found),
        }
    }

    /// No contract says who answers for a path that none declares: the first source does.
    fn unknown_path(&self, path: &str, trace: Trace) -> Answer {
        match self.routes.first() {
            Some(route) => {
                let message = format!("no endpoint has the path {path}");
                route.write(Outcome::Code(route.codes.not_found.clone(), message), trace)
            }
            None => Answer {
                endpoint: None,
                status: StatusCode::NOT_FOUND,
                billed: false,
                body: String::new(),
            },
        }
    }
}

impl Operation {
    fn of_endpoint(name: &str) -> Option<Self> {
        Some(match name {
            "note_search" => Operation::NoteSearch,
            "user_search" => Operation::UserSearch,
            "note_detail" => Operation::NoteDetail,
            _ => return None,
        })
    }
}

impl Codes {
    fn of(source: &Source) -> io::Result<Self> {
        let of_class = |classes: &[&str]| {
            BusinessCode::of_class(source, classes).ok_or_else(|| missing(source, classes[0]))
        };
        Ok(Codes {
            success: BusinessCode::success(source).ok_or_else(|| missing(source, "ok"))?,
            auth: of_class(&["auth"])?,
            bad_request: of_class(&["bad_request"])?,
            not_found: of_class(&["not_found", "gone"])?,
        })
    }
}

fn missing(source: &Source, class: &str) -> io::Error {
    let source = &source.source.value;
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("the contract of {source} lists no code of class {class}, which the sandbox needs"),
    )
}

impl Route {
    /// A code with its own meaning.
    fn says(&self, code: &BusinessCode) -> Outcome {
        Outcome::Code(code.clone(), code.meaning(&self.source))
    }

    fn write(&self, outcome: Outcome, trace: Trace) -> Answer {
        let (code, message, data) = match outcome {
            Outcome::Documented(body) => return self.answer(&self.codes.success, body.to_owned()),
            Outcome::Data(data) => {
                let code = self.codes.success.clone();
                let meaning = code.meaning(&self.source);
                (code, meaning, Some(data))
            }
            Outcome::Code(code, message) => (code, message, None),
        };
        let has_trace = self.source.envelope.request_id.is_some();
        let envelope = Envelope {
            code,
            data,
            message,
            trace: has_trace.then_some(trace),
        };
        // Only a map with keys that are no text could fail, and there is none.
        let body = serde_json::to_string(&envelope).unwrap_or_default();
        self.answer(&envelope.code, body)
    }

    fn answer(&self, code: &BusinessCode, body: String) -> Answer {
        Answer {
            endpoint: None,
            status: code.http_status(&self.source),
            billed: code.is_billed(&self.source),
            body,
        }
    }
}

/// The code that a keyword or a note id asks for.
fn wished_code(text: &str) -> Option<BusinessCode> {
    let code = CODE_WISHES
        .iter()
        .find_map(|wish| text.strip_prefix(wish))?;
    let is_number = !code.is_empty() && code.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| BusinessCode(code.to_owned()))
}

/// The values of a template's `{name}` parts, if the path has the template's form.
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
