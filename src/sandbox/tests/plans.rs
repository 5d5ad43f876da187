//! Which fault strikes which call.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::bench::{self, Bench};
use super::{KEYWORD, TOKEN};
use crate::sandbox::faults::{EXAMPLE, Fault, FaultPlan, KINDS, Strikes};
use crate::sandbox::request::Asked;
use crate::spec::yaml::diagnostic::SourceFile;
use crate::spec::yaml::document;

fn plan(json: Value) -> FaultPlan {
    let plan: FaultPlan = serde_json::from_value(json).unwrap();
    plan.check().unwrap();
    plan
}

fn from_yaml<T: serde::de::DeserializeOwned>(text: &str) -> T {
    let file = SourceFile::new("documented", text);
    let mut found = Vec::new();
    let value = document::decode(document::parse(&file).unwrap(), &file, &mut found);
    assert!(found.is_empty(), "{found:?}");
    value.unwrap()
}

/// The kinds that strike so many equal calls, one after the other.
fn strikes(plan: FaultPlan, asked: &Asked, calls: u64) -> Vec<Option<String>> {
    let mut strikes = Strikes::new(plan);
    let mut next = || strikes.next(asked, "question");
    (0..calls)
        .map(|_| next().as_ref().map(Fault::kind))
        .collect()
}

#[test]
fn the_documented_plan_is_one() {
    let plan: FaultPlan = from_yaml(EXAMPLE);
    plan.check().unwrap();
    assert_eq!((plan.seed, plan.script.len(), plan.on.len()), (7, 3, 2));
    assert_eq!(plan.on[0].keyword.as_deref(), Some("\u{5170}\u{853b}"));
    let json = serde_json::to_value(&plan).unwrap();
    assert_eq!(serde_json::from_value::<FaultPlan>(json).unwrap(), plan);
}

#[test]
fn every_kind_is_documented() {
    let documented: Vec<Fault> = from_yaml(KINDS);
    for fault in &documented {
        fault.check().unwrap();
        let json = serde_json::to_value(fault).unwrap();
        assert_eq!(&serde_json::from_value::<Fault>(json).unwrap(), fault);
    }
    let documented: BTreeSet<_> = documented.iter().map(Fault::kind).collect();
    let unknown = serde_json::from_value::<Fault>(json!({"kind": "?"})).unwrap_err();
    let unknown = unknown.to_string();
    let (_, kinds) = unknown.split_once("one of ").unwrap();
    let known: BTreeSet<_> = kinds
        .split(", ")
        .map(|kind| kind.replace('`', ""))
        .collect();
    assert_eq!(documented, known);
}

#[test]
fn what_is_billed_is_known_for_every_kind() {
    for fault in from_yaml::<Vec<Fault>>(KINDS) {
        let kind = fault.kind();
        let never = [
            "status",
            "echo_token",
            "redirect",
            "timeout",
            "reset",
            "drip",
        ];
        assert_eq!(
            fault.billed(true),
            !never.contains(&kind.as_str()),
            "{kind}"
        );
        assert!(!fault.billed(false), "{kind}");
        let mut json = serde_json::to_value(&fault).unwrap();
        json["billed"] = json!(true);
        if let Ok(fault) = serde_json::from_value::<Fault>(json) {
            assert!(fault.billed(false), "{kind}");
        }
    }
}

