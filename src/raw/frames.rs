//! Splits raw files into frames without decompressing them, so that several threads can decompress
//! and parse the frames. Damaged bytes are skipped.
//!
//! A sealed frame is recognized by its own length and by the seal behind it. If the two disagree,
//! the next seal that matches its frame marks the next whole page.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use memchr::memmem;
use zstd::bulk::Decompressor;
use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};
use zstd::zstd_safe::find_frame_compressed_size;

use super::body::BodyText;
use super::seal::{self, Seal};
use crate::raw::page::{
    Damage, LineError, MAGIC, PageHeader, RawError, RawPage, UNSEALED_VERSION, failed, parse,
    parse_header,
};

/// Reader of a raw file, frame by frame. Sealed frames are not decompressed.
pub struct Frames {
    path: Arc<Path>,
    file: File,
    /// Bytes that were read. Those from `begin` on are not returned yet.
    buffer: Vec<u8>,
    begin: usize,
    is_at_end: bool,
    /// Numbers of bytes and pages returned so far.
    given: u64,
    pages: u64,
    is_torn: bool,
    has_unsealed: bool,
}

/// A page that is not decompressed yet, or a damaged range of bytes.
#[derive(Debug)]
pub struct Page {
    content: Content,
    path: Arc<Path>,
    number: u64,
    offset: u64,
}

#[derive(Debug)]
enum Content {
    Sealed {
        frame: Vec<u8>,
        seal: Seal,
    },
    /// A page of version 1. The reader has to parse it to distinguish it from damage.
    Unsealed(Box<RawPage>),
    Damaged {
        bytes: u64,
        reason: String,
    },
}

/// Next item in a raw file.
enum Found {
    /// More bytes are needed to decide.
    More,
    End,
    Torn,
    Sealed {
        frame: usize,
        seal: Seal,
    },
    Unsealed {
        frame: usize,
        page: Box<RawPage>,
    },
    Damaged {
        bytes: usize,
        reason: String,
    },
}

/// Bytes per read.
const READ: usize = 1 << 20;

/// Maximum size of a page in bytes, compressed or not.
const MOST: usize = 1 << 30;

