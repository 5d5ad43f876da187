//! Loads the views: their files, in the order in which they can be created.

use std::collections::BTreeMap;
use std::path::PathBuf;

use indexmap::IndexMap;

use super::files::{embedded_views, read, same_name};
use crate::spec::table::Table;
use crate::spec::view::ViewFile;
use crate::spec::yaml::diagnostic::{Diagnostic, SourceFile};

/// Returns the views that these files declare over these tables, each after those that it reads. Files
/// without any views, as those that an earlier version exported, have the built-in ones. A built-in
/// view that reads what these tables do not have is left out. Adds a diagnostic to `found` for each
/// mistake in another one.
pub(super) fn views(
    files: &BTreeMap<PathBuf, SourceFile>,
    tables: &IndexMap<String, Table>,
    found: &mut Vec<Diagnostic>,
) -> IndexMap<String, Table> {
    let built_in = embedded_views();
    let has_views = files.keys().any(|path| path.starts_with("views"));
    let read = view_files(if has_views { files } else { &built_in }, found);
    let names: Vec<String> = read.iter().map(|(view, _)| name_of(view)).collect();
    let (ordered, circular) = in_order_of_reads(read);
    for (view, file) in circular {
        let message = format!("`{}` reads itself through other views", view.name().value);
        let hint = "let it read tables, or views that do not read it";
        found.push(Diagnostic::error(file, Some(view.name().span()), message).hint(hint));
    }
    let mut possible: IndexMap<String, Table> = IndexMap::new();
    for (view, file) in ordered {
        same_name(view.name(), file, found);
        let created: Vec<String> = possible.keys().cloned().collect();
        if is_unchanged(file, &built_in) && !view.is_possible(tables, &created) {
            continue;
        }
        view.check(tables, &names, file, found);
        possible.insert(name_of(&view), view.into_table());
    }
    possible
}

fn name_of(view: &ViewFile) -> String {
    view.name().value.clone()
}

/// Returns true for the text of a built-in view.
fn is_unchanged(file: &SourceFile, built_in: &BTreeMap<PathBuf, SourceFile>) -> bool {
    let mut views = built_in
        .iter()
        .filter(|(path, _)| path.starts_with("views"));
    views.any(|(_, view)| view.text() == file.text())
}

fn view_files<'f>(
    files: &'f BTreeMap<PathBuf, SourceFile>,
    found: &mut Vec<Diagnostic>,
) -> Vec<(ViewFile, &'f SourceFile)> {
    let files = files.iter().filter(|(path, _)| path.starts_with("views"));
    files
        .filter_map(|(_, file)| Some((read::<ViewFile>(file, found)?, file)))
        .collect()
}

/// Views with their files.
type ViewFiles<'f> = Vec<(ViewFile, &'f SourceFile)>;

/// Sorts views so that each comes after those that it reads. The second part has the views that
/// read themselves through others.
fn in_order_of_reads(mut rest: ViewFiles<'_>) -> (ViewFiles<'_>, ViewFiles<'_>) {
    let mut ordered: ViewFiles<'_> = Vec::new();
    loop {
        let waiting: Vec<String> = rest
            .iter()
            .map(|(view, _)| view.name().value.clone())
            .collect();
        let is_ready =
            |view: &ViewFile| !view.reads().any(|name| waiting.iter().any(|w| w == name));
        let (ready, later): (ViewFiles<'_>, ViewFiles<'_>) =
            rest.into_iter().partition(|(view, _)| is_ready(view));
        if ready.is_empty() {
            return (ordered, later);
        }
        ordered.extend(ready);
        rest = later;
    }
}
