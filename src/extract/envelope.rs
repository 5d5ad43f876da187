//! The parts of an answer that extraction reads: the business code and the ids of the items.
//!
//! All other fields are skipped unparsed, so an unexpected value in an unused field cannot make a
//! paid answer unreadable.

use std::collections::HashMap;

use serde_json::error::Category;
use serde_json::value::RawValue;

use super::client::Mask;
use crate::plan::Search;
use crate::spec::blank::is_blank;
use crate::spec::class::CallClass;
use crate::spec::source::{Endpoint, PaginationKind, ParamFrom, Source};

/// The body of an answer, as far as extraction reads it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Envelope {
    /// The business code as text, sent either as a number or as text.
    pub code: Option<String>,
    pub message: Option<String>,
    pub request_id: Option<String>,
    /// The reason why the body is not JSON, if it is not.
    pub flaw: Option<Flaw>,
    body: String,
}

/// The reason why a body is not JSON. Positions are byte offsets in the UTF-8 body, from 0.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    #[error("the answer is empty")]
    Empty,
    #[error("the answer is HTML, not JSON")]
    Html,
    #[error("the answer ends at byte {at}, in the middle of its JSON")]
    CutOff { at: usize },
    #[error("the answer has text after its JSON, at byte {at}{}", quoted(.found))]
    Trailing { at: usize, found: String },
    #[error("the answer is not JSON at byte {at}{}", quoted(.found))]
    Invalid { at: usize, found: String },
}

fn quoted(found: &str) -> String {
    match found {
        "" => String::new(),
        found => format!(": `{found}`"),
    }
}

/// The reason why an accepted answer is not a page.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPage {
    #[error("the answer has no list of items: `{place}` {}", .found.as_str())]
    NoList { place: String, found: Found },
    #[error("the answer has no item: `{place}` {}", .found.as_str())]
    NoItem { place: String, found: Found },
    #[error("the answer does not name its subject: `{place}` {}", .found.as_str())]
    NoSubject { place: String, found: Found },
    #[error("the answer is about {}{about}, not {asked}", if *.is_note { "note " } else { "" })]
    OtherSubject {
        is_note: bool,
        about: String,
        asked: String,
    },
}

impl NoPage {
    /// Returns the class for the ledger.
    pub fn class(&self) -> CallClass {
        match self {
            NoPage::OtherSubject { .. } => CallClass::Mismatch,
            NoPage::NoList { .. } | NoPage::NoItem { .. } | NoPage::NoSubject { .. } => {
                CallClass::Invalid
            }
        }
    }
}

/// The value found in place of a list of items, of an object or of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    Nothing,
    Null,
    NoObject,
    EmptyObject,
    NoList,
    Blank,
    NoId,
}

impl Found {
    fn as_str(self) -> &'static str {
        match self {
            Found::Nothing => "is missing",
            Found::Null => "is null",
            Found::NoObject => "is not an object",
            Found::EmptyObject => "is an empty object",
            Found::NoList => "is not a list",
            Found::Blank => "is blank",
            Found::NoId => "is neither a text nor a whole number",
        }
    }
}

/// Maximum length, in characters, of a text that is kept from an answer.
const MAX_WORDS: usize = 500;

/// Shortens a text to [`MAX_WORDS`] characters. The last one is an ellipsis if text was cut.
fn shortened(text: String) -> String {
    if text.chars().nth(MAX_WORDS).is_none() {
        return text;
    }
    text.chars().take(MAX_WORDS - 1).chain(['…']).collect()
}

/// Requirement that an answer states its subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    Required,
    Optional,
}

/// Summary of a page, for the rules that decide whether to request the next one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PageSummary {
    pub item_count: u64,
    /// Ids of the items that have one.
    pub ids: Vec<String>,
    /// Publication times in Unix seconds, of the items that state one.
    pub published: Vec<i64>,
}

impl Envelope {
    /// Reads a body, given as UTF-8. If the body is not JSON, only `flaw` is set.
    pub fn read(body: &[u8], source: &Source) -> Self {
        let body = String::from_utf8_lossy(body);
        let text = body.trim_start_matches('\u{feff}').trim();
        let mut root = match serde_json::from_str(text) {
            Ok(raw) => Lazy::new(raw),
            Err(error) => {
                return Envelope {
                    flaw: Some(Flaw::of(&body, text, &error)),
                    ..Envelope::default()
                };
            }
        };
        let declared = &source.envelope;
        let message = declared.message.iter().find_map(|path| {
            let text = root.at(path).and_then(scalar)?;
            (!text.trim().is_empty()).then_some(text)
        });
        let mut scalar = |path: &str| root.at(path).and_then(scalar);
        Envelope {
            code: scalar(&declared.code),
            message,
            request_id: declared.request_id.as_deref().and_then(scalar),
            flaw: None,
            body: text.to_owned(),
        }
    }

