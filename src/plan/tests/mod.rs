//! What a plan asks for, costs and warns of; `mistakes` has what makes it impossible.

mod address;
mod checks;
mod keywords;
mod limits;
mod mistakes;
mod privacy;
mod shard;
mod stops;

use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tempfile::TempDir;

use super::{EndpointEstimate, Plan, Search, plan};
use crate::plan::parts::{Address, Compression, Price};
use crate::spec::contracts::Contracts;
use crate::spec::load::load_pipeline;
use crate::spec::pipeline::OnBadValue;
use crate::spec::words::Filter;
use crate::spec::yaml::diagnostic::{Diagnostic, Diagnostics};

static CONTRACTS: LazyLock<Arc<Contracts>> =
    LazyLock::new(|| Arc::new(Contracts::load(None).unwrap_or_else(|e| panic!("{e}"))));

/// A pipeline of two searches that is changed piece by piece.
const PIPELINE: &str = "
version: 1
pipeline: test
source: {name: justoneapi}
keyword_sets:
  brands: [海蓝之谜, 兰蔻]
extract:
  - endpoint: note_search
    keywords: [brands]
    pages: {max: 3}
";

fn try_plan(pipeline: &str) -> Result<Plan, Diagnostics> {
    let dir = TempDir::new().expect("a temporary folder");
    let path = dir.path().join("test.yaml");
    std::fs::write(&path, pipeline).expect("a writable folder");
    plan(load_pipeline(&path, &|_| None)?, Arc::clone(&CONTRACTS))
}

fn planned(pipeline: &str) -> Plan {
    try_plan(pipeline).unwrap_or_else(|e| panic!("{e}"))
}

/// The warnings of a plan, each as `line:column message [hint]`.
fn warnings(plan: &Plan) -> Vec<String> {
    let told = |warning: &Diagnostic| {
        let (line, column) = warning.position().expect("a place");
        let hint = warning.hint.as_deref().expect("a hint");
        assert!(warning.is_warning, "{warning:?}");
        format!("{line}:{column} {} [{hint}]", warning.message)
    };
    plan.warnings.iter().map(told).collect()
}

/// The pipeline with one piece of its text replaced.
fn changed(old: &str, new: &str) -> String {
    assert!(PIPELINE.contains(old), "the pipeline does not say {old}");
    PIPELINE.replace(old, new)
}

/// The pipeline with more lines at its end.
fn and(more: &str) -> String {
    format!("{PIPELINE}{more}")
}

fn ids(plan: &Plan) -> Vec<&str> {
    plan.searches.iter().map(|s| s.search_id.as_str()).collect()
}

fn names(plan: &Plan) -> Vec<String> {
    plan.searches.iter().map(Search::to_string).collect()
}

const SUNSCREEN: &str = "
version: 1
pipeline: test
source: {name: justoneapi}
keyword_sets: {topics: [防晒]}
extract:
  - endpoint: note_search
    keywords: [topics]
    filters: {sort: newest, published_within: 1w}
    pages: {max: 2}
";

#[test]
fn a_pipeline_that_says_little_has_sensible_defaults() {
    let plan = planned(PIPELINE);
    assert_eq!(plan.timezone, chrono_tz::Asia::Shanghai);
    assert_eq!(plan.lake, Path::new("lake"));
    assert_eq!(plan.compression, Compression::Zstd(1));
    assert_eq!(plan.limits.requests_per_second, 2.0);
    assert_eq!(plan.limits.concurrency, 4);
    assert_eq!(plan.limits.retries.max, 4);
    assert_eq!(plan.limits.retries.delay, Duration::from_secs(1));
    assert_eq!(plan.price, Price::default());
    assert_eq!(warnings(&plan), Vec::<String>::new());
    let address = Address::Url("https://api.justoneapi.com".to_owned());
    assert_eq!(plan.sources["justoneapi"].address, address);
}

