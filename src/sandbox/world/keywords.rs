//! The keywords of side streams.
//!
//! An id holds a hash of its keyword, and a note is about the keyword. So the process remembers the
//! keywords that it was asked for, by that hash.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Topic and salt of a stream.
pub type Key = (u8, u16);

static KEYWORDS: Mutex<BTreeMap<Key, Arc<str>>> = Mutex::new(BTreeMap::new());

/// Remembers the keyword of a stream. The first keyword of a stream stays.
pub fn remember(stream: Key, keyword: &str) {
    let mut keywords = KEYWORDS.lock().unwrap_or_else(PoisonError::into_inner);
    keywords.entry(stream).or_insert_with(|| keyword.into());
}

/// Returns the keyword of a side stream. `None` if the process was not asked for it.
pub fn keyword_of(stream: Key) -> Option<Arc<str>> {
    let keywords = KEYWORDS.lock().unwrap_or_else(PoisonError::into_inner);
    keywords.get(&stream).cloned()
}
