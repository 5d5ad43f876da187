//! Secrets of the environment and of addresses stay where they belong.

use std::path::Path;

use serde_json::json;

use crate::support::{FakeApi, Lake, fail};

const TOKEN: &str = "a-token-of-some-length";

fn pipeline(words: &str, more: &str) -> String {
    format!(
        "
version: 1
pipeline: secrets
source: {{name: justoneapi}}
keyword_sets: {{words: {words}}}
extract: [{{endpoint: note_search, keywords: [words], pages: {{max: 1}}}}]
limits: {{requests_per_second: 1000, retries: 0}}
{more}
"
    )
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a UTF-8 path")
}

/// Exit code and stderr of `validate` with these variables.
fn validate(yaml: &str, variables: &[(&str, &str)]) -> (i32, String) {
    let lake = Lake::new();
    let path = lake.write("secrets.yaml", yaml);
    fail(
        lake.redlake(&["validate", text(&path)])
            .envs(variables.iter().copied()),
    )
}

#[test]
fn a_token_is_not_a_keyword() {
    let variables = [
        ("JUSTONEAPI_TOKEN", TOKEN),
        ("XHS_OPEN_TOKEN", "another-token-12"),
    ];
    for (words, variable) in [
        ("[\"${JUSTONEAPI_TOKEN}\"]", "JUSTONEAPI_TOKEN"),
        ("[兰蔻, \"x ${JUSTONEAPI_TOKEN} y\"]", "JUSTONEAPI_TOKEN"),
        ("[\"${XHS_OPEN_TOKEN}\"]", "XHS_OPEN_TOKEN"),
        ("{file: \"${XHS_OPEN_TOKEN}.txt\"}", "XHS_OPEN_TOKEN"),
    ] {
        let (code, said) = validate(&pipeline(words, ""), &variables);
        assert_eq!(code, 2, "{said}");
        let told = format!("the variable {variable} holds a token, which must not be written here");
        assert!(said.contains(&told), "{said}");
        assert!(said.contains("secrets.yaml:5:"), "{said}");
        assert!(
            !said.contains(TOKEN) && !said.contains("another-token-12"),
            "{said}"
        );
    }
}

#[test]
fn a_salt_is_not_a_keyword() {
    let more = "privacy: {hash: [users.nickname], salt: \"${PEPPER}\"}";
    let salt = [("PEPPER", "0123456789abcdef-geheim")];
    let (code, said) = validate(&pipeline("[\"${PEPPER}\"]", more), &salt);
    assert_eq!(code, 2, "{said}");
    assert!(
        said.contains("the variable PEPPER holds the salt"),
        "{said}"
    );
    assert!(!said.contains("geheim"), "{said}");
}

/// A salt that is an ordinary word must not turn up in the sentence that refuses it.
#[test]
fn a_salt_that_is_too_short_is_told_without_its_value() {
    for salt in ["a", "is", "salt", "short", "the"] {
        let more = "privacy: {hash: [users.nickname], salt: \"${PEPPER}\"}";
        let (code, said) = validate(&pipeline("[兰蔻]", more), &[("PEPPER", salt)]);
        assert_eq!(code, 2, "{said}");
        assert!(said.starts_with("error: the salt is too short\n"), "{said}");
    }
    let written = "privacy: {hash: [users.nickname], salt: geheim}";
    let (_, said) = validate(&pipeline("[兰蔻]", written), &[]);
    assert!(said.starts_with("error: the salt is too short\n"), "{said}");
    assert!(!said.contains("geheim"), "{said}");
}

#[test]
fn a_quoted_value_of_a_variable_is_hidden() {
    let yaml = pipeline("[兰蔻]", "timezone: \"${ZONE}\"");
    let (code, said) = validate(&yaml, &[("ZONE", "geheim")]);
    assert_eq!(code, 2, "{said}");
    assert!(
        said.contains("${ZONE}") && !said.contains("geheim"),
        "{said}"
    );
}

