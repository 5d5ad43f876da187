//! Spending of the other runs of a lake on a day. It is read from their journals, including those
//! of runs that are under way.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;

use crate::durable::{self, FileAccess};
use crate::extract::journal::{Entry, JournalError, failed, parse, whole_lines};
use crate::extract::ledger::{Spent, counts_in};
use crate::lake_layout;
use crate::plan::{Money, Shard};

/// Reads the journals of a lake incrementally.
#[derive(Debug)]
pub struct DailySpend {
    of: DayOf,
    /// Held from reading the journals until the call is in our journal, so two processes never both
    /// take the last call of a budget.
    lock: Option<File>,
    tails: HashMap<PathBuf, Tail>,
}

/// State of one journal up to the offset that was read.
#[derive(Debug, Default)]
struct Tail {
    read: u64,
    closed: bool,
    counts: bool,
    /// Divisor for spending that all shards share.
    divided_by: u64,
    under_way: HashMap<String, (NaiveDate, Money)>,
    spent: BTreeMap<NaiveDate, Spent>,
}

/// A lock on the budget of the day, released when dropped.
#[derive(Debug)]
pub struct DayLock(Option<File>);

impl Drop for DayLock {
    fn drop(&mut self) {
        // The operating system releases the lock when the process exits.
        let _ = self.0.as_ref().map(File::unlock);
    }
}

/// The run whose day is read, and its lake.
#[derive(Clone, Debug)]
pub struct DayOf {
    /// Folder that holds the journals.
    pub folder: PathBuf,
    /// Journal of this run, which is skipped.
    pub own: PathBuf,
    pub shard: Option<Shard>,
    /// True if this run is simulated. Only runs of the same kind count: a rehearsal costs nothing.
    pub simulated: bool,
    /// Currency of the budget. The cost of calls in another currency does not count; their number
    /// does.
    pub currency: Option<String>,
    pub timezone: Tz,
    /// Spending by day of runs that no longer have a journal.
    pub before: BTreeMap<NaiveDate, Spent>,
}

impl DailySpend {
    pub fn new(of: DayOf) -> Self {
        DailySpend {
            of,
            lock: None,
            tails: HashMap::new(),
        }
    }

    /// Returns what the other runs have spent on this day so far. No other process can spend until
    /// the lock is dropped.
    ///
    /// # Errors
    /// A journal cannot be read.
    pub fn look(&mut self, date: NaiveDate) -> Result<(Spent, DayLock), JournalError> {
        let lock = self.lock()?;
        Ok((self.peek(date)?, lock))
    }

    /// Returns what the other runs have spent on this day so far.
    ///
    /// # Errors
    /// A journal cannot be read.
    pub fn peek(&mut self, date: NaiveDate) -> Result<Spent, JournalError> {
        for path in journals(&self.of.folder)? {
            if path != self.of.own {
                self.follow(path)?;
            }
        }
        let mut spent = self.of.before.get(&date).copied().unwrap_or_default();
        for tail in self.tails.values().filter(|tail| tail.counts) {
            spent = spent.plus(tail.on(date));
        }
        Ok(spent)
    }

    fn lock(&mut self) -> Result<DayLock, JournalError> {
        let path = self.of.folder.join(lake_layout::BUDGET_LOCK);
        let mut lock = || {
            if self.lock.is_none() {
                let mut options = OpenOptions::new();
                let options = options.create(true).truncate(false).write(true);
                let access = FileAccess::of_folder(&self.of.folder);
                self.lock = Some(durable::open_private(options, &path, access)?);
            }
            let file = self.lock.as_ref().map(File::try_clone).transpose()?;
            file.iter().try_for_each(File::lock)?;
            Ok(DayLock(file))
        };
        lock().map_err(failed("lock", &path))
    }

    /// Reads the lines appended to one journal since the last call.
    fn follow(&mut self, path: PathBuf) -> Result<(), JournalError> {
        let (read, closed) = match self.tails.get(&path) {
            Some(tail) => (tail.read, tail.closed),
            None => (0, false),
        };
        // Most journals belong to runs that have ended. The check before each call must be fast. A
        // closed journal grows only when its run is continued.
        if closed && std::fs::metadata(&path).is_ok_and(|file| file.len() == read) {
            return Ok(());
        }
        let bytes = match read_from(&path, read) {
            // The file was removed after it was listed. Its entries are already counted.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            bytes => bytes.map_err(failed("read", &path))?,
        };
        let whole = whole_lines(&bytes);
        let mut tail = self.tails.remove(&path).unwrap_or_default();
        for line in whole.split(|byte| *byte == b'\n').filter(|l| !l.is_empty()) {
            let entry = parse(line, &path, 1)?;
            self.take_in(&mut tail, entry);
        }
        tail.read += whole.len() as u64;
        self.tails.insert(path, tail);
        Ok(())
    }

