//! The raw zone: every answer that was paid for, verbatim, one zstd frame a page.
//!
//! A frame is one line of JSON. A page counts as fetched once its frame is on disk, so a crash
//! can at most tear the last frame, whose page was then never acknowledged.

use std::borrow::Cow;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use thiserror::Error;

use crate::durable::{self, Access};
use crate::plan::Search;

pub mod frames;
pub mod lines;

#[cfg(test)]
mod tests;

/// Version of the line format.
pub const VERSION: u32 = 1;
const LEVEL: i32 = 3;
/// What a zstd frame begins with (RFC 8878, 3.1.1).
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

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
    /// Why the search asked for no further page after this one; null if it went on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stop: Option<String>,
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
    access: Access,
    file: Option<File>,
    unsynced: bool,
}

impl RawWriter {
    pub fn new(path: PathBuf) -> Self {
        RawWriter {
            path,
            access: Access::default(),
            file: None,
            unsynced: false,
        }
    }

    /// Sets the accounts that may read the file once it is made.
    pub fn readable_by(self, access: Access) -> Self {
        RawWriter { access, ..self }
    }

    /// Appends a page; when this returns, the page is on disk.
    ///
    /// # Errors
    /// A folder that cannot be made or a file that cannot be written.
    pub fn append(&mut self, header: &PageHeader, body: &[u8]) -> Result<(), RawError> {
        self.write(&encode(header, body)?)?;
        self.sync()
    }

    /// Appends a page made by [`encode`], whole or not at all; [`RawWriter::sync`] brings it to
    /// disk.
    ///
    /// # Errors
    /// A folder that cannot be made or a file that cannot be written.
    pub fn write(&mut self, frame: &[u8]) -> Result<(), RawError> {
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(open(&self.path, self.access)?),
        };
        let mut write = || {
            let before = file.metadata()?.len();
            let written = file.write_all(frame);
            if written.is_err() {
                // Half a frame would hide all that come after it.
                file.set_len(before)?;
            }
            written
        };
        write().map_err(failed("write", &self.path))?;
        self.unsynced = true;
        Ok(())
    }

    /// When this returns, all pages are on disk.
    ///
    /// # Errors
    /// The disk refuses them.
    pub fn sync(&mut self) -> Result<(), RawError> {
        if let (Some(file), true) = (&self.file, self.unsynced) {
            file.sync_data().map_err(failed("write", &self.path))?;
            self.unsynced = false;
        }
        Ok(())
    }
}

/// Makes sure that pages can be kept at this path, before any is paid for.
///
/// # Errors
/// A folder that cannot be made or written, or a disk without room for a page.
pub fn check_writable(path: &Path, access: Access) -> Result<(), RawError> {
    let probe = path.with_extension("probe");
    let try_it = || {
        durable::create_private_dir_all(path.parent().unwrap_or(Path::new(".")), access)?;
        let mut options = OpenOptions::new();
        let options = options.create(true).truncate(true).write(true);
        let file = durable::open_private(options, &probe, access);
        let written = file.and_then(|mut file| file.write_all(&vec![0; PROBE]));
        let removed = std::fs::remove_file(&probe);
        written.and(removed)
    };
    try_it().map_err(failed("write", path))
}

/// More than a page takes.
const PROBE: usize = 1 << 20;

/// Opens a raw file for more pages, and makes its name durable. A frame that was torn when its
/// writer died is cut off.
fn open(path: &Path, access: Access) -> Result<File, RawError> {
    let whole = match path.exists() {
        true => whole_frames(path)?,
        false => 0,
    };
    let open = || {
        let folder = path.parent().unwrap_or(Path::new("."));
        durable::create_private_dir_all(folder, access)?;
        let mut options = OpenOptions::new();
        let options = options.create(true).append(true);
        let file = durable::open_private(options, path, access)?;
        file.set_len(whole)?;
        durable::sync_dir(folder)?;
        Ok(file)
    };
    open().map_err(failed("write", path))
}

