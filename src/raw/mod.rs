//! The raw zone: every answer that was paid for, byte for byte, one zstd frame a page.
//!
//! A frame is one line of JSON, and behind it stands its checksum ([`seal`]). A page counts as
//! fetched once its frame is on disk, so a crash can at most tear the last frame, whose page was
//! then never acknowledged. A damaged frame costs its page: a reader goes on with the next whole
//! one ([`frames`]).

use std::fmt;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use thiserror::Error;
use uuid::Uuid;

use crate::durable::{self, FileAccess};
use crate::plan::Search;
use body::BodyText;
use frames::{Frames, PageDecoder};
use seal::Seal;

pub mod body;
pub mod frames;
pub mod lines;
pub mod seal;

#[cfg(test)]
mod tests;

/// Version of the line format. Frames of version 1 have no seal, and their bodies are text.
pub const VERSION: u32 = 2;
const UNSEALED_VERSION: u32 = 1;
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

#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    header: &'a PageHeader,
    #[serde(flatten)]
    body: LineBody<'a>,
}

/// The body in a line. JSON stays JSON if it fits on a line. Other text is a string, and bytes that
/// are no UTF-8 are base64.
#[derive(Serialize)]
enum LineBody<'a> {
    #[serde(rename = "body")]
    Json(&'a RawValue),
    #[serde(rename = "body")]
    Text(&'a str),
    #[serde(rename = "body_base64")]
    Base64(String),
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

/// Appends pages to a run's raw file, which is made with its first page.
#[derive(Debug)]
pub struct RawWriter {
    watch: Arc<RawWatch>,
    access: FileAccess,
    file: Option<Opened>,
    unsynced: bool,
}

/// A raw file that is being written, and its length as far as this process wrote it.
#[derive(Debug)]
struct Opened {
    file: File,
    length: u64,
}

/// Tells whether the pages that a [`RawWriter`] wrote are still at their place. Usable beside it,
/// from other threads.
#[derive(Debug)]
pub struct RawWatch {
    path: PathBuf,
    /// Nothing before the first page.
    written: Mutex<Option<Written>>,
}

/// The file that was written, and its length up to now.
#[derive(Clone, Copy, Debug)]
struct Written {
    identity: FileIdentity,
    length: u64,
}

impl RawWatch {
    /// Checks that the pages written so far are where they were written.
    ///
    /// # Errors
    /// [`RawError::Changed`], or a file that cannot be looked at.
    pub fn check(&self) -> Result<(), RawError> {
        let Some(written) = *self.lock() else {
            return Ok(());
        };
        let change = match std::fs::symlink_metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Change::Removed,
            there => {
                let there = there.map_err(failed("read", &self.path))?;
                if FileIdentity::of(&there) != written.identity {
                    Change::Replaced
                } else if there.len() < written.length {
                    Change::Shortened
                } else {
                    return Ok(());
                }
            }
        };
        Err(RawError::Changed {
            path: self.path.clone(),
            change,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Option<Written>> {
        // It is replaced as a whole: a thread that panicked left no half of it.
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells files apart, whatever their names are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileIdentity {
    device: u64,
    inode: u64,
}

impl FileIdentity {
    #[cfg(unix)]
    fn of(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        FileIdentity {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }

    /// Other systems do not let an open file be replaced.
    #[cfg(not(unix))]
    fn of(_: &Metadata) -> Self {
        FileIdentity {
            device: 0,
            inode: 0,
        }
    }
}

impl RawWriter {
    pub fn new(path: PathBuf) -> Self {
        RawWriter {
            watch: Arc::new(RawWatch {
                path,
                written: Mutex::default(),
            }),
            access: FileAccess::default(),
            file: None,
            unsynced: false,
        }
    }

    /// Sets the accounts that may read the file once it is made.
    pub fn readable_by(self, access: FileAccess) -> Self {
        RawWriter { access, ..self }
    }

    /// Returns what tells whether the pages stay at their place.
    pub fn watch(&self) -> Arc<RawWatch> {
        Arc::clone(&self.watch)
    }

    /// Appends a page; when this returns, the page is on disk.
    ///
    /// # Errors
    /// As [`RawWriter::write`].
    pub fn append(&mut self, header: &PageHeader, body: &[u8]) -> Result<(), RawError> {
        self.write(&encode(header, body)?)?;
        self.sync()
    }

    /// Appends a page made by [`encode`], whole or not at all; [`RawWriter::sync`] brings it to
    /// disk.
    ///
    /// # Errors
    /// A folder that cannot be made or a file that cannot be written. [`RawError::Changed`] if
    /// the pages written before are not at their place any more: the page is then kept in a new
    /// file of the same name.
    pub fn write(&mut self, frame: &[u8]) -> Result<(), RawError> {
        let checked = self.watch.check();
        if checked.is_err() {
            self.file = None;
        }
        let path = &self.watch.path;
        let opened = match &mut self.file {
            Some(opened) => opened,
            None => self.file.insert(open(path, self.access)?),
        };
        let mut append = || {
            let written = opened.file.write_all(frame);
            if written.is_err() {
                // The file must not end in half a frame: the next page follows it.
                opened.file.set_len(opened.length)?;
            }
            written?;
            opened.length += frame.len() as u64;
            let identity = FileIdentity::of(&opened.file.metadata()?);
            let length = opened.length;
            *self.watch.lock() = Some(Written { identity, length });
            Ok(())
        };
        append().map_err(failed("write", path))?;
        self.unsynced = true;
        checked
    }

    /// Brings all pages to disk.
    ///
    /// # Errors
    /// The disk refuses them.
    pub fn sync(&mut self) -> Result<(), RawError> {
        if let (Some(opened), true) = (&self.file, self.unsynced) {
            let synced = opened.file.sync_data();
            synced.map_err(failed("write", &self.watch.path))?;
            self.unsynced = false;
        }
        Ok(())
    }
}

/// Makes sure that pages can be kept at this path, before any is paid for.
///
/// # Errors
/// A folder that cannot be made or written, or a disk without room for a page.
pub fn check_writable(path: &Path, access: FileAccess) -> Result<(), RawError> {
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
/// writer died is cut off. Damaged bytes stay where they are: they may hold what was paid for.
fn open(path: &Path, access: FileAccess) -> Result<Opened, RawError> {
    let whole = if path.exists() {
        whole_frames(path)?
    } else {
        0
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
    let file = open().map_err(failed("write", path))?;
    Ok(Opened {
        file,
        length: whole,
    })
}

/// Returns the length of a file without a torn frame at its end.
fn whole_frames(path: &Path) -> Result<u64, RawError> {
    let mut reader = RawReader::open(path)?;
    let mut pages = 0;
    for page in &mut reader {
        page?;
        pages += 1;
    }
    match reader.damaged.first() {
        Some(damage) if pages == 0 && !damage.is_of_raw_file() => Err(RawError::Format {
            path: path.to_owned(),
            page: 1,
            reason: damage.reason.clone(),
        }),
        _ => Ok(reader.frames.given()),
    }
}

/// Encodes a page as a frame of a raw file with its seal.
///
/// # Errors
/// A value that zstd or JSON cannot hold; there is none.
pub fn encode(header: &PageHeader, body: &[u8]) -> Result<Vec<u8>, RawError> {
    encode_frame(header, body).map_err(failed("make a page for", Path::new("")))
}

fn encode_frame(header: &PageHeader, body: &[u8]) -> io::Result<Vec<u8>> {
    let body = match std::str::from_utf8(body) {
        Err(_) => LineBody::Base64(BASE64_STANDARD.encode(body)),
        Ok(text) => json_line(text).map_or(LineBody::Text(text), LineBody::Json),
    };
    let mut line = serde_json::to_vec(&Line { header, body })?;
    line.push(b'\n');
    let mut encoder = zstd::Encoder::new(Vec::new(), LEVEL)?;
    encoder.include_checksum(true)?;
    encoder.write_all(&line)?;
    let mut frame = encoder.finish()?;
    let seal = Seal::of(&frame);
    frame.extend(seal.to_bytes());
    Ok(frame)
}

/// Returns a text as JSON if it can stand in a line as it is: an object or a list, which can be told
/// from the string form, without line breaks and without spaces around it.
fn json_line(text: &str) -> Option<&RawValue> {
    if !text.starts_with(['{', '[']) || text.contains(['\n', '\r']) {
        return None;
    }
    let json = serde_json::from_str::<&RawValue>(text).ok()?;
    (json.get().len() == text.len()).then_some(json)
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RawError {
    let path = path.to_owned();
    move |source| RawError::Io {
        action,
        path,
        source,
    }
}

/// Reads a raw file page by page. Damaged bytes are passed over and told by
/// [`RawReader::damaged`].
pub struct RawReader {
    frames: Frames,
    decoder: PageDecoder,
    damaged: Vec<Damage>,
    is_over: bool,
}

impl RawReader {
    /// # Errors
    /// A file that cannot be opened.
    pub fn open(path: &Path) -> Result<Self, RawError> {
        Ok(RawReader {
            frames: Frames::open(path)?,
            decoder: PageDecoder::new()?,
            damaged: Vec::new(),
            is_over: false,
        })
    }

    /// Returns whether the file ended inside a frame. The pages before it are whole.
    pub fn torn(&self) -> bool {
        self.frames.torn()
    }

    /// Returns the damaged bytes met so far.
    pub fn damaged(&self) -> &[Damage] {
        &self.damaged
    }

    /// Returns whether a page without a checksum was met, as version 1 wrote them.
    pub fn has_unsealed(&self) -> bool {
        self.frames.has_unsealed()
    }

    fn read_page(&mut self) -> Result<Option<RawPage>, RawError> {
        while let Some(page) = self.frames.take(1)?.pop() {
            match self.decoder.read_whole(&page)? {
                Ok(page) => return Ok(Some(page)),
                Err(damage) => self.damaged.push(damage),
            }
        }
        Ok(None)
    }
}

impl Iterator for RawReader {
    type Item = Result<RawPage, RawError>;
    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let page = self.read_page().transpose();
        self.is_over = !matches!(page, Some(Ok(_)));
        page
    }
}

/// A line that holds no page of this version.
#[derive(Debug, Error)]
enum LineError {
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
    fn is_eof(&self) -> bool {
        matches!(self, LineError::Json(error) if error.is_eof())
    }
}

/// Reads a header. A `run_id` becomes the name of files and folders: it is a UUID, and nothing else.
fn parse_header(json: &str) -> Result<PageHeader, LineError> {
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
const UUID_LENGTH: usize = 36;

fn parse(line: &str) -> Result<RawPage, LineError> {
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
