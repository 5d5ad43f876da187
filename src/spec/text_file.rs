//! Reading the text files that a user names.

use std::fs::{self, File, FileType};
use std::io::{self, Error, ErrorKind, Read};
use std::path::Path;

/// Bytes that a text file may have: 64 MiB.
const MOST: u64 = 64 << 20;

/// Returns the text of a regular file; symlinks are followed. A FIFO or device is not opened, since
/// opening one can block and reading one need not end.
///
/// # Errors
/// A file that is not regular, is larger than 64 MiB, is not UTF-8, or cannot be read.
pub fn read_text(path: &Path) -> io::Result<String> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        let kind = kind(metadata.file_type());
        let told = format!("it is {kind}, not a regular file");
        return Err(Error::new(ErrorKind::InvalidInput, told));
    }
    let mut bytes = Vec::new();
    // A file may have no size, as in /proc, or grow.
    File::open(path)?.take(MOST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST {
        let told = format!("it is larger than {} MiB", MOST >> 20);
        return Err(Error::new(ErrorKind::FileTooLarge, told));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..at]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count()
            + 1;
        Error::new(ErrorKind::InvalidData, format!("line {line} is not UTF-8"))
    })
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
