//! The checksum behind each frame of a raw file.
//!
//! A seal is a zstd skippable frame (RFC 8878, 3.1.2), so every zstd decoder skips it. It is
//! directly behind its frame:
//!
//! | bytes | content |
//! |---|---|
//! | 4 | magic number of a skippable frame, `0x184D2A5E` little-endian |
//! | 4 | size of what follows: 48, little-endian |
//! | 8 | `RLPAGE01` |
//! | 8 | length of the frame in bytes, little-endian |
//! | 32 | BLAKE3 of the frame as it lies in the file, compressed |
//!
//! The length leads from a seal back to the beginning of its frame, so a reader finds the next
//! whole page behind any damage.

use memchr::memmem;

/// First bytes of every seal.
pub const BEGIN: [u8; 16] = *b"\x5e\x2a\x4d\x18\x30\x00\x00\x00RLPAGE01";

/// Size of a seal in bytes.
pub const SIZE: usize = BEGIN.len() + 8 + blake3::OUT_LEN;

/// Length and checksum of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal {
    /// Length of the frame in bytes.
    pub length: u64,
    hash: blake3::Hash,
}

impl Seal {
    /// Returns the seal of a frame.
    pub fn of(frame: &[u8]) -> Self {
        Seal {
            length: frame.len() as u64,
            hash: blake3::hash(frame),
        }
    }

    /// Reads the seal at the start of `bytes`. `None` if there is no whole seal.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.strip_prefix(&BEGIN)?.split_first_chunk()?;
        let (hash, _) = rest.split_first_chunk::<{ blake3::OUT_LEN }>()?;
        Some(Seal {
            length: u64::from_le_bytes(*length),
            hash: blake3::Hash::from_bytes(*hash),
        })
    }

    /// Returns the offset of the first whole seal in `bytes`, and the seal.
    pub fn find(bytes: &[u8]) -> Option<(usize, Self)> {
        let mut places = memmem::find_iter(bytes, &BEGIN);
        places.find_map(|at| Some((at, Seal::read(&bytes[at..])?)))
    }

    /// Returns `true` if this is the seal of `frame`.
    pub fn fits(&self, frame: &[u8]) -> bool {
        self.length == frame.len() as u64 && self.hash == blake3::hash(frame)
    }

    /// Returns the bytes of the seal in a file.
    pub fn to_bytes(self) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        bytes[..16].copy_from_slice(&BEGIN);
        bytes[16..24].copy_from_slice(&self.length.to_le_bytes());
        bytes[24..].copy_from_slice(self.hash.as_bytes());
        bytes
    }
}
