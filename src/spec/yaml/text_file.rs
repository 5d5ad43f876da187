//! Reads the text files that a user names.

use std::fmt;
use std::fs::{self, File, FileType};
use std::io::{self, Error, ErrorKind, Read};
use std::path::Path;

use encoding_rs::GB18030;

use crate::spec::yaml::diagnostic::{Diagnostic, SourceFile};

/// Largest text file that is read, in bytes: 64 MiB.
const MOST: u64 = 64 << 20;

/// Returns the text of a regular file, without a byte order mark. Follows symlinks.
///
/// Does not open a FIFO or a device: the open can block, and the read need not end.
///
/// # Errors
/// Fails if the file is not regular, is larger than 64 MiB, is not UTF-8, or cannot be read.
pub fn read_text(path: &Path) -> io::Result<String> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        let kind = kind(metadata.file_type());
        let told = format!("it is {kind}, not a regular file");
        return Err(Error::new(ErrorKind::InvalidInput, told));
    }
    let mut bytes = Vec::new();
    // The size in the metadata is no bound: files in /proc report 0, and a file can grow.
    File::open(path)?.take(MOST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST {
        let told = format!("it is larger than {} MiB", MOST >> 20);
        return Err(Error::new(ErrorKind::FileTooLarge, told));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(match text.strip_prefix('\u{feff}') {
            Some(text) => text.to_owned(),
            None => text,
        }),
        Err(error) => {
            let read = error.utf8_error().valid_up_to();
            let error = NotUtf8::in_bytes(error.as_bytes(), read);
            Err(Error::new(ErrorKind::InvalidData, error))
        }
    }
}

/// Error of a file that is not UTF-8: the place of its first invalid byte.
#[derive(Debug, PartialEq, Eq)]
pub struct NotUtf8 {
    /// Line and column count from 1, the column in characters.
    line: usize,
    column: usize,
    /// Detected encoding; `None` if detection fails.
    encoding: Option<&'static str>,
}

impl NotUtf8 {
    /// Returns the error of `bytes`, which are valid UTF-8 up to offset `read`.
    fn in_bytes(bytes: &[u8], read: usize) -> Self {
        let before = &bytes[..read];
        let line_start = before
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |end| end + 1);
        let in_line = String::from_utf8_lossy(&before[line_start..]);
        NotUtf8 {
            line: before.iter().filter(|byte| **byte == b'\n').count() + 1,
            column: in_line.chars().count() + 1,
            encoding: encoding(bytes),
        }
    }

    /// Returns the `NotUtf8` inside an I/O error, if it holds one.
    pub fn of(error: &Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// Returns the hint: the command that converts the file.
    pub fn hint(&self) -> String {
        let from = self.encoding.unwrap_or("GBK");
        format!("save the file as UTF-8; `iconv -f {from} -t UTF-8 FILE` converts it")
    }

    /// Returns a text of line breaks and spaces that ends at the place of the error.
    fn blank(&self) -> String {
        "\n".repeat(self.line - 1) + &" ".repeat(self.column - 1)
    }
}

impl fmt::Display for NotUtf8 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.encoding {
            Some(encoding) => write!(
                f,
                "it is not UTF-8 (line {}), but seems to be {encoding}",
                self.line
            ),
            None => write!(f, "it is not UTF-8 (line {})", self.line),
        }
    }
}

impl std::error::Error for NotUtf8 {}

/// Detects the encoding of bytes that are not UTF-8: UTF-16 by its byte order mark, GBK by its
/// characters. Returns `None` for any other.
fn encoding(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => return Some("UTF-16"),
        _ => {}
    }
    let (text, has_errors) = GB18030.decode_without_bom_handling(bytes);
    let mut foreign = text.chars().filter(|c| !c.is_ascii()).peekable();
    let is_chinese = |c: char| matches!(c, '\u{2010}'..='\u{2026}' | '\u{3000}'..='\u{303f}' | '\u{4e00}'..='\u{9fff}' | '\u{ff00}'..='\u{ffef}');
    let is_gbk = !has_errors && foreign.peek().is_some() && foreign.all(is_chinese);
    (is_gbk && has_pairs(bytes)).then_some("GBK")
}

