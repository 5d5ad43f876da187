//! Progress of a run or a compaction, on stderr: a line that is redrawn, or lines of a log.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use clap::ValueEnum;

use crate::cli::output::print::{counted, grouped, priced};
use crate::cli::output::stderr::{self, LogFormat, LogLevel, Notice};
use crate::extract::context::Event;
use crate::extract::counts::RunCounts;
use crate::maintenance::compact::{CompactedDay, CompactionStep};
use crate::plan::{Plan, Search};
use crate::run::options::OnEvent;
use crate::spec::yaml::escape::escaped_line;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// One line on a terminal; elsewhere a line every 10 seconds, if it takes longer than that
    Auto,
    /// One line that is redrawn, also where stderr is no terminal
    Bar,
    /// A line every 5 seconds, with -v also a line a page; for `compact` a line a table and day
    Log,
    /// Failures, and the place of a new lake
    None,
}

/// Form in which progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Display {
    /// One line, redrawn at most this often.
    Line(Duration),
    /// Lines of a log, at most this often.
    Log(Duration),
    Nothing,
}

const REDRAWN_EVERY: Duration = Duration::from_millis(100);
const LOGGED_EVERY: Duration = Duration::from_secs(5);
const LOGGED_UNASKED_EVERY: Duration = Duration::from_secs(10);

impl Display {
    fn of(mode: Mode) -> Self {
        // A line that is redrawn is no JSON.
        let is_text = stderr::format() == LogFormat::Text;
        let is_terminal = stderr::is_terminal();
        match mode {
            Mode::None => Display::Nothing,
            Mode::Auto if is_text && is_terminal => Display::Line(interval(REDRAWN_EVERY)),
            Mode::Auto => Display::Log(interval(LOGGED_UNASKED_EVERY)),
            Mode::Bar if is_text => Display::Line(interval(REDRAWN_EVERY)),
            Mode::Bar | Mode::Log => Display::Log(interval(LOGGED_EVERY)),
        }
    }
}

/// Returns the time between two lines. A test sets it with the fail point `progress_ms`.
fn interval(usual: Duration) -> Duration {
    fail::fail_point!("progress_ms", |ms: Option<String>| {
        let ms = ms.and_then(|ms| ms.parse().ok());
        ms.map_or(usual, Duration::from_millis)
    });
    usual
}

/// Returns the function that shows the events of a run. With `with_pages` a log has a line a page.
pub fn observer(mode: Mode, with_pages: bool, plan: &Plan) -> OnEvent {
    let display = Display::of(mode);
    let shown = RefCell::new(RunProgress {
        display,
        is_asked: mode == Mode::Log,
        with_pages: with_pages && matches!(display, Display::Log(_)) && mode == Mode::Log,
        currency: plan.price.currency.clone(),
        pace: None,
        counts: RunCounts::default(),
        is_told: true,
        at: String::new(),
    });
    Box::new(move |event| shown.borrow_mut().take_in(event))
}

/// The progress of a run as it is shown.
struct RunProgress {
    display: Display,
    /// True if the user asked for a log, so that it has a line at the end in any case.
    is_asked: bool,
    with_pages: bool,
    currency: Option<String>,
    /// `None` until the searches begin.
    pace: Option<Pace>,
    counts: RunCounts,
    /// True if the newest counts were shown.
    is_told: bool,
    /// The newest page.
    at: String,
}

/// Time since the searches began, and what is left of it.
struct Pace {
    begun: Instant,
    /// Calls that an earlier process of the run made.
    earlier_calls: u64,
    last_shown: Option<Instant>,
}

impl RunProgress {
    fn take_in(&mut self, event: &Event<'_>) {
        match event {
            Event::Begun(meta) => stderr::set_run(meta),
            Event::NewLake { lake } => {
                let lake = lake.display().to_string();
                let told = format!("new lake: {lake}");
                let message = Notice::new(LogLevel::Info, &told).with("lake", lake);
                message.print_as(|told| escaped_line(told).into_owned());
            }
            Event::Failed { search, reason } => {
                let told = format!("failed: {search}: {reason}");
                let message = of_search(LogLevel::Warn, search, &told);
                message
                    .with("reason", *reason)
                    .print_as(|told| escaped_line(told).into_owned());
            }
            Event::Page {
                search,
                page,
                items,
            } => {
                self.at = format!("{search} page {page}");
                if self.with_pages {
                    let told = format!("{search} page {page}: {}", counted(*items, "item"));
                    let message = of_search(LogLevel::Info, search, &told);
                    message.with("page", *page).with("items", *items).print();
                }
            }
            Event::Done { search, stop } => {
                if self.with_pages {
                    let told = format!("{search}: done ({})", stop.as_str());
                    let message = of_search(LogLevel::Info, search, &told);
                    message.with("stop", stop.as_str()).print();
                }
            }
            Event::Counted(counts) => self.count(counts, Instant::now()),
        }
    }

