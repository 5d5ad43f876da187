//! Parses the parameters of a call, as the source contract declares them.

use super::search::{NoteKind, NoteQuery, Sort};
use crate::spec::source::{Endpoint, Param, ParamFrom};
use crate::spec::words::{Filter, TimeSpan};

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
        let keyword = value.unwrap_or_default().trim();
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

    pub fn note_query(&self) -> Result<NoteQuery, BadParam> {
        let sort = self.filter(Filter::Sort, Sort::from_word)?;
        let kind = self.filter(Filter::NoteType, NoteKind::from_word)?;
        Ok(NoteQuery {
            keyword: self.keyword()?,
            page: self.page()?,
            sort: sort.unwrap_or(Sort::General),
            kind: kind.unwrap_or(NoteKind::All),
            window: self.filter(Filter::PublishedWithin, TimeSpan::window)?,
        })
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
    fn filter<T>(
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

/// Returns redlake's word for a provider's word, in any dialect.
fn canonical<'a>(param: &'a Param, word: &str) -> Option<&'a str> {
    std::iter::once(&param.values)
        .chain(param.dialects.values())
        .flatten()
        .find(|(_, theirs)| *theirs == word)
        .map(|(ours, _)| ours.as_str())
}
