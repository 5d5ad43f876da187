//! A page of the raw zone: its header, its JSON line, and its errors.

use std::path::{Path, PathBuf};
use std::{fmt, io};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use thiserror::Error;
use uuid::Uuid;

use crate::plan::Search;
use crate::raw::body::{self, BodyText};
use crate::spec::class::CallClass;

/// Version of the line format. Frames of version 1 have no seal, and their bodies are text.
pub const VERSION: u32 = 2;

pub(crate) const UNSEALED_VERSION: u32 = 1;

/// Magic number of a zstd frame (RFC 8878, 3.1.1).
pub(crate) const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Header of a page in the raw zone: its run, its search, its time, and the outcome of the call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PageHeader {
    pub v: u32,
    pub run_id: String,
    pub pipeline: String,
    pub snapshot_at: DateTime<Utc>,
    /// True if the answer comes from the sandbox.
    pub simulated: bool,
    pub request_id: String,
    pub search: Search,
    pub page: u32,
    pub fetched_at: DateTime<Utc>,
    pub status: u16,
    /// The answer's `Content-Type`, which may declare the body's charset.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub content_type: Option<String>,
    /// True if the answer is a page. Other answers are kept if they may have been billed.
    pub accepted: bool,
    /// Class of the answer: `ok`, `gone` for a note that no longer exists, or an error class.
    #[serde(deserialize_with = "CallClass::recorded")]
    pub class: CallClass,
    pub item_count: u64,
    /// Number of items on earlier pages of the search.
    pub items_before: u64,
    /// Number of items that no earlier page of the search had.
    pub new_item_count: u64,
    /// Reason why the search stopped after this page. Null if it continued.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stop: Option<String>,
}

/// A page read from the raw zone.
#[derive(Clone, Debug, PartialEq)]
pub struct RawPage {
    pub header: PageHeader,
    /// Body of the answer, byte for byte.
    pub body: Vec<u8>,
}

impl RawPage {
    /// Returns the body as text.
    pub fn text(&self) -> BodyText<'_> {
        body::decode(&self.body, self.header.content_type.as_deref())
    }
}

/// Bytes of a raw file that hold no readable page.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Damage {
    pub path: PathBuf,
    /// Offset of the first damaged byte, from 0.
    pub offset: u64,
    pub bytes: u64,
    pub reason: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Damage {
            path,
            offset,
            bytes,
            reason,
        } = self;
        let path = path.display();
        write!(
            f,
            "{path}: {bytes} bytes at offset {offset} are damaged: {reason}"
        )
    }
}

#[derive(Debug, Error)]
pub enum RawError {
    #[error("cannot {action} the raw file {}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("{} is not a raw file of redlake: page {page}: {reason}", path.display())]
    Format {
        path: PathBuf,
        page: u64,
        reason: String,
    },
    #[error("{}: page {page} has format {found}; this redlake reads formats up to {VERSION}", path.display())]
    Newer {
        path: PathBuf,
        page: u64,
        found: u32,
    },
    /// The file was removed, replaced or shortened while the run wrote to it.
    #[error("the raw file {} {change} while the run wrote to it", path.display())]
    Changed { path: PathBuf, change: Change },
}

/// Change of a raw file by another program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Change {
    #[error("was removed")]
    Removed,
    #[error("was replaced by another file")]
    Replaced,
    #[error("was shortened by another program")]
    Shortened,
}

pub(crate) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RawError {
    let path = path.to_owned();
    move |source| RawError::Io {
        action,
        path,
        source,
    }
}

/// Error of a line that holds no page of this version.
#[derive(Debug, Error)]
pub(crate) enum LineError {
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    #[error("its run_id `{0}` is not a UUID")]
    RunId(String),
    #[error("its body is not base64: {0}")]
    Base64(#[from] base64::DecodeError),
    #[error("format {0}; this redlake reads formats up to {VERSION}")]
    Newer(u32),
}

impl LineError {
    pub fn is_eof(&self) -> bool {
        matches!(self, LineError::Json(error) if error.is_eof())
    }
}

/// Reads a header. The `run_id` must be a UUID, because it names files and folders.
pub(crate) fn parse_header(json: &str) -> Result<PageHeader, LineError> {
    #[derive(Deserialize)]
    struct Version {
        v: u32,
    }
    let Version { v } = serde_json::from_str(json)?;
    if v > VERSION {
        return Err(LineError::Newer(v));
    }
    let header: PageHeader = serde_json::from_str(json)?;
    if header.run_id.len() == UUID_LENGTH && Uuid::try_parse(&header.run_id).is_ok() {
        Ok(header)
    } else {
        Err(LineError::RunId(header.run_id))
    }
}

/// Characters of a UUID with hyphens.
pub(crate) const UUID_LENGTH: usize = 36;

pub(crate) fn parse(line: &str) -> Result<RawPage, LineError> {
    #[derive(Deserialize)]
    struct BodyOnly<'a> {
        #[serde(borrow)]
        body: Option<&'a RawValue>,
        body_base64: Option<String>,
    }
    let header = parse_header(line)?;
    let BodyOnly { body, body_base64 } = serde_json::from_str(line)?;
    let body = match (body, body_base64) {
        (_, Some(base64)) => BASE64_STANDARD.decode(base64)?,
        (Some(text), None) if text.get().starts_with('"') => {
            serde_json::from_str::<String>(text.get())?.into_bytes()
        }
        (Some(json), None) => json.get().as_bytes().to_vec(),
        (None, None) => {
            return Err(LineError::Json(serde::de::Error::missing_field("body")));
        }
    };
    Ok(RawPage { header, body })
}
