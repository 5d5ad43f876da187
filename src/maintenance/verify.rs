//! Verifies tables, marts and raw zone of a lake against its commits and its ledger.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use crate::extract::error::with_causes;
use crate::lake_layout::raw_source;
use crate::load::Lake;
use crate::load::raw_zone::{CommittedRaw, checksum_of_beginning};
use crate::load::verify::modes::Remark;
use crate::load::verify::{Problem, ProblemKind, Verified};
use crate::query::runs::{self, PagesOf};
use crate::raw::RawReader;
use crate::run::catalog;
use crate::run::commit::ledger;
use crate::run::error::RunError;
use crate::spec::contracts::Contracts;

/// Reads every file of a lake. Compares committed files with their records, the frames of raw
/// files with their checksums, and the pages of each run with its ledger.
///
/// # Errors
/// A record or a folder cannot be read. Wrong files are not an error: the result lists them.
pub fn verify(lake: &Lake, contracts: &Contracts) -> Result<Verified, RunError> {
    let mut found = lake.verify()?;
    let mut raw = RawZone::of(lake)?;
    for (run_id, path) in &raw.files.clone() {
        raw.read(run_id, path, &mut found);
    }
    raw.find_missing_files(&mut found);
    match pages_in_ledger(lake, contracts) {
        Ok(pages) => raw.compare_with_ledger(&pages, &mut found),
        Err(error) => found.remarks.push(Remark {
            path: "raw".to_owned(),
            detail: format!(
                "its pages are not compared with the ledger, because it cannot be read: {}",
                with_causes(&error)
            ),
            hint: "fix the tables `requests` and `runs` first".to_owned(),
        }),
    }
    if raw.unsealed > 0 {
        found.remarks.push(Remark {
            path: "raw".to_owned(),
            detail: format!(
                "files with pages without checksums, written by an older version: {}",
                raw.unsealed
            ),
            hint: "damage in such pages may go unnoticed; keep a backup of them".to_owned(),
        });
    }
    found.problems.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn pages_in_ledger(lake: &Lake, contracts: &Contracts) -> Result<Vec<PagesOf>, RunError> {
    let database = catalog::open_some(lake, &contracts.tables, &ledger::TABLES)?;
    Ok(runs::all_pages(&database)?)
}

/// State of the verification of the raw zone.
struct RawZone<'l> {
    lake: &'l Lake,
    /// Raw files with the id of their run.
    files: Vec<(String, PathBuf)>,
    committed: BTreeMap<String, CommittedRaw>,
    removed: BTreeSet<String>,
    /// Request ids of the accepted pages that were read, by run and source.
    pages: BTreeMap<(String, String), HashSet<String>>,
    unsealed: u64,
}

impl<'l> RawZone<'l> {
    fn of(lake: &'l Lake) -> Result<Self, RunError> {
        Ok(RawZone {
            lake,
            // Reads records before it lists files, because a run may commit in between.
            committed: lake.committed_raw()?,
            removed: lake.removed_raw()?,
            files: lake.raw_files()?,
            pages: BTreeMap::new(),
            unsealed: 0,
        })
    }

    /// Reads one raw file. Adds its counts and problems to `found`.
    fn read(&mut self, run_id: &str, path: &Path, found: &mut Verified) {
        let name = self.lake.relative(path);
        if let Some(detail) = self.differs_from_record(path, &name) {
            found.problems.push(problem(&name, detail));
        }
        let mut reader = match RawReader::open(path) {
            Ok(reader) => reader,
            // Retention has removed it since it was listed.
            Err(_) if !path.exists() => return,
            Err(error) => {
                found.problems.push(problem(&name, with_causes(&error)));
                return;
            }
        };
        found.raw_files += 1;
        found.raw_bytes += std::fs::metadata(path).map_or(0, |metadata| metadata.len());
        let source = raw_source(path).unwrap_or_default();
        let pages = self.pages.entry((run_id.to_owned(), source)).or_default();
        for page in reader.by_ref() {
            match page {
                Ok(page) if page.header.run_id != run_id => {
                    let detail = format!("it holds a page of the run {}", page.header.run_id);
                    found.problems.push(problem(&name, detail));
                }
                Ok(page) => {
                    found.raw_pages += 1;
                    if page.header.accepted {
                        pages.insert(page.header.request_id);
                    }
                }
                Err(error) => found.problems.push(problem(&name, with_causes(&error))),
            }
        }
        for damage in reader.damaged() {
            let (bytes, offset, reason) = (damage.bytes, damage.offset, &damage.reason);
            let detail = format!("{bytes} bytes at offset {offset}: {reason}");
            found.problems.push(problem(&name, detail));
        }
        self.unsealed += u64::from(reader.has_unsealed());
    }

    /// Returns the difference between a file and its commit record. `None` if they match or there
    /// is no record. The file of an open run may have grown.
    fn differs_from_record(&self, path: &Path, name: &str) -> Option<String> {
        let CommittedRaw { file, is_closed } = self.committed.get(name)?;
        let length = match std::fs::metadata(path) {
            Ok(metadata) => metadata.len(),
            Err(error) => return Some(error.to_string()),
        };
        if length < file.bytes || length > file.bytes && *is_closed {
            return Some(format!("{length} bytes instead of {}", file.bytes));
        }
        match checksum_of_beginning(path, file.bytes) {
            Ok(checksum) if checksum == file.checksum => None,
            Ok(_) => Some("its contents differ from what was committed".to_owned()),
            Err(error) => Some(error.to_string()),
        }
    }

    /// Finds committed raw files that are missing. Counts those that retention or `prune` removed.
    fn find_missing_files(&self, found: &mut Verified) {
        for name in self.committed.keys() {
            if self.lake.root().join(name).exists() {
                continue;
            }
            if self.removed.contains(name) {
                found.raw_pruned += 1;
            } else {
                found.problems.push(Problem {
                    path: name.clone(),
                    kind: ProblemKind::Missing,
                    detail: "it is missing, and redlake did not remove it".to_owned(),
                });
            }
        }
    }

    /// Finds pages that are in the ledger but not in the raw files. Skips sources of a run whose
    /// raw files are gone, and files that already have a problem.
    fn compare_with_ledger(&self, ledger: &[PagesOf], found: &mut Verified) {
        for of in ledger {
            let Some(pages) = self.pages.get(&(of.run_id.clone(), of.source.clone())) else {
                continue;
            };
            let missing = of
                .request_ids
                .iter()
                .filter(|id| !pages.contains(*id))
                .count();
            let mut files = self.files.iter().filter(|(run_id, path)| {
                *run_id == of.run_id && raw_source(path).as_deref() == Some(of.source.as_str())
            });
            let Some((_, path)) = files.next().filter(|_| missing > 0) else {
                continue;
            };
            let name = self.lake.relative(path);
            if found.problems.iter().any(|problem| problem.path == name) {
                continue;
            }
            let all = of.request_ids.len();
            let detail = format!("{missing} of the {all} pages in its ledger are missing from it");
            found.problems.push(problem(&name, detail));
        }
    }
}

fn problem(path: &str, detail: String) -> Problem {
    Problem {
        path: path.to_owned(),
        kind: ProblemKind::Damaged,
        detail,
    }
}
