//! Reads pages from a stream: lines of JSON, plain or compressed with zstd.

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use crate::raw::page::{MAGIC, RawError, RawPage, failed, parse};

/// Iterator over the pages of a stream, one per line. The pages can belong to several runs.
pub struct Lines {
    input: Box<dyn BufRead>,
    line: String,
    pages: u64,
    torn: bool,
}

impl Lines {
    /// Starts to read `input`. Its first bytes decide if it is decompressed.
    ///
    /// # Errors
    /// The input cannot be read.
    pub fn new(input: impl Read + 'static) -> Result<Self, RawError> {
        let mut input = BufReader::with_capacity(1 << 18, input);
        let begin = input.fill_buf().map_err(unreadable)?;
        let input: Box<dyn BufRead> = if begin.starts_with(&MAGIC) {
            let decoder = zstd::Decoder::with_buffer(input).map_err(unreadable)?;
            Box::new(BufReader::with_capacity(1 << 18, decoder))
        } else {
            Box::new(input)
        };
        Ok(Lines {
            input,
            line: String::new(),
            pages: 0,
            torn: false,
        })
    }

    /// Returns `true` if the input ended inside a frame, as the raw file of a killed run may. The
    /// pages before it are whole.
    pub fn torn(&self) -> bool {
        self.torn
    }

    fn read_page(&mut self) -> Result<Option<RawPage>, RawError> {
        loop {
            self.line.clear();
            match self.input.read_line(&mut self.line) {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    self.torn = true;
                    return Ok(None);
                }
                Err(error) if error.raw_os_error().is_some() => return Err(unreadable(error)),
                // Input that is not valid zstd or UTF-8.
                Err(error) => {
                    self.pages += 1;
                    return Err(self.format(error.to_string()));
                }
            }
            let line = self.line.trim();
            if line.is_empty() {
                continue;
            }
            self.pages += 1;
            return match parse(line) {
                Ok(page) => Ok(Some(page)),
                Err(error) if error.is_eof() && !self.line.ends_with('\n') => {
                    self.torn = true;
                    Ok(None)
                }
                Err(error) => Err(self.format(error.to_string())),
            };
        }
    }

    fn format(&self, reason: String) -> RawError {
        RawError::Format {
            path: INPUT.into(),
            page: self.pages,
            reason,
        }
    }
}

impl Iterator for Lines {
    type Item = Result<RawPage, RawError>;
    fn next(&mut self) -> Option<Self::Item> {
        self.read_page().transpose()
    }
}

/// Name of the input in messages.
const INPUT: &str = "the input";

fn unreadable(error: io::Error) -> RawError {
    failed("read", Path::new(INPUT))(error)
}
