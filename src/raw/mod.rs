//! The raw zone: every answer that was paid for, byte for byte, in one zstd frame per page.
//!
//! A frame is one line of JSON, followed by its checksum ([`seal`]). A page counts as fetched once
//! its frame is on disk, so a crash can tear only the last frame, whose page was never
//! acknowledged. A damaged frame loses its own page only: the reader continues with the next whole
//! frame ([`frames`]).

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::durable::{self, FileAccess};
use crate::raw::page::{Change, failed};
use frames::{Frames, PageDecoder};
use seal::Seal;

pub use page::{Damage, PageHeader, RawError, RawPage, VERSION};

pub mod body;
pub mod frames;
pub mod lines;
pub mod page;
pub mod seal;

#[cfg(test)]
mod tests;

const LEVEL: i32 = 3;

#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    header: &'a PageHeader,
    #[serde(flatten)]
    body: LineBody<'a>,
}

/// Body in a line. JSON stays JSON if it fits on a line. Other text is a string. Bytes that are not
/// UTF-8 are base64.
#[derive(Serialize)]
enum LineBody<'a> {
    #[serde(rename = "body")]
    Json(&'a RawValue),
    #[serde(rename = "body")]
    Text(&'a str),
    #[serde(rename = "body_base64")]
    Base64(String),
}

/// Writer of a run's raw file. The first page creates the file.
#[derive(Debug)]
pub struct RawWriter {
    watch: Arc<RawWatch>,
    access: FileAccess,
    file: Option<Opened>,
    unsynced: bool,
}

/// An open raw file and its length in bytes, without a torn frame.
#[derive(Debug)]
struct Opened {
    file: File,
    length: u64,
}

/// Checks that the pages of a [`RawWriter`] are still in place. Other threads can use it while the
/// writer writes.
#[derive(Debug)]
pub struct RawWatch {
    path: PathBuf,
    /// `None` before the first page.
    written: Mutex<Option<Written>>,
}

/// Identity of the written file, and its length so far in bytes.
#[derive(Clone, Copy, Debug)]
struct Written {
    identity: FileIdentity,
    length: u64,
}

impl RawWatch {
    /// Checks that the pages written so far are still in place.
    ///
    /// # Errors
    /// [`RawError::Changed`] if they are not. [`RawError::Io`] if the metadata cannot be read.
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
        // The value is replaced as a whole, so a panicked thread cannot leave half of it.
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Identity of a file, independent of its name.
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

    /// Systems other than Unix do not let an open file be replaced.
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

    /// Sets the accounts that may read the file. Has an effect when the file is created.
    pub fn readable_by(self, access: FileAccess) -> Self {
        RawWriter { access, ..self }
    }

    /// Returns the watch of the file, which other threads can use.
    pub fn watch(&self) -> Arc<RawWatch> {
        Arc::clone(&self.watch)
    }

    /// Appends a page and syncs it to disk.
    ///
    /// # Errors
    /// As [`RawWriter::write`].
    pub fn append(&mut self, header: &PageHeader, body: &[u8]) -> Result<(), RawError> {
        self.write(&encode(header, body)?)?;
        self.sync()
    }

    /// Appends a page made by [`encode`], completely or not at all. [`RawWriter::sync`] makes it
    /// durable.
    ///
    /// # Errors
    /// The folder cannot be created, or the file cannot be written. [`RawError::Changed`] if the
    /// pages written before are no longer in place. The page is then kept in a new file of the same
    /// name.
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
                // Cuts off a partial frame, because the next page is appended behind it.
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

    /// Syncs all pages to disk.
    ///
    /// # Errors
    /// The sync fails.
    pub fn sync(&mut self) -> Result<(), RawError> {
        if let (Some(opened), true) = (&self.file, self.unsynced) {
            let synced = opened.file.sync_data();
            synced.map_err(failed("write", &self.watch.path))?;
            self.unsynced = false;
        }
        Ok(())
    }
}

/// Checks that pages can be written at this path, before any page is paid for.
///
/// # Errors
/// The folder cannot be created or written, or the disk has no room for a page.
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

/// Bytes of the probe file: more than a page takes.
const PROBE: usize = 1 << 20;

/// Opens a raw file for appending and makes its name durable. A frame that a crash tore is cut off.
/// Damaged bytes stay, because they may hold a page that was paid for.
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

/// Returns the length of a file in bytes, without a torn frame at its end.
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
/// zstd or JSON cannot encode a value. No such value exists.
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

/// Returns a text as JSON if a line can contain it unchanged. It must be an object or a list, which
/// differ from the string form, without line breaks and without spaces around it.
fn json_line(text: &str) -> Option<&RawValue> {
    if !text.starts_with(['{', '[']) || text.contains(['\n', '\r']) {
        return None;
    }
    let json = serde_json::from_str::<&RawValue>(text).ok()?;
    (json.get().len() == text.len()).then_some(json)
}

/// Reader of a raw file, page by page. Damaged bytes are skipped and reported by
/// [`RawReader::damaged`].
pub struct RawReader {
    frames: Frames,
    decoder: PageDecoder,
    damaged: Vec<Damage>,
    is_over: bool,
}

impl RawReader {
    /// # Errors
    /// The file cannot be opened.
    pub fn open(path: &Path) -> Result<Self, RawError> {
        Ok(RawReader {
            frames: Frames::open(path)?,
            decoder: PageDecoder::new()?,
            damaged: Vec::new(),
            is_over: false,
        })
    }

    /// Returns `true` if the file ended inside a frame. The pages before it are whole.
    pub fn torn(&self) -> bool {
        self.frames.torn()
    }

    /// Returns the damaged ranges found so far.
    pub fn damaged(&self) -> &[Damage] {
        &self.damaged
    }

    /// Returns `true` if a page without a checksum was read. Version 1 wrote such pages.
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
