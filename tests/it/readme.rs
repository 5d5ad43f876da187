//! The documents show what a reader gets, and their links lead somewhere.

use std::path::{Path, PathBuf};

use crate::support::{Lake, repository, succeed};

/// Every document of the repository.
const DOCUMENTS: [&str; 9] = [
    "README.md",
    "pipelines/README.md",
    "schemas/README.md",
    "src/README.md",
    "tests/README.md",
    "sample_data/README.md",
    "tests/readers/README.md",
    "tests/spark/README.md",
    "tests/bench/transform/README.md",
];

fn read(document: &str) -> String {
    std::fs::read_to_string(repository(document)).unwrap_or_else(|e| panic!("{document}: {e}"))
}

/// The text of a section of a document, up to the next one.
pub fn section(document: &str, heading: &str) -> String {
    let text = read(document);
    let mut parts = text.split("\n## ");
    let found = parts.find(|part| part.lines().next() == Some(heading));
    found
        .unwrap_or_else(|| panic!("{document} has no section {heading}"))
        .to_owned()
}

/// The queries that a text shows with their output.
pub fn shown(text: &str) -> Vec<(String, String)> {
    let mut shown = Vec::new();
    for block in text.split("```console\n").skip(1) {
        let block = block.split("```").next().expect("a closed block");
        for part in block.split("$ ").skip(1) {
            let (command, output) = part.split_once('\n').unwrap_or((part, ""));
            if let Some(sql) = command.strip_prefix("redlake query ") {
                let sql = sql.trim().trim_matches('"').to_owned();
                shown.push((sql, output.trim_end().to_owned()));
            }
        }
    }
    shown
}

#[test]
fn every_query_gives_what_the_documents_show() {
    let documents = ["README.md", "schemas/README.md"];
    // The section with its own lake is in `questions`.
    let questions = section("schemas/README.md", "Twenty questions");
    let of_each = documents.map(|document| shown(&read(document).replace(&questions, "")));
    assert!(
        of_each[0].len() >= 3 && of_each[1].len() >= 3,
        "{of_each:?}"
    );
    let queries = of_each.concat();
    let lake = Lake::new();
    lake.run(&repository("pipelines/demo.yaml"), &[]);
    for (sql, expected) in queries {
        let output = succeed(&mut lake.redlake(&["query", &sql])).stdout;
        let output = String::from_utf8(output).expect("UTF-8");
        assert_eq!(output.trim_end(), expected, "{sql}");
    }
}

/// All but what differs from run to run: the seconds and the run's id.
fn settled(line: &str) -> &str {
    let end = line.find(" in ").filter(|_| line.starts_with("demo: "));
    let end = end.or(line.starts_with("  run ").then_some("  run".len()));
    line[..end.unwrap_or(line.len())].trim_end()
}

#[test]
fn the_first_command_prints_what_the_readme_shows() {
    let readme = read("README.md");
    let block = readme.split("```console\n").nth(1).expect("a block");
    let block = block.split("```").next().expect("a closed block");
    let expected: Vec<&str> = block.lines().skip(1).map(settled).collect();
    let lake = Lake::new();
    let folder = lake.path().parent().expect("a folder").to_owned();
    let demo = read("pipelines/demo.yaml");
    std::fs::create_dir(folder.join("pipelines")).expect("a writable folder");
    std::fs::write(folder.join("pipelines/demo.yaml"), demo).expect("a writable folder");
    // As cargo would start it, in the folder of the project.
    let mut command = crate::support::redlake();
    command
        .args(["run", "pipelines/demo.yaml"])
        .current_dir(folder)
        .env("CARGO", "cargo");
    let printed = String::from_utf8(succeed(&mut command).stdout).expect("UTF-8");
    let printed: Vec<&str> = printed.lines().map(settled).collect();
    assert_eq!(printed, expected);
}

#[test]
fn the_readme_names_every_table() {
    let readme = read("README.md");
    let listed = succeed(crate::support::redlake().args(["schema", "list"])).stdout;
    for line in String::from_utf8(listed).expect("UTF-8").lines() {
        let table = line.split_whitespace().next().expect("a name");
        assert!(
            readme.contains(&format!("`{table}`")),
            "{table} is not in the README"
        );
    }
}

