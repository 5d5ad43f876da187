//! The sandbox against what it promises. Most tests ask the API without a network.

mod bench;
mod calls;
mod faults;
mod http;
mod known_fields;
mod plans;
mod rates;
mod samples;
mod searches;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::http::{Method, StatusCode};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::api::{Api, ApiAnswer};
use super::json::{note_detail, note_page, user_page};
use super::request::{ApiCall, Asked};
use super::search::Paging;
use crate::sandbox::world::stream::World;
use crate::spec::class::CallClass;
use crate::spec::contracts::Contracts;

const TOKEN: &str = "sandbox-token";
const NOTES: &str = "/api/xiaohongshu/search-note/v2";
const USERS: &str = "/api/xiaohongshu/search-user/v2";
const KEYWORD: &str = "海蓝之谜";

const WORLD: World = World {
    seed: 1,
    notes_a_day: None,
    late_percent: 0,
    removed_percent: 0,
    retitled_percent: 0,
};

fn contracts() -> Contracts {
    Contracts::load(None).unwrap_or_else(|errors| panic!("{errors}"))
}

fn api() -> &'static Api {
    static API: LazyLock<Api> =
        LazyLock::new(|| Api::new(&contracts(), WORLD, TOKEN.into(), BTreeMap::new()).unwrap());
    &API
}

fn noon() -> DateTime<Utc> {
    "2026-03-09T04:00:00Z".parse().unwrap()
}

/// A call with the right token in both places.
fn call(path: &str, query: &[(&str, &str)]) -> ApiCall {
    let query = [&[("token", TOKEN)], query].concat();
    ApiCall {
        method: Method::GET,
        path: path.to_owned(),
        query: query
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect(),
        bearer: Some(TOKEN.to_owned()),
    }
}

fn detail(id: &str) -> ApiCall {
    call(&format!("/v1/notes/{id}"), &[])
}

fn answer(call: &ApiCall) -> ApiAnswer {
    api().answer(call, noon(), 1, Paging::Straight)
}

fn json(answer: &ApiAnswer) -> Value {
    serde_json::from_str(&answer.body).unwrap()
}

/// The answer's body, its code and its status.
fn ask_at(call: &ApiCall, now: DateTime<Utc>) -> (Value, Value, u16) {
    let answer = api().answer(call, now, 1, Paging::Straight);
    let body = json(&answer);
    (body.clone(), body["code"].clone(), answer.status.as_u16())
}

fn ask(call: &ApiCall) -> (Value, Value, u16) {
    ask_at(call, noon())
}

/// The note items of a page, without advertisements and cards.
fn notes_at(query: &[(&str, &str)], now: DateTime<Utc>) -> Vec<Value> {
    let (body, code, _) = ask_at(&call(NOTES, query), now);
    assert_eq!(code, 0, "{query:?}");
    let items = body["data"]["items"].as_array().unwrap();
    let notes = items.iter().filter(|item| item["model_type"] == "note");
    notes.map(|item| item["note"].clone()).collect()
}

/// All notes of a search, page by page until the empty one.
fn all_notes(query: &[(&str, &str)]) -> Vec<Value> {
    let mut all = Vec::new();
    for page in 1..40 {
        let page = page.to_string();
        let notes = notes_at(&[query, &[("page", &page)]].concat(), noon());
        if notes.is_empty() {
            return all;
        }
        all.extend(notes);
    }
    panic!("the search has no end");
}

fn ids(notes: &[Value]) -> Vec<&str> {
    notes
        .iter()
        .filter_map(|note| note["id"].as_str())
        .collect()
}

#[test]
fn the_same_seed_and_time_give_the_same_answer() {
    let call = call(NOTES, &[("keyword", KEYWORD)]);
    let answer = |seed| {
        let world = World { seed, ..WORLD };
        let api = Api::new(&contracts(), world, TOKEN.into(), BTreeMap::new()).unwrap();
        api.answer(&call, noon(), 1, Paging::Straight).body
    };
    assert_eq!(answer(1), answer(1));
    assert_ne!(answer(1), answer(2));
}

#[test]
fn documented_answers_are_served_word_for_word() {
    let answers = [
        (
            call(
                NOTES,
                &[
                    ("keyword", note_page::DOCUMENTED_KEYWORD),
                    ("sort", "time_descending"),
                ],
            ),
            note_page::DOCUMENTED,
        ),
        (
            call(USERS, &[("keyword", user_page::DOCUMENTED_KEYWORD)]),
            user_page::DOCUMENTED,
        ),
        (detail(note_detail::DOCUMENTED_ID), note_detail::DOCUMENTED),
    ];
    for (call, documented) in answers {
        assert_eq!(answer(&call).body, documented);
    }
    let (notes, ..) = ask(&call(
        NOTES,
        &[("keyword", note_page::DOCUMENTED_KEYWORD), ("page", "2")],
    ));
    assert_eq!(notes["data"]["items"], Value::Array(vec![]));
    let (users, ..) = ask(&call(
        USERS,
        &[("keyword", user_page::DOCUMENTED_KEYWORD), ("page", "2")],
    ));
    assert_eq!(users["data"]["users"], Value::Array(vec![]));
}

