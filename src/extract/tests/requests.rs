use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use std::time::Duration;

use super::{endpoint, search, source};
use crate::extract::client::{Access, Client, ClientError, request, retry_after};

#[test]
fn a_request_has_the_parameters_and_the_page_but_no_token() {
    let search = search(&[("keyword", "防晒 & more"), ("sort", "general")]);
    let (path, query) = request(endpoint("justoneapi", "note_search"), &search, 2);
    assert_eq!(path, "/api/xiaohongshu/search-note/v2");
    let query: Vec<_> = query
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_str()))
        .collect();
    assert_eq!(
        query,
        [
            ("keyword", "防晒 & more"),
            ("page", "2"),
            ("sort", "general")
        ]
    );
}

#[test]
fn a_value_in_a_path_stays_one_segment() {
    let cases = [
        (
            "649c46ab000000002702ad36",
            "/v1/notes/649c46ab000000002702ad36",
        ),
        ("a/b", "/v1/notes/a%2Fb"),
        ("a?b#c", "/v1/notes/a%3Fb%23c"),
        ("a b%20", "/v1/notes/a%20b%2520"),
        ("笔", "/v1/notes/%E7%AC%94"),
        ("{note_id}", "/v1/notes/%7Bnote_id%7D"),
        ("../../admin", "/v1/notes/..%2F..%2Fadmin"),
        // Steps in a path are no ids: nothing is left of them.
        ("..", "/v1/notes/"),
        (".", "/v1/notes/"),
    ];
    for (id, expected) in cases {
        let (path, query) = request(
            endpoint("xhs_open", "note_detail"),
            &search(&[("note_id", id)]),
            1,
        );
        assert_eq!(path, expected, "{id}");
        assert!(query.is_empty(), "{query:?}");
    }
}

#[test]
fn retry_after_is_read_in_seconds() {
    let read = |value: &'static [u8]| {
        let value = HeaderValue::from_bytes(value).expect("a header");
        retry_after(&HeaderMap::from_iter([(RETRY_AFTER, value)]))
    };
    assert_eq!(read(b"7"), Some(Duration::from_secs(7)));
    assert_eq!(read(b" 0 "), Some(Duration::ZERO));
    for other in [
        &b"1.5"[..],
        b"-1",
        b"soon",
        b"",
        b"\xff",
        b"Wed, 21 Oct 2026 07:28:00 GMT",
    ] {
        assert_eq!(read(other), None);
    }
    assert_eq!(retry_after(&HeaderMap::new()), None);
}

#[test]
fn a_client_needs_an_address_and_hides_the_token() {
    let client = |base_url: &str| {
        let base_url = base_url.to_owned();
        let token = "the-token".into();
        Client::new(source("justoneapi"), Access { base_url, token })
    };
    assert!(matches!(client("nowhere"), Err(ClientError::Address(a)) if a == "nowhere"));
    let client = client("http://127.0.0.1:9").expect("a client");
    assert!(!format!("{client:?}").contains("the-token"));
}
