use std::path::Path;

use tempfile::TempDir;

use super::told;
use crate::spec::contracts::{Contracts, embedded};
use crate::spec::load::{LoadedPipeline, load_pipeline, parse_pipeline};
use crate::spec::yaml::diagnostic::SourceFile;

const COMMON: &str = "
every_table:
  run_id: {type: string, required: true, fill: run_id, description: The run.}
from_pages:
  fetched_at: {type: timestamp, fill: fetched_at, description: The time.}
";

const TABLE: &str = "
table: things
description: Things.
rows_from: pages
sort_by: [thing_id]
columns:
  thing_id: {type: string, required: true, description: The id.}
";

/// A folder of contracts: common columns, no source, and this as `tables/things.yaml`.
fn folder(table: &str) -> TempDir {
    let dir = TempDir::new().expect("a temporary folder");
    for folder in ["sources", "tables"] {
        std::fs::create_dir(dir.path().join(folder)).expect("a folder");
    }
    write(dir.path(), "common_columns.yaml", COMMON);
    write(dir.path(), "tables/things.yaml", table);
    dir
}

fn write(dir: &Path, name: &str, text: &str) {
    std::fs::write(dir.join(name), text).expect("a writable folder");
}

/// The entries of a list that a pipeline names.
fn entries<'l>(loaded: &'l LoadedPipeline, path: &str) -> Vec<&'l str> {
    let entries = loaded.lists[Path::new(path)].entries.iter();
    entries.map(|entry| entry.value.as_str()).collect()
}

fn mistakes(dir: &Path) -> Vec<String> {
    told(&Contracts::load(Some(dir)).expect_err("a mistake").0)
}

#[test]
fn the_built_in_contracts_are_valid() {
    let contracts = Contracts::load(None).unwrap_or_else(|e| panic!("{e}"));
    let sources: Vec<_> = contracts.sources.keys().map(String::as_str).collect();
    assert_eq!(sources, ["justoneapi", "xhs_open"]);
    assert_eq!(contracts.tables.len(), 16);
}

#[test]
fn contracts_are_read_from_texts_as_from_a_folder() {
    let mut files = embedded();
    let path = Path::new("tables/notes.yaml");
    let text = files[path].text().replace("[note_id, endpoint]", "[id]");
    files.insert(path.to_owned(), SourceFile::new(path, text));
    let told = told(&Contracts::from_texts(&files).expect_err("a mistake").0);
    assert!(told[0].contains("the table has no column `id`"), "{told:?}");

    files.retain(|path, _| path.ends_with("xhs_open.yaml"));
    let contracts = Contracts::from_texts(&files).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(contracts.sources.keys().collect::<Vec<_>>(), ["xhs_open"]);
    assert_eq!(contracts.tables.len(), 0);
}

/// The mistakes in the built-in contracts after a change of the open platform's.
fn mistakes_in_xhs_open(old: &str, new: &str) -> Vec<String> {
    let mut files = embedded();
    let path = Path::new("sources/xhs_open.yaml");
    let text = files[path].text();
    assert!(text.contains(old), "{old}");
    let changed = SourceFile::new(path, text.replace(old, new));
    files.insert(path.to_owned(), changed);
    told(&Contracts::from_texts(&files).expect_err("a mistake").0)
}

#[test]
fn what_an_answer_is_about_is_a_parameter_at_a_place() {
    let about = "about: {note_id: /data/note_id}";
    for (changed, told) in [
        (
            "about: {note_ids: /data/note_id}",
            "there is no parameter `note_ids`",
        ),
        ("about: {note_id: data}", "`data` is not a path"),
    ] {
        let mistakes = mistakes_in_xhs_open(about, changed);
        assert_eq!(mistakes.len(), 1, "{mistakes:?}");
        assert!(mistakes[0].contains(told), "{mistakes:?}");
    }
    let mistakes = mistakes_in_xhs_open("note_id: {from: note_id}", "note_id: {from: page}");
    assert!(
        mistakes[0].contains("differs from page to page"),
        "{mistakes:?}"
    );
}