#[test]
fn every_code_can_be_asked_for() {
    for source in contracts().sources.values() {
        for (code, known) in &source.codes {
            let wish = format!("code-{code}");
            let call = if source.endpoints.contains_key("note_detail") {
                detail(&wish)
            } else {
                call(USERS, &[("keyword", &wish)])
            };
            let answer = answer(&call);
            let body = json(&answer);
            assert_eq!(body["code"].to_string(), *code);
            assert_eq!(body["message"], known.meaning);
            assert_eq!(body["data"], Value::Null);
            assert_eq!(
                answer.billed,
                known.billed == crate::spec::source::Billed::Yes
            );
        }
    }
}

#[test]
fn codes_have_sensible_http_statuses() {
    let wanted = [
        (0, 200),
        (100, 401),
        (202, 429),
        (301, 200),
        (302, 429),
        (303, 429),
        (400, 400),
        (404, 404),
        (500, 500),
        (503, 503),
        (600, 403),
        (601, 402),
        (999, 200),
    ];
    for (code, status) in wanted {
        let keyword = format!("code:{code}");
        let answer = ask(&call(NOTES, &[("keyword", &keyword)]));
        assert_eq!((answer.1, answer.2), (code.into(), status));
    }
}

#[test]
fn a_missing_or_wrong_token_is_refused() {
    for token in [None, Some("wrong".to_owned())] {
        let mut search = call(NOTES, &[("keyword", KEYWORD)]);
        search.query.remove(0);
        search
            .query
            .extend(token.clone().map(|token| ("token".to_owned(), token)));
        let (body, code, status) = ask(&search);
        assert_eq!(
            (&body["data"], code, status),
            (&Value::Null, 100.into(), 401)
        );

        let mut detail = detail(note_detail::DOCUMENTED_ID);
        detail.bearer = token;
        let (_, code, status) = ask(&detail);
        assert_eq!((code, status), (401.into(), 401));
    }
}

#[test]
fn parameters_are_checked_as_the_contract_says() {
    let refused: [&[(&str, &str)]; 9] = [
        &[],
        &[("keyword", "")],
        &[("keyword", " ")],
        &[("keyword", KEYWORD), ("page", "0")],
        &[("keyword", KEYWORD), ("page", "-1")],
        &[("keyword", KEYWORD), ("page", "two")],
        &[("keyword", KEYWORD), ("sort", "newest")],
        &[("keyword", KEYWORD), ("noteType", "video")],
        &[("keyword", KEYWORD), ("noteTime", "1d")],
    ];
    for query in refused {
        let (_, code, status) = ask(&call(NOTES, query));
        assert_eq!((code, status), (400.into(), 400), "{query:?}");
    }
    let (_, code, _) = ask(&call(NOTES, &[("keyword", KEYWORD), ("colour", "blue")]));
    assert_eq!(code, 0, "an unknown parameter is ignored");
    for value in ["半年内", "HALF_YEAR", "一天内", "ONE_DAY"] {
        let (_, code, _) = ask(&call(NOTES, &[("keyword", KEYWORD), ("noteTime", value)]));
        assert_eq!(code, 0, "{value}");
    }
}

#[test]
fn what_does_not_exist_is_not_found() {
    let post = ApiCall {
        method: Method::POST,
        ..call(NOTES, &[("keyword", KEYWORD)])
    };
    let real = ids(&notes_at(&[("keyword", KEYWORD)], noon()))[0].to_owned();
    let made_up = if real.ends_with('0') {
        format!("{}1", &real[..23])
    } else {
        format!("{}0", &real[..23])
    };
    for call in [
        call("/api/unknown", &[]),
        post,
        detail("short"),
        detail("649c46ab000000002702ad37"),
        detail(&made_up),
    ] {
        let (body, code, status) = ask(&call);
        assert_eq!(
            (&body["data"], code, status),
            (&Value::Null, 404.into(), 404),
            "{call:?}"
        );
    }
    let (_, code, _) = ask_at(&detail(&real), noon() - TimeDelta::days(300));
    assert_eq!(code, 404, "the note is not yet published");
}

#[test]
fn a_contract_without_a_needed_code_is_refused() {
    let mut contracts = contracts();
    for source in contracts.sources.values_mut() {
        source
            .value
            .codes
            .retain(|_, code| code.class.value != CallClass::Auth);
    }
    assert!(Api::new(&contracts, WORLD, TOKEN.into(), BTreeMap::new()).is_err());
}

#[test]
fn an_unknown_path_is_no_call_of_an_endpoint() {
    let call = call("/", &[]);
    assert_eq!(answer(&call).status, StatusCode::NOT_FOUND);
    assert_eq!(api().asked(&call), Asked::default());
}
