//! Gzip bodies, for the faults that compress an answer.

use std::io::{self, Write};

use axum::body::Bytes;
use flate2::write::{DeflateEncoder, GzEncoder};
use flate2::{Compression, Crc};

/// Compresses a body with gzip.
///
/// # Errors
/// Never: writing to memory does not fail.
pub fn compressed(body: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body)?;
    encoder.finish()
}

/// A gzip body that repeats one block: `head`, `times` × `block`, `tail`. Memory use does not
/// depend on the unpacked length.
pub struct Bomb {
    pub head: Bytes,
    pub block: Bytes,
    pub times: u64,
    pub tail: Bytes,
}

/// A gzip header (RFC 1952): deflate, no flags, no time, unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

impl Bomb {
    /// Creates a body that unpacks to `head`, `times` × `block`, `tail`.
    ///
    /// # Errors
    /// Never: writing to memory does not fail.
    pub fn new(head: &[u8], block: &[u8], times: u64, tail: &[u8]) -> io::Result<Self> {
        let (mut whole, mut of_block) = (Crc::new(), Crc::new());
        whole.update(head);
        of_block.update(block);
        for _ in 0..times {
            whole.combine(&of_block);
        }
        let mut of_tail = Crc::new();
        of_tail.update(tail);
        whole.combine(&of_tail);

        let head = [&HEADER[..], &deflated(head)?].concat();
        // The last block of a deflate stream. It is empty and marks the end.
        let last = DeflateEncoder::new(Vec::new(), Compression::fast()).finish()?;
        // The format requires the length modulo 2^32.
        let trailer = [whole.sum().to_le_bytes(), whole.amount().to_le_bytes()].concat();
        let tail = [deflated(tail)?, last, trailer].concat();
        Ok(Bomb {
            head: head.into(),
            block: deflated(block)?.into(),
            times,
            tail: tail.into(),
        })
    }
}

/// Returns a part of a deflate stream. It ends on a byte boundary and has no back references, so
/// parts can be concatenated in any order.
fn deflated(part: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(part)?;
    encoder.flush()?;
    Ok(encoder.get_ref().clone())
}
