//! JSON shapes of the providers' answers, filled with the notes and users of the world.
//!
//! Every field here is in the source contracts too, as a column or as ignored. An answer of the
//! sandbox never looks like a changed provider.

pub mod media;
pub mod note_detail;
pub mod note_item;
pub mod note_page;
pub mod user_page;

use super::world::dice::Dice;
use crate::sandbox::world::time::DAY;

/// Formats a count as the app does: `1855`, `1.2万`, `381.2万`.
fn shortened(count: u64) -> String {
    if count < 10_000 {
        return count.to_string();
    }
    match (count / 10_000, count % 10_000 / 1_000) {
        (whole, 0) => format!("{whole}万"),
        (whole, tenth) => format!("{whole}.{tenth}万"),
    }
}

/// Returns the signature part of an address: signature and expiry. It changes every day.
fn signature(file: &str, now: i64) -> String {
    let expires = now - now.rem_euclid(DAY) + 2 * DAY;
    let sign = Dice::new(0, "signature", &format!("{file}{expires}")).hex(32);
    format!("sign={sign}&t={expires:x}")
}
