//! `redlake init`.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::commands::schema::pipeline_json_schema;
use crate::cli::error::CliError;
use crate::cli::exit_code::ExitCode;
use crate::cli::output::print::print_text;
use crate::cli::shell::{program, shell_word};

/// The demo of the repository, on the sandbox.
const DEMO: &str = include_str!("../../../../pipelines/demo.yaml");

#[derive(Debug, Args)]
pub struct InitArgs {
    /// Folder to write to
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Write the demo instead: a pipeline on the built-in sandbox, without a token
    #[arg(long)]
    sandbox: bool,
}

const GITIGNORE: &str = ".gitignore";
const LINES_TO_IGNORE: &str = include_str!("gitignore");

/// A file to write: its path relative to the folder, and its text.
type NewFile = (&'static str, String);

pub fn main(args: &InitArgs) -> Result<ExitCode, CliError> {
    let mut files = if args.sandbox { demo() } else { watch() };
    // A repository has one already.
    let is_ignored = args.dir.join(GITIGNORE).symlink_metadata().is_ok();
    files.retain(|(name, _)| *name != GITIGNORE || !is_ignored);
    for (name, _) in &files {
        let path = args.dir.join(name);
        // Also a symbolic link to nothing: writing would create its target.
        if path.symlink_metadata().is_ok() {
            let hint = "nothing was written; remove it, or give another folder";
            return Err(CliError::usage(
                format!("{} already exists", path.display()),
                hint,
            ));
        }
    }
    let mut text = String::new();
    for (name, content) in &files {
        let path = args.dir.join(name);
        write_new(&path, content)?;
        text.push_str(&format!("wrote {}\n", path.display()));
    }
    if is_ignored && !args.sandbox {
        let lines = LINES_TO_IGNORE.trim_end().replace('\n', "\n  ");
        text.push_str(&format!(
            "\nAdd to {GITIGNORE}, which is there already:\n  {lines}\n"
        ));
    }
    let next = if args.sandbox {
        include_str!("next_demo.txt")
    } else {
        include_str!("next_watch.txt")
    };
    let next = next.replace("redlake ", &format!("{} ", program()));
    text.push_str(&next.replace("{inside}", &inside(&args.dir)));
    print_text(&text)?;
    Ok(ExitCode::Complete)
}

/// Returns the files of a pipeline on the real API.
fn watch() -> Vec<NewFile> {
    vec![
        ("watch.yaml", include_str!("watch.yaml").to_owned()),
        ("keywords.txt", include_str!("keywords.txt").to_owned()),
        (".env.example", include_str!("env.example").to_owned()),
        (GITIGNORE, LINES_TO_IGNORE.to_owned()),
        ("pipeline.schema.json", pipeline_json_schema()),
    ]
}

/// Returns the files of the demo. The pipeline refers to the path of the schema.
fn demo() -> Vec<NewFile> {
    vec![
        ("pipelines/demo.yaml", DEMO.to_owned()),
        ("schemas/pipeline.schema.json", pipeline_json_schema()),
    ]
}

/// Returns the words that send the user into the folder, or nothing if it is the current one.
fn inside(dir: &Path) -> String {
    if dir == Path::new(".") {
        String::new()
    } else {
        format!(", after `cd {}`", shell_word(&dir.to_string_lossy()))
    }
}

/// Writes a file that does not exist, and missing folders above it.
///
/// # Errors
/// The file exists, or the folder is not writable.
pub fn write_new(path: &Path, text: &str) -> Result<(), CliError> {
    let written = (|| {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut file = std::fs::File::create_new(path)?;
        std::io::Write::write_all(&mut file, text.as_bytes())
    })();
    written.map_err(|error| {
        let error = anyhow::Error::new(error).context(format!("cannot write {}", path.display()));
        CliError::new(
            ExitCode::Usage,
            error,
            Some("name a folder that is writable".into()),
        )
    })
}