    fn count(&mut self, counts: &RunCounts, now: Instant) {
        self.is_told &= self.counts == *counts;
        self.counts.clone_from(counts);
        let pace = self.pace.get_or_insert(Pace {
            begun: now,
            earlier_calls: counts.calls,
            last_shown: None,
        });
        if pace.is_due(self.display, now) {
            let left = pace.left(counts, now);
            self.show(left);
        }
    }

    fn show(&mut self, left: Option<Duration>) {
        self.is_told = true;
        let told = told(&self.counts, self.currency.as_deref(), left);
        match self.display {
            Display::Line(_) if self.at.is_empty() => stderr::show_line(&told),
            Display::Line(_) => {
                let at = escaped_line(&self.at);
                stderr::show_line(&format!("{told}: {at}"));
            }
            Display::Log(_) => {
                let counts = &self.counts;
                Notice::new(LogLevel::Info, told)
                    .with("searches_planned", counts.planned)
                    .with("searches_done", counts.done)
                    .with("searches_failed", counts.failed)
                    .with("calls", counts.calls)
                    .with("calls_left", counts.calls_left)
                    .with("notes", counts.notes)
                    .with("new_notes", counts.new_notes)
                    .with("cost", counts.cost.map(|cost| cost.amount()))
                    .with("currency", self.currency.as_deref())
                    .with("seconds_left", left.map(|left| left.as_secs()))
                    .print();
            }
            Display::Nothing => {}
        }
    }
}

/// The searches are over: removes the line, or ends the log with the last counts.
impl Drop for RunProgress {
    fn drop(&mut self) {
        stderr::remove_line();
        let has_log = self
            .pace
            .as_ref()
            .is_some_and(|pace| pace.last_shown.is_some())
            || self.is_asked;
        let is_log = matches!(self.display, Display::Log(_));
        if is_log && has_log && !self.is_told {
            self.show(None);
        }
    }
}

/// Calls before which the rate is not known well enough.
const FEW_CALLS: u64 = 5;

impl Pace {
    /// Returns true if the counts are to be shown now. A line appears at once, a log begins after
    /// its first interval: a quick run has none.
    fn is_due(&mut self, display: Display, now: Instant) -> bool {
        let (since, every) = match display {
            Display::Line(every) => (self.last_shown, every),
            Display::Log(every) => (self.last_shown.or(Some(self.begun)), every),
            Display::Nothing => return false,
        };
        let is_due = since.is_none_or(|since| now.duration_since(since) >= every);
        if is_due {
            self.last_shown = Some(now);
        }
        is_due
    }

    /// Returns the time that the calls left take at the rate so far. They are a maximum, and so is
    /// the time. `None` while the rate is unknown, or if no call is left.
    fn left(&self, counts: &RunCounts, now: Instant) -> Option<Duration> {
        let passed = now.duration_since(self.begun);
        let made = counts.calls.saturating_sub(self.earlier_calls);
        if made < FEW_CALLS || passed < Duration::from_secs(2) || counts.calls_left == 0 {
            return None;
        }
        let seconds = passed.as_secs_f64() / made as f64 * counts.calls_left as f64;
        Duration::try_from_secs_f64(seconds).ok()
    }
}

/// Returns a message about a search.
fn of_search(level: LogLevel, search: &Search, told: &str) -> Notice {
    Notice::new(level, told)
        .with("search", search.to_string())
        .with("search_id", search.search_id.as_str())
}

/// Returns the counts in words, the most important ones first: a narrow terminal cuts the rest.
fn told(counts: &RunCounts, currency: Option<&str>, left: Option<Duration>) -> String {
    let planned = counted(counts.planned, "search");
    let mut told = format!("{} of {planned}", grouped(counts.done));
    if counts.failed > 0 {
        told.push_str(&format!(" ({} failed)", grouped(counts.failed)));
    }
    let calls = counted(counts.calls, "call");
    let notes = counts.notes.map(|notes| counted(notes, "note"));
    let new = counts.new_notes.map(|new| counted(new, "new note"));
    let cost = counts.cost.map(|cost| priced(cost.amount(), currency));
    let left = left.map(|left| format!("at most {} left", rough(left)));
    let parts = [Some(calls), new.or(notes), cost, left];
    for part in parts.into_iter().flatten() {
        told.push_str(", ");
        told.push_str(&part);
    }
    told
}

/// Returns a duration as people say it.
fn rough(duration: Duration) -> String {
    let seconds = duration.as_secs().max(1);
    let minutes = seconds.div_ceil(60);
    match seconds {
        ..60 => format!("{seconds} s"),
        60..3_600 => format!("{minutes} min"),
        _ => format!("{} h {} min", minutes / 60, minutes % 60),
    }
}

