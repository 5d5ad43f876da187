//! Paths inside a lake. No other file knows how a folder or a file of a lake is named.
//!
//! ```text
//! lake/
//!   raw/source=api/dt=2026-03-09/RUN.ndjson.zst   answers, private
//!   tables/notes/dt=2026-03-09/RUN.parquet
//!   marts/note_growth/dt=2026-03-09/COMMIT.parquet
//!   lake.duckdb                                          views
//!   _commits/COMMIT.json                                 one record a commit
//!   _staging/COMMIT/                                     files that are not committed yet, or held
//!   _state/                                              journals, locks, and what is derived from the rest
//! ```

use std::path::{Path, PathBuf};

use chrono::NaiveDate;

pub const RAW: &str = "raw";
pub const TABLES: &str = "tables";
pub const MARTS: &str = "marts";
pub const COMMITS: &str = "_commits";
pub const STAGING: &str = "_staging";
pub const STATE: &str = "_state";

/// Folder of the lake, relative to the working directory, if nothing names another.
pub const DEFAULT_LAKE: &str = "lake";

/// The catalog of views, in the lake's folder.
pub const CATALOG: &str = "lake.duckdb";

/// Files and folders below [`STATE`].
pub mod state {
    /// Format number of the lake.
    pub const FORMAT: &str = "lake.json";
    pub const JOURNALS: &str = "runs";
    pub const QUARANTINE: &str = "quarantine";
    /// The sets of columns that the files of each table have.
    pub const COLUMNS: &str = "columns.json";
    /// The inputs that each mart was computed from.
    pub const COMPUTED_MARTS: &str = "marts.json";
    /// Time of the newest commit.
    pub const CLOCK: &str = "clock.json";
    /// Raw files that retention removed.
    pub const RAW_REMOVED: &str = "raw_removed.ndjson";
    /// Hash of the statements that the catalog was made from.
    pub const CATALOG_NOTE: &str = "catalog.json";
    /// Old catalogs with views that redlake did not make.
    pub const REPLACED_CATALOGS: &str = "replaced_catalogs";
    /// Messages that the webhooks of each pipeline got.
    pub const NOTIFY: &str = "notify";
    /// The last start of each pipeline and shard, if it failed.
    pub const STARTS: &str = "starts";
    /// Time and result of the last verification.
    pub const VERIFIED: &str = "verified.json";
    /// The time zone of each pipeline.
    pub const TIME_ZONES: &str = "time_zones.json";
    pub const REWRITE_LOCK: &str = "rewrite.lock";
    pub const MARTS_LOCK: &str = "marts.lock";
    pub const COMMIT_LOCK: &str = "commit.lock";
    pub const READERS_LOCK: &str = "readers.lock";
    pub const READERS_GATE: &str = "readers.gate";
}

/// Record of a staging folder whose files are held.
pub const HELD: &str = "held.json";
/// Lock file in a staging folder. The process that stages holds it.
pub const STAGING_LOCK: &str = ".lock";
/// Lock file among the journals: reservations of the daily budget.
pub const BUDGET_LOCK: &str = "budget.lock";

const PARTITION: &str = "dt=";
/// Glob of the partition folders of a table.
pub const PARTITIONS: &str = "dt=*";
const SOURCE: &str = "source=";

/// Reason why a text does not name a folder. The message ends with the remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FolderError {
    #[error("the path is empty; name a folder, such as ./lake")]
    Empty,
    #[error(
        "this is an address, and a local folder is needed; name a folder, or mount the storage"
    )]
    Address,
    #[error("the path has a backslash, which DuckDB cannot read; use / or another folder")]
    Backslash,
    #[error("`~` needs the variable HOME, which is not set; write the full path")]
    NoHome,
    #[error(
        "the home folder of another account is not looked up; write the full path, or begin with ./"
    )]
    OtherHome,
}

/// Returns the folder that a user names. A leading `~` is replaced by `home`.
///
/// # Errors
/// The text is empty, an address such as `s3://bucket`, has a backslash, or needs a missing `home`.
pub fn folder(written: &Path, home: Option<&str>) -> Result<PathBuf, FolderError> {
    let text = written.to_string_lossy();
    if text.trim().is_empty() {
        return Err(FolderError::Empty);
    }
    if text.contains("://") {
        return Err(FolderError::Address);
    }
    if cfg!(unix) && text.contains('\\') {
        return Err(FolderError::Backslash);
    }
    match written.strip_prefix("~") {
        Ok(rest) => {
            let home = home.filter(|home| !home.is_empty());
            Ok(Path::new(home.ok_or(FolderError::NoHome)?).join(rest))
        }
        Err(_) if text.starts_with('~') => Err(FolderError::OtherHome),
        Err(_) => Ok(written.to_owned()),
    }
}

/// Returns `path` relative to the folder of `file`. Each leading `..` takes a folder away, unless
/// that folder is a symbolic link.
pub fn beside(file: &Path, path: &Path) -> PathBuf {
    let mut folder = file.parent().unwrap_or(Path::new("")).to_owned();
    let mut rest = path;
    loop {
        if let Ok(after) = rest.strip_prefix("..") {
            let named = folder.file_name().is_some();
            if !named || folder.is_symlink() {
                break;
            }
            folder.pop();
            rest = after;
        } else if let Ok(after) = rest.strip_prefix(".") {
            rest = after;
        } else {
            break;
        }
    }
    let path = folder.join(rest);
    if path.as_os_str().is_empty() {
        PathBuf::from(".")
    } else {
        path
    }
}

