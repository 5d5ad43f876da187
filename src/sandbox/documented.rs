//! The answers printed in the providers' documents, word for word. They are served for exactly
//! the question that they answer there.

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

/// The keyword that [`NOTE_SEARCH`] answers, with one page and whatever the filters.
pub const NOTE_KEYWORD: &str = "海信洗衣机";

/// The keyword that [`USER_SEARCH`] answers, with one page.
pub const USER_KEYWORD: &str = "Amir Ali";

/// The note that [`NOTE_DETAIL`] shows.
pub const NOTE_ID: &str = "649c46ab000000002702ad36";
