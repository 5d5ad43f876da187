//! Reading raw files quickly: frames are told apart without being decompressed, so that several
//! threads can decompress and parse them.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};
use zstd::zstd_safe::find_frame_compressed_size;

use super::{PageHeader, RawError, RawPage, RawReader, VERSION, failed, parse};

/// Reads a raw file frame by frame, as they are.
pub struct Frames {
    path: Arc<Path>,
    file: File,
    /// What was read and not yet given, from `begin`.
    buffer: Vec<u8>,
    begin: usize,
    /// Bytes and pages of the frames that were given.
    given: u64,
    pages: u64,
    torn: bool,
    /// Once the rest is read page by page, because it is no row of whole frames.
    slow: Option<RawReader>,
}

/// A page that is not decompressed yet, and where it stands.
#[derive(Debug)]
pub struct Page {
    content: Content,
    path: Arc<Path>,
    number: u64,
}

#[derive(Debug)]
enum Content {
    Frame(Vec<u8>),
    Read(Box<RawPage>),
}

/// Bytes that are read at once.
const READ: usize = 1 << 20;
/// No page takes this much; what looks so is no raw file.
const MOST: usize = 1 << 30;

impl Frames {
    /// # Errors
    /// A file that cannot be opened.
    pub fn open(path: &Path) -> Result<Self, RawError> {
        let file = File::open(path).map_err(failed("open", path))?;
        Ok(Frames {
            path: path.into(),
            file,
            buffer: Vec::new(),
            begin: 0,
            given: 0,
            pages: 0,
            torn: false,
            slow: None,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file ended inside a frame. The pages before it are whole.
    pub fn torn(&self) -> bool {
        self.torn
    }

    /// The next pages, some of `count`; none at the end.
    ///
    /// # Errors
    /// A file that cannot be read, or is no raw file.
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
            if let Some(reader) = &mut self.slow {
                let page = reader.next().transpose()?;
                self.torn = reader.torn();
                return Ok(page.map(|page| self.number(Content::Read(Box::new(page)))));
            }
            let rest = &self.buffer[self.begin..];
            match find_frame_compressed_size(rest) {
                Ok(size) if size > 0 && size <= rest.len() => {
                    let frame = rest[..size].to_vec();
                    self.begin += size;
                    self.given += size as u64;
                    return Ok(Some(self.number(Content::Frame(frame))));
                }
                _ if rest.len() < MOST && self.fill()? => {}
                _ if self.begin == self.buffer.len() => return Ok(None),
                // A torn end, or no raw file: who reads page by page tells which.
                _ => self.slow = Some(RawReader::open_at(&self.path, self.given, self.pages)?),
            }
        }
    }

    /// Reads on; whether there was more.
    fn fill(&mut self) -> Result<bool, RawError> {
        self.buffer.drain(..self.begin);
        self.begin = 0;
        let more = (&self.file).take(READ as u64).read_to_end(&mut self.buffer);
        Ok(more.map_err(failed("read", &self.path))? > 0)
    }

    fn number(&mut self, content: Content) -> Page {
        self.pages += 1;
        Page {
            content,
            path: Arc::clone(&self.path),
            number: self.pages,
        }
    }
}

/// Decompresses and parses pages, in memory that it uses again.
pub struct PageDecoder {
    zstd: Decoder<'static>,
    /// Room for a line, and how much of it one takes.
    room: Vec<u8>,
    filled: usize,
}

impl PageDecoder {
    /// # Errors
    /// No memory for a decoder.
    pub fn new() -> Result<Self, RawError> {
        let zstd = Decoder::new().map_err(failed("make a decoder for", Path::new("")))?;
        Ok(PageDecoder {
            zstd,
            room: Vec::new(),
            filled: 0,
        })
    }

    /// Gives the page to `read`.
    ///
    /// # Errors
    /// A frame that is damaged or holds no page.
    pub fn read<T>(
        &mut self,
        page: &Page,
        read: impl FnOnce(&PageHeader, &str) -> T,
    ) -> Result<T, RawError> {
        let frame = match &page.content {
            Content::Frame(frame) => frame,
            Content::Read(page) => return Ok(read(&page.header, &page.body)),
        };
        let wrong = |reason: String| RawError::Format {
            path: page.path.to_path_buf(),
            page: page.number,
            reason,
        };
        self.decompress(frame).map_err(|e| wrong(e.to_string()))?;
        let line = &self.room[..self.filled];
        let line = simdutf8::basic::from_utf8(line).map_err(|e| wrong(e.to_string()))?;
        let line = line.trim_end();
        if let Some((header, body)) = split(line) {
            return Ok(read(&header, body));
        }
        let page = parse(line).map_err(|e| wrong(e.to_string()))?;
        Ok(read(&page.header, &page.body))
    }

    fn decompress(&mut self, frame: &[u8]) -> std::io::Result<()> {
        self.zstd.reinit()?;
        let mut input = InBuffer::around(frame);
        self.filled = 0;
        loop {
            if self.filled == self.room.len() {
                self.room.resize((2 * self.filled).max(1 << 18), 0);
            }
            let mut output = OutBuffer::around_pos(&mut self.room[..], self.filled);
            let left = self.zstd.run(&mut input, &mut output)?;
            self.filled = output.pos();
            if left == 0 {
                return Ok(());
            }
            if input.pos() == frame.len() && self.filled < self.room.len() {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            if self.filled > MOST {
                return Err(std::io::Error::other("a page of more than 1 GiB"));
            }
        }
    }
}

/// The header and the body of a line that redlake wrote, without looking at the body: in lines of
/// this version it stands last. `None` for lines of any other form, and for bodies that are kept as
/// text; [`parse`] reads them.
fn split(line: &str) -> Option<(PageHeader, &str)> {
    // In a string the quotes would be escaped, so this is the key.
    let at = line.find(BODY)?;
    let header: PageHeader = serde_json::from_str(&format!("{}}}", &line[..at])).ok()?;
    if header.v != VERSION {
        return None;
    }
    let body = line[at + BODY.len()..].strip_suffix('}')?;
    body.starts_with(['{', '[']).then_some((header, body))
}

const BODY: &str = ",\"body\":";