#[test]
fn fields_must_be_values_of_their_parameter() {
    for (old, new) in [
        ("always: [note_id]", "always: [noteid]"),
        ("any_of_fields: [like_count", "any_of_fields: [liked_count"),
        ("all_of_fields: [title", "all_of_fields: [titel"),
    ] {
        let mistakes = mistakes_in_xhs_open(old, new);
        assert_eq!(mistakes.len(), 1, "{mistakes:?}");
        assert!(
            mistakes[0].contains("is not a field that can be requested"),
            "{mistakes:?}"
        );
        assert!(mistakes[0].contains("did you mean"), "{mistakes:?}");
    }
}

#[test]
fn the_text_that_is_signed_has_known_parts_and_a_secret() {
    for (old, new, told) in [
        ("{app_id}", "{appid}", "`{appid}` cannot be signed"),
        ("{version}{secret}", "{version}", "a sign needs the secret"),
    ] {
        let mistakes = mistakes_in_xhs_open(old, new);
        assert_eq!(mistakes.len(), 1, "{mistakes:?}");
        assert!(mistakes[0].contains(told), "{mistakes:?}");
    }
}

#[test]
fn a_pipeline_is_read_from_a_text() {
    let text = "
version: 1
pipeline: p
source: {name: \"${NAME}\"}
keyword_sets: {brands: {file: brands.txt}}
extract: []
";
    let file = SourceFile::new("folder/p.yaml", text);
    let name = |name: &str| (name == "NAME").then(|| "shop".to_owned());
    let list = |path: &Path| {
        assert_eq!(path, Path::new("folder/brands.txt"));
        Ok("# none\na\n".to_owned())
    };
    let loaded = parse_pipeline(file, &name, &list).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(loaded.pipeline.source.name.value, "shop");
    assert_eq!(entries(&loaded, "brands.txt"), ["a"]);
    assert_eq!(told(&loaded.found), Vec::<String>::new());
}

#[test]
fn a_table_has_the_common_columns_after_its_own() {
    let columns = |table: &str| {
        let dir = folder(table);
        let contracts = Contracts::load(Some(dir.path())).unwrap_or_else(|e| panic!("{e}"));
        let columns = contracts.tables["things"].columns.keys().cloned();
        columns.collect::<Vec<_>>()
    };
    assert_eq!(columns(TABLE), ["thing_id", "run_id", "fetched_at"]);
    let own = TABLE.replace("rows_from: pages", "rows_from: redlake");
    assert_eq!(columns(&own), ["thing_id", "run_id"]);
}

#[test]
fn an_unknown_column_gets_a_hint_wherever_it_is_named() {
    let table = TABLE.replace(
        "sort_by: [thing_id]",
        "sort_by: [thing_di]\nlatest_by: [thing_id, zzz]\nbloom_filter: [runid]\n\
         latest_view: {id: thingid, endpoints: []}",
    );
    let table = format!(
        "{table}  owner: {{type: string, identity_by: knd, description: Whose.}}\n  \
         kind: {{type: string, description: Which.}}\n"
    );
    assert_eq!(
        mistakes(folder(&table).path()),
        [
            "5:11 the table has no column `thing_di` [did you mean `thing_id`?]",
            "6:23 the table has no column `zzz` [add it to `columns`, or remove it here]",
            "7:16 the table has no column `runid` [did you mean `run_id`?]",
            "8:19 the table has no column `thingid` [did you mean `thing_id`?]",
            "11:38 the table has no column `knd` [did you mean `kind`?]",
        ]
    );
}

#[test]
fn a_file_is_named_after_what_it_declares() {
    let table = TABLE.replace("table: things", "table: thing");
    assert_eq!(
        mistakes(folder(&table).path()),
        ["2:8 this file is named things.yaml but declares `thing` \
          [name the file after what it declares]"]
    );
}

#[test]
fn the_mistakes_of_all_files_are_told_at_once() {
    let dir = folder(&TABLE.replace("type: string", "type: text"));
    write(dir.path(), "tables/other.yaml", "table: [\n");
    write(dir.path(), "common_columns.yaml", "every_table: {}\n");
    let found = Contracts::load(Some(dir.path())).expect_err("mistakes").0;
    let files: Vec<_> = found
        .iter()
        .map(|d| d.file.path().strip_prefix(dir.path()).expect("below it"))
        .collect();
    assert_eq!(
        files,
        [
            Path::new("common_columns.yaml"),
            Path::new("tables/other.yaml"),
            Path::new("tables/things.yaml"),
        ]
    );
}

#[test]
fn a_folder_without_contracts_says_what_it_should_hold() {
    let dir = TempDir::new().expect("a temporary folder");
    for told in mistakes(dir.path()) {
        assert!(told.contains("--schemas names a folder with"), "{told}");
    }
    assert_eq!(mistakes(&dir.path().join("nowhere")).len(), 1);
}

#[test]
fn lists_are_found_beside_the_pipeline() {
    let dir = TempDir::new().expect("a temporary folder");
    std::fs::create_dir(dir.path().join("lists")).expect("a folder");
    let list = "\u{feff}# brands\n海蓝之谜\r\n\n  兰蔻  \n#no\n";
    write(dir.path(), "lists/brands.txt", list);
    let text = "
version: 1
pipeline: p
source: {name: justoneapi}
keyword_sets:
  brands: {file: lists/brands.txt}
  gone: {file: lists/gone.txt}
extract: []
";
    write(dir.path(), "p.yaml", text);
    let loaded = load_pipeline(&dir.path().join("p.yaml"), &|_| None);
    let loaded = loaded.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(entries(&loaded, "lists/brands.txt"), ["海蓝之谜", "兰蔻"]);
    let list = &loaded.lists[Path::new("lists/brands.txt")];
    let places = list
        .entries
        .iter()
        .map(|entry| list.file.position(entry.span().start));
    assert_eq!(places.collect::<Vec<_>>(), [(2, 1), (4, 3)]);
    let found = told(&loaded.found);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("7:16 cannot read "), "{found:?}");
    assert!(
        found[0].ends_with("[files are found relative to the pipeline]"),
        "{found:?}"
    );
}

