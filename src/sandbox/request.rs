//! A call to an endpoint: as it arrived, what it asks for, its parameters, and what is found.

use axum::http::Method;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::value::RawValue;

use super::search::Paging;
use super::world::stream::World;
use crate::spec::source::{Endpoint, Param, ParamFrom};
use crate::spec::words::Filter;

/// A request of a client.
#[derive(Clone, Debug, Default)]
pub struct ApiCall {
    pub method: Method,
    pub path: String,
    pub query: Vec<(String, String)>,
    pub bearer: Option<String>,
}

impl ApiCall {
    /// The first value of a query parameter.
    pub fn param(&self, name: &str) -> Option<&str> {
        let mut query = self.query.iter();
        let (_, value) = query.find(|(given, _)| given == name)?;
        Some(value)
    }
}

/// The request of a call. A field is `None` if the call does not give it, or gives a value that the
/// contract does not know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Asked {
    pub endpoint: Option<String>,
    pub source: Option<String>,
    pub keyword: Option<String>,
    pub note_id: Option<String>,
    /// Page from 1, which is also the default of a search.
    pub page: Option<u64>,
    /// Sort, in redlake's vocabulary.
    pub sort: Option<String>,
}

/// State of the token of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    Missing,
    Wrong,
    Right,
}

/// Error: a parameter does not match its declaration in the contract; the text names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadParam(pub String);

/// The parameters of a call, in the vocabulary of the contract.
pub struct Params<'a> {
    pub endpoint: &'a Endpoint,
    /// Names and values; those that the contract does not declare are ignored.
    pub given: &'a [(String, String)],
}

impl Params<'_> {
    pub fn keyword(&self) -> Result<String, BadParam> {
        let (name, value) = self.filled_from(ParamFrom::Keyword)?;
        let keyword = value.unwrap_or("").trim();
        if keyword.is_empty() {
            Err(BadParam(format!("{name} is required")))
        } else {
            Ok(keyword.to_owned())
        }
    }

    pub fn note_id(&self) -> Result<String, BadParam> {
        let (name, value) = self.filled_from(ParamFrom::NoteId)?;
        let missing = || BadParam(format!("{name} is required"));
        value.map(str::to_owned).ok_or_else(missing)
    }

    /// Returns the fields that the call names; `None` requests all fields.
    pub fn fields(&self) -> Option<Vec<&str>> {
        let mut params = self.endpoint.params.iter();
        let (name, _) = params.find(|(_, param)| param.from == Some(ParamFrom::Fields))?;
        Some(self.value(name)?.split(',').map(str::trim).collect())
    }

    /// Returns the page, counted from 1.
    pub fn page(&self) -> Result<usize, BadParam> {
        let (name, value) = self.filled_from(ParamFrom::Page)?;
        let Some(value) = value else { return Ok(1) };
        match value.parse::<u32>() {
            Ok(page) if page >= 1 => Ok(page as usize),
            _ => Err(BadParam(format!("{name} must be a whole number from 1"))),
        }
    }

    /// Returns redlake's word for the sort that the call names, if the contract knows it.
    pub fn sort(&self) -> Option<&str> {
        let mut params = self.endpoint.params.iter();
        let (name, param) = params.find(|(_, param)| param.filter == Some(Filter::Sort))?;
        canonical(param, self.value(name)?)
    }

    /// Returns name and value of the parameter that is filled from a keyword, a page or a note id.
    fn filled_from(&self, from: ParamFrom) -> Result<(&str, Option<&str>), BadParam> {
        let mut params = self.endpoint.params.iter();
        let (name, _) = params
            .find(|(_, param)| param.from == Some(from))
            .ok_or_else(|| BadParam(format!("the contract declares no parameter for {from:?}")))?;
        Ok((name, self.value(name)))
    }

    /// Returns the meaning of a filter, if the call has it.
    pub fn filter<T>(
        &self,
        filter: Filter,
        meaning: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, BadParam> {
        let mut params = self.endpoint.params.iter();
        let Some((name, param)) = params.find(|(_, param)| param.filter == Some(filter)) else {
            return Ok(None);
        };
        let Some(value) = self.value(name) else {
            return Ok(None);
        };
        let meant = canonical(param, value).and_then(meaning);
        let unknown = || BadParam(format!("{name} has no value {value}"));
        meant.ok_or_else(unknown).map(Some)
    }

    fn value(&self, name: &str) -> Option<&str> {
        let given = self.given.iter().find(|(given, _)| given == name);
        given.map(|(_, value)| value.as_str())
    }
}

/// A question to an endpoint, and the world that has the answer.
pub struct Question<'a> {
    pub params: &'a Params<'a>,
    pub world: &'a World,
    pub now: DateTime<Utc>,
    pub paging: Paging,
}

/// Result of the lookup that an endpoint makes.
pub enum Findings {
    /// The data of the answer.
    Data(Box<RawValue>),
    /// A complete answer printed in the documents of the provider, with its envelope.
    Documented(&'static str),
    /// There is no such thing.
    Nothing,
}

impl Findings {
    pub fn data(data: &impl Serialize) -> Self {
        let data = serde_json::value::to_raw_value(data);
        Findings::Data(data.expect("answers are structs and maps with text keys, which JSON has"))
    }
}

/// Returns redlake's word for a provider's word, in any dialect.
fn canonical<'a>(param: &'a Param, word: &str) -> Option<&'a str> {
    std::iter::once(&param.values)
        .chain(param.dialects.values())
        .flatten()
        .find(|(_, theirs)| *theirs == word)
        .map(|(ours, _)| ours.as_str())
}
