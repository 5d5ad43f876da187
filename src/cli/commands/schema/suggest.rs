//! `redlake schema suggest`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;

use crate::cli::Common;
use crate::cli::error::CliError;
use crate::cli::exit_code::ExitCode;
use crate::load::Lake;
use crate::maintenance::suggest::{Suggestions, newest_raw, suggest};
use crate::plan::Privacy;
use crate::transform::contracts::Transform;
use crate::transform::suggest::{SuggestedLine, Suggestion};

#[derive(Debug, Args)]
pub struct SuggestArgs {
    /// Raw files to read [default: those of the lake's newest runs]
    #[arg(long, num_args = 1.., value_name = "PATH", conflicts_with = "runs")]
    raw: Vec<PathBuf>,
    /// Number of the lake's newest runs to read
    #[arg(long, value_name = "N", default_value_t = 20)]
    runs: usize,
    /// Show values, which may be personal data
    #[arg(long)]
    examples: bool,
}

pub fn main(args: &SuggestArgs, common: &Common) -> Result<ExitCode, CliError> {
    let format = common.text_or_json()?;
    let contracts = common.contracts()?;
    let transform = Transform::new(contracts.clone(), &Privacy::default())?;
    let raw = if args.raw.is_empty() {
        newest_raw(&Lake::open_existing(&common.lake())?, args.runs)?
    } else {
        args.raw.clone()
    };
    let found = suggest(&contracts, &transform, &raw, args.examples)?;
    format.print_list(&found, &found.fields, || {
        yaml(&found, contracts.are_built_in)
    })?;
    Ok(ExitCode::Complete)
}

/// Comment about contracts that no file of the user holds.
const EXPORT: &str = "# The contracts are built in: `redlake schema export DIR` writes their files, and `schemas: \
                      DIR` in\n# the pipeline names them.\n";

/// Returns the YAML lines to paste, grouped by the place to insert them. All else is comments.
fn yaml(found: &Suggestions, are_built_in: bool) -> String {
    let columns = found.fields.iter().filter(|f| f.column.is_some()).count();
    let pages = number(found.pages, "page");
    let files = number(found.files, "raw file");
    if found.fields.is_empty() {
        return format!("# no unknown field on {pages} of {files}\n");
    }
    let fields = number(found.fields.len(), "unknown field");
    let mut out = format!("# {fields} on {pages} of {files}; {columns} could be a column.\n");
    if columns > 0 {
        out.push_str(HOW_TO);
    }
    if are_built_in {
        out.push_str(EXPORT);
    }
    let mut tables: Groups<'_> = BTreeMap::new();
    let mut sources: Groups<'_> = BTreeMap::new();
    let mut others = String::new();
    for field in &found.fields {
        let Some(column) = &field.column else {
            let _ = writeln!(others, "# {}: {}", place(field), told(field));
            continue;
        };
        if let Some(line) = &column.contract {
            let place = (&line.file, line.before_line, String::new());
            tables.entry(place).or_default().push((field, line));
        }
        let line = &column.mapping;
        let rule = format!(", {}, the rule for {}", field.endpoint, column.table);
        let place = (&line.file, line.before_line, rule);
        sources.entry(place).or_default().push((field, line));
    }
    for (place, lines) in tables.iter().chain(&sources) {
        out.push_str(&group(place, lines));
    }
    if !others.is_empty() {
        let _ = write!(out, "\n# No column, or not yet:\n{others}");
    }
    out
}

const HOW_TO: &str = "\
# Paste the lines into a copy of the folder schemas, describe the columns, then:
#   redlake --schemas DIR validate PIPELINE
#   redlake --schemas DIR transform PIPELINE --raw …
# List a field that needs no column under `left_out` of its endpoint, with the reason.
# Texts are marked as personal; remove the mark where a text says nothing about a person.
";

/// Lines by file, by the line before which they are inserted, and by the rest of the place.
type Groups<'f> =
    BTreeMap<(&'f PathBuf, Option<usize>, String), Vec<(&'f Suggestion, &'f SuggestedLine)>>;

fn group(
    (file, before, rule): &(&PathBuf, Option<usize>, String),
    lines: &[(&Suggestion, &SuggestedLine)],
) -> String {
    let place = match before {
        Some(number) => format!("before line {number}"),
        None => "in its braces".to_owned(),
    };
    let mut out = format!("\n# {}{rule}, below `columns:`, {place}:\n", file.display());
    for (field, line) in lines {
        let indent = line.text.len() - line.text.trim_start().len();
        let column = field.column.as_ref();
        let is_mapping = column.is_some_and(|column| column.mapping == **line);
        // The description of the field is written once.
        if !is_mapping || column.is_some_and(|column| column.contract.is_none()) {
            let _ = writeln!(out, "{:indent$}# {}: {}", "", place_of(field), told(field));
        }
        let _ = writeln!(out, "{}", line.text);
    }
    out
}

fn place(field: &Suggestion) -> String {
    format!(
        "{} ({} of {})",
        place_of(field),
        field.endpoint,
        field.source
    )
}

fn place_of(field: &Suggestion) -> String {
    field.paths.join(" and ")
}

/// Returns a description of the values seen in a field.
fn told(field: &Suggestion) -> String {
    let seen = field.seen.iter();
    let seen: Vec<String> = seen
        .map(|(kind, count)| format!("{count} x {kind}"))
        .collect();
    let examples = if field.examples.is_empty() {
        String::new()
    } else {
        format!(", such as {}", field.examples.join(", "))
    };
    let note = field.note.as_ref();
    let note = note.map_or(String::new(), |note| format!("; {note}"));
    format!("{}{examples}{note}", seen.join(", "))
}

fn number(count: usize, of: &str) -> String {
    format!("{count} {of}{}", if count == 1 { "" } else { "s" })
}