#[test]
fn a_filter_value_that_is_written_twice_counts_once() {
    let pipeline = changed(
        "pages:",
        "filters: {sort: [newest, general, newest], note_type: [all, all]}\n    pages:",
    );
    let once = changed(
        "pages:",
        "filters: {sort: [newest, general], note_type: all}\n    pages:",
    );
    assert_eq!(planned(&pipeline).searches, planned(&once).searches);

    // Each of these a hundred times: a million combinations.
    let newest = ["newest"; 100].join(", ");
    let all = ["all"; 100].join(", ");
    let filters = format!(
        "{{sort: [{newest}], note_type: [{all}], published_within: [{}]}}",
        ["1d"; 100].join(", ")
    );
    let plan = planned(&changed(
        "pages:",
        &format!("filters: {filters}\n    pages:"),
    ));
    assert_eq!(plan.searches.len(), 2);
}

#[test]
fn null_for_bad_values_needs_no_quotes() {
    let cases = [
        ("{}", OnBadValue::Reject),
        ("{on_bad_value: fail}", OnBadValue::Fail),
        ("{on_bad_value: null}", OnBadValue::Null),
        ("{on_bad_value: 'null'}", OnBadValue::Null),
    ];
    for (contract, wanted) in cases {
        let plan = planned(&and(&format!("contract: {contract}\n")));
        assert_eq!(plan.on_bad_value, wanted, "{contract}");
    }
}

#[test]
fn the_matrix_is_keywords_by_filters() {
    let pipeline = changed(
        "pages:",
        "filters: {sort: [general, newest], note_type: video, published_within: [1d, 6m]}\n    pages:",
    );
    let plan = planned(&pipeline);
    assert_eq!(plan.searches.len(), 2 * 2 * 2);
    assert_eq!(
        names(&plan)[..3],
        [
            "note_search 海蓝之谜 (sort: general, note_type: video, published_within: 1d)",
            "note_search 海蓝之谜 (sort: general, note_type: video, published_within: 6m)",
            "note_search 海蓝之谜 (sort: newest, note_type: video, published_within: 1d)",
        ]
    );
    let params: Vec<_> = plan.searches[0].params.iter().collect();
    let params: Vec<_> = params
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_str()))
        .collect();
    assert_eq!(
        params,
        [
            ("keyword", "海蓝之谜"),
            ("noteTime", "一天内"),
            ("noteType", "_1"),
            ("sort", "general"),
        ]
    );
}

