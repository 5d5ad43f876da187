//! Endpoints of the source contracts that the sandbox can answer, and routing of calls to them.

use std::io;

use crate::sandbox::envelope::BusinessCode;
use crate::spec::class::CallClass;
use crate::spec::source::{Endpoint, Source};

/// An endpoint of a source contract that the sandbox can answer.
pub struct Route {
    pub name: String,
    pub operation: Operation,
    pub source: Source,
    pub endpoint: Endpoint,
    pub codes: Codes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    NoteSearch,
    UserSearch,
    NoteDetail,
}

/// The codes of a source that the sandbox looks up by class.
pub struct Codes {
    pub success: BusinessCode,
    pub auth: BusinessCode,
    pub bad_request: BusinessCode,
    pub not_found: BusinessCode,
}

impl Operation {
    fn of_endpoint(name: &str) -> Option<Self> {
        Some(match name {
            "note_search" => Operation::NoteSearch,
            "user_search" => Operation::UserSearch,
            "note_detail" => Operation::NoteDetail,
            _ => return None,
        })
    }
}

impl Codes {
    fn of(source: &Source) -> io::Result<Self> {
        let of_class = |classes: &[CallClass]| {
            BusinessCode::of_class(source, classes).ok_or_else(|| missing(source, classes[0]))
        };
        Ok(Codes {
            success: BusinessCode::success(source).ok_or_else(|| missing(source, CallClass::Ok))?,
            auth: of_class(&[CallClass::Auth])?,
            bad_request: of_class(&[CallClass::BadRequest])?,
            not_found: of_class(&[CallClass::NotFound, CallClass::Gone])?,
        })
    }
}

fn missing(source: &Source, class: CallClass) -> io::Error {
    let source = &source.source.value;
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("the contract of {source} lists no code of class {class}, which the sandbox needs"),
    )
}

impl Route {
    /// Returns the route of an endpoint, if the sandbox can answer it.
    ///
    /// # Errors
    /// The contract lacks a code that the sandbox has to answer with.
    pub fn of(source: &Source, name: &str, endpoint: &Endpoint) -> io::Result<Option<Self>> {
        let Some(operation) = Operation::of_endpoint(name) else {
            return Ok(None);
        };
        Ok(Some(Route {
            name: name.to_owned(),
            operation,
            codes: Codes::of(source)?,
            source: source.clone(),
            endpoint: endpoint.clone(),
        }))
    }

    /// Returns the parameters in the path of a call, if the path belongs to this endpoint.
    pub fn path_params(&self, path: &str) -> Option<Vec<(String, String)>> {
        path_params(&self.endpoint.path, path)
    }

    pub fn source_name(&self) -> &str {
        &self.source.source.value
    }
}

/// Returns the values of the `{name}` parts of a template, if the path matches the template.
fn path_params(template: &str, path: &str) -> Option<Vec<(String, String)>> {
    let (mut template, mut path) = (template.split('/'), path.split('/'));
    let mut params = Vec::new();
    loop {
        match (template.next(), path.next()) {
            (None, None) => return Some(params),
            (Some(wanted), Some(part)) => {
                let name = wanted
                    .strip_prefix('{')
                    .and_then(|rest| rest.strip_suffix('}'));
                match name {
                    Some(name) if !part.is_empty() => {
                        params.push((name.to_owned(), part.to_owned()));
                    }
                    None if wanted == part => {}
                    _ => return None,
                }
            }
            _ => return None,
        }
    }
}
