//! The endpoints of the sandbox: a file each, with the JSON of its answer, filled with the notes and
//! users of the world.
//!
//! Every field here is in the source contracts too, as a column or as ignored. An answer of the
//! sandbox never looks like a changed provider.
//!
//! Some answers are printed in the documents of the providers. Each is served verbatim, for exactly
//! the request that it answers in the documents.

pub mod note_detail;
mod note_item;
pub mod note_page;
mod parts;
pub mod user_page;

use crate::sandbox::request::{BadParam, Findings, Question};

/// Answers a question to an endpoint.
pub type Find = fn(&Question) -> Result<Findings, BadParam>;

/// The endpoints that the sandbox can answer, by their names in the source contracts.
pub const ENDPOINTS: &[(&str, Find)] = &[
    ("note_search", note_page::find),
    ("user_search", user_page::find),
    ("note_detail", note_detail::find),
];