#[test]
fn user_names_and_passwords_in_addresses_are_refused_and_not_printed() {
    for address in [
        "https://me:geheim@api.example",
        "http://geheim@127.0.0.1:1/",
        "http://a:geheim@h h/",
    ] {
        let yaml = pipeline("[兰蔻]", "").replace(
            "{name: justoneapi}",
            &format!("{{name: justoneapi, base_url: \"{address}\"}}"),
        );
        let (code, said) = validate(&yaml, &[]);
        assert_eq!(code, 2, "{said}");
        assert!(
            said.contains("the address has a user name or a password in it"),
            "{said}"
        );
        assert!(said.contains("secrets.yaml:4:"), "{said}");
        assert!(!said.contains("geheim"), "{said}");
        let lake = Lake::new();
        let path = lake.write("secrets.yaml", &pipeline("[兰蔻]", ""));
        let mut command = lake.redlake(&["run", text(&path)]);
        let (code, said) = fail(
            command
                .env("JUSTONEAPI_BASE_URL", address)
                .env("JUSTONEAPI_TOKEN", TOKEN),
        );
        assert_eq!(code, 2, "{said}");
        assert!(
            said.contains("the address in JUSTONEAPI_BASE_URL has a user name"),
            "{said}"
        );
        assert!(!said.contains("geheim"), "{said}");
    }
}

/// The host is what stands behind the @, and that is not this machine.
#[test]
fn an_address_that_only_looks_like_loopback_is_told_of() {
    let lake = Lake::new();
    let path = lake.write("secrets.yaml", &pipeline("[兰蔻]", ""));
    let mut command = lake.redlake(&["plan", text(&path)]);
    let output = command
        .env("JUSTONEAPI_BASE_URL", "http://127.0.0.1.nip.example")
        .env("JUSTONEAPI_TOKEN", TOKEN)
        .output()
        .expect("the binary starts");
    assert_eq!(output.status.code(), Some(0));
    let yaml = pipeline("[兰蔻]", "").replace(
        "{name: justoneapi}",
        "{name: justoneapi, base_url: \"http://127.0.0.1.nip.example\"}",
    );
    let path = lake.write("secrets.yaml", &yaml);
    let output = lake.redlake(&["plan", text(&path)]).output();
    let said = String::from_utf8_lossy(&output.expect("the binary starts").stderr).into_owned();
    assert!(said.contains("travels unencrypted"), "{said}");
}

#[test]
fn a_proxy_that_sees_the_token_is_told_of() {
    // It is the proxy: a request through one names the whole address.
    let page = json!({"code": 0, "data": {"items": []}}).to_string();
    let proxy = FakeApi::start(move |target| {
        let through = target.starts_with("http://api.example/");
        (if through { 200 } else { 500 }, page.clone().into_bytes())
    });
    let lake = Lake::new();
    let path = lake.write("secrets.yaml", &pipeline("[兰蔻]", ""));
    let run = |variable: &str, address: &str| {
        let mut command = lake.redlake(&["run", text(&path)]);
        command
            .env("JUSTONEAPI_BASE_URL", "http://api.example")
            .env("JUSTONEAPI_TOKEN", TOKEN)
            .env(variable, address);
        let output = command.output().expect("the binary starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    };
    let host = proxy.url.trim_start_matches("http://");
    for variable in ["http_proxy", "ALL_PROXY"] {
        let (code, said) = run(variable, &format!("http://me:geheim@{host}"));
        assert_eq!(code, Some(0), "{said}");
        let told = format!("go through the proxy {host} in plain HTTP: it sees the token");
        assert_eq!(said.matches(&told).count(), 1, "{said}");
        assert!(!said.contains("geheim"), "{said}");
    }
}

#[test]
fn a_plan_does_not_print_a_password_in_an_address() {
    let lake = Lake::new();
    let path = lake.write("secrets.yaml", &pipeline("[兰蔻]", ""));
    let mut command = lake.redlake(&["plan", text(&path)]);
    command.env("JUSTONEAPI_BASE_URL", "http://me:geheim@127.0.0.1:9");
    let output = command.output().expect("the binary starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.contains("the address in JUSTONEAPI_BASE_URL has a user name"),
        "{said}"
    );
    assert!(!said.contains("geheim"), "{said}");
}
