//! From nothing to a first pipeline: `init`, `.env`, contracts of one's own.

use std::path::PathBuf;
use std::process::Command;

use crate::support::{Lake, SandboxProcess, fail, redlake, succeed};

/// A new folder with the files of `redlake init`.
fn initialised(more: &[&str]) -> (tempfile::TempDir, PathBuf) {
    let temporary = tempfile::TempDir::new().expect("a temporary folder");
    let dir = temporary.path().join("watch");
    let mut init = redlake();
    init.args(["init", dir.to_str().expect("UTF-8")]).args(more);
    succeed(&mut init);
    (temporary, dir)
}

fn inside(dir: &PathBuf, args: &[&str]) -> Command {
    let mut command = redlake();
    command.args(args).current_dir(dir);
    command
}

fn text(output: Vec<u8>) -> String {
    String::from_utf8(output).expect("UTF-8")
}

fn set_mode(path: &PathBuf, mode: u32) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(path, permissions).expect("a mode");
    }
    #[cfg(not(unix))]
    let _ = (path, mode);
}

#[test]
fn init_writes_a_pipeline_that_is_valid_and_rehearses() {
    let (_temporary, dir) = initialised(&[]);
    for file in [
        "watch.yaml",
        "keywords.txt",
        ".env.example",
        ".gitignore",
        "pipeline.schema.json",
    ] {
        assert!(dir.join(file).is_file(), "{file}");
    }
    succeed(&mut inside(&dir, &["validate", "watch.yaml"]));
    // Without a token a real run is refused; the rehearsal needs none.
    let (code, told) = fail(&mut inside(&dir, &["run", "watch.yaml"]));
    assert_eq!(code, 2);
    assert!(
        told.contains("the token of justoneapi is missing"),
        "{told}"
    );
    let mut rehearsal = inside(&dir, &["run", "watch.yaml", "--lake", "rehearsal"]);
    succeed(rehearsal.env("JUSTONEAPI_BASE_URL", "sandbox"));
    let about = "select keyword, count(*) notes, count(*) filter (contains(description, \
                 keyword)) about from search_results r join notes_latest n on n.note_id = \
                 r.entity_id where not r.is_ad group by keyword order by keyword";
    let query = ["query", "--lake", "rehearsal", "--format", "csv", about];
    let notes = text(succeed(&mut inside(&dir, &query)).stdout);
    for line in notes.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        assert_eq!(cells[1], cells[2], "{notes}");
    }
    assert_eq!(notes.lines().count(), 3, "{notes}");
}

#[test]
fn init_says_what_comes_next_and_overwrites_nothing() {
    let temporary = tempfile::TempDir::new().expect("a temporary folder");
    let dir = temporary.path().to_path_buf();
    let said = text(succeed(&mut inside(&dir, &["init"])).stdout);
    for part in [
        "JUSTONEAPI_BASE_URL=sandbox redlake run watch.yaml --lake rehearsal",
        "JustOneAPI, the provider",
        "they differ by account",
        "chmod 600 .env",
        "redlake plan watch.yaml",
    ] {
        assert!(said.contains(part), "`{part}` is missing in:\n{said}");
    }
    std::fs::remove_file(dir.join(".env.example")).expect("a file");
    std::fs::write(dir.join("keywords.txt"), "我的词\n").expect("a file");
    let (code, told) = fail(&mut inside(&dir, &["init"]));
    assert_eq!(code, 2);
    assert!(
        told.contains("already exists") && told.contains("nothing was written"),
        "{told}"
    );
    assert!(!dir.join(".env.example").exists());
    let kept = std::fs::read_to_string(dir.join("keywords.txt")).expect("a file");
    assert_eq!(kept, "我的词\n");
}

#[test]
fn the_demo_of_init_runs() {
    let (_temporary, dir) = initialised(&["--sandbox"]);
    let printed = text(succeed(&mut inside(&dir, &["run", "pipelines/demo.yaml"])).stdout);
    assert!(printed.starts_with("demo: complete"), "{printed}");
    assert!(dir.join("lake/_state").is_dir());
}

