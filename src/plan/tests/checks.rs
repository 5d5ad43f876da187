//! The checks of a pipeline: what they become, and what is wrong with them.

use super::mistakes::mistakes;
use super::{and, planned};
use crate::plan::{CheckRule, DataCheck};
use crate::spec::checks::{CheckValue, Severity};

/// The plan's checks of these entries, each a line of YAML.
fn checks(entries: &[&str]) -> Vec<DataCheck> {
    planned(&declared(entries)).checks
}

fn declared(entries: &[&str]) -> String {
    let lines = entries.iter().map(|entry| format!("  - {entry}\n"));
    and(&format!("checks:\n{}", lines.collect::<String>()))
}

#[test]
fn every_form_has_a_name_and_a_severity() {
    let planned = checks(&[
        "{table: notes, not_null: [note_id, published_at]}",
        "{table: notes, unique: [note_id, endpoint], severity: warn}",
        "{table: engagement, min_rows: 1, severity: error, name: some counts}",
        "{table: notes, max_reject_share: 0.02}",
        "{table: notes, accepted_values: {note_type: [normal, \"5\", no, 007], has_music: [true], image_count: [0, 1]}}",
        "{table: notes, freshness: {column: published_at, within: 7d}}",
        "{table: notes, row_count_change: {at_most: 0.5}}",
        "{sql: \"select *\\n  from engagement where liked_count < 0 ;\\n\"}",
    ]);
    let told: Vec<(&str, Severity)> = planned
        .iter()
        .map(|check| (check.name.as_str(), check.severity))
        .collect();
    assert_eq!(
        told,
        [
            ("notes: not_null note_id, published_at", Severity::Error),
            ("notes: unique note_id, endpoint", Severity::Warn),
            ("some counts", Severity::Error),
            ("notes: max_reject_share 0.02", Severity::Error),
            (
                "notes: accepted_values note_type, has_music, image_count",
                Severity::Error
            ),
            ("notes: freshness published_at", Severity::Error),
            ("notes: row_count_change", Severity::Error),
            (
                "sql: select * from engagement where liked_count < 0",
                Severity::Error
            ),
        ]
    );
    let notes = "notes".to_owned();
    let text = |text: &str| CheckValue::Text(text.to_owned());
    let accepted = [
        (
            "note_type",
            vec![text("normal"), text("5"), text("no"), text("007")],
        ),
        ("has_music", vec![CheckValue::Bool(true)]),
        ("image_count", vec![CheckValue::Int(0), CheckValue::Int(1)]),
    ];
    let values = accepted.map(|(column, values)| (column.to_owned(), values));
    assert_eq!(
        planned[4].rule,
        CheckRule::AcceptedValues {
            table: notes.clone(),
            values: values.to_vec()
        }
    );
    assert_eq!(
        planned[5].rule,
        CheckRule::Freshness {
            table: notes.clone(),
            column: "published_at".to_owned(),
            within_s: 7 * 86_400
        }
    );
    assert_eq!(
        planned[6].rule,
        CheckRule::RowCountChange {
            table: notes,
            last_runs: 7,
            at_most: 0.5
        }
    );
    let sql = "select *\n  from engagement where liked_count < 0".to_owned();
    assert_eq!(planned[7].rule, CheckRule::Sql(sql));
}

#[test]
fn checks_do_not_change_the_searches() {
    let with = planned(&declared(&["{table: notes, min_rows: 1}"]));
    assert_eq!(with.hash, planned(super::PIPELINE).hash);
    assert_eq!(planned(super::PIPELINE).checks, []);
}