/// Function that shows the steps of a compaction.
pub type OnStep = Box<dyn Fn(CompactionStep<'_>)>;

/// Returns the function that shows the steps of a compaction.
pub fn of_compaction(mode: Mode) -> OnStep {
    match Display::of(mode) {
        Display::Line(_) => {
            let line = CompactionLine::default();
            Box::new(move |step| line.draw(step))
        }
        // Nobody asked for a log that has as many lines as there are days.
        Display::Log(_) if mode != Mode::Auto => Box::new(log_step),
        Display::Log(_) | Display::Nothing => Box::new(|_| ()),
    }
}

/// The progress line of a compaction.
#[derive(Default)]
struct CompactionLine {
    /// Files that are done, and all files.
    files: RefCell<(u64, u64)>,
}

impl CompactionLine {
    fn draw(&self, step: CompactionStep<'_>) {
        let mut files = self.files.borrow_mut();
        let at = match step {
            CompactionStep::Begun { files: all } => {
                files.1 = all;
                String::new()
            }
            CompactionStep::Rewritten(day) | CompactionStep::Damaged(day) => {
                files.0 += day.files_before;
                format!(": {} {}", day.dt, day.table)
            }
        };
        let (done, all) = (grouped(files.0), counted(files.1, "file"));
        stderr::show_line(&escaped_line(&format!("{done} of {all}{at}")));
    }
}

impl Drop for CompactionLine {
    fn drop(&mut self) {
        stderr::remove_line();
    }
}

fn log_step(step: CompactionStep<'_>) {
    let info = |told: String| Notice::new(LogLevel::Info, told);
    let of_day = |message: Notice, day: &CompactedDay| {
        message
            .with("dt", day.dt.to_string())
            .with("table", day.table.as_str())
            .with("files_before", day.files_before)
    };
    match step {
        CompactionStep::Begun { files } => {
            let told = format!("{} to compact", counted(files, "file"));
            info(told).with("files", files).print();
        }
        CompactionStep::Rewritten(day) => {
            let (before, rows) = (counted(day.files_before, "file"), counted(day.rows, "row"));
            let (dt, table, after) = (&day.dt, &day.table, grouped(day.files_after));
            let told = format!("{dt} {table}: {before} to {after}, {rows}");
            of_day(info(told), day)
                .with("files_after", day.files_after)
                .with("rows", day.rows)
                .print();
        }
        CompactionStep::Damaged(day) => {
            let told = format!("{} {}: left as it is, a file is damaged", day.dt, day.table);
            of_day(Notice::new(LogLevel::Warn, told), day).print();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Money;

    fn pace(begun: Instant) -> Pace {
        Pace {
            begun,
            earlier_calls: 3,
            last_shown: None,
        }
    }

    /// The milliseconds at which a display that is told of a page every 30 ms shows it.
    fn shown(display: Display, until: u64) -> Vec<u64> {
        let begun = Instant::now();
        let mut pace = pace(begun);
        let times = (0..until).step_by(30);
        let is_due = |ms: &u64| pace.is_due(display, begun + Duration::from_millis(*ms));
        times.filter(is_due).collect()
    }

    #[test]
    fn a_log_has_a_line_every_few_seconds_and_none_of_a_quick_run() {
        let log = Display::Log(LOGGED_EVERY);
        assert_eq!(shown(log, 4_990), [0; 0]);
        assert_eq!(shown(log, 20_000), [5_010, 10_020, 15_030]);
        let unasked = Display::Log(LOGGED_UNASKED_EVERY);
        assert_eq!(shown(unasked, 25_000), [10_020, 20_040]);
        assert_eq!(shown(Display::Nothing, 60_000), [0; 0]);
    }

    #[test]
    fn a_line_appears_at_once_and_does_not_flicker() {
        let line = Display::Line(REDRAWN_EVERY);
        assert_eq!(shown(line, 400), [0, 120, 240, 360]);
    }

    #[test]
    fn the_time_left_is_shown_once_the_rate_is_known() {
        let begun = Instant::now();
        let left = |calls, calls_left, seconds| {
            let counts = RunCounts {
                calls,
                calls_left,
                ..RunCounts::default()
            };
            let left = pace(begun).left(&counts, begun + Duration::from_secs(seconds));
            left.map(|left| left.as_secs())
        };
        // Three calls are of an earlier process.
        assert_eq!(left(7, 90, 10), None);
        assert_eq!(left(13, 90, 1), None);
        assert_eq!(left(13, 90, 10), Some(90));
        assert_eq!(left(13, 0, 10), None);
    }

    #[test]
    fn counts_are_told_in_words() {
        let counts = RunCounts {
            planned: 1_200,
            done: 11,
            failed: 1,
            calls: 1_057,
            cost: Some(Money::of(105.7)),
            notes: Some(9_000),
            new_notes: Some(812),
            calls_left: 40,
        };
        assert_eq!(
            told(&counts, Some("CNY"), Some(Duration::from_secs(61))),
            "11 of 1,200 searches (1 failed), 1,057 calls, 812 new notes, 105.70 CNY, at most 2 min left"
        );
        let unknown = RunCounts {
            planned: 1,
            failed: 0,
            calls: 1,
            cost: None,
            new_notes: None,
            notes: Some(1),
            ..counts
        };
        assert_eq!(told(&unknown, None, None), "11 of 1 search, 1 call, 1 note");
        let long = |seconds| rough(Duration::from_secs(seconds));
        assert_eq!((long(0), long(59)), ("1 s".to_owned(), "59 s".to_owned()));
        assert_eq!(
            (long(3_599), long(9_000)),
            ("60 min".to_owned(), "2 h 30 min".to_owned())
        );
    }
}
