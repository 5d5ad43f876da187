//! `redlake export duckdb`.

use std::fmt::Write as _;
use std::path::PathBuf;

use chrono::NaiveDate;
use clap::Args;

use crate::cli::Common;
use crate::cli::error::CliError;
use crate::cli::exit_code::ExitCode;
use crate::cli::output::print::counted;
use crate::cli::shell::shell_word;
use crate::load::Lake;
use crate::maintenance::export::{
    ExportContent, ExportRequest, Exported, ExportedTable, LeftOutView, export,
};

#[derive(Debug, Args)]
pub struct DatabaseArgs {
    /// File to write, outside the lake
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Copy the rows into the file: tables and marts as tables, the lake's views on top. This is the
    /// default
    #[arg(long, conflicts_with_all = ["views", "root"])]
    tables: bool,
    /// Write views only, which read the files of the lake
    #[arg(long)]
    views: bool,
    /// With --views, the full path or address of the lake as readers see it, such as /mnt/lake or
    /// s3://bucket/lake [default: where it is here]
    #[arg(long, value_name = "PATH", requires = "views")]
    root: Option<String>,
    /// Copy only rows with dt on this date or later
    #[arg(long, value_name = "YYYY-MM-DD", conflicts_with = "views")]
    since: Option<NaiveDate>,
    /// Copy only these tables and marts, with commas between them. Views that read others are left out
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        conflicts_with = "views"
    )]
    tables_only: Vec<String>,
    /// Replace FILE even if redlake did not export it
    #[arg(long)]
    force: bool,
}

pub fn main(args: &DatabaseArgs, common: &Common) -> Result<ExitCode, CliError> {
    let format = common.text_or_json()?;
    let contracts = common.contracts()?;
    let lake = Lake::open_existing(&common.lake())?;
    let content = if args.views {
        ExportContent::Views {
            root: args.root.clone(),
        }
    } else {
        let only = args.tables_only.iter().map(|name| name.trim().to_owned());
        ExportContent::Tables {
            since: args.since,
            only: only.collect(),
        }
    };
    let request = ExportRequest {
        file: args.output.clone(),
        content,
        is_forced: args.force,
    };
    let exported = export(&lake, &contracts, &request)?;
    format.print(&exported, || summary(&exported))?;
    Ok(ExitCode::Complete)
}

fn summary(exported: &Exported) -> String {
    let Exported {
        file,
        root,
        bytes,
        tables,
        views,
        left_out,
        ..
    } = exported;
    let file = file.to_string_lossy();
    let (tables, views) = (tables.as_slice(), views.len() as u64);
    let bytes = counted(*bytes, "byte");
    let mut text = match root {
        None => format!(
            "wrote {file}: {} with {}, {}, {bytes}\n",
            counted(tables.len() as u64, "table"),
            counted(rows(tables), "row"),
            counted(views, "view"),
        ),
        Some(root) => format!(
            "wrote {file}: {} of the lake at {root}, {bytes}\n",
            counted(tables.len() as u64 + views, "view"),
        ),
    };
    if !left_out.is_empty() {
        text.push_str("\nleft out, since they read what was not exported:\n");
    }
    for LeftOutView { view, needs } in left_out {
        let _ = writeln!(text, "  {view} ({})", needs.join(", "));
    }
    let _ = writeln!(
        text,
        "\nNext:\n  duckdb -readonly {} -c 'from about'",
        shell_word(&file)
    );
    text
}

fn rows(tables: &[ExportedTable]) -> u64 {
    tables.iter().filter_map(|table| table.rows).sum()
}
