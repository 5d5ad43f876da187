//! Stores pages on disk. One thread writes for all searches, so a single fsync covers all pages
//! that arrived together.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};

use super::journal::Journal;
use crate::extract::error::{ExtractError, with_causes};
use crate::raw::page::PageHeader;
use crate::raw::{RawWatch, RawWriter, encode};

/// Maximum number of pages per sync.
const TOGETHER: usize = 64;

/// Stores the pages of a run.
#[derive(Debug)]
pub struct Store {
    pages: mpsc::Sender<Page>,
    /// Watches of the raw files, by source.
    watches: BTreeMap<String, Arc<RawWatch>>,
    thread: Option<JoinHandle<()>>,
}

struct Page {
    source: String,
    frame: Vec<u8>,
    kept: oneshot::Sender<Result<(), ExtractError>>,
}

impl Store {
    /// Starts the thread that writes to these files, one per source, and syncs the journal with
    /// them.
    pub fn new(writers: BTreeMap<String, RawWriter>, journal: Arc<Journal>) -> Self {
        let watch = |(source, writer): (&String, &RawWriter)| (source.clone(), writer.watch());
        let watches = writers.iter().map(watch).collect();
        let (sender, receiver) = mpsc::channel(TOGETHER);
        let thread = std::thread::spawn(move || write(receiver, writers, &journal));
        Store {
            pages: sender,
            watches,
            thread: Some(thread),
        }
    }

    /// Checks that the stored pages of a source are still in place.
    ///
    /// # Errors
    /// Pages are missing: no further call may be made.
    pub fn check(&self, source: &str) -> Result<(), ExtractError> {
        let watch = self.watches.get(source);
        Ok(watch.map_or(Ok(()), |watch| watch.check())?)
    }

    /// Stores an answer. It is durable on return.
    ///
    /// # Errors
    /// The write fails: no further call may be made.
    pub async fn keep(&self, header: &PageHeader, body: &[u8]) -> Result<(), ExtractError> {
        let frame = encode(header, body)?;
        let (kept, done) = oneshot::channel();
        let source = header.search.source.clone();
        let page = Page {
            source,
            frame,
            kept,
        };
        let died = || ExtractError::Task("the thread that stores pages died".into());
        self.pages.send(page).await.map_err(|_| died())?;
        done.await.map_err(|_| died())?
    }
}

impl Drop for Store {
    /// Waits until the queued pages are written.
    fn drop(&mut self) {
        let (closed, _) = mpsc::channel(1);
        drop(std::mem::replace(&mut self.pages, closed));
        if let Some(thread) = self.thread.take() {
            // A failed write was reported to the task that waits for the page.
            let _ = thread.join();
        }
    }
}

fn write(
    mut pages: mpsc::Receiver<Page>,
    mut writers: BTreeMap<String, RawWriter>,
    journal: &Journal,
) {
    let mut batch = Vec::new();
    while let Some(first) = pages.blocking_recv() {
        batch.push(first);
        while batch.len() < TOGETHER
            && let Ok(page) = pages.try_recv()
        {
            batch.push(page);
        }
        let mut written = Vec::new();
        for page in batch.drain(..) {
            let result = match writers.get_mut(&page.source) {
                Some(writer) => writer.write(&page.frame),
                None => Ok(()),
            };
            written.push((page, result));
        }
        let synced = sync(&mut writers, journal);
        for (page, result) in written {
            let result = result.map_err(ExtractError::from);
            let result = result.and_then(|()| synced.clone().map_err(ExtractError::Disk));
            // A task that no longer waits has abandoned the run.
            let _ = page.kept.send(result);
        }
    }
}

/// Syncs all files and the journal. All waiting tasks receive the same error.
fn sync(writers: &mut BTreeMap<String, RawWriter>, journal: &Journal) -> Result<(), String> {
    for writer in writers.values_mut() {
        writer.sync().map_err(|e| with_causes(&e))?;
    }
    journal.sync().map_err(|e| with_causes(&e))
}
