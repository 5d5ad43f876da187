//! Answers printed in the documents of the providers, verbatim. Each is served for exactly the
//! request that it answers in the documents.

pub const NOTE_SEARCH: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/sample_data/documented/note_search.json"
));

pub const USER_SEARCH: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/sample_data/documented/user_search.json"
));

pub const NOTE_DETAIL: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/sample_data/documented/note_detail.json"
));

/// The keyword that [`NOTE_SEARCH`] answers, with one page and any filters.
pub const NOTE_KEYWORD: &str = "海信洗衣机";

/// The keyword that [`USER_SEARCH`] answers, with one page.
pub const USER_KEYWORD: &str = "Amir Ali";

/// The note that [`NOTE_DETAIL`] shows.
pub const NOTE_ID: &str = "649c46ab000000002702ad36";
