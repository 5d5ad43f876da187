//! How fast raw pages become Parquet, beside DuckDB, Polars and dlt doing the same, and how much
//! memory that takes. What is measured and how it is kept fair: README.md.
//!
//! ```sh
//! cargo bench --bench transform                      # all of it, about fifteen minutes
//! cargo bench --bench transform -- speed duckdb      # or memory; or polars, dlt, redlake alone
//! cargo bench --bench transform -- smoke             # five pages, to see that all of it works
//! cargo bench --bench transform -- generate DIR --pages 2000
//! ```

#[path = "../../it/support.rs"]
#[allow(dead_code, reason = "shared with the tests, which use more of it")]
mod support;

mod engines;
mod item;
mod memory;
mod options;
mod pages;
mod process;
mod python;
mod speed;
#[allow(dead_code, reason = "shared with the sandbox, which uses more of it")]
mod world;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use options::{Options, Part};
use pages::Written;
use python::Python;

fn main() -> ExitCode {
    match Options::parse(std::env::args().skip(1)).and_then(|options| run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("transform benchmark: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), String> {
    if let Some(folder) = &options.generate {
        let data = Data::generate(folder, options.pages, true)?;
        println!("{}", data.described());
        return Ok(());
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("transform");
    if options.parts.contains(&Part::Speed) {
        let python = match options.wants_rivals() {
            true => found(Python::find(&folder)),
            false => None,
        };
        speed::measure(options, python.as_ref(), &folder)?;
    }
    if options.parts.contains(&Part::Memory) {
        memory::measure(options, &folder)?;
    }
    Ok(())
}

/// Without Python there are no rivals, which is no reason not to measure redlake.
fn found(python: Result<Python, String>) -> Option<Python> {
    match python {
        Ok(python) => Some(python),
        Err(problem) => {
            println!("only redlake is measured, and nothing is checked: {problem}\n");
            None
        }
    }
}

/// Pages on disk, and the pipeline that they belong to.
pub struct Data {
    pub folder: PathBuf,
    pub raw: PathBuf,
    pub plain: PathBuf,
    pub pipeline: PathBuf,
    pub pipeline_with_level_3: PathBuf,
    pub written: Written,
}

impl Data {
    /// The raw file, and the plain text that the rivals read if `plain` says so.
    fn generate(folder: &Path, pages: u64, plain: bool) -> Result<Data, String> {
        let cannot = |error| format!("cannot write {}: {error}", folder.display());
        std::fs::create_dir_all(folder).map_err(cannot)?;
        let (raw, text) = (folder.join("pages.ndjson.zst"), folder.join("pages.ndjson"));
        let written = pages::write(pages, &raw, plain.then_some(text.as_path())).map_err(cannot)?;
        let pipeline = folder.join("bench.yaml");
        std::fs::write(&pipeline, pages::pipeline("")).map_err(cannot)?;
        let pipeline_with_level_3 = folder.join("level_3.yaml");
        let level_3 = pages::pipeline(", compression: zstd(3)");
        std::fs::write(&pipeline_with_level_3, level_3).map_err(cannot)?;
        let data = Data {
            folder: folder.to_owned(),
            raw,
            plain: text,
            pipeline,
            pipeline_with_level_3,
            written,
        };
        data.check_size()?;
        Ok(data)
    }

    /// The pages are of the real size; few of them may differ by chance.
    fn check_size(&self) -> Result<(), String> {
        let bytes = self.written.bytes_an_item();
        match self.written.pages < 50 || (5_300.0..5_700.0).contains(&bytes) {
            true => Ok(()),
            false => Err(format!(
                "an item has {bytes:.0} bytes, and not 5,300 to 5,700"
            )),
        }
    }

    fn described(&self) -> String {
        let Written { pages, items, .. } = self.written;
        format!(
            "{pages} pages of {:.0} bytes, {items} items of {:.0} bytes: {:.1} MB of JSON in {}",
            self.written.bytes_a_page(),
            self.written.bytes_an_item(),
            self.written.megabytes(),
            self.raw.display()
        )
    }
}