    /// Hides the secrets of the mask, which an answer may repeat in any escaping, and shortens the
    /// texts that are kept. Masking comes first, because a token cut in two would not be found.
    pub fn masked(self, mask: Option<&Mask>) -> Self {
        let hide = |text: String| mask.map_or_else(|| text.clone(), |mask| mask.text(&text));
        let keep = |text: Option<String>| text.map(hide).map(shortened);
        Envelope {
            code: self.code.map(shortened),
            message: keep(self.message),
            request_id: keep(self.request_id),
            flaw: self.flaw,
            body: self.body,
        }
    }

    /// Returns the items of an accepted answer. An answer of a paginated endpoint without data is
    /// an empty page.
    ///
    /// # Errors
    /// The answer is not a page: it has data without the list, it is an answer of one item without
    /// the item or its id, or it is about another subject than the request.
    pub fn summary(&self, endpoint: &Endpoint, search: &Search) -> Result<PageSummary, NoPage> {
        let summary = self.items(endpoint)?;
        match endpoint.pagination.kind {
            PaginationKind::Single => self.check_subject(endpoint, search, Subject::Required)?,
            PaginationKind::Page => self.check_subject(endpoint, search, Subject::Optional)?,
        }
        Ok(summary)
    }

    /// Checks the subject of an answer that reports the requested object as gone.
    ///
    /// # Errors
    /// The answer is about another subject.
    pub fn check_gone(&self, endpoint: &Endpoint, search: &Search) -> Result<(), NoPage> {
        self.check_subject(endpoint, search, Subject::Optional)
    }

    /// Returns the items of an accepted answer, without checking its subject.
    fn items(&self, endpoint: &Endpoint) -> Result<PageSummary, NoPage> {
        let pagination = &endpoint.pagination;
        let Some(path) = &pagination.items else {
            if let Some(place) = &pagination.item {
                self.check_item(place)?;
            }
            return Ok(PageSummary {
                item_count: 1,
                ..PageSummary::default()
            });
        };
        let no_list = |place: &str, found| NoPage::NoList {
            place: if place.is_empty() { "/" } else { place }.to_owned(),
            found,
        };
        let root = serde_json::from_str(&self.body);
        let mut value: &RawValue = root.map_err(|_| no_list("", Found::NoObject))?;
        let mut place = String::new();
        for key in path.split('/').skip(1) {
            let members = members(value).ok_or_else(|| no_list(&place, Found::NoObject))?;
            place = format!("{place}/{key}");
            let member = members.get(key);
            value = member.ok_or_else(|| no_list(&place, Found::Nothing))?.raw;
            if value.get() == "null" {
                return Ok(PageSummary::default());
            }
        }
        let items: Vec<&RawValue> =
            serde_json::from_str(value.get()).map_err(|_| no_list(&place, Found::NoList))?;
        let mut summary = PageSummary {
            item_count: items.len() as u64,
            ..PageSummary::default()
        };
        for mut item in items.into_iter().map(Lazy::new) {
            let id = |path: &String| item.at(path).and_then(scalar);
            let item_id = pagination.item_id.iter().find_map(id);
            summary.ids.extend(item_id.filter(|id| !is_blank(id)));
            let published = pagination.item_published_s.as_deref();
            let published = published.and_then(|path| item.at(path)).and_then(scalar);
            let seconds = published.and_then(|text| text.parse::<i64>().ok());
            // 0 means that no time is given.
            summary
                .published
                .extend(seconds.filter(|seconds| *seconds > 0));
        }
        Ok(summary)
    }

    /// Checks that there is a non-empty object at a place.
    fn check_item(&self, place: &str) -> Result<(), NoPage> {
        let root = serde_json::from_str(&self.body).map(Lazy::new);
        let found = match root.ok().and_then(|mut root| root.at(place)) {
            None => Found::Nothing,
            Some(raw) if raw.get() == "null" => Found::Null,
            Some(raw) => match members(raw) {
                None => Found::NoObject,
                Some(members) if members.is_empty() => Found::EmptyObject,
                Some(_) => return Ok(()),
            },
        };
        let place = place.to_owned();
        Err(NoPage::NoItem { place, found })
    }

    /// Compares the subject that the answer states with the requested one.
    fn check_subject(
        &self,
        endpoint: &Endpoint,
        search: &Search,
        subject: Subject,
    ) -> Result<(), NoPage> {
        let mut root = serde_json::from_str(&self.body).ok().map(Lazy::new);
        for (name, place) in &endpoint.about {
            let Some(param) = endpoint.params.get(&name.value) else {
                continue;
            };
            let Some(asked) = search.value_of(name, param) else {
                continue;
            };
            let value = root.as_mut().and_then(|root| root.at(place));
            match value.map_or(Err(Found::Nothing), id) {
                Ok(about) if about == asked => {}
                Ok(about) => {
                    return Err(NoPage::OtherSubject {
                        is_note: param.from == Some(ParamFrom::NoteId),
                        about: shortened(about),
                        asked: asked.to_owned(),
                    });
                }
                Err(Found::Nothing | Found::Null) if subject == Subject::Optional => {}
                Err(found) => {
                    let place = place.clone();
                    return Err(NoPage::NoSubject { place, found });
                }
            }
        }
        Ok(())
    }
}

