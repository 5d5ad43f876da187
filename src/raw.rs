//! The raw zone: every answer that was paid for, verbatim, one zstd frame a page.
//!
//! A frame is one line of JSON. A page counts as fetched once its frame is on disk, so a crash
//! can at most tear the last frame, whose page was then never acknowledged.

use std::borrow::Cow;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use thiserror::Error;

use crate::durable;
use crate::plan::Search;

#[cfg(test)]
mod tests;

/// Version of the line format.
pub const VERSION: u32 = 1;
const LEVEL: i32 = 3;

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
    /// Whether the answer is a page. One that is not is kept if it may have been paid.
    pub accepted: bool,
    /// The verdict on the answer: `ok`, `gone` for a note that is no more, or what is wrong.
    pub class: String,
    pub item_count: u64,
    /// Items on earlier pages of the search, as it was paged.
    pub items_before: u64,
    /// Items that no earlier page of the search had.
    pub new_item_count: u64,
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    header: &'a PageHeader,
    body: Body<'a>,
}

/// JSON stays JSON where it fits on a line; anything else becomes a string of the same text. Bytes
/// that are no UTF-8 become U+FFFD: a line of JSON cannot hold them.
#[derive(Serialize)]
#[serde(untagged)]
enum Body<'a> {
    Json(&'a RawValue),
    Text(Cow<'a, str>),
}

/// A page read back.
#[derive(Clone, Debug, PartialEq)]
pub struct RawPage {
    pub header: PageHeader,
    /// The answer's body, as it came.
    pub body: String,
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
}

/// Appends pages to a run's raw file, which comes into being with its first page.
#[derive(Debug)]
pub struct RawWriter {
    path: PathBuf,
    file: Option<File>,
}

impl RawWriter {
    pub fn new(path: PathBuf) -> Self {
        RawWriter { path, file: None }
    }

    /// Appends a page; when this returns, the page is on disk.
    ///
    /// # Errors
    /// A folder that cannot be made or a file that cannot be written.
    pub fn append(&mut self, header: &PageHeader, body: &[u8]) -> Result<(), RawError> {
        let write = |file: &mut Option<File>, path: &Path| -> io::Result<()> {
            let frame = encode(header, body)?;
            let file = match file {
                Some(file) => file,
                None => file.insert(create(path)?),
            };
            file.write_all(&frame)?;
            file.sync_data()
        };
        write(&mut self.file, &self.path).map_err(|source| RawError::Io {
            action: "write",
            path: self.path.clone(),
            source,
        })
    }
}

/// Makes the file and makes its name durable.
fn create(path: &Path) -> io::Result<File> {
    let folder = path.parent().unwrap_or(Path::new("."));
    durable::create_dir_all(folder)?;
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    durable::sync_dir(folder)?;
    Ok(file)
}

fn encode(header: &PageHeader, body: &[u8]) -> io::Result<Vec<u8>> {
    let text = std::str::from_utf8(body)
        .ok()
        .filter(|text| fits_on_a_line(text));
    let json = text.and_then(|text| serde_json::from_str::<&RawValue>(text).ok());
    // Spaces around the value are not part of it, but of the body.
    let json = json.filter(|json| json.get().len() == body.len());
    let body = match json {
        Some(json) => Body::Json(json),
        None => Body::Text(String::from_utf8_lossy(body)),
    };
    let mut line = serde_json::to_vec(&Line { header, body })?;
    line.push(b'\n');
    zstd::encode_all(line.as_slice(), LEVEL)
}

/// Only an object or a list can be told from the string form, and a line has no line breaks.
fn fits_on_a_line(text: &str) -> bool {
    text.starts_with(['{', '[']) && !text.contains(['\n', '\r'])
}

/// Reads a raw file page by page.
pub struct RawReader {
    path: PathBuf,
    input: Option<BufReader<File>>,
    pages: u64,
    torn: bool,
}

impl RawReader {
    /// # Errors
    /// A file that cannot be opened.
    pub fn open(path: &Path) -> Result<Self, RawError> {
        let file = File::open(path).map_err(|source| RawError::Io {
            action: "open",
            path: path.to_owned(),
            source,
        })?;
        Ok(RawReader {
            path: path.to_owned(),
            input: Some(BufReader::new(file)),
            pages: 0,
            torn: false,
        })
    }

    /// Whether the file ended inside a frame. The pages before it are whole.
    pub fn torn(&self) -> bool {
        self.torn
    }

    fn read_page(&mut self) -> Result<Option<RawPage>, RawError> {
        let Some(mut input) = self.input.take() else {
            return Ok(None);
        };
        let failed = |source| RawError::Io {
            action: "read",
            path: self.path.clone(),
            source,
        };
        if input.fill_buf().map_err(failed)?.is_empty() {
            return Ok(None);
        }
        let mut decoder = zstd::Decoder::with_buffer(input)
            .map_err(failed)?
            .single_frame();
        let mut line = String::new();
        match decoder.read_to_string(&mut line) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                self.torn = true;
                return Ok(None);
            }
            Err(error) => return Err(self.format(error.to_string())),
        }
        self.input = Some(decoder.finish());
        let page = parse(&line).map_err(|error| self.format(error.to_string()))?;
        self.pages += 1;
        Ok(Some(page))
    }

    fn format(&self, reason: String) -> RawError {
        RawError::Format {
            path: self.path.clone(),
            page: self.pages + 1,
            reason,
        }
    }
}

impl Iterator for RawReader {
    type Item = Result<RawPage, RawError>;
    fn next(&mut self) -> Option<Self::Item> {
        self.read_page().transpose()
    }
}

fn parse(line: &str) -> serde_json::Result<RawPage> {
    #[derive(Deserialize)]
    struct BodyOnly<'a> {
        #[serde(borrow)]
        body: &'a RawValue,
    }
    let header: PageHeader = serde_json::from_str(line)?;
    let BodyOnly { body } = serde_json::from_str(line)?;
    let body = match body.get().starts_with('"') {
        true => serde_json::from_str(body.get())?,
        false => body.get().to_owned(),
    };
    Ok(RawPage { header, body })
}
