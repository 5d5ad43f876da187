//! The contract from the outside: the binary, real HTTP to the sandbox, real files, DuckDB.

mod architecture;
mod budgets;
mod catalog;
mod chain;
mod charsets;
mod checks;
mod compaction;
mod contracts;
mod crashes;
mod demo;
#[cfg(unix)]
mod deploy;
mod disks;
mod doctor;
mod documented;
mod escapes;
mod evolution;
mod exit_codes;
mod export;
mod faults;
mod fields;
mod first_pipeline;
#[cfg(unix)]
mod guide;
mod held;
mod hourly;
mod install;
mod kills;
mod late_notes;
mod log_lines;
mod logical_time;
mod marts;
mod messages;
mod metrics;
mod mistakes;
mod money;
mod no_answers;
mod notify;
mod odd_answers;
mod outcomes;
mod output_formats;
mod pipes;
mod places;
mod privacy;
#[cfg(unix)]
mod private;
#[cfg(unix)]
mod progress;
#[cfg(unix)]
mod prompt;
#[cfg(unix)]
mod quarantine;
mod query;
mod questions;
mod raw_damage;
mod readers;
mod readme;
mod report;
mod resume;
mod retention;
mod sandbox;
mod schedule;
mod schema;
mod secrets;
mod shards;
mod signing;
#[cfg(unix)]
mod small_files;
mod status;
mod stops;
mod subjects;
mod suggest;
mod support;
#[cfg(unix)]
mod tables;
mod terminal;
mod tokens;
mod upkeep;
mod webhook;
mod workbooks;
