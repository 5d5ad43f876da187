use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::told;
use crate::spec::contracts::{Contracts, embedded};
use crate::spec::table::RowsFrom;
use crate::spec::yaml::diagnostic::SourceFile;

const GROWTH: &str = "marts/note_growth.yaml";

/// The built-in contracts with a piece of the text of a file replaced.
fn changed(file: &str, old: &str, new: &str) -> BTreeMap<PathBuf, SourceFile> {
    let mut files = embedded();
    let path = Path::new(file);
    let text = files[path].text();
    assert!(text.contains(old), "{file} does not say {old}");
    let text = text.replacen(old, new, 1);
    files.insert(path.to_owned(), SourceFile::new(path, text));
    files
}

fn mistakes(files: &BTreeMap<PathBuf, SourceFile>) -> Vec<String> {
    told(&Contracts::from_texts(files).expect_err("a mistake").0)
}

#[test]
fn marts_are_relations_beside_the_tables() {
    let contracts = Contracts::load(None).unwrap_or_else(|e| panic!("{e}"));
    assert!(contracts.marts.keys().is_sorted());
    let relations = contracts.relations();
    assert!(
        contracts
            .marts
            .keys()
            .all(|mart| relations.contains_key(mart))
    );
    assert_eq!(
        relations.len(),
        contracts.tables.len() + contracts.marts.len() + contracts.views.len()
    );
    let growth = &contracts.marts["note_growth"];
    assert_eq!(growth.table.rows_from, RowsFrom::Tables);
    assert!(!growth.table.columns.contains_key("run_id"));
    assert_eq!(
        growth.endpoints["engagement"],
        ["note_detail", "note_search"]
    );
    let rising = growth.rising.map(|rule| rule.max_age_hours);
    assert_eq!(rising, Some(168.0));
}

#[test]
fn a_folder_without_marts_has_none() {
    let mut files = embedded();
    files.retain(|path, _| !path.starts_with("marts"));
    let contracts = Contracts::from_texts(&files).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(contracts.marts.len(), 0);
}

#[test]
fn a_mart_reads_columns_that_are_there() {
    let told = mistakes(&changed(
        GROWTH,
        "note_id, endpoint, liked_count",
        "note_id, likes",
    ));
    assert_eq!(
        told,
        ["8:56 `engagement` has no column `likes` \
          [correct the name, or remove the mart's file]"]
    );
    let told = mistakes(&changed(GROWTH, "  engagement: [", "  engagements: ["));
    assert_eq!(
        told,
        ["8:3 there is no table `engagements` [did you mean `engagement`?]"]
    );
    let told = mistakes(&changed(
        GROWTH,
        "sort_by: [pipeline, note_id]",
        "sort_by: [note]",
    ));
    assert_eq!(
        told,
        ["12:11 the table has no column `note` [did you mean `note_id`?]"]
    );
    let told = mistakes(&changed(GROWTH, "min_likes_gained: 100", "min_likes: 100"));
    assert!(told[0].contains("min_likes"), "{told:?}");
}

#[test]
fn only_marts_that_redlake_can_compute_are_declared() {
    let told = mistakes(&changed(GROWTH, "mart: note_growth", "mart: notes_growth"));
    assert_eq!(
        told,
        [
            "1:7 this file is named note_growth.yaml but declares `notes_growth` \
             [name the file after what it declares]",
            "1:7 redlake cannot compute a mart `notes_growth` [did you mean `note_growth`?]",
        ]
    );
    let told = mistakes(&changed(GROWTH, "mart: note_growth", "mart: notes"));
    assert!(
        told.contains(&"1:7 `notes` is a table, too [rename the mart, and its file]".to_owned()),
        "{told:?}"
    );
}
