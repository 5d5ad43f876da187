//! Errors of extraction.

use thiserror::Error;

use crate::extract::journal::JournalError;
use crate::raw::page::RawError;

#[derive(Debug, Error)]
pub enum ExtractError {
    #[error(transparent)]
    Raw(#[from] RawError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("{0}")]
    Disk(String),
    #[error("an extraction task died: {0}")]
    Task(String),
}

/// Formats an error with its chain of causes, on one line.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", with_causes(cause)),
        None => error.to_string(),
    }
}
