//! Progress of a run or a compaction, on stderr.

use std::io::IsTerminal;

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::output::print::{counted, grouped};
use crate::cli::output::stderr::note;
use crate::extract::context::Event;
use crate::maintenance::compact::{CompactedDay, CompactionStep};
use crate::run::options::OnEvent;
use crate::spec::yaml::escape::escaped_line;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// A bar on a terminal, nothing otherwise
    Auto,
    /// A bar, also where stderr is no terminal
    Bar,
    /// A line a page, or for `compact` a line a table and day
    Log,
    /// Failures, and the place of a new lake
    None,
}

/// Returns the function that shows the events of a run with at most `calls` calls.
pub fn observer(mode: Mode, quiet: bool, calls: u64) -> OnEvent {
    match mode {
        _ if quiet => Box::new(|_| ()),
        Mode::None => Box::new(always),
        Mode::Log => Box::new(log),
        Mode::Auto if !std::io::stderr().is_terminal() => Box::new(always),
        Mode::Auto | Mode::Bar => {
            let bar = ProgressBar::new(calls).with_style(style("of at most {len} calls"));
            Box::new(move |event| advance(&bar, event))
        }
    }
}

/// Function that shows the steps of a compaction.
pub type OnStep = Box<dyn Fn(CompactionStep<'_>)>;

/// Returns the function that shows the steps of a compaction.
pub fn of_compaction(mode: Mode, quiet: bool) -> OnStep {
    match mode {
        _ if quiet => Box::new(|_| ()),
        Mode::None => Box::new(|_| ()),
        Mode::Log => Box::new(log_step),
        Mode::Auto if !std::io::stderr().is_terminal() => Box::new(|_| ()),
        Mode::Auto | Mode::Bar => {
            let bar = ProgressBar::new(0).with_style(style("of {len} files"));
            Box::new(move |step| advance_step(&bar, step))
        }
    }
}

fn advance_step(bar: &ProgressBar, step: CompactionStep<'_>) {
    match step {
        CompactionStep::Begun { files } => bar.set_length(files),
        CompactionStep::Rewritten(day) | CompactionStep::Damaged(day) => {
            bar.inc(day.files_before);
            bar.set_message(escaped_line(&format!("{} {}", day.dt, day.table)).into_owned());
        }
    }
}

fn log_step(step: CompactionStep<'_>) {
    match step {
        CompactionStep::Begun { files } => {
            note(format_args!("{} to compact", counted(files, "file")));
        }
        CompactionStep::Rewritten(CompactedDay {
            dt,
            table,
            rows,
            files_before,
            files_after,
            ..
        }) => {
            let (before, rows) = (counted(*files_before, "file"), counted(*rows, "row"));
            let after = grouped(*files_after);
            note(format_args!("{dt} {table}: {before} to {after}, {rows}"));
        }
        CompactionStep::Damaged(CompactedDay { dt, table, .. }) => {
            note(format_args!(
                "{dt} {table}: left as it is, a file is damaged"
            ));
        }
    }
}

/// Returns the style of a bar. `of` is the text after the position.
fn style(of: &str) -> ProgressStyle {
    let template = format!("{{elapsed_precise}} [{{bar:30}}] {{pos}} {of}  {{wide_msg}}");
    ProgressStyle::with_template(&template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

fn advance(bar: &ProgressBar, event: &Event<'_>) {
    match event {
        Event::Page { search, page, .. } => {
            bar.inc(1);
            bar.set_message(escaped_line(&format!("{search} page {page}")).into_owned());
        }
        Event::Done { .. } => {}
        Event::NewLake { .. } => bar.suspend(|| always(event)),
        Event::Failed { search, reason } => {
            bar.suspend(|| note(escaped_line(&format!("failed: {search}: {reason}"))))
        }
    }
}

/// Prints what every mode prints: failures, and the place of a new lake.
fn always(event: &Event<'_>) {
    match event {
        Event::Failed { search, reason } => {
            note(escaped_line(&format!("failed: {search}: {reason}")));
        }
        Event::NewLake { lake } => note(escaped_line(&format!("new lake: {}", lake.display()))),
        Event::Page { .. } | Event::Done { .. } => {}
    }
}

fn log(event: &Event<'_>) {
    match event {
        Event::Page {
            search,
            page,
            items,
        } => note(format_args!("{search} page {page}: {items} items")),
        Event::Done { search, stop } => note(format_args!("{search}: done ({})", stop.as_str())),
        Event::Failed { .. } | Event::NewLake { .. } => always(event),
    }
}
