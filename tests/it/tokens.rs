//! A token appears nowhere but in the request.

use std::path::Path;

use crate::support::{Lake, SandboxProcess};

/// With characters that a URL encodes.
const TOKEN: &str = "s3cr3t+t0ken/==";
const FORMS: [&str; 3] = [TOKEN, "s3cr3t%2Bt0ken%2F%3D%3D", "s3cr3t"];

const PIPELINE: &str = "
version: 1
pipeline: secretive
source: {name: justoneapi, base_url: prod-cn}
keyword_sets: {brands: [兰蔻, \"code:400\"]}
extract:
  - {endpoint: note_search, keywords: [brands], pages: {max: 2}}
  - endpoint: note_detail
    source: {name: xhs_open}
    notes: {found_by: note_search, top: 2, by: liked_count}
limits: {requests_per_second: 1000}
";

#[test]
fn no_file_and_no_output_holds_the_token() {
    // The right token, then one that is refused: failing is when secrets leak.
    for (accepted, exit_code) in [(TOKEN, 3), ("another", 4)] {
        let sandbox = SandboxProcess::start(accepted);
        let lake = Lake::new();
        let pipeline = lake.write("secretive.yaml", PIPELINE);
        let mut command = lake.redlake(&["run", pipeline.to_str().expect("UTF-8"), "-vv"]);
        command
            .args(["--progress", "log"])
            .env("JUSTONEAPI_BASE_URL", &sandbox.url)
            .env("XHS_OPEN_BASE_URL", &sandbox.url)
            .env("JUSTONEAPI_TOKEN", TOKEN)
            .env("XHS_OPEN_TOKEN", TOKEN);
        let output = command.output().expect("the binary starts");
        assert_eq!(output.status.code(), Some(exit_code));
        assert_clean(&output.stdout, Path::new("stdout"));
        assert_clean(&output.stderr, Path::new("stderr"));
        let searched = search(&lake.path());
        assert!(searched > 5, "only {searched} files were searched");
    }
}

/// Looks through every file, raw pages unpacked; how many.
fn search(folder: &Path) -> usize {
    let mut searched = 0;
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            searched += search(&path);
            continue;
        }
        let bytes = std::fs::read(&path).expect("a readable file");
        let bytes = match path.extension().is_some_and(|e| e == "zst") {
            true => zstd::decode_all(bytes.as_slice()).expect("a raw file"),
            false => bytes,
        };
        assert_clean(&bytes, &path);
        searched += 1;
    }
    searched
}

fn assert_clean(bytes: &[u8], place: &Path) {
    let text = String::from_utf8_lossy(bytes);
    for form in FORMS {
        assert!(!text.contains(form), "{} holds the token", place.display());
    }
}