#[test]
fn mistakes_are_named_with_their_place() {
    let empty = json!({"kind": "empty"});
    let drip = json!({"kind": "drip", "bytes_per_second": 0});
    for (wrong, message) in [
        (
            json!({"random": [{"share": 1.5, "fault": empty}]}),
            "random[0]: the share 1.5 is not",
        ),
        (
            json!({"random": [{"share": -0.1, "fault": empty}]}),
            "random[0]: the share -0.1 is not",
        ),
        (
            json!({"random": [{"share": 0.6, "fault": empty}, {"share": 0.6, "fault": empty}]}),
            "random: the shares add up to 1.2",
        ),
        (
            json!({"on": [{"times": 0, "fault": empty}]}),
            "on[0]: times is at least 1",
        ),
        (
            json!({"script": [null, drip]}),
            "script[1]: drip: bytes_per_second",
        ),
        (
            json!({"script": [{"kind": "status", "status": 100}]}),
            "the status 100 is not",
        ),
        (
            json!({"script": [{"kind": "code", "code": 1, "status": 600}]}),
            "the status 600 is not",
        ),
        (
            json!({"script": [{"kind": "code", "code": ""}]}),
            "the code is empty",
        ),
        (
            json!({"script": [{"kind": "huge", "megabytes": 0}]}),
            "megabytes is from 1",
        ),
        (
            json!({"script": [{"kind": "shift", "items": 0}]}),
            "items is at least 1",
        ),
        (
            json!({"script": [{"kind": "content_type", "content_type": "a\nb"}]}),
            "no header can have",
        ),
    ] {
        let problem = serde_json::from_value::<FaultPlan>(wrong)
            .unwrap()
            .check()
            .unwrap_err();
        assert!(problem.contains(message), "{problem}");
    }
    for unreadable in [
        json!({"scripts": []}),
        json!({"script": [{"kind": "explode"}]}),
        json!({"script": [{"kind": "timeout", "after": 1}]}),
        json!({"script": [{"kind": "echo_token", "billed": true}]}),
        json!({"on": [{"fault": {"kind": "code"}}]}),
        json!({"on": [{"path": "/", "fault": empty}]}),
    ] {
        assert!(serde_json::from_value::<FaultPlan>(unreadable).is_err());
    }
    let tenths = vec![json!({"share": 0.1, "fault": empty}); 10];
    plan(json!({"random": tenths}));
}

#[test]
fn a_rule_goes_before_the_script_and_the_script_before_chance() {
    let plan = plan(json!({
        "on": [
            {"page": 2, "times": 1, "fault": {"kind": "html"}},
            {"endpoint": "user_search", "fault": {"kind": "empty"}},
        ],
        "script": [{"kind": "reset"}, null],
        "random": [{"share": 1, "fault": {"kind": "garbage"}}],
    }));
    let asked = Asked {
        endpoint: Some("note_search".to_owned()),
        page: Some(2),
        ..Asked::default()
    };
    let struck = strikes(plan, &asked, 4);
    let struck: Vec<_> = struck.iter().map(Option::as_deref).collect();
    assert_eq!(struck, [Some("html"), Some("reset"), None, Some("garbage")]);
}

#[test]
fn a_fault_rule_applies_where_all_its_conditions_match() {
    let rule = json!({"source": "s", "keyword": "k", "page": 1, "sort": "newest", "fault": {"kind": "html"}});
    let asked = Asked {
        endpoint: Some("e".to_owned()),
        source: Some("s".to_owned()),
        keyword: Some("k".to_owned()),
        note_id: None,
        page: Some(1),
        sort: Some("newest".to_owned()),
    };
    let plan = plan(json!({"on": [rule]}));
    let strikes = |asked: &Asked| Strikes::new(plan.clone()).next(asked, "").is_some();
    assert!(strikes(&asked));
    for other in [
        Asked {
            source: None,
            ..asked.clone()
        },
        Asked {
            keyword: Some("K".to_owned()),
            ..asked.clone()
        },
        Asked {
            page: Some(2),
            ..asked.clone()
        },
        Asked {
            sort: None,
            ..asked.clone()
        },
    ] {
        assert!(!strikes(&other));
    }
}

#[test]
fn chance_is_the_same_for_the_same_calls_in_any_order() {
    let of_seed = |seed: u64| {
        plan(json!({"seed": seed, "random": [
            {"share": 0.1, "fault": {"kind": "html"}},
            {"share": 0.2, "fault": {"kind": "empty"}},
        ]}))
    };
    let strike = |seed: u64, questions: &[String]| {
        let mut strikes = Strikes::new(of_seed(seed));
        let mut next = |question: &String| strikes.next(&Asked::default(), question);
        let mut struck: Vec<_> = questions
            .iter()
            .map(|question| (question.clone(), next(question).map(|fault| fault.kind())))
            .collect();
        struck.sort();
        struck
    };
    // Every question twice.
    let mut questions: Vec<_> = (0..2_000).map(|n| format!("q{}", n % 1_000)).collect();
    let struck = strike(7, &questions);
    assert_ne!(struck, strike(8, &questions));
    let share = |kind| {
        let hits = struck
            .iter()
            .filter(|(_, struck)| struck.as_deref() == Some(kind));
        hits.count() as f64 / struck.len() as f64
    };
    assert!((share("html") - 0.1).abs() < 0.02, "{}", share("html"));
    assert!((share("empty") - 0.2).abs() < 0.03, "{}", share("empty"));
    let repeats_differ = struck.chunks(2).any(|pair| pair[0].1 != pair[1].1);
    assert!(repeats_differ, "a repeated call has another chance");
    questions.reverse();
    assert_eq!(strike(7, &questions), struck);
}

