//! The rules of who may use whom, held by reading the `use` lines.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::support::repository;

/// Which modules of this crate a module may use, besides itself. `cli → maintenance → run → stages →
/// plan → spec`; stages know nothing of each other: extract and transform meet in the raw zone only.
fn allowed(module: &str) -> Option<&'static [&'static str]> {
    Some(match module {
        "main" => &["cli"],
        "cli" => &[
            "clock",
            "extract",
            "load",
            "maintenance",
            "plan",
            "query",
            "raw",
            "run",
            "sandbox",
            "signing",
            "spec",
            "transform",
        ],
        "maintenance" => &[
            "clock",
            "extract",
            "load",
            "marts",
            "plan",
            "query",
            "raw",
            "run",
            "spec",
            "transform",
        ],
        "run" => &[
            "clock",
            "extract",
            "load",
            "marts",
            "plan",
            "query",
            "raw",
            "sandbox",
            "signing",
            "spec",
            "transform",
        ],
        "extract" => &["clock", "durable", "plan", "raw", "signing", "spec"],
        "transform" => &["plan", "raw", "spec"],
        "load" => &["durable", "plan", "spec"],
        "marts" => &["spec"],
        "query" => &["plan", "spec"],
        "sandbox" => &["signing", "spec"],
        "raw" => &["durable", "plan"],
        "plan" | "signing" => &["spec"],
        "spec" | "clock" | "durable" => &[],
        _ => return None,
    })
}

/// Crates that one place alone may use.
const ONLY: [(&str, &str); 8] = [
    ("reqwest", "src/extract/client.rs"),
    ("axum", "src/sandbox/"),
    ("http_body", "src/sandbox/"),
    ("flate2", "src/sandbox/"),
    ("duckdb", "src/query/duckdb.rs"),
    ("anyhow", "src/cli/"),
    ("polars", "src/marts/"),
    ("md5", "src/signing/"),
];

fn sources() -> BTreeMap<PathBuf, String> {
    fn collect(folder: &Path, files: &mut BTreeMap<PathBuf, String>) {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                collect(&path, files);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&path).expect("a readable file");
                let name = path
                    .strip_prefix(repository(""))
                    .expect("in the repository")
                    .to_owned();
                files.insert(name, text);
            }
        }
    }
    let mut files = BTreeMap::new();
    collect(&repository("src"), &mut files);
    assert!(
        files.len() > 30,
        "only {} source files were found",
        files.len()
    );
    files
}

/// The words that follow `prefix` in the code, comments left out.
fn words_after<'t>(text: &'t str, prefix: &str) -> Vec<&'t str> {
    let code = text
        .lines()
        .map(str::trim_start)
        .filter(|line| !line.starts_with("//"));
    let parts = code.flat_map(|line| line.split(prefix).skip(1));
    parts
        .map(|rest| {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
            &rest[..end.unwrap_or(rest.len())]
        })
        .collect()
}

#[test]
fn modules_use_only_what_lies_below_them() {
    let mut broken = Vec::new();
    for (path, text) in sources() {
        let module = path.iter().nth(1).expect("below src").to_string_lossy();
        let module = module.trim_end_matches(".rs");
        if module == "lib" {
            continue;
        }
        let Some(allowed) = allowed(module) else {
            broken.push(format!(
                "{}: the module {module} has no rule",
                path.display()
            ));
            continue;
        };
        for used in words_after(&text, "crate::") {
            if used != module && !allowed.contains(&used) {
                broken.push(format!("{}: {module} uses {used}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// Whether a name that follows this text is a module of ours or the end of another word.
fn is_part_of_a_path(before: &str) -> bool {
    before.ends_with("::") || before.ends_with(|c: char| c.is_alphanumeric() || c == '_')
}

#[test]
fn some_crates_have_one_home() {
    let mut broken = Vec::new();
    for (path, text) in sources() {
        let name = path.to_string_lossy().replace('\\', "/");
        for (dependency, home) in ONLY {
            let code: Vec<&str> = text
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
                .collect();
            let used = code.iter().any(|line| {
                let name = format!("{dependency}::");
                line.match_indices(&name)
                    .any(|(at, _)| !is_part_of_a_path(&line[..at]))
            });
            let is_test = name.contains("/tests");
            if used && !name.starts_with(home) && !is_test {
                broken.push(format!("{name} uses {dependency}, whose place is {home}"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// A reader should find the file for a behaviour from the tree alone.
#[test]
fn no_folder_has_too_many_files() {
    let mut folders: BTreeMap<PathBuf, usize> = BTreeMap::new();
    for path in sources().into_keys() {
        let folder = path.parent().expect("a folder").to_owned();
        let is_test = path.to_string_lossy().contains("tests");
        *folders.entry(folder).or_default() += usize::from(!is_test);
    }
    folders.retain(|folder, files| *files > 16 && !folder.ends_with("cli/commands"));
    assert!(folders.is_empty(), "{folders:#?}");
}

/// One idea has one name, and one name is one idea.
#[test]
fn each_public_type_has_a_name_of_its_own() {
    let mut homes: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for (path, text) in sources() {
        if path.to_string_lossy().contains("tests") {
            continue;
        }
        for kind in ["pub struct ", "pub enum ", "pub trait ", "pub type "] {
            for name in words_after(&text, kind) {
                let homes = homes.entry(name.to_owned()).or_default();
                if !homes.contains(&path) {
                    homes.push(path.clone());
                }
            }
        }
    }
    homes.retain(|_, homes| homes.len() > 1);
    assert!(homes.is_empty(), "{homes:#?}");
}

/// Facts about providers are data: the engine spells no endpoint's path and no provider's name.
#[test]
fn the_engine_knows_no_provider() {
    let facts = [
        "justoneapi",
        "JUSTONEAPI_",
        "XHS_OPEN_",
        "xhs_open",
        "search-note",
        "search-user",
        "/v1/notes",
        "time_descending",
    ];
    let mut broken = Vec::new();
    for (path, text) in sources() {
        let name = path.to_string_lossy().replace('\\', "/");
        if name.starts_with("src/sandbox/") || name.contains("tests") {
            continue;
        }
        // The help may name them; `tests/it/contracts.rs` holds it to the contracts.
        let text = match text.split_once("pub const ENVIRONMENT") {
            Some((before, _)) => before,
            None => &text,
        };
        let code = text.lines().filter(|line| {
            let line = line.trim_start();
            !line.starts_with("//") && !line.contains("such as")
        });
        for line in code {
            for fact in facts.iter().filter(|fact| line.contains(**fact)) {
                broken.push(format!("{name} says {fact}: {}", line.trim()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}
