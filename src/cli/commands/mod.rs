//! One file per subcommand.

pub mod checks;
pub mod completions;
pub mod deploy;
pub mod doctor;
pub mod export;
pub mod init;
pub mod man;
pub mod marts;
pub mod notify;
pub mod plan;
pub mod query;
pub mod report;
pub mod run;
pub mod runs;
pub mod sandbox;
pub mod schedule;
pub mod schema;
pub mod show;
pub mod status;
pub mod transform;
pub mod upkeep;
pub mod validate;
