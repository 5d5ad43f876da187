//! What a source contract says of its requests must fit together.

use super::diagnostic::{Diagnostic, SourceFile, nearest};
use super::source::{Endpoint, ParamFrom, Source};
use super::yaml::Spanned;

/// Finds the mistakes in what a contract says of its requests.
pub fn check(source: &Source, file: &SourceFile, found: &mut Vec<Diagnostic>) {
    for endpoint in source.endpoints.values() {
        check_about(endpoint, file, found);
    }
}

/// Checks that `about` names parameters that have one value for a whole search, and places.
fn check_about(endpoint: &Endpoint, file: &SourceFile, found: &mut Vec<Diagnostic>) {
    for (name, path) in &endpoint.about {
        match endpoint.params.get(&name.value) {
            None => {
                let message = format!("there is no parameter `{}`", name.value);
                let known = endpoint.params.keys().map(String::as_str);
                found.push(error(file, name, message, did_you_mean(name, known)));
            }
            Some(param) if param.from == Some(ParamFrom::Page) => {
                let message = format!("`{}` differs from page to page", name.value);
                let hint = "name a parameter that a whole search is asked with";
                found.push(error(file, name, message, Some(hint.to_owned())));
            }
            Some(_) if !path.starts_with('/') => {
                let message = format!("`{path}` is no path");
                let hint = "a path is like /data/note_id, from the whole answer";
                found.push(error(file, name, message, Some(hint.to_owned())));
            }
            Some(_) => {}
        }
    }
}

fn error(
    file: &SourceFile,
    at: &Spanned<String>,
    message: String,
    hint: Option<String>,
) -> Diagnostic {
    let mut diagnostic = Diagnostic::error(file, Some(at.span()), message);
    diagnostic.hint = hint;
    diagnostic
}

fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(name, known).map(|near| format!("did you mean `{near}`?"))
}
