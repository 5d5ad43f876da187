//! The rules of who may use whom, held by reading the `use` lines.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::support::repository;

/// Which modules of this crate a module may use, besides itself. `cli → (maintenance | notify) → run →
/// stages → plan → spec`; stages know nothing of each other: extract and transform meet in the raw zone only.
fn allowed(module: &str) -> Option<&'static [&'static str]> {
    Some(match module {
        "main" => &["cli"],
        "cli" => &[
            "clock",
            "extract",
            "load",
            "maintenance",
            "notify",
            "plan",
            "query",
            "raw",
            "report",
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
        "notify" => &[
            "clock",
            "extract",
            "load",
            "plan",
            "query",
            "run",
            "signing",
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
        "query" => &["durable", "plan", "spec"],
        "report" => &["plan", "query", "spec"],
        "sandbox" => &["signing", "spec"],
        "raw" => &["durable", "plan", "spec"],
        "plan" | "signing" => &["spec"],
        "spec" | "clock" | "durable" | "lake_layout" | "run_meta" => &[],
        _ => return None,
    })
}

/// Modules that every other may use.
const BELOW_ALL: [&str; 3] = ["clock", "lake_layout", "run_meta"];

/// Crates that one place alone may use.
const ONLY: [(&str, &str); 12] = [
    ("reqwest", "src/extract/client/"),
    ("axum", "src/sandbox/"),
    ("http_body", "src/sandbox/"),
    ("flate2", "src/sandbox/"),
    ("duckdb", "src/query/duckdb/"),
    ("anyhow", "src/cli/"),
    ("polars", "src/marts/"),
    ("hmac", "src/signing/"),
    ("md5", "src/signing/"),
    ("plotters", "src/report/charts.rs"),
    ("prometheus_client", "src/cli/metrics/"),
    ("sha2", "src/signing/"),
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
            if used != module && !allowed.contains(&used) && !BELOW_ALL.contains(&used) {
                broken.push(format!("{}: {module} uses {used}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// Returns whether a name that follows this text is a module of ours or the end of another word.
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

/// The modules that a file's code names: `use` lines and paths that begin with `crate`, `super` or a
/// module below. `mod` lines and re-exports do not count; a re-exported item counts as its home.
mod imports {
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::{Path, PathBuf};

    type Module = Vec<String>;

    /// The module of a file: `src/load/mod.rs` is `load`.
    fn module_of(path: &Path) -> Module {
        let inside = path.with_extension("");
        let parts = inside
            .iter()
            .skip(1)
            .map(|part| part.to_string_lossy().into_owned());
        let mut module: Module = parts.collect();
        if matches!(
            module.last().map(String::as_str),
            Some("mod" | "lib" | "main")
        ) {
            module.pop();
        }
        module
    }

    /// The code without comments, and without the tests at the end of a file.
    fn code(text: &str) -> String {
        let text = text
            .split("#[cfg(test)]\nmod tests {")
            .next()
            .expect("a text");
        let lines = text
            .lines()
            .map(|line| line.split("//").next().expect("a line"));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// The paths of a `use`, braces resolved.
    fn paths(tree: &str) -> Vec<Vec<String>> {
        let Some(open) = tree.find('{') else {
            let path = tree.split(" as ").next().expect("a text");
            return vec![
                path.split("::")
                    .map(|part| part.trim().to_owned())
                    .collect(),
            ];
        };
        let close = tree.rfind('}').expect("a closed brace");
        let prefix: Vec<String> = tree[..open]
            .split("::")
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect();
        let (mut depth, mut start, mut all) = (0, 0, Vec::new());
        let inner = format!("{},", &tree[open + 1..close]);
        for (at, c) in inner.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    let part = inner[start..at].trim();
                    start = at + 1;
                    if !part.is_empty() {
                        all.extend(
                            paths(part)
                                .into_iter()
                                .map(|rest| [prefix.clone(), rest].concat()),
                        );
                    }
                }
                _ => {}
            }
        }
        all
    }

    /// Every `use` with whether it is a re-export.
    fn uses(code: &str) -> Vec<(bool, Vec<String>)> {
        let mut found = Vec::new();
        for statement in code.split(';') {
            let Some(at) = statement.rfind("use ") else {
                continue;
            };
            let before = statement[..at].trim_end();
            let line = before.rsplit('\n').next().expect("a line").trim();
            let is_use = line.is_empty() || line.starts_with("pub") || line.ends_with(['}', ']']);
            if is_use {
                let is_export = line.starts_with("pub");
                found.extend(
                    paths(&statement[at + 4..])
                        .into_iter()
                        .map(|path| (is_export, path)),
                );
            }
        }
        found
    }

    pub struct Crate {
        modules: BTreeMap<Module, String>,
        exports: BTreeMap<(Module, String), Module>,
    }

    impl Crate {
        pub fn new(sources: BTreeMap<PathBuf, String>) -> Self {
            let sources = sources.into_iter();
            let sources = sources.filter(|(path, _)| {
                !path
                    .iter()
                    .any(|part| part.to_string_lossy().starts_with("tests"))
            });
            let modules: BTreeMap<Module, String> = sources
                .map(|(path, text)| (module_of(&path), code(&text)))
                .collect();
            let mut this = Crate {
                modules,
                exports: BTreeMap::new(),
            };
            let mut exports = BTreeMap::new();
            for (module, code) in &this.modules {
                for (is_export, path) in uses(code) {
                    if let Some(full) = this.absolute(module, &path).filter(|_| is_export) {
                        let name = path.last().expect("a name").clone();
                        exports.insert((module.clone(), name), full);
                    }
                }
            }
            this.exports = exports;
            this
        }

        fn absolute(&self, module: &Module, path: &[String]) -> Option<Module> {
            let supers = path.iter().take_while(|part| *part == "super").count();
            let base = match path.first().map(String::as_str) {
                Some("crate") => return Some(path[1..].to_vec()),
                Some("self") => return Some([&module[..], &path[1..]].concat()),
                Some("super") => module.get(..module.len().checked_sub(supers)?)?.to_vec(),
                Some(first) => {
                    let child = [&module[..], &[first.to_owned()]].concat();
                    return self
                        .modules
                        .contains_key(&child)
                        .then(|| [&module[..], path].concat());
                }
                None => return None,
            };
            Some([&base[..], &path[supers..]].concat())
        }

        /// The module that an item is defined in.
        fn home(&self, path: &[String], depth: usize) -> Option<Module> {
            let longest = (0..=path.len())
                .rev()
                .find(|n| self.modules.contains_key(&path[..*n]))?;
            let (module, rest) = path.split_at(longest);
            let exported = rest
                .first()
                .and_then(|name| self.exports.get(&(module.to_vec(), name.clone())));
            match exported {
                Some(full) if depth < 5 => self.home(full, depth + 1),
                _ => Some(module.to_vec()),
            }
        }

        pub fn graph(&self) -> BTreeMap<String, BTreeSet<String>> {
            let mut graph = BTreeMap::new();
            for (module, code) in &self.modules {
                let mut named: Vec<Vec<String>> = uses(code)
                    .into_iter()
                    .filter(|(is_export, _)| !is_export)
                    .map(|(_, path)| path)
                    .collect();
                for start in ["crate::", "super::"] {
                    for (at, _) in code.match_indices(start) {
                        let before = code[..at].chars().next_back();
                        if before
                            .is_none_or(|c| !(c.is_alphanumeric() || matches!(c, '_' | ':' | '$')))
                            && !code[..at].ends_with("(in ")
                        {
                            let end = code[at..]
                                .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
                            let path = &code[at..at + end.unwrap_or(code.len() - at)];
                            let parts = path.split("::").filter(|part| !part.is_empty());
                            let parts: Vec<String> = parts.map(str::to_owned).collect();
                            // A path with braces is one of `uses`.
                            if parts
                                .last()
                                .is_some_and(|last| last != "crate" && last != "super")
                            {
                                named.push(parts);
                            }
                        }
                    }
                }
                let homes = named
                    .iter()
                    .filter_map(|path| self.home(&self.absolute(module, path)?, 0));
                let homes = homes.filter(|home| home != module && !home.is_empty());
                graph.insert(
                    module.join("::"),
                    homes.map(|home| home.join("::")).collect(),
                );
            }
            graph
        }
    }
}

/// No file imports one that imports it, directly or through others.
#[test]
fn no_files_import_each_other() {
    let graph = imports::Crate::new(sources()).graph();
    let edges: usize = graph.values().map(BTreeSet::len).sum();
    assert!(edges > 500, "only {edges} imports were found");
    let reached = |from: &String| {
        let mut reached = BTreeSet::new();
        let mut next = vec![from];
        while let Some(module) = next.pop() {
            for imported in graph.get(module).into_iter().flatten() {
                if reached.insert(imported) {
                    next.push(imported);
                }
            }
        }
        reached
    };
    let circles: Vec<&String> = graph
        .keys()
        .filter(|module| reached(module).contains(module))
        .collect();
    let of_circles = |module: &&String| {
        let imported = graph[*module]
            .iter()
            .filter(|imported| circles.contains(imported));
        (module.to_string(), imported.cloned().collect::<Vec<_>>())
    };
    let told: Vec<_> = circles.iter().map(of_circles).collect();
    assert!(told.is_empty(), "{told:#?}");
}
