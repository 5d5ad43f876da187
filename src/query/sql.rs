//! Quoting for SQL.

pub(super) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Returns a glob that matches exactly this path.
pub(super) fn plain_glob(path: &str) -> String {
    if !path.contains(['*', '?', '[']) {
        return path.to_owned();
    }
    let plain = |c| match c {
        '*' | '?' | '[' => format!("[{c}]"),
        c => String::from(c),
    };
    path.chars().map(plain).collect()
}

pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
