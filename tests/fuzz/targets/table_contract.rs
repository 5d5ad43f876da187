//! The text of a table contract in place of the built-in table of that name: read with the tables
//! that are outdated together, compiled with the built-in sources, and used to flatten the
//! documented answers.
#![no_main]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use redlake::spec::contracts::{Contracts, embedded};
use redlake::spec::yaml::diagnostic::SourceFile;
use redlake_fuzz::{
    BUILT_IN, contract_file, declared, flatten_documented, forgive_html2text, shown,
};

static FILES: LazyLock<BTreeMap<PathBuf, SourceFile>> = LazyLock::new(embedded);

fuzz_target!(init: forgive_html2text(), |text: &str| {
    let name = declared(text, "table").unwrap_or("notes");
    let mut files = related(name, declared(text, "latest_with"));
    files.extend([contract_file("tables", name, text)]);
    match Contracts::from_texts(&files) {
        Ok(Contracts { tables, .. }) => {
            let mut contracts = Contracts::clone(&BUILT_IN);
            contracts.tables.extend(tables);
            contracts.tables.sort_keys();
            flatten_documented(contracts);
        }
        Err(mistakes) => shown(&mistakes),
    }
});

/// The files that a table is checked against: reading all of them would take most of the time.
fn related(name: &str, with: Option<&str>) -> BTreeMap<PathBuf, SourceFile> {
    let needs = |table: &str| {
        let outdated_with = BUILT_IN.tables[table].latest_with.as_ref();
        with == Some(table) || outdated_with.is_some_and(|with| with.value == name)
    };
    let mut files = FILES.clone();
    files.retain(|path, _| {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        match path.starts_with("tables") {
            true => needs(&stem),
            false => path.ends_with("common_columns.yaml"),
        }
    });
    files
}