impl Frames {
    /// # Errors
    /// The file cannot be opened.
    pub fn open(path: &Path) -> Result<Self, RawError> {
        let file = File::open(path).map_err(failed("open", path))?;
        Ok(Frames {
            path: path.into(),
            file,
            buffer: Vec::new(),
            begin: 0,
            is_at_end: false,
            given: 0,
            pages: 0,
            is_torn: false,
            has_unsealed: false,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns `true` if the file ended inside a frame. The pages before it are whole.
    pub fn torn(&self) -> bool {
        self.is_torn
    }

    /// Returns `true` if a page without a seal was read.
    pub fn has_unsealed(&self) -> bool {
        self.has_unsealed
    }

    /// Returns the number of bytes returned so far, including damaged bytes.
    pub(super) fn given(&self) -> u64 {
        self.given
    }

    /// Returns the next pages, at most `count`. Empty at the end of the file.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn take(&mut self, count: usize) -> Result<Vec<Page>, RawError> {
        let mut pages = Vec::with_capacity(count);
        while pages.len() < count {
            match self.page()? {
                Some(page) => pages.push(page),
                None => break,
            }
        }
        Ok(pages)
    }

    fn page(&mut self) -> Result<Option<Page>, RawError> {
        loop {
            let rest = &self.buffer[self.begin..];
            // No page is larger than `MOST`, so further bytes cannot change the decision.
            let is_at_end = self.is_at_end || rest.len() >= MOST;
            let (bytes, content) = match look(rest, is_at_end) {
                Found::More => {
                    self.fill()?;
                    continue;
                }
                Found::End => return Ok(None),
                Found::Torn => {
                    self.is_torn = true;
                    self.begin = self.buffer.len();
                    return Ok(None);
                }
                Found::Sealed { frame: size, seal } => {
                    let frame = rest[..size].to_vec();
                    (size + seal::SIZE, Content::Sealed { frame, seal })
                }
                Found::Unsealed { frame, page } => {
                    self.has_unsealed = true;
                    (frame, Content::Unsealed(page))
                }
                Found::Damaged { bytes, reason } => {
                    let length = bytes as u64;
                    let content = Content::Damaged {
                        bytes: length,
                        reason,
                    };
                    (bytes, content)
                }
            };
            self.pages += 1;
            let page = Page {
                content,
                path: Arc::clone(&self.path),
                number: self.pages,
                offset: self.given,
            };
            self.begin += bytes;
            self.given += bytes as u64;
            return Ok(Some(page));
        }
    }

    /// Reads more bytes into the buffer.
    fn fill(&mut self) -> Result<(), RawError> {
        self.buffer.drain(..self.begin);
        self.begin = 0;
        let more = (&self.file).take(READ as u64).read_to_end(&mut self.buffer);
        self.is_at_end = more.map_err(failed("read", &self.path))? == 0;
        Ok(())
    }
}

/// Returns the item at the start of `rest`. `is_at_end` is true if no bytes follow `rest`.
fn look(rest: &[u8], is_at_end: bool) -> Found {
    if rest.is_empty() {
        return if is_at_end { Found::End } else { Found::More };
    }
    if !rest.starts_with(&MAGIC) {
        return search(rest, is_at_end);
    }
    let size = match find_frame_compressed_size(rest) {
        Ok(size) if size > 0 && size <= rest.len() => size,
        _ if is_at_end => return search(rest, is_at_end),
        _ => return Found::More,
    };
    let behind = &rest[size..];
    if behind.len() < seal::SIZE && !is_at_end {
        return Found::More;
    }
    if let Some(seal) = Seal::read(behind).filter(|seal| seal.length == size as u64) {
        // A truncated seal would extend into the next frame, so the bytes behind it are checked.
        let next = &behind[seal::SIZE..];
        if next.len() < MAGIC.len() && !is_at_end {
            return Found::More;
        }
        if next.is_empty() || next.starts_with(&MAGIC) || seal.fits(&rest[..size]) {
            return Found::Sealed { frame: size, seal };
        }
    }
    if let Some(page) = unsealed_page(rest) {
        return Found::Unsealed { frame: size, page };
    }
    let is_page = || first_line(rest).is_some_and(|line| parse(&line).is_ok());
    // A power cut can leave zeros in place of bytes that were not written.
    let zeros = behind.iter().rev().take_while(|byte| **byte == 0).count();
    let written = &behind[..behind.len() - zeros];
    if Seal::of(&rest[..size]).to_bytes().starts_with(written) && is_page() {
        return if is_at_end { Found::Torn } else { Found::More };
    }
    search(rest, is_at_end)
}

/// Searches `rest` for the next whole page. The bytes before it are damaged.
fn search(rest: &[u8], is_at_end: bool) -> Found {
    let found = Seal::find(rest);
    if found.is_none() && !is_at_end {
        return Found::More;
    }
    let until = found.map_or(rest.len(), |(at, _)| at);
    let mut unsealed = memmem::find_iter(&rest[..until], &MAGIC).filter(|at| *at > 0);
    let damaged = |bytes| Found::Damaged {
        bytes,
        reason: reason(rest),
    };
    if let Some(bytes) = unsealed.find(|at| unsealed_page(&rest[*at..]).is_some()) {
        return damaged(bytes);
    }
    let Some((at, seal)) = found else {
        return if is_torn(rest) {
            Found::Torn
        } else {
            damaged(rest.len())
        };
    };
    let begin = usize::try_from(seal.length).ok();
    let begin = begin.and_then(|length| at.checked_sub(length));
    match begin.filter(|begin| seal.fits(&rest[*begin..at])) {
        Some(0) => Found::Sealed { frame: at, seal },
        Some(begin) => damaged(begin),
        None => {
            let behind = rest.get(at + seal::SIZE..).unwrap_or_default();
            if behind.len() < MAGIC.len() && !is_at_end {
                return Found::More;
            }
            let is_whole = behind.is_empty() || behind.starts_with(&MAGIC);
            // The next frame begins inside the bytes of a truncated seal: searches there.
            damaged(
                at + if is_whole {
                    seal::SIZE
                } else {
                    seal::BEGIN.len()
                },
            )
        }
    }
}

/// Returns the page of version 1 at the start of `bytes`. `None` if there is no such page.
fn unsealed_page(bytes: &[u8]) -> Option<Box<RawPage>> {
    let page = parse(&first_line(bytes)?).ok()?;
    (page.header.v == UNSEALED_VERSION).then(|| Box::new(page))
}

/// Returns the text in the frame at the start of `bytes`. `None` if the frame is not whole or its
/// content is not UTF-8.
fn first_line(bytes: &[u8]) -> Option<String> {
    let size = find_frame_compressed_size(bytes).ok()?;
    let line = zstd::decode_all(bytes.get(..size)?).ok()?;
    String::from_utf8(line).ok()
}

/// Returns the reason why there is no page at the start of `bytes`.
fn reason(bytes: &[u8]) -> String {
    match first_line(bytes).map(|line| parse(&line)) {
        Some(Err(error)) => format!("it holds no page: {error}"),
        Some(Ok(_)) => "its checksum is missing or differs".to_owned(),
        None => "no whole frame begins here".to_owned(),
    }
}

/// Returns `true` if `rest`, the end of a file, is an interrupted write: the beginning of a frame,
/// or zeros, which a power cut can leave in place of bytes that were not written.
fn is_torn(rest: &[u8]) -> bool {
    let begins = MAGIC.starts_with(&rest[..rest.len().min(MAGIC.len())]);
    let is_incomplete = find_frame_compressed_size(rest).is_err();
    let has_zeros = rest.ends_with(&[0; 8]) || rest.iter().all(|byte| *byte == 0);
    begins && is_incomplete || (begins || rest[0] == 0) && has_zeros
}

impl Damage {
    /// Returns `true` if the damaged file is probably a raw file of redlake: it begins with a zstd
    /// frame or contains a seal.
    pub fn is_of_raw_file(&self) -> bool {
        let bytes = std::fs::read(&self.path).unwrap_or_default();
        bytes.starts_with(&MAGIC) || Seal::find(&bytes).is_some()
    }
}

/// Initial size in bytes of the buffer for a line: more than most pages have.
const ROOM: usize = 1 << 18;

/// Decoder that decompresses and parses pages. It reuses its buffer.
pub struct PageDecoder {
    /// Decompresses a frame that fits into `room`.
    at_once: Decompressor<'static>,
    /// Decompresses any frame. It copies every byte once more.
    streaming: Decoder<'static>,
    /// Buffer for a line. Its first `filled` bytes are the current line.
    room: Vec<u8>,
    filled: usize,
}

impl PageDecoder {
    /// # Errors
    /// The zstd decoder cannot be allocated.
    pub fn new() -> Result<Self, RawError> {
        let failed = || failed("make a decoder for", Path::new(""));
        Ok(PageDecoder {
            at_once: Decompressor::new().map_err(failed())?,
            streaming: Decoder::new().map_err(failed())?,
            room: vec![0; ROOM],
            filled: 0,
        })
    }

    /// Passes the page to `read`. Returns the damage if the bytes hold no page.
    ///
    /// # Errors
    /// [`RawError::Newer`] if a newer redlake wrote the page.
    pub fn read<T>(
        &mut self,
        page: &Page,
        read: impl FnOnce(&PageHeader, BodyText<'_>) -> T,
    ) -> Result<Result<T, Damage>, RawError> {
        match &page.content {
            Content::Damaged { bytes, reason } => Ok(Err(page.damage(*bytes, reason))),
            Content::Unsealed(page) => Ok(Ok(read(&page.header, page.text()))),
            Content::Sealed { frame, seal } => {
                let line = match self.line(frame, seal) {
                    Ok(line) => line,
                    Err(reason) => return Ok(Err(page.frame_damage(frame, &reason))),
                };
                if let Some((header, body)) = split(line) {
                    let text = BodyText {
                        text: Cow::Borrowed(body),
                        is_replaced: false,
                    };
                    return Ok(Ok(read(&header, text)));
                }
                match parse(line) {
                    Ok(whole) => Ok(Ok(read(&whole.header, whole.text()))),
                    Err(error) => page.no_page(frame, &error).map(Err),
                }
            }
        }
    }

    /// Returns the page with the bytes of its body. Returns the damage if the bytes hold no page.
    ///
    /// # Errors
    /// As [`PageDecoder::read`].
    pub fn read_whole(&mut self, page: &Page) -> Result<Result<RawPage, Damage>, RawError> {
        match &page.content {
            Content::Damaged { bytes, reason } => Ok(Err(page.damage(*bytes, reason))),
            Content::Unsealed(page) => Ok(Ok(RawPage::clone(page))),
            Content::Sealed { frame, seal } => {
                let line = match self.line(frame, seal) {
                    Ok(line) => line,
                    Err(reason) => return Ok(Err(page.frame_damage(frame, &reason))),
                };
                match parse(line) {
                    Ok(whole) => Ok(Ok(whole)),
                    Err(error) => page.no_page(frame, &error).map(Err),
                }
            }
        }
    }

    /// Decompresses a frame and returns its line.
    fn line(&mut self, frame: &[u8], seal: &Seal) -> Result<&str, String> {
        if !seal.fits(frame) {
            return Err("its checksum differs".to_owned());
        }
        self.decompress(frame).map_err(|e| e.to_string())?;
        let line = simdutf8::basic::from_utf8(&self.room[..self.filled]);
        line.map(str::trim_end).map_err(|e| e.to_string())
    }

    fn decompress(&mut self, frame: &[u8]) -> io::Result<()> {
        let room = &mut self.room[..];
        if let Ok(filled) = self.at_once.decompress_to_buffer(frame, room) {
            self.filled = filled;
            return Ok(());
        }
        self.streaming.reinit()?;
        let mut input = InBuffer::around(frame);
        self.filled = 0;
        loop {
            if self.filled == self.room.len() {
                self.room.resize(2 * self.filled, 0);
            }
            let mut output = OutBuffer::around_pos(&mut self.room[..], self.filled);
            let left = self.streaming.run(&mut input, &mut output)?;
            self.filled = output.pos();
            if left == 0 {
                return Ok(());
            }
            if input.pos() == frame.len() && self.filled < self.room.len() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if self.filled > MOST {
                return Err(io::Error::other("a page of more than 1 GiB"));
            }
        }
    }
}

impl Page {
    /// Returns the damage of a page of the run `run_id` in the file of another run.
    pub fn of_other_run(&self, run_id: &str) -> Damage {
        let bytes = match &self.content {
            Content::Sealed { frame, .. } => (frame.len() + seal::SIZE) as u64,
            Content::Unsealed(_) => 0,
            Content::Damaged { bytes, .. } => *bytes,
        };
        self.damage(bytes, &format!("it holds a page of the run {run_id}"))
    }

    fn damage(&self, bytes: u64, reason: &str) -> Damage {
        Damage {
            path: self.path.to_path_buf(),
            offset: self.offset,
            bytes,
            reason: reason.to_owned(),
        }
    }

    fn frame_damage(&self, frame: &[u8], reason: &str) -> Damage {
        self.damage((frame.len() + seal::SIZE) as u64, reason)
    }

    /// Returns the damage of a line that holds no page.
    fn no_page(&self, frame: &[u8], error: &LineError) -> Result<Damage, RawError> {
        match error {
            LineError::Newer(found) => Err(RawError::Newer {
                path: self.path.to_path_buf(),
                page: self.number,
                found: *found,
            }),
            LineError::Json(_) | LineError::RunId(_) | LineError::Base64(_) => {
                Ok(self.frame_damage(frame, &format!("it holds no page: {error}")))
            }
        }
    }
}

/// Returns the header and the body of a line that redlake wrote, without parsing the body: in lines
/// of this version the body is last. `None` for lines of any other form, and for bodies that are
/// kept as text. [`parse`] reads those.
fn split(line: &str) -> Option<(PageHeader, &str)> {
    // In a string the quotes would be escaped, so this is the key.
    let at = line.find(BODY)?;
    let header = parse_header(&format!("{}}}", &line[..at])).ok()?;
    let body = line[at + BODY.len()..].strip_suffix('}')?;
    body.starts_with(['{', '[']).then_some((header, body))
}

const BODY: &str = ",\"body\":";