#[test]
fn each_mistake_has_its_place_and_a_hint() {
    let cases = [
        (
            "{table: note, min_rows: 1}",
            "12:13 unknown table `note` [did you mean `notes`?]",
        ),
        (
            "{table: notes, not_null: [note_id, publishd_at]}",
            "12:40 unknown column of notes `publishd_at` [did you mean `published_at`?]",
        ),
        (
            "{table: notes, unique: []}",
            "12:28 no column is named [name one, such as [note_id]]",
        ),
        (
            "{table: notes, not_nul: [note_id]}",
            "12:20 unknown key `not_nul` [did you mean `not_null`?]",
        ),
        (
            "{table: notes}",
            "12:5 this check has no condition [give exactly one of not_null, unique, \
             min_rows, max_reject_share, accepted_values, freshness, row_count_change, sql]",
        ),
        (
            "{table: notes, min_rows: 1, unique: [note_id]}",
            "12:5 this check has several conditions: unique, min_rows [give exactly one of not_null, \
             unique, min_rows, max_reject_share, accepted_values, freshness, row_count_change, sql]",
        ),
        (
            "{min_rows: 1}",
            "12:5 this check has no table [add `table:`, such as `table: notes`]",
        ),
        (
            "{table: notes, min_rows: 0}",
            "12:30 `min_rows` must be at least 1 [write a whole number from 1]",
        ),
        (
            "{table: notes, max_reject_share: 2}",
            "12:38 `max_reject_share` must be from 0 to 1 [write 0.02 to allow 2 rows in 100]",
        ),
        (
            "{table: requests, max_reject_share: 0.1}",
            "12:13 no row of `requests` can be rejected [name a table that is made of pages, such as notes]",
        ),
        (
            "{table: notes, accepted_values: {}}",
            "12:37 no accepted value is given [write them by column: {note_type: [normal, video]}]",
        ),
        (
            "{table: notes, accepted_values: {note_type: []}}",
            "12:49 no accepted value of `note_type` is given [write at least one]",
        ),
        (
            "{table: notes, accepted_values: {image_count: [many]}}",
            "12:52 `many` is not a value of `image_count` [write a whole number]",
        ),
        (
            "{table: notes, accepted_values: {has_music: [ja]}}",
            "12:50 `ja` is not a value of `has_music` [write true or false]",
        ),
        (
            "{table: notes, accepted_values: {published_at: [x]}}",
            "12:38 accepted values cannot be instants or days, as in `published_at` [write `sql`, such as select * \
             from run.notes where published_at < …]",
        ),
        (
            "{table: notes, freshness: {column: title, within: 7d}}",
            "12:40 `title` holds no instants [use one of: published_at, updated_at, last_updated_at, \
             snapshot_at, fetched_at]",
        ),
        (
            "{table: notes, row_count_change: {last_runs: 0, at_most: 0.5}}",
            "12:50 `last_runs` must be at least 1 [write a whole number from 1]",
        ),
        (
            "{table: notes, row_count_change: {at_most: -1}}",
            "12:48 `at_most` must be 0 or more [write 0.5 to allow 50% fewer or more rows]",
        ),
        (
            "{sql: \" ; \"}",
            "12:11 there is no SQL to run [write a query whose rows are what is wrong, such as \
             select * from run.engagement where liked_count < 0]",
        ),
        (
            "{sql: select 1, table: notes}",
            "12:28 `sql` takes no table [remove `table`; the query names its tables itself]",
        ),
        (
            "{table: notes, min_rows: 1, severity: wran}",
            "12:43 unknown value `wran` [did you mean `warn`?]",
        ),
        (
            "{table: notes, min_rows: 1, name: \"\"}",
            "12:39 this check has an empty name [write a name, or remove `name`]",
        ),
    ];
    for (entry, expected) in cases {
        assert_eq!(mistakes(&declared(&[entry])), [expected], "{entry}");
    }
}

#[test]
fn two_mistakes_are_told_at_once() {
    let entries = [
        "{table: notes, min_rows: 1, name: twice}",
        "{table: notes, unique: [note_ids], name: twice}",
    ];
    assert_eq!(
        mistakes(&declared(&entries)),
        [
            "13:29 unknown column of notes `note_ids` [did you mean `note_id`?]",
            "13:46 two checks are named `twice` [give each its own name]",
        ]
    );
}

#[test]
fn a_column_that_is_dropped_cannot_have_values() {
    let entry = declared(&["{table: users, not_null: [user_id, nickname]}"]);
    assert_eq!(
        mistakes(&format!("{entry}privacy: {{drop: [users.nickname]}}\n")),
        ["12:40 `users.nickname` is dropped by `privacy` [do not drop it, or do not check it]"]
    );
}