/// Returns the path from the root folder. It need not exist.
pub fn full_path(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Returns true if `folder` holds a lake.
pub fn is_lake(folder: &Path) -> bool {
    folder.join(STATE).join(state::FORMAT).exists()
}

/// Returns the name of the partition folder of a business date.
pub fn partition(date: NaiveDate) -> String {
    format!("{PARTITION}{}", date.format("%Y-%m-%d"))
}

/// Returns the business date of a partition folder.
pub fn partition_date(folder: &str) -> Option<NaiveDate> {
    folder.strip_prefix(PARTITION)?.parse().ok()
}

/// Returns the path of a table's file of one run, relative to the lake.
pub fn table_path(table: &str, date: NaiveDate, run_id: &str) -> String {
    format!("{TABLES}/{table}/{}/{run_id}.parquet", partition(date))
}

/// Returns the table and the business date of a table's file, from its path relative to the lake.
pub fn table_of(path: &str) -> Option<(&str, NaiveDate)> {
    let mut parts = path.strip_prefix(TABLES)?.strip_prefix('/')?.split('/');
    let (table, folder) = (parts.next()?, parts.next()?);
    Some((table, partition_date(folder)?))
}

/// Returns the folder of a mart's files of one date, relative to the lake.
pub fn mart_folder(mart: &str, date: NaiveDate) -> String {
    format!("{MARTS}/{mart}/{}", partition(date))
}

/// Returns the path of a mart's file of one commit, relative to the lake.
pub fn mart_path(mart: &str, date: NaiveDate, commit_id: &str) -> String {
    format!("{}/{commit_id}.parquet", mart_folder(mart, date))
}

/// Returns true if the file is a Parquet file, from its name.
pub fn is_parquet(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "parquet")
}

/// Returns the path of a run's raw file for a source, relative to the lake.
pub fn raw_path(source: &str, date: NaiveDate, run_id: &str) -> PathBuf {
    let folder = Path::new(RAW).join(format!("{SOURCE}{source}"));
    folder
        .join(partition(date))
        .join(format!("{run_id}.ndjson.zst"))
}

/// Returns the source whose pages a raw file holds, from its path.
pub fn raw_source(path: &Path) -> Option<String> {
    let folder = path.parent()?.parent()?.file_name()?.to_str()?;
    folder.strip_prefix(SOURCE).map(str::to_owned)
}

/// Returns the path of a commit's record, relative to the lake.
pub fn record_path(commit_id: &str) -> PathBuf {
    Path::new(COMMITS).join(format!("{commit_id}.json"))
}

/// Returns the name of a run's journal, in the folder of the journals.
pub fn journal_name(run_id: &str) -> String {
    format!("{run_id}.ndjson")
}

/// Returns the name of a pipeline's lock. Shards hold it shared.
pub fn pipeline_lock(pipeline: &str) -> String {
    format!("pipeline-{pipeline}.lock")
}

/// Returns the name of the lock of one shard of a pipeline.
pub fn shard_lock(pipeline: &str, index: u32, count: u32) -> String {
    format!("pipeline-{pipeline}.{index}-of-{count}.lock")
}

/// Returns the name of the file about the last start of a pipeline, or of one of its shards, given as
/// index and count.
pub fn start_state(pipeline: &str, shard: Option<(u32, u32)>) -> String {
    match shard {
        Some((index, count)) => format!("{pipeline}.{index}-of-{count}.json"),
        None => format!("{pipeline}.json"),
    }
}

/// Returns the name of the file that holds what a pipeline's webhooks were told.
pub fn notify_state(pipeline: &str) -> String {
    format!("{pipeline}.json")
}

/// Returns the name of the lock of that file.
pub fn notify_lock(pipeline: &str) -> String {
    format!("{pipeline}.lock")
}

/// Returns the name of the lock of the process that looks for a pipeline's findings.
pub fn findings_lock(pipeline: &str) -> String {
    format!("{pipeline}.findings.lock")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_beside_the_file_that_names_them() {
        let of = |file: &str, path: &str| beside(Path::new(file), Path::new(path));
        assert_eq!(of("watch.yaml", "."), Path::new("."));
        assert_eq!(of("sub/watch.yaml", ".."), Path::new("."));
        assert_eq!(of("pipelines/demo.yaml", "../lake"), Path::new("lake"));
        assert_eq!(of("watch.yaml", "../lake"), Path::new("../lake"));
        assert_eq!(of("/a/b/watch.yaml", "../../lake"), Path::new("/lake"));
        assert_eq!(of("a/watch.yaml", "/lake"), Path::new("/lake"));
    }

    #[test]
    fn a_home_folder_is_that_of_the_account() {
        let of = |text: &str| folder(Path::new(text), Some("/home/me"));
        assert_eq!(of("~/lake"), Ok(PathBuf::from("/home/me/lake")));
        assert_eq!(of("~bob/lake"), Err(FolderError::OtherHome));
        assert_eq!(of("./~bob"), Ok(PathBuf::from("./~bob")));
    }

    #[test]
    fn paths_are_parsed_as_they_are_written() {
        let date = NaiveDate::from_ymd_opt(2026, 3, 9).expect("a date");
        let path = table_path("notes", date, "run");
        assert_eq!(path, "tables/notes/dt=2026-03-09/run.parquet");
        assert_eq!(table_of(&path), Some(("notes", date)));
        assert_eq!(table_of(&mart_path("note_growth", date, "c")), None);
        let raw = raw_path("api", date, "run");
        assert_eq!(
            raw,
            Path::new("raw/source=api/dt=2026-03-09/run.ndjson.zst")
        );
        assert_eq!(raw_source(&raw).as_deref(), Some("api"));
        assert_eq!(partition_date("dt=2026-3-x"), None);
    }
}
