//! An installation: a binary that finds its library, and man pages.

use std::process::Command;

use crate::support::{Lake, succeed};

/// The binary takes DuckDB's library from beside it, or from `../lib`, before the builder's cache,
/// which other accounts cannot read.
#[cfg(target_os = "linux")]
#[test]
fn the_binary_loads_the_library_that_is_installed_with_it() {
    let built = std::path::Path::new(env!("CARGO_BIN_EXE_redlake"));
    let library = built.with_file_name("libduckdb.so");
    assert!(library.is_file(), "{}", library.display());
    for folder in ["bin", "lib"] {
        let prefix = tempfile::TempDir::new().expect("a temporary folder");
        for name in ["bin", "lib"] {
            std::fs::create_dir(prefix.path().join(name)).expect("a folder");
        }
        let binary = prefix.path().join("bin/redlake");
        std::fs::copy(built, &binary).expect("a copy");
        let installed = prefix.path().join(folder).join("libduckdb.so");
        std::fs::copy(&library, &installed).expect("a copy");
        let output = Command::new(&binary)
            .arg("--version")
            .env_remove("LD_LIBRARY_PATH")
            .env("LD_DEBUG", "libs")
            .output()
            .expect("the binary starts");
        assert!(output.status.success());
        let said = String::from_utf8_lossy(&output.stderr);
        let loaded = said
            .lines()
            .filter_map(|line| line.split("calling init: ").nth(1))
            .find(|path| path.ends_with("libduckdb.so"))
            .expect("the loader names the library");
        let loaded = std::fs::canonicalize(loaded.trim()).expect("a path");
        assert_eq!(loaded, installed.canonicalize().expect("a path"));
    }
}

#[test]
fn man_pages_are_written_for_every_command() {
    let lake = Lake::new();
    let folder = lake.path().join("man");
    let folder = folder.to_str().expect("UTF-8");
    succeed(&mut lake.redlake(&["man", folder]));
    let page = |name: &str| std::fs::read_to_string(format!("{folder}/{name}")).expect("a page");
    assert!(page("redlake.1").contains("Exit codes"));
    assert!(page("redlake-run.1").contains("snapshot"));
}
