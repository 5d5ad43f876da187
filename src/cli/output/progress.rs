//! Progress of a run, on stderr.

use std::io::IsTerminal;

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::output::stderr::note;
use crate::extract::context::Event;
use crate::run::options::OnEvent;
use crate::spec::yaml::escape::escaped_line;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// A bar on a terminal, nothing otherwise
    Auto,
    /// A bar, also where stderr is no terminal
    Bar,
    /// A line a page
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
            let bar = ProgressBar::new(calls).with_style(style());
            Box::new(move |event| advance(&bar, event))
        }
    }
}

fn style() -> ProgressStyle {
    let template = "{elapsed_precise} [{bar:30}] {pos} of at most {len} calls  {wide_msg}";
    ProgressStyle::with_template(template)
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