#[test]
fn the_readme_is_a_front_page() {
    let lines = read("README.md").lines().count();
    assert!(lines <= 150, "{lines} lines");
}

/// The heading as the anchor that a link names: small letters, blanks as dashes, no punctuation.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter_map(|c| match c {
        ' ' => Some('-'),
        '-' | '_' => Some(c),
        c if c.is_alphanumeric() => Some(c.to_ascii_lowercase()),
        _ => None,
    });
    kept.collect()
}

fn anchors(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut in_code = false;
    let mut anchors = Vec::new();
    for line in text.lines() {
        in_code ^= line.starts_with("```");
        if let Some(heading) = line.strip_prefix('#').filter(|_| !in_code) {
            anchors.push(anchor(heading.trim_start_matches('#')));
        }
    }
    anchors
}

#[test]
fn every_link_of_the_documents_leads_somewhere() {
    let mut links = 0;
    for document in DOCUMENTS {
        let folder: PathBuf = repository(document).parent().expect("a folder").to_owned();
        for rest in read(document).split("](").skip(1) {
            let target = rest.split(')').next().expect("a text");
            if target.contains("://") {
                continue;
            }
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() {
                repository(document)
            } else {
                folder.join(file)
            };
            assert!(path.exists(), "{document} links to {target}");
            let is_there = heading.is_empty() || anchors(&path).iter().any(|a| a == heading);
            assert!(is_there, "{document} links to the heading {target}");
            links += 1;
        }
    }
    assert!(links > 20, "only {links} links were found");
}

/// Documents name files and folders in backticks: from the repository, from their own folder, or, in
/// the row of a table that begins with a folder, from that folder.
#[test]
fn every_path_that_a_document_names_is_there() {
    let mut named = 0;
    for document in ["src/README.md", "tests/README.md", "README.md"] {
        let folder: PathBuf = repository(document).parent().expect("a folder").to_owned();
        for line in read(document).lines() {
            let row = line
                .strip_prefix("| `")
                .and_then(|row| row.split('`').next());
            let of_row = row.map(|first| folder.join(first));
            for path in line.split('`').skip(1).step_by(2) {
                let is_source = path.ends_with(".rs") && !path.contains([' ', '<', '*']);
                let is_folder = path.ends_with('/') && !path.contains([' ', '<', '*', '_']);
                if is_source || is_folder {
                    let is_there = [Some(&folder), Some(&repository("")), of_row.as_ref()]
                        .into_iter()
                        .flatten()
                        .any(|from| from.join(path).exists());
                    assert!(is_there, "{document} names `{path}`");
                    named += 1;
                }
            }
        }
    }
    assert!(named > 30, "only {named} paths were found");
}

/// The pipeline that the README shows runs as it is written, here on the sandbox.
#[test]
fn the_pipeline_of_the_readme_runs() {
    let readme = read("README.md");
    let blocks = readme.split("```yaml\n").skip(1);
    let mut blocks = blocks.filter_map(|block| block.split("```").next());
    let pipeline = blocks
        .find(|block| block.starts_with("version: 1\n"))
        .expect("a pipeline");
    // As fast as the sandbox can answer.
    let pipeline = pipeline.replace("limits: {", "limits: {requests_per_second: 100, ");
    let lake = Lake::new();
    let path = lake.write("my_brand.yaml", &pipeline);
    let path = path.to_str().expect("UTF-8");
    let on_the_sandbox = |args: &[&str]| {
        let mut command = lake.redlake(args);
        let output = succeed(command.env("JUSTONEAPI_BASE_URL", "sandbox"));
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    assert!(on_the_sandbox(&["plan", path]).contains("my_brand"));
    assert!(on_the_sandbox(&["run", path]).starts_with("my_brand: complete"));
    let found = lake.value("select count(distinct keyword)::int as n from search_results");
    assert_eq!(found, 2);
}
