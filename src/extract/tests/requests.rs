use std::io;
use std::time::{Duration, SystemTime};

use reqwest::Url;
use reqwest::header::{DATE, HeaderMap, HeaderValue, RETRY_AFTER};

use super::{endpoint, search, source};
use crate::extract::client::error::ClientError;
use crate::extract::client::failure::unconnected;
use crate::extract::client::{Client, Mask, SourceAccess, redirect, request, retry_after};
use crate::extract::policy::{Refusal, Unconnected};

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

/// Sunday, 6 November 1994, 08:49:37 in UTC: the date of RFC 9110's examples.
const NOVEMBER: Duration = Duration::from_secs(784_111_777);

/// What `Retry-After` says to a clock that is so far past [`NOVEMBER`]; `date` is the server's.
fn waited(value: &[u8], date: Option<&str>, seconds_late: i64) -> Option<Duration> {
    let value = HeaderValue::from_bytes(value).expect("a header");
    let mut headers = HeaderMap::from_iter([(RETRY_AFTER, value)]);
    if let Some(date) = date {
        headers.insert(DATE, HeaderValue::from_str(date).expect("a header"));
    }
    let now = NOVEMBER.as_secs().checked_add_signed(seconds_late);
    let now = Duration::from_secs(now.expect("a time"));
    retry_after(&headers, SystemTime::UNIX_EPOCH + now)
}

#[test]
fn retry_after_is_read_in_seconds() {
    let read = |value: &[u8]| waited(value, None, 0);
    assert_eq!(read(b"7"), Some(Duration::from_secs(7)));
    assert_eq!(read(b" 0 "), Some(Duration::ZERO));
    assert_eq!(read(b"86400"), Some(Duration::from_secs(86_400)));
    // The server's clock has no part in it.
    let date = Some("Sun, 06 Nov 1994 08:49:30 GMT");
    assert_eq!(waited(b"7", date, 500), Some(Duration::from_secs(7)));
}

#[test]
fn retry_after_is_read_as_a_date_of_each_form() {
    let dates: [&[u8]; 3] = [
        b"Sun, 06 Nov 1994 08:49:37 GMT",
        b"Sunday, 06-Nov-94 08:49:37 GMT",
        b"Sun Nov  6 08:49:37 1994",
    ];
    for date in dates {
        let read = |seconds_late| waited(date, None, seconds_late);
        assert_eq!(read(-12), Some(Duration::from_secs(12)));
        assert_eq!(read(0), Some(Duration::ZERO));
        // A date that is past is no wait.
        assert_eq!(read(1), Some(Duration::ZERO));
        assert_eq!(read(100_000), Some(Duration::ZERO));
    }
}

#[test]
fn a_date_is_measured_from_the_clock_that_said_it() {
    let after = b"Sun, 06 Nov 1994 08:49:37 GMT";
    let dates = [
        ("Sun, 06 Nov 1994 08:49:30 GMT", 7),
        ("Sunday, 06-Nov-94 08:49:30 GMT", 7),
        ("Sun Nov  6 08:48:37 1994", 60),
        ("Sun, 06 Nov 1994 08:49:38 GMT", 0),
    ];
    for (date, seconds) in dates {
        for our_clock in [-3_600, 0, 3_600] {
            let wait = waited(after, Some(date), our_clock);
            assert_eq!(wait, Some(Duration::from_secs(seconds)), "{date}");
        }
    }
    // A server that does not know what time it is.
    assert_eq!(
        waited(after, Some("soon"), -5),
        Some(Duration::from_secs(5))
    );
}

#[test]
fn an_invalid_retry_after_is_ignored() {
    let nonsense: [&[u8]; 11] = [
        b"",
        b" ",
        b"1.5",
        b"-1",
        b"7s",
        b"7, 8",
        b"soon",
        b"\xff",
        b"99999999999999999999999",
        b"Sun, 06 Nov 1994",
        b"Sun, 06 Nov 1994 08:49:37 CET",
    ];
    for value in nonsense {
        let text = String::from_utf8_lossy(value);
        assert_eq!(waited(value, None, -60), None, "{text}");
    }
    assert_eq!(retry_after(&HeaderMap::new(), SystemTime::now()), None);
}

#[test]
fn a_client_needs_an_address_and_hides_the_token() {
    let client = |base_url: &str| {
        let base_url = base_url.to_owned();
        let token = "the-token".into();
        Client::new(
            source("justoneapi"),
            SourceAccess {
                base_url,
                token,
                signer: None,
            },
            1 << 20,
        )
    };
    assert!(
        matches!(client("nowhere"), Err(ClientError::Address(env)) if env == "JUSTONEAPI_BASE_URL")
    );
    let client = client("http://127.0.0.1:9").expect("a client");
    assert!(!format!("{client:?}").contains("the-token"));
}

