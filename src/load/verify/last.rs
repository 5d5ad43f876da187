//! Time and result of the last verification, in `_state/verified.json`.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::Verified;
use crate::clock;
use crate::lake_layout::{STATE, state};
use crate::load::Lake;
use crate::load::files::replace_json;

/// Time and result of the last verification.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LastVerification {
    pub verified_at: DateTime<Utc>,
    /// Number of files with a problem.
    pub problems: u64,
    /// Number of verified files of tables, marts and raw zone.
    pub files: u64,
}

impl Lake {
    /// Records a verification that ends now. A lake that this account cannot write stays as it is.
    pub fn record_verification(&self, verified: &Verified) {
        let last = LastVerification {
            verified_at: clock::now(),
            problems: verified.problems.len() as u64,
            files: verified.files + verified.raw_files,
        };
        if let Err(error) = replace_json(&self.verified_path(), &last) {
            tracing::debug!("the time of the verification is not recorded: {error}");
        }
    }

    /// Returns the last verification. `None` if there was none, or if its record is not readable.
    pub fn last_verification(&self) -> Option<LastVerification> {
        let text = std::fs::read_to_string(self.verified_path()).ok()?;
        serde_json::from_str(&text).ok()
    }

    fn verified_path(&self) -> PathBuf {
        self.root.join(STATE).join(state::VERIFIED)
    }
}