/// How many bytes of a file are whole frames.
fn whole_frames(path: &Path) -> Result<u64, RawError> {
    let mut reader = RawReader::open(path)?;
    for page in &mut reader {
        page?;
    }
    Ok(reader.whole)
}

/// A page as a frame of a raw file.
///
/// # Errors
/// A value that zstd or JSON cannot hold; there is none.
pub fn encode(header: &PageHeader, body: &[u8]) -> Result<Vec<u8>, RawError> {
    encode_frame(header, body).map_err(failed("make a page for", Path::new("")))
}

fn encode_frame(header: &PageHeader, body: &[u8]) -> io::Result<Vec<u8>> {
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

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RawError {
    let path = path.to_owned();
    move |source| RawError::Io {
        action,
        path,
        source,
    }
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
    /// Bytes of the frames that were read.
    whole: u64,
    torn: bool,
}

impl RawReader {
    /// # Errors
    /// A file that cannot be opened.
    pub fn open(path: &Path) -> Result<Self, RawError> {
        let file = File::open(path).map_err(failed("open", path))?;
        Ok(RawReader {
            path: path.to_owned(),
            input: Some(BufReader::new(file)),
            pages: 0,
            whole: 0,
            torn: false,
        })
    }

    /// Reads on from where others have read `pages` pages.
    fn open_at(path: &Path, offset: u64, pages: u64) -> Result<Self, RawError> {
        let mut reader = RawReader::open(path)?;
        if let Some(input) = &mut reader.input {
            input
                .seek(SeekFrom::Start(offset))
                .map_err(failed("read", path))?;
        }
        (reader.whole, reader.pages) = (offset, pages);
        Ok(reader)
    }

    /// Whether the file ended inside a frame. The pages before it are whole.
    pub fn torn(&self) -> bool {
        self.torn
    }

    fn read_page(&mut self) -> Result<Option<RawPage>, RawError> {
        let Some(mut input) = self.input.take() else {
            return Ok(None);
        };
        let path = &self.path;
        let unreadable = failed("read", path);
        if input.fill_buf().map_err(unreadable)?.is_empty() {
            return Ok(None);
        }
        let mut decoder = zstd::Decoder::with_buffer(input)
            .map_err(failed("read", path))?
            .single_frame();
        let mut line = String::new();
        match decoder.read_to_string(&mut line) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                self.torn = true;
                return Ok(None);
            }
            // A power cut may leave the file longer than what was written, with zeros at its end.
            Err(_) if self.ends_in_zeros()? => {
                self.torn = true;
                return Ok(None);
            }
            Err(error) => return Err(self.format(error.to_string())),
        }
        let mut input = decoder.finish();
        self.whole = input.stream_position().map_err(failed("read", path))?;
        self.input = Some(input);
        let page = parse(&line).map_err(|error| self.format(error.to_string()))?;
        self.pages += 1;
        Ok(Some(page))
    }

    /// Whether nothing but zeros follows the frames that were read, or what was written of one more.
    fn ends_in_zeros(&self) -> Result<bool, RawError> {
        let rest = || {
            let mut file = File::open(&self.path)?;
            file.seek(SeekFrom::Start(self.whole))?;
            let mut rest = Vec::new();
            file.read_to_end(&mut rest)?;
            Ok(rest)
        };
        let rest: Vec<u8> = rest().map_err(failed("read", &self.path))?;
        let mut later = rest.windows(MAGIC.len()).skip(1);
        let begins = rest.starts_with(&MAGIC) || rest.starts_with(&[0]);
        Ok(begins && rest.ends_with(&[0; 8]) && !later.any(|start| start == MAGIC))
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
    if header.v != VERSION {
        let version = header.v;
        let message = format!("format {version}; this redlake reads {VERSION}");
        return Err(serde::de::Error::custom(message));
    }
    let BodyOnly { body } = serde_json::from_str(line)?;
    let body = match body.get().starts_with('"') {
        true => serde_json::from_str(body.get())?,
        false => body.get().to_owned(),
    };
    Ok(RawPage { header, body })
}
