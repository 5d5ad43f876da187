//! The keywords of side streams.
//!
//! An id holds a hash of its keyword, and a note is about the keyword. So the process remembers the
//! keywords that it was asked for, by that hash.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::stream::Stream;

static KEYWORDS: Mutex<BTreeMap<(u8, u16), Arc<str>>> = Mutex::new(BTreeMap::new());

/// Remembers the keyword of a stream. The first keyword of a stream stays.
pub fn remember(stream: Stream, keyword: &str) {
    let mut keywords = KEYWORDS.lock().unwrap_or_else(PoisonError::into_inner);
    let key = (stream.topic, stream.salt);
    keywords.entry(key).or_insert_with(|| keyword.into());
}

/// Returns the keyword of a side stream. `None` if the process was not asked for it.
pub fn keyword_of(stream: Stream) -> Option<Arc<str>> {
    let keywords = KEYWORDS.lock().unwrap_or_else(PoisonError::into_inner);
    keywords.get(&(stream.topic, stream.salt)).cloned()
}
