//! The text of a source contract beside the built-in tables: read, compiled, and used to flatten
//! the documented answers.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use redlake::spec::contracts::Contracts;
use redlake_fuzz::{
    BUILT_IN, contract_file, declared, flatten_documented, forgive_html2text, shown,
};

fuzz_target!(init: forgive_html2text(), |text: &str| {
    let name = declared(text, "source").unwrap_or("justoneapi");
    let files = BTreeMap::from([contract_file("sources", name, text)]);
    match Contracts::from_texts(&files) {
        Ok(Contracts { sources, .. }) => {
            let mut contracts = Contracts::clone(&BUILT_IN);
            contracts.sources = sources;
            flatten_documented(contracts);
        }
        Err(mistakes) => shown(&mistakes),
    }
});