/// Returns true if there is a byte above ASCII, and at least four in five of the lead bytes are
/// followed by a byte from 0xA1.
///
/// Such pairs are nearly all there is in Chinese text, and rare in text with Latin letters.
fn has_pairs(bytes: &[u8]) -> bool {
    let (mut pairs, mut others) = (0, 0);
    let mut rest = bytes;
    while let [first, after @ ..] = rest {
        rest = after;
        if *first >= 0x80 {
            match after.first() {
                Some(0xa1..) => pairs += 1,
                _ => others += 1,
            }
            rest = after.get(1..).unwrap_or_default();
        }
    }
    pairs > 0 && others * 4 <= pairs
}

/// Returns the reason of a read error, for messages.
pub fn reason(error: &Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "there is no such file".to_owned(),
        _ => error.to_string(),
    }
}

/// Returns the diagnostic of a file that cannot be read. `message` says what failed.
///
/// For a file that is not UTF-8, the diagnostic has the place of the first invalid byte and the
/// hint to convert the file instead of `hint`.
pub fn unreadable(path: &Path, error: &Error, message: &str, hint: &str) -> Diagnostic {
    let message = format!("{message}: {}", reason(error));
    match NotUtf8::of(error) {
        Some(not_utf8) => {
            let file = SourceFile::new(path, not_utf8.blank());
            let end = file.text().len();
            Diagnostic::error(&file, Some(end..end), message).hint(not_utf8.hint())
        }
        None => Diagnostic::error(&SourceFile::new(path, ""), None, message).hint(hint),
    }
}

#[cfg(unix)]
fn kind(kind: FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt as _;
    if kind.is_dir() {
        "a folder"
    } else if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

#[cfg(not(unix))]
fn kind(kind: FileType) -> &'static str {
    if kind.is_dir() {
        "a folder"
    } else {
        "a device"
    }
}

#[cfg(test)]
mod tests {
    use encoding_rs::{BIG5, GBK};

    use crate::spec::yaml::text_file::*;

    fn read(bytes: &[u8]) -> Result<String, String> {
        let dir = tempfile::TempDir::new().expect("a temporary folder");
        let path = dir.path().join("a.yaml");
        fs::write(&path, bytes).expect("a writable folder");
        read_text(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_not_utf_8_is_told_with_its_encoding() {
        assert_eq!(
            read("\u{feff}a: 防晒\n".as_bytes()).as_deref(),
            Ok("a: 防晒\n")
        );
        let text = "version: 1\nkeyword_sets: {k: [防晒，面霜、“精华”]}\n";
        let (gbk, ..) = GBK.encode(text);
        let told = "it is not UTF-8 (line 2), but seems to be GBK".to_owned();
        assert_eq!(read(&gbk), Err(told));
        let units = text.encode_utf16();
        let utf16: Vec<u8> = [0xff, 0xfe]
            .into_iter()
            .chain(units.flat_map(u16::to_le_bytes))
            .collect();
        let told = "it is not UTF-8 (line 1), but seems to be UTF-16".to_owned();
        assert_eq!(read(&utf16), Err(told.clone()));
        let units = text.encode_utf16();
        let utf16: Vec<u8> = [0xfe, 0xff]
            .into_iter()
            .chain(units.flat_map(u16::to_be_bytes))
            .collect();
        assert_eq!(read(&utf16), Err(told));
        // Latin-1: no encoding is detected.
        for latin in [
            &b"a: caf\xe9\n"[..],
            b"a: [caf\xe9, th\xe9]\n",
            b"a: r\xe9sum\xe9s\n",
        ] {
            assert_eq!(read(latin), Err("it is not UTF-8 (line 1)".to_owned()));
        }
        let (big5, ..) = BIG5.encode("a: 防\n");
        assert!(read(&big5).is_err_and(|told| told.starts_with("it is not UTF-8 (line 1)")));
    }

    #[test]
    fn the_place_of_the_first_wrong_byte_is_told() {
        let bytes = "a: 1\nb: 防\u{0}".as_bytes();
        let not_utf8 = NotUtf8::in_bytes(&[bytes, &[0xff]].concat(), bytes.len());
        let file = SourceFile::new("a", not_utf8.blank());
        assert_eq!(file.position(file.text().len()), (2, 6));
    }
}
