//! The text of a pipeline, planned against the built-in contracts.
#![no_main]

use std::io;
use std::path::Path;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use redlake::plan::{Shard, plan};
use redlake::spec::yaml::diagnostic::SourceFile;
use redlake::spec::load::parse_pipeline;
use redlake_fuzz::{BUILT_IN, shown};

fuzz_target!(|text: &str| {
    let file = SourceFile::new("pipelines/fuzz.yaml", text);
    let planned = parse_pipeline(file, &variable, &list)
        .and_then(|loaded| plan(loaded, Arc::clone(&BUILT_IN)));
    match planned {
        Ok(plan) => {
            plan.estimate();
            if let Err(indivisible) = plan.clone().shard(Shard { index: 1, count: 3 }) {
                drop(indivisible.to_string());
            }
            plan.searches
                .iter()
                .for_each(|search| drop(search.to_string()));
        }
        Err(mistakes) => shown(&mistakes),
    }
});

/// The only variables that are set.
fn variable(name: &str) -> Option<String> {
    match name {
        "SET" => Some("sandbox".to_owned()),
        "SALT" => Some("0123456789abcdef".to_owned()),
        _ => None,
    }
}

/// Lists come from memory, so that no input makes the fuzzer read the disk.
fn list(path: &Path) -> io::Result<String> {
    match path.extension() {
        Some(extension) if extension == "txt" => Ok(LIST.to_owned()),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

const LIST: &str = "\u{feff}# a comment\nword\n\n another word \n649c46ab000000002702ad36\nword\n";
