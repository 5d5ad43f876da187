//! A page of the raw zone: its header, its line of JSON, and what can be wrong with it.

use crate::plan::Search;
use crate::raw::body;
use crate::raw::body::BodyText;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chrono::DateTime;
use chrono::Utc;
use serde::Deserialize;
use serde::Serialize;
use serde_json::value::RawValue;
use std::fmt;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use thiserror::Error;
use uuid::Uuid;

/// Version of the line format. Frames of version 1 have no seal, and their bodies are text.
pub const VERSION: u32 = 2;

pub(crate) const UNSEALED_VERSION: u32 = 1;

/// What a zstd frame begins with (RFC 8878, 3.1.1).
pub(crate) const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// A page as it lies in the raw zone: what was asked, when and by whom, and the answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PageHeader {
    pub v: u32,
    pub run_id: String,
    pub pipeline: String,
    pub snapshot_at: DateTime<Utc>,
    /// Whether the answer comes from the sandbox's world.
    pub simulated: bool,
    pub request_id: String,
    pub search: Search,
    pub page: u32,
    pub fetched_at: DateTime<Utc>,
    pub status: u16,
    /// The answer's `Content-Type`, which may declare the body's charset.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub content_type: Option<String>,
    /// Whether the answer is a page. One that is not is kept if it may have been paid.
    pub accepted: bool,
    /// The verdict on the answer: `ok`, `gone` for a note that is no more, or what is wrong.
    pub class: String,
    pub item_count: u64,
    /// Items on earlier pages of the search, as it was paged.
    pub items_before: u64,
    /// Items that no earlier page of the search had.
    pub new_item_count: u64,
    /// Why the search asked for no further page after this one; null if it went on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stop: Option<String>,
}

/// A page read back.
#[derive(Clone, Debug, PartialEq)]
pub struct RawPage {
    pub header: PageHeader,
    /// The answer's body, as it came.
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
    /// Where they begin, from 0.
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
    /// Somebody removed, replaced or changed it while the run wrote it.
    #[error("the raw file {} {change} while the run wrote to it", path.display())]
    Changed { path: PathBuf, change: Change },
}

/// The way in which a raw file was changed from the outside.
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

/// A line that holds no page of this version.
#[derive(Debug, Error)]
pub(crate) enum LineError {
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    #[error("its run_id `{0}` is no UUID")]
    RunId(String),
    #[error("its body is no base64: {0}")]
    Base64(#[from] base64::DecodeError),
    #[error("format {0}; this redlake reads formats up to {VERSION}")]
    Newer(u32),
}

impl LineError {
    pub fn is_eof(&self) -> bool {
        matches!(self, LineError::Json(error) if error.is_eof())
    }
}

/// Reads a header. A `run_id` becomes the name of files and folders: it is a UUID, and nothing else.
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
