//! The README shows what a reader gets.

use crate::support::{Lake, repository, succeed};

/// The queries of the README with the output it shows for them.
fn shown() -> Vec<(String, String)> {
    let readme = std::fs::read_to_string(repository("README.md")).expect("the README");
    let mut shown = Vec::new();
    for block in readme.split("```console\n").skip(1) {
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
fn every_query_gives_what_the_readme_shows() {
    let queries = shown();
    assert!(
        queries.len() >= 4,
        "only {} queries were found",
        queries.len()
    );
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
    let readme = std::fs::read_to_string(repository("README.md")).expect("the README");
    let block = readme.split("```console\n").nth(1).expect("a block");
    let block = block.split("```").next().expect("a closed block");
    let expected: Vec<&str> = block.lines().skip(1).map(settled).collect();
    let lake = Lake::new();
    let demo = repository("pipelines/demo.yaml");
    // As cargo would start it, into a folder named lake.
    let mut command = crate::support::redlake();
    command
        .args(["run", demo.to_str().expect("UTF-8")])
        .current_dir(lake.path().parent().expect("a folder"))
        .env("CARGO", "cargo");
    let printed = String::from_utf8(succeed(&mut command).stdout).expect("UTF-8");
    let printed: Vec<&str> = printed.lines().map(settled).collect();
    assert_eq!(printed, expected);
}

#[test]
fn the_readme_names_every_table() {
    let readme = std::fs::read_to_string(repository("README.md")).expect("the README");
    let listed = succeed(crate::support::redlake().args(["schema", "list"])).stdout;
    for line in String::from_utf8(listed).expect("UTF-8").lines() {
        let table = line.split_whitespace().next().expect("a name");
        assert!(
            readme.contains(&format!("`{table}`")),
            "{table} is not in the README"
        );
    }
}
