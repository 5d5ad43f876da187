//! Checks that the request declarations of a source contract are consistent.

use super::{ColumnReads, Endpoint, ParamFrom, SIGNED_PARTS, Signing, Source};
use crate::spec::yaml::diagnostic::{Diagnostic, SourceFile, nearest};
use crate::spec::yaml::document::Spanned;

/// Checks the request declarations of a source. Adds a diagnostic to `found` for each mistake.
pub fn check(source: &Source, file: &SourceFile, found: &mut Vec<Diagnostic>) {
    if let Some(signing) = &source.signing {
        check_signing(signing, file, found);
    }
    for endpoint in source.endpoints.values() {
        check_about(endpoint, file, found);
        check_fields(endpoint, file, found);
    }
}

/// Checks that the signed text contains the secret, and only known parts.
fn check_signing(signing: &Signing, file: &SourceFile, found: &mut Vec<Diagnostic>) {
    let text = &signing.text;
    let names = text.split('{').skip(1).map(|rest| {
        let (name, _) = rest.split_once('}').unwrap_or((rest, ""));
        name
    });
    let names: Vec<&str> = names.collect();
    for name in names.iter().filter(|name| !SIGNED_PARTS.contains(name)) {
        let message = format!("`{{{name}}}` cannot be signed");
        let hint = format!("use {{{}}}", SIGNED_PARTS.join("}, {"));
        found.push(error(file, text, message, Some(hint)));
    }
    if !names.contains(&"secret") {
        let message = "a sign needs the secret".to_owned();
        let hint = "put `{secret}` into the text".to_owned();
        found.push(error(file, text, message, Some(hint)));
    }
}

/// Checks that every field that the endpoint names is declared by its fields parameter.
fn check_fields(endpoint: &Endpoint, file: &SourceFile, found: &mut Vec<Diagnostic>) {
    let known = endpoint.fields_param().map(|param| param.fields.as_slice());
    let known = known.unwrap_or_default();
    let always = endpoint.params.values().flat_map(|param| &param.always);
    let of_rules = endpoint.rows.iter().flat_map(|rule| &rule.any_of_fields);
    let columns = endpoint.rows.iter().flat_map(|rule| rule.columns.values());
    let mappings = columns.flat_map(|ColumnReads(mappings)| mappings);
    let of_mappings = mappings.flat_map(|mapping| &mapping.all_of_fields);
    for name in always.chain(of_rules).chain(of_mappings) {
        if !known.contains(&name.value) {
            let message = format!("`{}` is not a field that can be requested", name.value);
            let hint = did_you_mean(name, known.iter().map(String::as_str));
            found.push(error(file, name, message, hint));
        }
    }
}

/// Checks that `about` maps parameters with one value for the whole search to JSON paths.
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
                let hint = "name a parameter that is the same for the whole search";
                found.push(error(file, name, message, Some(hint.to_owned())));
            }
            Some(_) if !path.starts_with('/') => {
                let message = format!("`{path}` is not a path");
                let hint = "write a path from the root of the answer, such as /data/note_id";
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
