//! Flattens the raw files of a run on several threads.

use std::collections::{HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};

use crate::raw::frames::{Frames, Page, PageDecoder};
use crate::raw::page::Damage;
use crate::run_meta::RunMeta;
use crate::transform::contracts::Transform;
use crate::transform::error::TransformError;
use crate::transform::page::flatten::Flattener;
use crate::transform::tables::accumulator::{Finished, Spill};
use crate::transform::tables::finish::Flattened;
use crate::transform::tables::spill::Scratch;

/// Resources for flattening.
#[derive(Clone, Copy, Debug)]
pub struct Resources {
    pub threads: usize,
    /// Bytes of rows in memory before they are spilled to disk, over all threads.
    pub memory: usize,
}

/// Input and resources of the workers.
#[derive(Clone, Copy, Debug)]
pub struct WorkerInput<'t> {
    pub resources: Resources,
    /// Folder for rows that do not fit into memory.
    pub scratch: &'t Scratch,
}

/// Findings in the raw files of a run beside its pages.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RawRead {
    /// Request ids of the accepted pages that were read.
    pub accepted: HashSet<String>,
    /// Files that end inside a page, which is left out.
    pub torn: Vec<PathBuf>,
    /// Bytes that hold no readable page, by file and offset.
    pub damaged: Vec<Damage>,
    /// Files with pages without checksums.
    pub unsealed: Vec<PathBuf>,
}

/// Default of [`Resources::memory`].
pub const MEMORY: usize = 240 << 20;

/// Frames that a worker takes at once.
const AT_ONCE: usize = 8;

/// Reads the files in sequence.
struct Files {
    paths: VecDeque<PathBuf>,
    open: Option<Frames>,
    read: RawRead,
}

impl Files {
    /// Returns the next frames. Empty at the end.
    fn next(&mut self) -> Result<Vec<Page>, TransformError> {
        loop {
            let frames = match &mut self.open {
                Some(frames) => frames,
                None => {
                    let Some(path) = self.paths.pop_front() else {
                        return Ok(Vec::new());
                    };
                    self.open.insert(Frames::open(&path)?)
                }
            };
            let pages = frames.take(AT_ONCE)?;
            if !pages.is_empty() {
                return Ok(pages);
            }
            if frames.torn() {
                self.read.torn.push(frames.path().to_owned());
            }
            if frames.has_unsealed() {
                self.read.unsealed.push(frames.path().to_owned());
            }
            self.open = None;
        }
    }
}

impl Transform {
    /// Flattens the raw files of one run, and returns findings about the files. A page that is torn
    /// or damaged, or that belongs to another run, is skipped. Only the tables in `only` are made.
    /// Empty means all.
    ///
    /// # Errors
    /// A file cannot be read or was written by a newer redlake, no contract declares the endpoint
    /// of a page, the disk is full, or items are not accounted for.
    pub fn flatten<'t>(
        &'t self,
        meta: &RunMeta,
        files: impl IntoIterator<Item = PathBuf>,
        only: &[&str],
        work: WorkerInput<'t>,
    ) -> Result<(Flattened<'t>, RawRead), TransformError> {
        let files = Mutex::new(Files {
            paths: files.into_iter().collect(),
            open: None,
            read: RawRead::default(),
        });
        // A page that is in several files is flattened once.
        let seen = Mutex::new(HashSet::new());
        let threads = work.resources.threads.max(1);
        let worker = || {
            let spill = Spill {
                scratch: work.scratch,
                memory: work.resources.memory / threads,
            };
            let mut flattener = Flattener::new(self, meta.clone(), only, Some(spill));
            let mut decoder = PageDecoder::new()?;
            loop {
                let pages = lock(&files).next()?;
                if pages.is_empty() {
                    return flattener.finish();
                }
                for page in &pages {
                    let read = decoder.read(page, |header, body| {
                        if header.run_id != meta.run_id {
                            return Ok(Some(header.run_id.clone()));
                        }
                        // The lock is released here. In the condition of an `if` it would be held
                        // as long as the page is processed.
                        let is_new = lock(&seen).insert(header.request_id.clone());
                        if is_new {
                            if header.accepted {
                                let accepted = header.request_id.clone();
                                lock(&files).read.accepted.insert(accepted);
                            }
                            flattener.page(header, &body)?;
                        }
                        Ok::<_, TransformError>(None)
                    })?;
                    let damage = match read {
                        Ok(foreign) => foreign?.map(|run_id| page.of_other_run(&run_id)),
                        Err(damage) => Some(damage),
                    };
                    if let Some(damage) = damage {
                        lock(&files).read.damaged.push(damage);
                    }
                }
            }
        };
        let finished: Vec<Result<Finished, TransformError>> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
            let ended = workers.into_iter().map(|worker| worker.join());
            ended
                .map(|end| end.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        });
        let finished: Result<Vec<Finished>, TransformError> = finished.into_iter().collect();
        let finished = finished?
            .into_iter()
            .fold(Finished::default(), Finished::and);
        let flattened = Flattened::new(self, meta.clone(), finished, Some(work.scratch))?;
        let Files { mut read, .. } = files.into_inner().unwrap_or_else(|e| e.into_inner());
        let place = |damage: &Damage| (damage.path.clone(), damage.offset);
        read.damaged.sort_by_key(place);
        Ok((flattened, read))
    }
}

/// Ignores poisoning: a thread that panicked ends the program.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}