#[test]
fn variables_in_the_file_beside_the_pipeline_are_used_and_the_environment_wins() {
    let sandbox = SandboxProcess::start("right");
    let (_temporary, dir) = initialised(&[]);
    let env = dir.join(".env");
    let url = &sandbox.url;
    let write = |token: &str| {
        let text =
            format!("# tokens\nexport JUSTONEAPI_TOKEN='{token}'\nJUSTONEAPI_BASE_URL={url}\n");
        std::fs::write(&env, text).expect("a writable folder");
        set_mode(&env, 0o600);
    };
    write("right");
    let run = ["run", "watch.yaml"];
    let first = succeed(&mut inside(&dir, &run));
    assert!(!text(first.stderr).contains("chmod"));
    assert!(sandbox.billed() > 0);
    // Wrong in the file, right in the environment.
    write("wrong");
    succeed(inside(&dir, &run).env("JUSTONEAPI_TOKEN", "right"));
    let (code, _) = fail(&mut inside(&dir, &run));
    assert_eq!(code, 4);
}

#[test]
#[cfg(unix)]
fn a_file_of_secrets_that_others_can_read_is_warned_of() {
    let (_temporary, dir) = initialised(&[]);
    let env = dir.join(".env");
    std::fs::write(&env, "JUSTONEAPI_TOKEN=secret-token\n").expect("a writable folder");
    set_mode(&env, 0o644);
    let output = succeed(&mut inside(&dir, &["plan", "watch.yaml"]));
    let told = text(output.stderr);
    assert!(
        told.contains("other accounts can read .env") && told.contains("chmod 600"),
        "{told}"
    );
    assert!(!told.contains("secret-token"), "{told}");
    // A value that would be cut is named by its line, without its text; other lines do not matter.
    let lines = "FOO=hello world\nJUSTONEAPI_TOKEN=secret$token\n";
    std::fs::write(&env, lines).expect("a writable folder");
    succeed(&mut inside(&dir, &["validate", "watch.yaml"]));
    let (code, told) = fail(&mut inside(&dir, &["run", "watch.yaml"]));
    assert_eq!(code, 2);
    let line = ".env:2: the value of JUSTONEAPI_TOKEN cannot be used";
    assert_eq!(told.matches(line).count(), 1, "{told}");
    assert!(!told.contains("secret$") && !told.contains("FOO"), "{told}");
    // A virtual environment of Python may have the same name.
    std::fs::remove_file(&env).expect("a file");
    std::fs::create_dir(&env).expect("a folder");
    succeed(&mut inside(&dir, &["validate", "watch.yaml"]));
}