#[test]
fn a_keyword_in_two_sets_is_searched_once_and_said_once() {
    let pipeline = "
version: 1
pipeline: test
source: {name: justoneapi}
keyword_sets: {brands: [海蓝之谜, 兰蔻], topics: [防晒, ' 兰蔻 ']}
extract:
  - endpoint: note_search
    keywords: [brands, topics]
    filters: {sort: [general, newest]}
    pages: {max: 2}
";
    let plan = planned(pipeline);
    let searched: Vec<_> = plan
        .searches
        .iter()
        .filter(|s| s.filters[&Filter::Sort] == "newest")
        .map(|s| {
            (
                s.keyword.as_deref().unwrap(),
                s.keyword_set.as_deref().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        searched,
        [
            ("海蓝之谜", "brands"),
            ("兰蔻", "brands"),
            ("防晒", "topics")
        ]
    );
    assert_eq!(
        warnings(&plan),
        [
            "5:49 the keyword `兰蔻` is in the sets `brands` and `topics`; it is searched for once and \
             counted for `brands` [leave it out of one of them]"
        ]
    );
}

#[test]
fn two_entries_that_ask_the_same_page_as_far_as_the_deeper_one() {
    let more = "  - {endpoint: note_search, keywords: [brands], pages: {max: 7}}\n";
    let plan = planned(&and(more));
    assert_eq!(plan.searches.len(), 2);
    assert!(plan.searches.iter().all(|s| s.max_pages == 7));
    assert_eq!(warnings(&plan), Vec::<String>::new());
}

/// The lake joins on this id over years: it must never change for the same question.
#[test]
fn the_id_of_a_search_is_for_ever() {
    let plan = planned(SUNSCREEN);
    assert_eq!(ids(&plan), ["24382dd2e0be3a01"]);
}

#[test]
fn the_id_of_a_search_says_only_what_is_asked() {
    let id = |old: &str, new: &str| {
        assert!(SUNSCREEN.contains(old), "{old}");
        ids(&planned(&SUNSCREEN.replace(old, new)))[0].to_owned()
    };
    let asked = ids(&planned(SUNSCREEN))[0].to_owned();
    let same = [
        ("topics", "themes"),
        ("max: 2", "max: 9"),
        ("pipeline: test", "pipeline: other"),
        (
            "justoneapi}",
            "justoneapi, base_url: 'http://127.0.0.1:8080'}",
        ),
        (
            "justoneapi}",
            "justoneapi, base_url: sandbox, sandbox: {seed: 7}}",
        ),
        ("justoneapi}", "justoneapi, dialect: enum}"),
        (
            "sort: newest, published_within: 1w",
            "published_within: 1w, sort: newest",
        ),
    ];
    for (old, new) in same {
        assert_eq!(id(old, new), asked, "{new}");
    }
    let other = [
        ("防晒", "防晒霜"),
        ("sort: newest", "sort: general"),
        ("sort: newest, ", ""),
        ("published_within: 1w", "published_within: 1d"),
        (
            "published_within: 1w",
            "published_within: 1w, note_type: all",
        ),
        ("    filters: {sort: newest, published_within: 1w}\n", ""),
    ];
    let mut seen = vec![asked];
    for (old, new) in other {
        let id = id(old, new);
        assert!(!seen.contains(&id), "{new}");
        seen.push(id);
    }
}

#[test]
fn a_dialect_changes_the_words_but_not_the_question() {
    let plain = planned(SUNSCREEN);
    let dialect = planned(&SUNSCREEN.replace("justoneapi}", "justoneapi, dialect: enum}"));
    assert_eq!(plain.searches[0].params["noteTime"], "一周内");
    assert_eq!(dialect.searches[0].params["noteTime"], "ONE_WEEK");
    assert_eq!(dialect.searches[0].params["sort"], "time_descending");
    assert_eq!(plain.searches[0].filters, dialect.searches[0].filters);
    assert_eq!(ids(&plain), ids(&dialect));
    assert_eq!(plain.hash, dialect.hash);
}

#[test]
fn the_hash_of_a_plan_changes_with_what_is_asked() {
    let details = |top: u32, by: &str| {
        let more = format!(
            "  - endpoint: note_detail
    source: {{name: xhs_open}}
    notes: {{found_by: note_search, top: {top}, by: {by}}}\n"
        );
        planned(&and(&more)).hash
    };
    let hash = planned(PIPELINE).hash;
    assert_eq!(
        planned(&changed("pipeline: test", "pipeline: other")).hash,
        hash
    );
    assert_eq!(planned(&and("limits: {concurrency: 9}\n")).hash, hash);
    let others = [
        planned(&changed("max: 3", "max: 4")).hash,
        planned(&changed("兰蔻", "雅诗兰黛")).hash,
        planned(&changed("pages:", "filters: {sort: newest}\n    pages:")).hash,
        details(5, "liked_count"),
        details(6, "liked_count"),
        details(5, "shared_count"),
    ];
    let mut distinct: Vec<_> = others.iter().chain([&hash]).collect();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), others.len() + 1);
}

/// Two searches of notes, one of users and 20 details, at two sources.
const THREE_KINDS: &str = "
version: 1
pipeline: test
source: {name: justoneapi}
keyword_sets: {brands: [海蓝之谜, 兰蔻], one: [防晒]}
extract:
  - {endpoint: note_search, keywords: [brands], pages: {max: 3}}
  - {endpoint: user_search, keywords: [one], pages: {max: 4}}
  - endpoint: note_detail
    source: {name: xhs_open}
    notes: {found_by: note_search, top: 20, by: liked_count}
limits: {requests_per_second: 4}
price: {note_search: 0.10, user_search: 0.25, note_detail: 0, currency: CNY}
";

