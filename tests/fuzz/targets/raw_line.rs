//! Lines of a raw file, flattened with the built-in contracts.
//!
//! The first byte may say that the rest is the body of an answer (`n`, `u`, `d`: which endpoint;
//! as a capital: personal data
//! is hidden, and values that do not fit become null). Anything else is lines with their headers.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use redlake::raw::lines::Lines;
use redlake::raw::{RawError, RawPage, encode};
use redlake_fuzz::{HIDING, REJECTING, flattened, forgive_html2text, header};

fuzz_target!(init: forgive_html2text(), |data: &[u8]| {
    let (endpoint, body) = match data {
        [b'n' | b'N', body @ ..] => (("justoneapi", "note_search"), body),
        [b'u' | b'U', body @ ..] => (("justoneapi", "user_search"), body),
        [b'd' | b'D', body @ ..] => (("xhs_open", "note_detail"), body),
        _ => return lines(data),
    };
    let transform = match data[0].is_ascii_uppercase() {
        true => &HIDING,
        false => &REJECTING,
    };
    let page = kept(endpoint, body);
    flattened(transform, &[page]).expect("the built-in tables hold any answer");
});

fn lines(data: &[u8]) {
    if data.starts_with(&ZSTD) {
        return;
    }
    let lines = Lines::new(Cursor::new(data.to_vec())).expect("memory can be read");
    let mut pages = Vec::new();
    for page in lines {
        match page {
            Ok(page) => pages.push(page),
            Err(format @ RawError::Format { .. }) => {
                format.to_string();
                break;
            }
            Err(error) => panic!("{error}"),
        }
    }
    flattened(&REJECTING, &pages).expect("the built-in tables hold any answer");
}

/// What compressed lines begin with. Decompressing is zstd's work, and mutations rarely survive it.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// The answer as it comes back from the raw zone.
fn kept((source, endpoint): (&str, &str), body: &[u8]) -> RawPage {
    let header = header(source, endpoint);
    let frame = encode(&header, body).expect("any answer can be kept");
    let mut lines = Lines::new(Cursor::new(frame)).expect("memory can be read");
    let page = lines.next().expect("a page").expect("a whole page");
    assert!(lines.next().is_none() && !lines.torn(), "one page only");
    assert_eq!(page.header, header);
    assert_eq!(page.body, body);
    page
}
