//! The sandbox sends no field that the source contracts do not know: a client that watches for
//! changes of the provider must not see any.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{NOTES, USERS, all_notes, call, contracts, detail, ids, json};
use crate::sandbox::request::ApiCall;
use crate::spec::source::{ColumnReads, Endpoint, EnvelopePaths, Mapping, RowRule};

#[test]
fn all_fields_are_known() {
    for (source, endpoint, calls) in [
        ("justoneapi", "note_search", note_searches()),
        ("justoneapi", "user_search", user_searches()),
        ("xhs_open", "note_detail", note_details()),
    ] {
        let contracts = contracts();
        let source = &contracts.sources[source];
        let known = known_paths(&source.envelope, &source.endpoints[endpoint]);
        let mut unknown = BTreeSet::new();
        for call in calls {
            let answer = super::answer(&call);
            unknown_paths(&json(&answer), "", &known, &mut unknown);
        }
        assert!(unknown.is_empty(), "{endpoint}: {unknown:#?}");
    }
}

fn note_searches() -> Vec<ApiCall> {
    let pages = ["1", "2", "3", "4", "5"];
    let searches = pages.map(|page| call(NOTES, &[("keyword", "兰蔻"), ("page", page)]));
    searches.into_iter().collect()
}

fn user_searches() -> Vec<ApiCall> {
    let pages = ["1", "2"];
    let searches = pages.map(|page| call(USERS, &[("keyword", "兰蔻"), ("page", page)]));
    searches.into_iter().collect()
}

fn note_details() -> Vec<ApiCall> {
    let notes = all_notes(&[("keyword", "兰蔻")]);
    ids(&notes).into_iter().take(40).map(detail).collect()
}

/// The paths that a contract names, in the form `/data/items[*]/note/id`.
#[derive(Default)]
struct Known {
    /// Values that are read.
    mapped: BTreeSet<String>,
    /// Values that are left out, with all that lies below.
    left_out: BTreeSet<String>,
}

fn known_paths(envelope: &EnvelopePaths, endpoint: &Endpoint) -> Known {
    let mut known = Known::default();
    known
        .mapped
        .extend(envelope.message.iter().chain([&envelope.code]).cloned());
    known.mapped.extend(envelope.request_id.clone());
    for rule in &endpoint.rows {
        known.mapped.extend(rule_paths(&rule.value));
    }
    for left_out in &endpoint.left_out {
        for at in &left_out.at {
            let paths = left_out.fields.iter().map(|field| format!("{at}/{field}"));
            known.left_out.extend(paths);
        }
    }
    known
}

fn rule_paths(rule: &RowRule) -> Vec<String> {
    let each = rule.each.clone().unwrap_or_default();
    let places = if rule.at.is_empty() {
        vec![each]
    } else {
        rule.at.iter().map(|at| format!("{each}{at}")).collect()
    };
    let mut paths = Vec::new();
    let exploded = rule
        .explode
        .iter()
        .flat_map(|explode| explode.hashtags.clone());
    let named: Vec<_> = rule
        .columns
        .values()
        .flat_map(column_paths)
        .chain(exploded)
        .collect();
    for place in places {
        let list = rule.then_each.clone().unwrap_or_default();
        let conditions = rule.then_when.iter().map(|(path, _)| path);
        for path in named.iter().chain(conditions) {
            // `^` goes from the row's own list up to where that list is found.
            let outer = path.trim_start_matches('^');
            paths.push(match (outer.len() < path.len(), rule.then_each.is_some()) {
                (true, true) => format!("{place}{outer}"),
                (true, false) => outer.to_owned(),
                _ => format!("{place}{list}{path}"),
            });
        }
    }
    paths
}

fn column_paths(columns: &ColumnReads) -> Vec<String> {
    columns.0.iter().flat_map(mapping_paths).collect()
}

fn mapping_paths(mapping: &Mapping) -> Vec<String> {
    let element = match (&mapping.list, &mapping.item, &mapping.has_in) {
        (Some(list), Some(item), _) => Some(format!("{list}[*]{item}")),
        (_, _, Some(list)) => Some(format!("{list}[*]")),
        _ => None,
    };
    let list = mapping.list.as_deref().unwrap_or_default();
    let of_elements = mapping
        .item_when
        .iter()
        .map(|(path, _)| format!("{list}[*]{path}"));
    [
        &mapping.path,
        &mapping.length,
        &mapping.index_equals,
        &mapping.index_at,
        &element,
    ]
    .into_iter()
    .flatten()
    .chain(mapping.hash.iter().flatten())
    .chain(mapping.when.iter().map(|(path, _)| path))
    .cloned()
    .chain(of_elements)
    .collect()
}

/// Collects the values that no known path leads to.
fn unknown_paths(value: &Value, path: &str, known: &Known, unknown: &mut BTreeSet<String>) {
    let is_in = |paths: &BTreeSet<String>| paths.iter().any(|known| leads_to(known, path));
    if is_in(&known.left_out) {
        return;
    }
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                unknown_paths(value, &format!("{path}/{name}"), known, unknown);
            }
        }
        Value::Array(elements) => {
            for element in elements {
                unknown_paths(element, &format!("{path}[*]"), known, unknown);
            }
        }
        _ if is_in(&known.mapped) => {}
        _ => {
            unknown.insert(path.to_owned());
        }
    }
}

/// A `*` in a known path stands for any one key.
fn leads_to(known: &str, path: &str) -> bool {
    let (known, path): (Vec<_>, Vec<_>) = (known.split('/').collect(), path.split('/').collect());
    known.len() == path.len()
        && known
            .iter()
            .zip(path)
            .all(|(known, part)| match known.strip_prefix('*') {
                Some(end) => part.ends_with(end) && (end.is_empty() || !part.is_empty()),
                None => *known == part,
            })
}
