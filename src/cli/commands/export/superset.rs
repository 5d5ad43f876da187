//! `redlake export superset`: a dashboard that Superset imports.

use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use indexmap::IndexMap;
use serde_json::{Value, json};
use uuid::Builder;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::charts::{CHARTS, DashboardChart};
use crate::cli::Common;
use crate::cli::error::CliError;
use crate::cli::exit_code::ExitCode;
use crate::cli::output::print::print_text;
use crate::cli::output::replaced_file::replace_file;
use crate::cli::shell::shell_word;
use crate::lake_layout::{CATALOG, full_path};
use crate::query::catalog::{described, shown_type};
use crate::spec::table::{Column, ColumnType, Table};

#[derive(Debug, Args)]
pub struct SupersetArgs {
    /// Archive to write, such as redlake.zip
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Full path of the DuckDB file as Superset sees it: a file of `redlake export duckdb`, or
    /// lake.duckdb [default: lake.duckdb of the lake]
    #[arg(long, value_name = "PATH")]
    database: Option<PathBuf>,
}

pub fn main(args: &SupersetArgs, common: &Common) -> Result<ExitCode, CliError> {
    let contracts = common.contracts()?;
    let database = args
        .database
        .clone()
        .unwrap_or_else(|| full_path(&common.lake().join(CATALOG)));
    if !database.to_string_lossy().starts_with('/') {
        return Err(CliError::usage(
            format!("not a full path: {}", database.display()),
            "write the path as Superset sees it, such as /data/brand.duckdb",
        ));
    }
    let failed = |error: anyhow::Error| {
        let error = error.context(format!("cannot write {}", args.output.display()));
        CliError::new(ExitCode::Internal, error, None)
    };
    let archive = archive(&database, &contracts.relations()).map_err(failed)?;
    replace_file(&args.output, |file| Ok(file.write_all(&archive)?)).map_err(failed)?;
    let file = args.output.to_string_lossy();
    print_text(&format!(
        "wrote {file}: a dashboard with {} charts over {}\n\nNext:\n  pip install duckdb-engine, where \
         Superset is\n  superset import-dashboards -p {} -u admin\n",
        CHARTS.len(),
        database.display(),
        shell_word(&file)
    ))?;
    Ok(ExitCode::Complete)
}

/// Returns the archive with the files that Superset imports.
fn archive(database: &Path, relations: &IndexMap<String, Table>) -> anyhow::Result<Vec<u8>> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    // Without times and compression the same contracts give the same bytes.
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut add = |name: &str, content: &Value| -> anyhow::Result<()> {
        zip.start_file(format!("redlake/{name}"), options)?;
        zip.write_all(serde_saphyr::to_string(content)?.as_bytes())?;
        Ok(())
    };
    add(
        "metadata.yaml",
        &json!({"version": VERSION, "type": "Dashboard", "timestamp": "2026-01-01T00:00:00+00:00"}),
    )?;
    add("databases/redlake.yaml", &connection(database))?;
    let mut datasets: Vec<&str> = CHARTS.iter().map(|chart| chart.relation).collect();
    datasets.sort_unstable();
    datasets.dedup();
    for name in datasets {
        // Own contracts may lack it. Its charts are left out, too.
        if let Some(table) = relations.get(name) {
            add(&format!("datasets/redlake/{name}.yaml"), &dataset(table))?;
        }
    }
    let charts: Vec<&DashboardChart> = CHARTS
        .iter()
        .filter(|chart| relations.contains_key(chart.relation))
        .collect();
    for chart in &charts {
        let content = json!({
            "slice_name": chart.title,
            "viz_type": chart.kind,
            "params": chart.parameters(),
            "uuid": id("chart", chart.name),
            "dataset_uuid": id("dataset", chart.relation),
            "version": VERSION,
        });
        add(&format!("charts/{}.yaml", chart.name), &content)?;
    }
    add("dashboards/redlake.yaml", &dashboard(&charts))?;
    Ok(zip.finish()?.into_inner())
}