    fn take_in(&self, tail: &mut Tail, entry: Entry) {
        match entry {
            Entry::Run(head) => {
                let (counts, divided_by) = budget_share(self.of.shard, head.shard);
                tail.counts = counts && head.simulated == self.of.simulated;
                tail.divided_by = divided_by;
            }
            Entry::Sent(sent) => {
                let date = date_of(sent.started_at, self.of.timezone);
                let price = sent
                    .price
                    .filter(|_| counts_in(self.of.currency.as_deref(), sent.currency.as_deref()));
                let price = Money::of(price.unwrap_or_default());
                tail.under_way.insert(sent.request_id, (date, price));
                tail.spent.entry(date).or_default().calls += 1;
            }
            Entry::Done(call) => {
                if let Some((date, price)) = tail.under_way.remove(&call.request_id) {
                    let spent = tail.spent.entry(date).or_default();
                    spent.cost = spent.cost.plus(Spent::on(&call, price).cost);
                }
            }
            Entry::Closed => tail.closed = true,
            Entry::Reopened => tail.closed = false,
            Entry::Failed { .. }
            | Entry::Chosen { .. }
            | Entry::Committed { .. }
            | Entry::BudgetSpent => {}
        }
    }
}

impl Tail {
    /// Returns the spending of this journal on a day. Calls under way count as billed.
    fn on(&self, date: NaiveDate) -> Spent {
        let mut spent = self.spent.get(&date).copied().unwrap_or_default();
        for (_, price) in self.under_way.values().filter(|(day, _)| *day == date) {
            spent.cost = spent.cost.plus(*price);
        }
        part(spent, self.divided_by)
    }
}

/// Returns whether the spending of another run counts in our budget, and by how much it is divided.
/// A shard has a part of the budget. Other shards spend their own part, and the spending of whole
/// runs is divided by the number of shards.
pub fn budget_share(own: Option<Shard>, other: Option<Shard>) -> (bool, u64) {
    match (own, other) {
        (Some(own), Some(other)) if own.count == other.count => (own == other, 1),
        (Some(own), _) => (true, u64::from(own.count)),
        (None, _) => (true, 1),
    }
}

/// Divides spending into equal parts, rounded up.
pub fn part(spent: Spent, parts: u64) -> Spent {
    let parts = parts.max(1);
    Spent {
        calls: spent.calls.div_ceil(parts),
        cost: Money(spent.cost.0.div_ceil(parts)),
    }
}

/// Returns the business date of an instant.
pub fn date_of(instant: DateTime<Utc>, timezone: Tz) -> NaiveDate {
    instant.with_timezone(&timezone).date_naive()
}

/// Returns the times at which calls to a source were sent since an instant, sorted. Covers every
/// real run whose journal is in the folder.
///
/// # Errors
/// A journal cannot be read.
pub fn sent_since(
    folder: &Path,
    source: &str,
    since: DateTime<Utc>,
) -> Result<Vec<DateTime<Utc>>, JournalError> {
    let mut sent = Vec::new();
    for path in journals(folder)? {
        let modified = fs::metadata(&path).and_then(|m| m.modified());
        if modified.is_ok_and(|at| DateTime::<Utc>::from(at) < since) {
            continue;
        }
        let entries = match crate::extract::journal::read(&path) {
            Err(error) if error.is_not_found() => continue,
            entries => entries?,
        };
        let is_real = |e: &Entry| matches!(e, Entry::Run(head) if !head.simulated);
        if entries.first().is_some_and(is_real) {
            sent.extend(entries.into_iter().filter_map(|entry| match entry {
                Entry::Sent(s) if s.source == source && s.started_at >= since => Some(s.started_at),
                _ => None,
            }));
        }
    }
    sent.sort_unstable();
    Ok(sent)
}

/// Returns the paths of all journals in a folder, the oldest run first.
///
/// # Errors
/// The folder cannot be read.
pub fn journals(folder: &Path) -> Result<Vec<PathBuf>, JournalError> {
    let entries = match fs::read_dir(folder) {
        // The first run creates the folder.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed("list", folder))?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed("list", folder))?.path();
        if path.extension().is_some_and(|e| e == "ndjson") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn read_from(path: &Path, at: u64) -> std::io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(at))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}