#[test]
fn contracts_of_ones_own_are_named_once_in_the_pipeline() {
    let lake = Lake::new();
    let dir = lake.path().parent().expect("a folder").to_path_buf();
    let said = text(succeed(&mut inside(&dir, &["schema", "export", "own"])).stdout);
    assert!(said.contains("write `schemas: own`"), "{said}");
    let (code, told) = fail(&mut inside(&dir, &["schema", "export", "own"]));
    assert_eq!(code, 2);
    assert!(told.contains("the folder own is not empty"), "{told}");
    let table = dir.join("own/tables/notes.yaml");
    let notes = std::fs::read_to_string(&table).expect("the contract");
    let extra = "columns:\n  remark: {type: string, description: \"Ours.\"}\n";
    std::fs::write(&table, notes.replacen("columns:\n", extra, 1)).expect("a file");
    let pipeline = "version: 1\npipeline: own\nsource: {name: justoneapi, base_url: sandbox}\n\
                    schemas: own\nkeyword_sets: {k: [防晒]}\nextract:\n  - {endpoint: note_search, \
                    keywords: [k], pages: {max: 1}}\n";
    std::fs::write(dir.join("own.yaml"), pipeline).expect("a file");
    succeed(&mut inside(&dir, &["run", "own.yaml"]));
    succeed(&mut inside(&dir, &["run", "own.yaml"]));
    // A command without a pipeline takes the environment, and a forgotten one is explained.
    let query = [
        "query",
        "--format",
        "csv",
        "select count(distinct run_id) n from notes where remark is null",
    ];
    let counted = succeed(inside(&dir, &query).env("REDLAKE_SCHEMAS", "own")).stdout;
    assert_eq!(text(counted), "n\n2\n");
    let forgotten = std::fs::read_to_string(dir.join("own.yaml")).expect("a file");
    let forgotten = forgotten.replace("schemas: own\n", "");
    std::fs::write(dir.join("own.yaml"), forgotten).expect("a file");
    let (code, told) = fail(&mut inside(&dir, &["run", "own.yaml"]));
    assert_eq!(code, 2);
    for part in [
        "(built-in)/tables/notes.yaml",
        "`schemas:` in the pipeline, REDLAKE_SCHEMAS",
    ] {
        assert!(told.contains(part), "`{part}` is missing in:\n{told}");
    }
    let missing = pipeline.replace("schemas: own", "schemas: none");
    std::fs::write(dir.join("own.yaml"), missing).expect("a file");
    let (code, told) = fail(&mut inside(&dir, &["run", "own.yaml"]));
    assert_eq!(code, 2);
    assert!(
        told.contains("there is no folder") && told.contains("own.yaml:4:10"),
        "{told}"
    );
}

#[test]
fn one_seed_serves_all_sources_of_a_pipeline() {
    let lake = Lake::new();
    let pipeline = lake.write(
        "seed.yaml",
        "version: 1\npipeline: seed\nsource: {name: justoneapi, base_url: sandbox, sandbox: {seed: 77}}\n\
         keyword_sets: {k: [\"露营 装备\"]}\nextract:\n  - {endpoint: note_search, keywords: [k], \
         pages: {max: 1}}\n  - endpoint: note_detail\n    source: {name: xhs_open, base_url: sandbox}\n    \
         notes: {found_by: note_search, top: 5, by: liked_count}\n",
    );
    let report = lake.run(&pipeline, &[]);
    assert_eq!(report["status"], "complete");
    let gone = lake.value("select count(*) from requests where class = 'gone'");
    assert_eq!(gone, 0);
    let details = "select count(*) from notes where endpoint = 'note_detail' and \
                   contains(content_text, '露营 装备')";
    assert_eq!(lake.value(details), 5);
}

#[test]
fn init_leaves_the_gitignore_of_a_repository_alone() {
    let temporary = tempfile::TempDir::new().expect("a temporary folder");
    let dir = temporary.path().to_path_buf();
    std::fs::write(dir.join(".gitignore"), "/target\n").expect("a file");
    let said = text(succeed(&mut inside(&dir, &["init"])).stdout);
    assert!(
        said.contains("Add to .gitignore, which is there already:\n  .env\n"),
        "{said}"
    );
    let kept = std::fs::read_to_string(dir.join(".gitignore")).expect("a file");
    assert_eq!(kept, "/target\n");
}

#[test]
fn contracts_that_an_earlier_version_exported_get_the_new_ledger() {
    let lake = Lake::new();
    let own = lake.schemas(&[("tables/requests.yaml", "  keyword: {", "  # keyword: {")]);
    std::fs::remove_file(own.join("tables/searches.yaml")).expect("a contract");
    let pipeline = lake.write(
        "old.yaml",
        "version: 1\npipeline: old\nsource: {name: justoneapi, base_url: sandbox}\nschemas: schemas\n\
         keyword_sets: {k: [防晒]}\nextract:\n  - {endpoint: note_search, keywords: [k], pages: {max: \
         1}}\n",
    );
    assert_eq!(lake.run(&pipeline, &[])["status"], "complete");
    let sql = "select count(*) n from requests r join searches s using (search_id) \
               where r.keyword = s.keyword";
    assert_eq!(lake.value(sql), 1);
}