/// Version of the format of the files.
const VERSION: &str = "1.0.0";

/// Returns an id that depends on the name only: a second import replaces what the first one made.
fn id(kind: &str, name: &str) -> String {
    let hash = blake3::hash(format!("redlake {kind} {name}").as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.as_bytes()[..16]);
    Builder::from_random_bytes(bytes).into_uuid().to_string()
}

fn connection(database: &Path) -> Value {
    json!({
        "database_name": "redlake",
        "sqlalchemy_uri": format!("duckdb:///{}", database.display()),
        "expose_in_sqllab": true,
        "allow_run_async": false,
        "allow_ctas": false,
        "allow_cvas": false,
        "allow_dml": false,
        "extra": {"engine_params": {"connect_args": {"read_only": true}}},
        "uuid": id("database", "redlake"),
        "version": VERSION,
    })
}

fn dataset(table: &Table) -> Value {
    let column = |(name, column): (&String, &Column)| {
        let is_time = matches!(column.kind, ColumnType::Date | ColumnType::Timestamp);
        json!({
            "column_name": name,
            "type": shown_type(column),
            "is_dttm": is_time,
            "groupby": true,
            "filterable": true,
            "description": described(column),
        })
    };
    let columns: Vec<Value> = table.shown_columns().map(column).collect();
    let times = ["snapshot_date", "published_date", "last_published_at"];
    let time = times
        .into_iter()
        .find(|name| table.columns.contains_key(*name));
    json!({
        "table_name": table.name(),
        "schema": "main",
        "sql": null,
        "description": table.description,
        "main_dttm_col": time,
        "columns": columns,
        "metrics": [{"metric_name": "count", "expression": "count(*)", "verbose_name": "rows"}],
        "uuid": id("dataset", table.name()),
        "database_uuid": id("database", "redlake"),
        "version": VERSION,
    })
}

/// Returns the dashboard: two charts a row, and tables in rows of their own.
fn dashboard(charts: &[&DashboardChart]) -> Value {
    let mut rows: Vec<Vec<&DashboardChart>> = Vec::new();
    for chart in charts {
        match rows.last_mut() {
            Some(row)
                if row.iter().map(|chart| chart.width).sum::<u8>() + chart.width <= COLUMNS =>
            {
                row.push(chart);
            }
            _ => rows.push(vec![chart]),
        }
    }
    let row_ids: Vec<String> = (0..rows.len()).map(|row| format!("ROW-{row}")).collect();
    let mut position = json!({
        "DASHBOARD_VERSION_KEY": "v2",
        "ROOT_ID": {"type": "ROOT", "id": "ROOT_ID", "children": ["GRID_ID"]},
        "GRID_ID": {"type": "GRID", "id": "GRID_ID", "children": row_ids, "parents": ["ROOT_ID"]},
    });
    for (row_id, row) in row_ids.iter().zip(&rows) {
        let chart_ids: Vec<String> = row.iter().map(|c| format!("CHART-{}", c.name)).collect();
        for (chart_id, chart) in chart_ids.iter().zip(row) {
            position[chart_id] = json!({
                "type": "CHART", "id": chart_id, "children": [],
                "parents": ["ROOT_ID", "GRID_ID", row_id],
                "meta": {
                    "uuid": id("chart", chart.name), "sliceName": chart.title,
                    "chartId": 0, "width": chart.width, "height": 50,
                },
            });
        }
        position[row_id] = json!({
            "type": "ROW", "id": row_id, "children": chart_ids, "parents": ["ROOT_ID", "GRID_ID"],
            "meta": {"background": "BACKGROUND_TRANSPARENT"},
        });
    }
    json!({
        "dashboard_title": "redlake",
        "slug": "redlake",
        "position": position,
        "metadata": {},
        "uuid": id("dashboard", "redlake"),
        "version": VERSION,
    })
}

/// Number of columns of a dashboard.
const COLUMNS: u8 = 12;