#[test]
fn a_code_has_a_class_that_decisions_know() {
    let dir = folder(TABLE);
    let built_in = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/sources/xhs_open.yaml");
    let source = std::fs::read_to_string(built_in).expect("a contract");
    let cases = [
        ("atuh", ["unknown value `atuh`", "did you mean `auth`?"]),
        // A class of outcomes without a code.
        (
            "lost",
            ["no code has the class `lost`", "use one of: ok, gone"],
        ),
    ];
    for (class, words) in cases {
        let source = source.replace("class: auth,", &format!("class: {class},"));
        write(dir.path(), "sources/xhs_open.yaml", &source);
        let told = mistakes(dir.path());
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(words.iter().all(|word| told[0].contains(word)), "{told:?}");
    }
}

#[test]
fn a_table_is_outdated_only_with_one_that_is_grouped_alike() {
    let table = format!("{TABLE}latest_by: [thing_id]\nlatest_with: things\n");
    let dir = folder(&table);
    assert!(Contracts::load(Some(dir.path())).is_ok());
    write(
        dir.path(),
        "tables/things.yaml",
        &table.replace("latest_with: things", "latest_with: thing"),
    );
    let told = mistakes(dir.path());
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains("`thing` is not a table with the same `latest_by`"),
        "{told:?}"
    );
    assert!(told[0].contains("did you mean `things`?"), "{told:?}");
}

#[test]
fn a_column_is_not_there_and_removed() {
    let table = format!("{TABLE}removed: {{size: nobody used it, thing_id: .}}\n");
    assert_eq!(
        mistakes(folder(&table).path()),
        [
            "8:33 `thing_id` is both a column and removed [take it out of `removed`, or out of `columns`]"
        ]
    );
}
