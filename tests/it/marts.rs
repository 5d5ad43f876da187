//! Marts: every figure beside SQL over the tables that was written without a look at the code that
//! computes it; and that they follow the tables, whatever happens in between.

mod failures;
mod figures;
mod upkeep;

use std::path::PathBuf;

use crate::support::Lake;

/// The notes of two sets that have a keyword in common, the users, and details of some notes.
const WATCH: &str = "
version: 1
pipeline: NAME
source: {name: justoneapi, base_url: sandbox, sandbox: {seed: 3}}
keyword_sets:
  brands: [兰蔻, 海蓝之谜]
  topics: [敏感肌, 防晒]
extract:
  - endpoint: note_search
    keywords: [brands, topics]
    filters: {sort: [general, newest]}
    pages: {max: 2}
  - endpoint: user_search
    keywords: [brands]
    pages: {max: 1}
  - endpoint: note_detail
    source: {name: xhs_open, base_url: sandbox}
    notes: {found_by: note_search, top: 8, by: liked_count}
limits: {requests_per_second: 200, concurrency: 8}
";

/// A pipeline of this name.
fn watch(lake: &Lake, name: &str) -> PathBuf {
    lake.write(&format!("{name}.yaml"), &WATCH.replace("NAME", name))
}

/// Runs a pipeline at a time of the simulated world.
fn observe(lake: &Lake, pipeline: &std::path::Path, at: &str) -> serde_json::Value {
    lake.run(pipeline, &["--snapshot-at", at])
}

/// The files of the marts with their bytes, by path below the lake.
fn files(lake: &Lake) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    crate::support::collect(&lake.path().join("marts"), &mut files);
    files.sort();
    files
}