impl Flaw {
    /// Returns the flaw of `text`, which is `body` without surrounding whitespace. `error` is the
    /// parse error of `text`.
    fn of(body: &str, text: &str, error: &serde_json::Error) -> Self {
        if text.is_empty() {
            return Flaw::Empty;
        }
        let begins = |with: &str| {
            let start = text.get(..with.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(with))
        };
        if ["<!doctype html", "<html", "<head", "<body"]
            .into_iter()
            .any(begins)
        {
            return Flaw::Html;
        }
        let before = text.as_ptr().addr() - body.as_ptr().addr();
        let place = offset(text, error.line(), error.column());
        // A complete value is followed by the end of the text or by trailing text.
        let mut values = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
        if values.next().is_some_and(|first| first.is_ok()) {
            let end = values.byte_offset();
            let rest = text[end..].trim_start();
            let at = text.len() - rest.len();
            return Flaw::Trailing {
                at: before + at,
                found: word(rest),
            };
        }
        if error.classify() == Category::Eof {
            return Flaw::CutOff {
                at: before + text.len(),
            };
        }
        // For a control character in a string, the reported position is before the character.
        let is_control = error.to_string().starts_with("control character");
        let control = text[place..].find(char::is_control);
        let place = place + control.filter(|_| is_control).unwrap_or_default();
        // The invalid word begins before the letter at which parsing failed.
        let start = if text[place..].starts_with(is_of_word) {
            text[..place].trim_end_matches(is_of_word).len()
        } else {
            place
        };
        Flaw::Invalid {
            at: before + start,
            found: word(&text[start..]),
        }
    }
}

/// Converts a line and a column in bytes, both from 1, to a byte offset.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let lines = text.split_inclusive('\n').take(line.saturating_sub(1));
    let at = lines.map(str::len).sum::<usize>() + column.saturating_sub(1);
    let mut boundaries = (0..=at.min(text.len())).rev();
    let boundary = boundaries.find(|at| text.is_char_boundary(*at));
    boundary.expect("0 is a boundary")
}

fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.' | '_')
}

/// Returns the first word of a text, or else its first character; at most 20 characters.
fn word(text: &str) -> String {
    let word: String = text
        .chars()
        .take_while(|c| is_of_word(*c))
        .take(20)
        .collect();
    if word.is_empty() {
        // Control characters, such as line breaks, are escaped in messages.
        return match text.chars().next() {
            Some(c) if c.is_control() => c.escape_default().to_string(),
            first => first.into_iter().collect(),
        };
    }
    word
}

/// A JSON value whose members are parsed on first access and then cached.
struct Lazy<'a> {
    raw: &'a RawValue,
    members: Option<HashMap<String, Lazy<'a>>>,
}

impl<'a> Lazy<'a> {
    fn new(raw: &'a RawValue) -> Self {
        Lazy { raw, members: None }
    }

    /// Returns the value at a JSON pointer that passes through objects only.
    fn at(&mut self, pointer: &str) -> Option<&'a RawValue> {
        let mut value = self;
        for key in pointer.split('/').skip(1) {
            let raw = value.raw;
            let members = value
                .members
                .get_or_insert_with(|| members(raw).unwrap_or_default());
            value = members.get_mut(key)?;
        }
        Some(value.raw)
    }
}

fn members<'a>(object: &'a RawValue) -> Option<HashMap<String, Lazy<'a>>> {
    let members: HashMap<String, &RawValue> = serde_json::from_str(object.get()).ok()?;
    let lazy = members.into_iter().map(|(key, raw)| (key, Lazy::new(raw)));
    Some(lazy.collect())
}

/// Returns an id as text: a non-blank string, or the digits of a whole number.
fn id(value: &RawValue) -> Result<String, Found> {
    match scalar(value) {
        Some(text) if is_blank(&text) => Err(Found::Blank),
        Some(text) if value.get().starts_with('"') || is_whole(&text) => Ok(text),
        None if value.get() == "null" => Err(Found::Null),
        Some(_) | None => Err(Found::NoId),
    }
}

/// True if a number is written with digits and an optional sign only.
fn is_whole(number: &str) -> bool {
    let digits = number.strip_prefix('-').unwrap_or(number);
    digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn scalar(value: &RawValue) -> Option<String> {
    let text = value.get();
    match text.as_bytes().first()? {
        b'"' => serde_json::from_str(text).ok(),
        // Numbers are kept as written, because a float would round an id with many digits.
        b'-' | b'0'..=b'9' => Some(text.to_owned()),
        _ => None,
    }
}
