//! Drift in the summary of a run, grouped by object, with the names of the fields.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::spec::yaml::escape::escaped_line;
use crate::transform::quality::drift::{DriftKind, DriftRow};

/// Maximum number of drift lines in the summary.
const MOST_LINES: usize = 5;

/// Maximum number of names of one kind in a line.
const MOST_NAMES: usize = 6;

/// An object in the answers of an endpoint, with the names of its fields by kind of difference.
struct Object<'r> {
    endpoint: &'r str,
    path: &'r str,
    fields: BTreeMap<DriftKind, BTreeSet<String>>,
}

/// Returns the number of fields that differ from their contract.
pub fn fields(rows: &[DriftRow]) -> usize {
    let fields: BTreeSet<_> = rows.iter().map(|row| (&row.endpoint, &row.path)).collect();
    fields.len()
}

/// Returns a line for each of the objects with the most differences. The last lines refer to the
/// table `drift` and to `redlake schema suggest` for the rest.
pub fn lines(rows: &[DriftRow]) -> String {
    let mut objects = by_object(rows);
    objects.sort_by_key(|object| std::cmp::Reverse(object.len()));
    let has_unknown = rows.iter().any(|row| row.kind == DriftKind::UnknownField);
    let room = MOST_LINES - usize::from(has_unknown);
    let shown = if objects.len() > room {
        room - 1
    } else {
        objects.len()
    };
    let mut out = String::new();
    let mut line = |text: String| {
        let _ = writeln!(out, "  drift     {}", escaped_line(&text));
    };
    for object in &objects[..shown] {
        line(object.line());
    }
    let rest: usize = objects[shown..].iter().map(Object::len).sum();
    if rest > 0 {
        line(format!("{rest} more in the table drift"));
    }
    if has_unknown {
        line("`redlake schema suggest` shows how unknown fields become columns".to_owned());
    }
    out
}

fn by_object(rows: &[DriftRow]) -> Vec<Object<'_>> {
    let mut objects: BTreeMap<(&str, &str), Object<'_>> = BTreeMap::new();
    for row in rows {
        let (path, field) = row.path.rsplit_once('/').unwrap_or(("", &row.path));
        let object = objects
            .entry((&row.endpoint, path))
            .or_insert_with(|| Object {
                endpoint: &row.endpoint,
                path,
                fields: BTreeMap::new(),
            });
        let name = match (row.kind, &row.value) {
            (DriftKind::UnknownValue, Some(value)) => format!("{field} `{value}`"),
            (DriftKind::TypeChanged, _) => format!("{field} ({})", row.json_type),
            _ => field.to_owned(),
        };
        object.fields.entry(row.kind).or_default().insert(name);
    }
    objects.into_values().collect()
}

impl Object<'_> {
    /// Returns the number of names.
    fn len(&self) -> usize {
        self.fields.values().map(BTreeSet::len).sum()
    }

    fn line(&self) -> String {
        let kinds = self.fields.iter().map(|(kind, names)| {
            let what = match (kind, names.len()) {
                (DriftKind::UnknownField, 1) => "unknown field",
                (DriftKind::UnknownField, _) => "unknown fields",
                (DriftKind::TypeChanged, 1) => "changed type",
                (DriftKind::TypeChanged, _) => "changed types",
                (DriftKind::UnknownValue, 1) => "unknown value",
                (DriftKind::UnknownValue, _) => "unknown values",
                (DriftKind::BadValue, 1) => "bad value",
                (DriftKind::BadValue, _) => "bad values",
                (DriftKind::ReplacedCharacter, 1) => "field with replaced characters",
                (DriftKind::ReplacedCharacter, _) => "fields with replaced characters",
            };
            let mut listed: Vec<&str> = names.iter().map(String::as_str).take(MOST_NAMES).collect();
            if names.len() > MOST_NAMES {
                listed.push("…");
            }
            format!("{} {what}: {}", names.len(), listed.join(", "))
        });
        let path = if self.path.is_empty() { "/" } else { self.path };
        let kinds: Vec<String> = kinds.collect();
        format!("{} {path}: {}", self.endpoint, kinds.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::output::drift_summary::*;

    fn row(path: &str, kind: DriftKind, json_type: &'static str, value: Option<&str>) -> DriftRow {
        DriftRow {
            source: String::new(),
            endpoint: "note_search".to_owned(),
            path: path.to_owned(),
            kind,
            json_type,
            value: value.map(str::to_owned),
            count: 20,
        }
    }

    #[test]
    fn differences_of_an_object_share_a_line() {
        let note = "/data/items[*]/note";
        let mut rows: Vec<DriftRow> = (0..9)
            .map(|at| {
                row(
                    &format!("{note}/new{at}"),
                    DriftKind::UnknownField,
                    "string",
                    None,
                )
            })
            .collect();
        rows.extend([
            row(
                &format!("{note}/new1"),
                DriftKind::UnknownField,
                "integer",
                None,
            ),
            row(
                &format!("{note}/liked_count"),
                DriftKind::TypeChanged,
                "string",
                None,
            ),
            row(
                "/data/items[*]/model_type",
                DriftKind::UnknownValue,
                "string",
                Some("note_v2"),
            ),
            row(
                "/data/items[*]/model_type",
                DriftKind::UnknownValue,
                "string",
                Some("x\ny"),
            ),
            row("/extra", DriftKind::UnknownField, "null", None),
        ]);
        assert_eq!(fields(&rows), 12);
        assert_eq!(
            lines(&rows),
            "  drift     note_search /data/items[*]/note: 9 unknown fields: new0, new1, new2, new3, \
             new4, new5, …; 1 changed type: liked_count (string)\n  \
             drift     note_search /data/items[*]: 2 unknown values: model_type `note_v2`, \
             model_type `x\\ny`\n  \
             drift     note_search /: 1 unknown field: extra\n  \
             drift     `redlake schema suggest` shows how unknown fields become columns\n"
        );
    }

    #[test]
    fn there_are_five_lines_at_most() {
        let of = |count: usize, kind| -> Vec<DriftRow> {
            (0..count)
                .map(|at| row(&format!("/data/o{at}/f"), kind, "string", None))
                .collect()
        };
        for (count, kind, shown) in [
            (4, DriftKind::UnknownField, 5),
            (5, DriftKind::UnknownField, 5),
            (900, DriftKind::UnknownField, 5),
            (5, DriftKind::TypeChanged, 5),
            (6, DriftKind::TypeChanged, 5),
            (0, DriftKind::TypeChanged, 0),
        ] {
            assert_eq!(lines(&of(count, kind)).lines().count(), shown, "{count}");
        }
        assert!(lines(&of(900, DriftKind::UnknownField)).contains("897 more in the table drift"));
    }
}