#[test]
fn an_estimate_counts_every_search_to_its_last_page() {
    let estimate = planned(THREE_KINDS).estimate();
    let endpoint = |endpoint: &str, source: &str, searches, calls, cost| EndpointEstimate {
        endpoint: endpoint.to_owned(),
        source: source.to_owned(),
        searches,
        calls,
        cost: Some(cost),
    };
    assert_eq!(
        estimate.by_endpoint,
        [
            endpoint("note_search", "justoneapi", 2, 6, 0.6),
            endpoint("user_search", "justoneapi", 1, 4, 1.0),
            endpoint("note_detail", "xhs_open", 20, 20, 0.0),
        ]
    );
    assert_eq!((estimate.searches, estimate.calls), (23, 30));
    let cost = estimate.cost.expect("every endpoint has a price");
    assert!((cost - 1.6).abs() < 1e-9, "{cost}");
    // 10 calls, 4 a second; then 20 at the 100 a minute that the open platform allows.
    assert!(
        (estimate.seconds - (2.5 + 12.0)).abs() < 1e-9,
        "{}",
        estimate.seconds
    );
}

#[test]
fn a_cost_is_unknown_where_a_price_is() {
    let plan = planned(&THREE_KINDS.replace("user_search: 0.25, ", ""));
    let estimate = plan.estimate();
    assert_eq!(estimate.cost, None);
    assert_eq!(estimate.by_endpoint[0].cost, Some(0.6));
    assert_eq!(estimate.by_endpoint[1].cost, None);
    assert_eq!(plan.price.of("user_search"), None);
}

#[test]
fn a_follow_up_asks_as_one_who_names_the_note() {
    let more = "  - {endpoint: note_detail, source: {name: xhs_open}, notes: {ids: [n2]}}\n";
    let extract = "limits:";
    let plan = planned(&THREE_KINDS.replace(extract, &format!("{more}{extract}")));
    assert_eq!(plan.searches.len(), 4);
    let search = |id| plan.follow_up_search(&plan.follow_ups[0], id);
    assert_eq!(search("n2"), plan.searches[3]);
    let first = search("n1");
    assert_eq!(
        (first.endpoint.as_str(), first.max_pages),
        ("note_detail", 1)
    );
    assert_eq!(first.note_id.as_deref(), Some("n1"));
    assert_eq!(first.params["note_id"], "n1");
    assert_eq!(first.keyword, None);
    assert_ne!(first.search_id, search("n2").search_id);
}

#[test]
fn plain_http_is_warned_of_once_but_not_on_this_machine() {
    let warnings = |address: &str| {
        let new = format!("{{name: justoneapi, base_url: '{address}'}}");
        warnings(&planned(&changed("{name: justoneapi}", &new)))
    };
    assert_eq!(
        warnings("prod-cn"),
        [
            "4:38 http://47.117.133.51:30015 is plain HTTP: the token of justoneapi travels unencrypted \
          [use an https address if the provider has one]"
        ]
    );
    for remote in [
        "http://example.com",
        "http://127.example.com",
        "http://localhost.example.com",
    ] {
        assert_eq!(warnings(remote).len(), 1, "{remote}");
    }
    let local = [
        "prod-global",
        "sandbox",
        "https://example.com",
        "http://127.0.0.1:8080/",
        "http://localhost",
        "http://localhost:8080/api",
        "http://[::1]:8080",
    ];
    for address in local {
        assert_eq!(warnings(address), Vec::<String>::new(), "{address}");
    }
}

#[test]
fn compressions_are_read() {
    let cases = [
        ("zstd", Compression::Zstd(3)),
        ("zstd(22)", Compression::Zstd(22)),
        ("snappy", Compression::Snappy),
        ("uncompressed", Compression::Uncompressed),
    ];
    for (text, compression) in cases {
        let plan = planned(&and(&format!("load: {{compression: {text}}}\n")));
        assert_eq!(plan.compression, compression, "{text}");
    }
}