#[test]
fn an_answer_that_repeats_the_token_is_masked_however_it_is_spelt() {
    let token = "s3cr3t+t0ken/of=some length";
    let mask = Mask::new(token).expect("a mask");
    let spelt = [
        token,
        "s3cr3t%2Bt0ken%2Fof%3Dsome+length",
        "s3cr3t%2bt0ken%2fof%3dsome%20length",
        r"s3cr3t+t0ken\/of=some length",
        r"s3cr3t\u002Bt0ken\u002fof\u003dsome\u0020length",
        r"s3cr3t\u002bt0ken/of%3Dsome length",
        "S3CR3T+T0KEN/OF=SOME LENGTH",
        "s3cr3t%252Bt0ken%252fof%253Dsome%2520length",
        "s3cr3t%25252Bt0ken%25252Fof%25253Dsome+length",
        "%733cr3t%2Bt%30ken%2Fof%3Dsome+%6Cength",
        r"s3cr3t\\u002Bt0ken\\/of\\u003dsome length",
        "s3cr3t&#43;t0ken&#x2F;of&#061;some length",
    ];
    for spelling in spelt {
        let mut body = format!("<<{spelling}>> and <<{spelling}>>").into_bytes();
        mask.body(&mut body);
        assert_eq!(
            String::from_utf8_lossy(&body),
            "<<***>> and <<***>>",
            "{spelling}"
        );
        assert_eq!(mask.text(spelling), "***", "{spelling}");
    }
    assert!(!format!("{mask:?}").contains("s3cr3t"));
}

#[test]
fn a_short_token_is_masked_in_messages_and_leaves_bodies_alone() {
    let mask = Mask::new("sandbox").expect("a mask");
    let mut body = b"a sandbox in the garden".to_vec();
    mask.body(&mut body);
    assert_eq!(body, b"a sandbox in the garden");
    assert_eq!(mask.text("no access with sandbox"), "no access with ***");
}

#[test]
fn a_token_that_no_header_can_carry_is_told_without_showing_it() {
    let access = SourceAccess {
        base_url: "http://127.0.0.1:9".to_owned(),
        token: "two\nlines".into(),
        signer: None,
    };
    let error = Client::new(source("xhs_open"), access, 1).expect_err("no such token");
    let text = format!("{error} {error:?}");
    assert!(
        text.contains("XHS_OPEN_TOKEN") && !text.contains("two"),
        "{text}"
    );
}

#[test]
fn a_redirect_stays_on_its_origin() {
    let from = Url::parse("https://api.example/v1/notes?token=secret&page=1").expect("a URL");
    let host = "https://api.example";
    let followed = [
        ("/moved", "api.example/moved"),
        ("moved?token=secret", "api.example/v1/moved"),
        ("//api.example/x#y", "api.example/x"),
        ("https://API.example:443/z?a=b", "api.example/z"),
        ("?page=2", "api.example/v1/notes"),
        // A user name and a password would be sent in place of the token.
        ("https://eve:pass@api.example/u", "api.example/u"),
    ];
    for (location, shown) in followed {
        let target = redirect(&from, Some(location), 1).expect(location);
        assert_eq!(target.to_string(), shown);
        assert_eq!(format!("{target:?}"), format!("Target({shown})"));
    }
    let refused = [
        (Some("http://api.example/x"), Refusal::Unencrypted),
        (Some("https://api.example:8443/x"), Refusal::OtherPort),
        (Some("https://api.example.evil/x"), Refusal::OtherHost),
        (
            Some("https://api.example@evil/x?token=secret"),
            Refusal::OtherHost,
        ),
        (Some("//evil/x"), Refusal::OtherHost),
        (Some("https://"), Refusal::NoAddress),
        (Some("data:text/plain,x"), Refusal::NoAddress),
        (None, Refusal::NoLocation),
    ];
    for (location, why) in refused {
        let refused = redirect(&from, location, 1).expect_err("a refusal");
        assert_eq!(refused.why, why, "{location:?}");
        let shown = refused.to.unwrap_or_default();
        assert!(!shown.contains(['?', '@']), "{shown}");
    }
    let fifth = redirect(&from, Some(host), 5);
    assert!(fifth.is_ok());
    let sixth = redirect(&from, Some(host), 6).expect_err("too many");
    assert_eq!(sixth.why, Refusal::TooMany { followed: 5 });
}

#[test]
fn a_connection_that_is_not_made_has_its_cause() {
    use rustls::{AlertDescription, CertificateError};
    let tls = |error: rustls::Error| io::Error::new(io::ErrorKind::InvalidData, error);
    let certificate = |error: CertificateError| tls(rustls::Error::InvalidCertificate(error));
    let cases = [
        (
            io::ErrorKind::ConnectionRefused.into(),
            "connection refused",
        ),
        (io::ErrorKind::TimedOut.into(), "no connection in time"),
        (
            io::Error::other("failed to lookup address information: Name or service not known"),
            "host not found",
        ),
        (
            certificate(CertificateError::UnknownIssuer),
            "TLS refused: the certificate is not signed by a trusted authority",
        ),
        (
            certificate(CertificateError::Expired),
            "TLS refused: the certificate has expired",
        ),
        (
            certificate(CertificateError::NotValidForName),
            "TLS refused: the certificate is for another host",
        ),
        (
            // As an error that holds another one, which holds the cause.
            io::Error::other(tls(rustls::Error::AlertReceived(
                AlertDescription::AccessDenied,
            ))),
            "TLS refused: received fatal alert: AccessDenied",
        ),
        (io::Error::other("no route"), "cannot connect: no route"),
    ];
    for (error, told) in cases {
        assert_eq!(unconnected(&error).to_string(), told);
    }
    let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
    assert_eq!(unconnected(&refused), Unconnected::Refused);
}
