//! The files under `schemas/`, as users and editors rely on them.

use crate::support::{Lake, copy, redlake, repository, succeed};

#[test]
fn the_json_schema_of_pipelines_is_up_to_date() {
    let printed = succeed(redlake().args(["schema", "json-schema"])).stdout;
    let path = repository("schemas/pipeline.schema.json");
    if std::env::var_os("REDLAKE_UPDATE_SCHEMA").is_some() {
        std::fs::write(&path, &printed).expect("a writable file");
    }
    let kept = std::fs::read(&path).expect("schemas/pipeline.schema.json");
    assert!(
        printed == kept,
        "run: redlake schema json-schema > schemas/pipeline.schema.json"
    );
}

#[test]
fn every_pipeline_in_the_repository_is_valid() {
    let mut command = redlake();
    command.arg("validate");
    for name in [
        "pipelines/demo.yaml",
        "pipelines/brand_week.yaml",
        "pipelines/skincare_watch.yaml",
    ] {
        command.arg(repository(name));
    }
    let text = String::from_utf8(succeed(&mut command).stdout).expect("UTF-8");
    assert_eq!(text.matches(": valid, at most ").count(), 3, "{text}");
}

#[test]
fn a_column_added_in_yaml_appears_without_a_build() {
    let lake = Lake::new();
    let schemas = lake.path().with_file_name("schemas");
    copy(&repository("schemas"), &schemas);

    let pipeline = repository("pipelines/demo.yaml");
    lake.run(&pipeline, &[]);
    let edit = |path: &str, old: &str, new: &str| {
        let path = schemas.join(path);
        let text = std::fs::read_to_string(&path).expect("a contract");
        assert!(
            text.contains(old),
            "{} no longer says {old}",
            path.display()
        );
        std::fs::write(&path, text.replacen(old, new, 1)).expect("writable");
    };
    edit(
        "tables/notes.yaml",
        "  xsec_token:",
        "  is_liked: {type: bool, description: Whether we like it.}\n  xsec_token:",
    );
    edit(
        "sources/justoneapi.yaml",
        "          xsec_token: /xsec_token\n",
        "          xsec_token: /xsec_token\n          is_liked: /liked\n",
    );
    edit(
        "sources/justoneapi.yaml",
        "fields: [followed, liked, collected",
        "fields: [followed, collected",
    );

    let schemas = schemas.to_str().expect("UTF-8").to_owned();
    let query = |sql: &str| {
        let output =
            succeed(&mut lake.redlake(&["query", sql, "--schemas", &schemas, "--format", "csv"]));
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let sql = "select count(is_liked) > 0 as filled from notes";
    assert_eq!(
        query(sql),
        "filled\nfalse\n",
        "old files read the new column as null"
    );
    let raw = lake.raw_files();
    succeed(&mut lake.redlake(&[
        "transform",
        pipeline.to_str().expect("UTF-8"),
        "--schemas",
        &schemas,
        "--raw",
        raw[0].to_str().expect("UTF-8"),
    ]));
    assert_eq!(query(sql), "filled\ntrue\n");
}

#[test]
fn the_help_names_every_variable_that_a_contract_reads() {
    const ENDS: [&str; 4] = ["_TOKEN", "_BASE_URL", "_APP_ID", "_APP_SECRET"];
    let help = succeed(redlake().arg("--help")).stdout;
    let help = String::from_utf8(help).expect("UTF-8");
    for (name, count) in [("justoneapi", 2), ("xhs_open", 4)] {
        let path = repository("schemas/sources").join(format!("{name}.yaml"));
        let contract = std::fs::read_to_string(path).expect("a contract");
        let words = contract.split(|c: char| !c.is_ascii_uppercase() && c != '_');
        let variables: Vec<&str> = words
            .filter(|word| ENDS.iter().any(|end| word.ends_with(end)))
            .collect();
        assert_eq!(variables.len(), count, "{variables:?}");
        assert!(
            variables.iter().all(|variable| help.contains(variable)),
            "{help}"
        );
    }
}