#[tokio::test]
async fn equal_calls_meet_equal_faults() {
    let plan =
        json!({"seed": 3, "random": [{"share": 0.5, "fault": {"kind": "code", "code": 301}}]});
    let (first, second) = (Bench::start(plan.clone()).await, Bench::start(plan).await);
    let (mut codes, mut again) = (Vec::new(), Vec::new());
    for _ in 0..12 {
        codes.push(first.code().await);
        again.push(second.code().await);
    }
    assert_eq!(codes, again);
    assert!(codes.contains(&json!(0)) && codes.contains(&json!(301)));
}

#[tokio::test]
async fn quota_and_balance_are_used_up_by_billed_calls_of_a_source() {
    for (limit, code) in [("quota", 303), ("balance", 601)] {
        let script = json!([null, {"kind": "code", "code": 301}, {"kind": "html"}]);
        let bench = Bench::start(json!({limit: 2, "script": script})).await;
        assert_eq!(bench.code().await, 0);
        assert_eq!(bench.code().await, 301);
        bench.answer().await;
        assert_eq!(bench.code().await, code);
        let call = bench.last_call().await;
        assert_eq!(
            (&call["fault"], &call["billed"]),
            (&json!(limit), &json!(false))
        );

        // Another source has its own account, and no such code.
        let id = crate::sandbox::json::note_detail::DOCUMENTED_ID;
        for _ in 0..3 {
            let detail = bench.get(&format!("/v1/notes/{id}")).bearer_auth(TOKEN);
            assert_eq!(bench::json(detail).await["code"], 200);
        }
        // A new plan is a new day.
        bench.set_faults(json!({limit: 1})).await;
        assert_eq!(bench.code().await, 0);
        assert_eq!(bench.code().await, code);
        assert_eq!(
            bench.status().await["endpoints"]["note_search"]["billed"],
            3
        );
    }
}

#[tokio::test]
async fn many_calls_at_once_do_not_overdraw_the_quota() {
    let bench = Bench::start(json!({"quota": 5, "latency_ms": 2})).await;
    let calls: Vec<_> = (0..12)
        .map(|_| tokio::spawn(bench.search().send()))
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    let calls = bench.calls().await;
    assert_eq!(
        calls.iter().filter(|call| call["billed"] == true).count(),
        5
    );
    assert_eq!(calls.iter().filter(|call| call["code"] == 303).count(), 7);
}

#[tokio::test]
async fn the_plan_can_be_read_and_replaced() {
    let bench = Bench::with_fault(json!({"kind": "code", "code": 500})).await;
    let shown = bench::json(bench.get("/_sandbox/faults")).await;
    assert_eq!(
        shown["on"],
        json!([{"fault": {"kind": "code", "code": 500}}])
    );
    assert_eq!(bench.code().await, 500);

    let refused = bench
        .set_faults(json!({"random": [{"share": 2, "fault": {"kind": "html"}}]}))
        .await;
    assert_eq!(refused.status(), 400);
    assert!(
        refused
            .text()
            .await
            .unwrap()
            .contains("the share 2 is not from 0 to 1")
    );
    assert_eq!(bench.set_faults(json!({"skript": []})).await.status(), 400);
    assert_eq!(bench.code().await, 500, "a wrong plan changes nothing");

    assert_eq!(bench.set_faults(json!({})).await.status(), 200);
    assert_eq!(bench.code().await, 0);
    let on = json!([{"keyword": KEYWORD, "page": 1, "times": 1, "fault": {"kind": "code", "code": 500}}]);
    bench.set_faults(json!({"on": on})).await;
    assert_eq!(
        (bench.code().await, bench.code().await),
        (json!(500), json!(0))
    );
}
