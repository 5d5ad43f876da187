//! `redlake init`.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::commands::schema::pipeline_json_schema;
use crate::cli::error::CliError;
use crate::cli::exit_code::ExitCode;
use crate::cli::output::print::print_text;

/// A commented pipeline on the sandbox: the demo of the repository.
const TEMPLATE: &str = include_str!("../../../pipelines/demo.yaml");
const PIPELINE: &str = "pipelines/demo.yaml";

/// Path of the JSON Schema for editors. The template refers to this path.
const SCHEMA: &str = "schemas/pipeline.schema.json";

#[derive(Debug, Args)]
pub struct InitArgs {
    /// Folder for pipelines/demo.yaml and schemas/pipeline.schema.json
    #[arg(default_value = ".")]
    dir: PathBuf,
}

pub fn main(args: &InitArgs) -> Result<ExitCode, CliError> {
    let files = [
        (PIPELINE, TEMPLATE.to_owned()),
        (SCHEMA, pipeline_json_schema()),
    ];
    for (name, _) in &files {
        let path = args.dir.join(name);
        if path.exists() {
            let hint = "remove it, or give another folder";
            return Err(CliError::usage(
                format!("{} already exists", path.display()),
                hint,
            ));
        }
    }
    for (name, text) in &files {
        let path = args.dir.join(name);
        write(&path, text).map_err(|error| {
            let error =
                anyhow::Error::new(error).context(format!("cannot write {}", path.display()));
            CliError::new(
                ExitCode::Usage,
                error,
                Some("name a folder that is writable".into()),
            )
        })?;
    }
    let pipeline = args.dir.join(PIPELINE);
    print_text(&format!(
        "wrote {0}\n\nNext:\n  redlake run {0}\n",
        pipeline.display()
    ))?;
    Ok(ExitCode::Complete)
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, text)
}
