//! serde deserializer over a located tree: every error has a place.

use std::fmt;

use serde::Deserializer;
use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeSeed, IntoDeserializer, Unexpected, Visitor};

use crate::spec::yaml::diagnostic::{ByteSpan, nearest};
use crate::spec::yaml::document::{SPANNED, WRITTEN};
use crate::spec::yaml::node::{Node, NodeKind, is_null};

/// Error of a tree that has no value of the expected type, with its place.
#[derive(Debug)]
pub struct DecodeError {
    pub message: String,
    pub hint: Option<String>,
    pub span: Option<ByteSpan>,
    /// True if a key is missing. It may be missing because decoding removed it.
    pub missing: bool,
    /// The unknown variant name, if the error is about one.
    unknown: Option<String>,
}

impl DecodeError {
    fn new(message: String, hint: Option<String>) -> Self {
        DecodeError {
            message,
            hint,
            span: None,
            missing: false,
            unknown: None,
        }
    }

    /// Adds a place if there is none: the innermost place wins over those of outer levels.
    fn at(mut self, span: &ByteSpan) -> Self {
        self.span.get_or_insert_with(|| span.clone());
        self
    }

    /// Changes an unknown value into an unknown key.
    fn of_key(mut self) -> Self {
        if let Some(word) = &self.unknown {
            self.message = unknown("key", word);
        }
        self
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for DecodeError {}

impl de::Error for DecodeError {
    /// Splits the message at `; `: the rest is the hint.
    fn custom<T: fmt::Display>(message: T) -> Self {
        let message = message.to_string();
        match message.split_once("; ") {
            Some((message, hint)) => DecodeError::new(message.to_owned(), Some(hint.to_owned())),
            None => DecodeError::new(message, None),
        }
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let wanted = wanted(expected);
        let limits = matches!(found, Unexpected::Unsigned(_) | Unexpected::Signed(_));
        let wanted = match limits.then(|| range(expected)).flatten() {
            Some(range) => range,
            None => wanted,
        };
        let text = match found {
            Unexpected::Str(text) => Some(text),
            _ => None,
        };
        let found = match found {
            Unexpected::Bool(value) => Some(format!("`{value}`")),
            Unexpected::Unsigned(value) => Some(format!("`{value}`")),
            Unexpected::Signed(value) => Some(format!("`{value}`")),
            Unexpected::Float(value) => Some(format!("`{value}`")),
            Unexpected::Str(text) => Some(format!("`{text}`")),
            Unexpected::Char(text) => Some(format!("`{text}`")),
            Unexpected::Seq => Some("a list".to_owned()),
            Unexpected::Map => Some("a mapping".to_owned()),
            Unexpected::Unit | Unexpected::Option => None,
            _ => Some("something else".to_owned()),
        };
        let hint = text.and_then(punctuation).unwrap_or_else(|| match text {
            Some(text) if wanted.starts_with(LIST) => format!("write `[{text}]`"),
            _ => format!("write {wanted}"),
        });
        DecodeError::new(needed(&wanted, found.as_deref()), Some(hint))
    }

    fn invalid_length(_: usize, expected: &dyn de::Expected) -> Self {
        let wanted = wanted(expected);
        let hint = format!("write {wanted}");
        DecodeError::new(format!("{wanted} is needed here"), Some(hint))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        DecodeError::new(unknown("key", field), Some(choose(field, expected)))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        DecodeError {
            unknown: Some(variant.to_owned()),
            ..DecodeError::new(unknown("value", variant), Some(choose(variant, expected)))
        }
    }

    fn missing_field(field: &'static str) -> Self {
        DecodeError {
            missing: true,
            ..DecodeError::new(
                format!("the key `{field}` is missing here"),
                Some(format!("add `{field}:`")),
            )
        }
    }

    fn duplicate_field(field: &'static str) -> Self {
        let hint = "remove one of them".to_owned();
        DecodeError::new(format!("duplicate key `{field}`"), Some(hint))
    }
}

fn unknown(what: &str, word: &str) -> String {
    format!("unknown {what} `{word}`")
}

/// Returns the hint for a misspelt word.
fn choose(word: &str, expected: &[&str]) -> String {
    if let Some(hint) = punctuation(word) {
        return hint;
    }
    match nearest(word, expected.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if expected.is_empty() => "remove it: no key belongs here".to_owned(),
        None => format!("use one of: {}", expected.join(", ")),
    }
}

/// Returns the hint for a text with a colon or comma that YAML does not recognize.
fn punctuation(text: &str) -> Option<String> {
    if text.contains('：') {
        return Some(
            "`：` is a full-width colon: write `: `, an ASCII colon and a space".to_owned(),
        );
    }
    if text.contains(['，', '、']) {
        return Some(
            "`，` and `、` are not separators: write `, `, an ASCII comma and a space".to_owned(),
        );
    }
    let (key, _) = text.split_once(':')?;
    let is_key = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_key.then(|| format!("write a space after the colon: `{key}: …`"))
}

/// Returns the name of an expected type, in words for users.
fn wanted(expected: &dyn de::Expected) -> String {
    let expected = expected.to_string();
    match expected.as_str() {
        "u8" | "u16" | "u32" | "u64" | "usize" | "i8" | "i16" | "i32" | "i64" | "isize" => {
            WHOLE.to_owned()
        }
        "f32" | "f64" => NUMBER.to_owned(),
        "a boolean" => SWITCH.to_owned(),
        "a string" | "path string" => TEXT.to_owned(),
        "a sequence" => LIST.to_owned(),
        "a map" => MAPPING.to_owned(),
        "variant identifier" | "field identifier" => "a word".to_owned(),
        other if other.starts_with("struct ") => MAPPING.to_owned(),
        other if other.starts_with("enum ") || other.contains(" enum ") => "a word".to_owned(),
        other => other.to_owned(),
    }
}

const WHOLE: &str = "a whole number";
const NUMBER: &str = "a number";
const SWITCH: &str = "true or false";
const TEXT: &str = "a text";
const LIST: &str = "a list";
const MAPPING: &str = "a mapping (`key: value`)";

/// Returns the range of an expected unsigned type, in words; `None` for any other type.
fn range(expected: &dyn de::Expected) -> Option<String> {
    let largest = match expected.to_string().as_str() {
        "u8" => u64::from(u8::MAX),
        "u16" => u64::from(u16::MAX),
        "u32" => u64::from(u32::MAX),
        "u64" | "usize" => u64::MAX,
        _ => return None,
    };
    Some(format!("{WHOLE} from 0 to {largest}"))
}

fn needed(wanted: &str, found: Option<&str>) -> String {
    match found {
        Some(found) => format!("{wanted} is needed here, not {found}"),
        None => format!("{wanted} is needed here, and nothing is written"),
    }
}

/// Returns the error of a value of a wrong type.
fn mismatch(node: &Node, wanted: &str) -> DecodeError {
    let found = match &node.kind {
        NodeKind::Plain(text) if text.is_empty() => None,
        NodeKind::Plain(text) => Some(format!("`{text}`")),
        NodeKind::Quoted(text) => Some(format!("the text `{text}`")),
        NodeKind::Seq(_) => Some("a list".to_owned()),
        NodeKind::Map(_) => Some("a mapping".to_owned()),
    };
    let hint = mend(node, wanted);
    DecodeError::new(needed(wanted, found.as_deref()), Some(hint)).at(&node.span)
}

/// Returns the hint for a value of a wrong type.
fn mend(node: &Node, wanted: &str) -> String {
    if let Some(hint) = node.text().and_then(punctuation) {
        return hint;
    }
    let is_list = wanted.starts_with(LIST);
    match &node.kind {
        NodeKind::Plain(text) if text.is_empty() => {
            format!("write {wanted}, or remove the line")
        }
        NodeKind::Plain(text) | NodeKind::Quoted(text) if is_list => format!("write `[{text}]`"),
        NodeKind::Quoted(text) if fits(text, wanted) => "remove the quotes".to_owned(),
        NodeKind::Plain(text) | NodeKind::Quoted(text) if wanted == WHOLE || wanted == NUMBER => {
            let digits: String = text
                .chars()
                .filter(|c| !matches!(c, '_' | ',' | ' '))
                .collect();
            if fits(&digits, wanted) {
                format!("write {digits}")
            } else {
                format!(
                    "write {wanted}, such as {}",
                    if wanted == WHOLE { "3" } else { "0.5" }
                )
            }
        }
        NodeKind::Map(_) if wanted == TEXT => {
            "put the text in quotes if `: ` belongs to it".to_owned()
        }
        NodeKind::Seq(_) if wanted == TEXT => "write one text, without [ ] or `- `".to_owned(),
        _ => format!("write {wanted}"),
    }
}

fn fits(text: &str, wanted: &str) -> bool {
    match wanted {
        WHOLE => whole(text).is_some(),
        NUMBER => number(text).is_some(),
        SWITCH => switch(text).is_some(),
        _ => false,
    }
}

/// A whole number without quotes.
enum Whole {
    Unsigned(u64),
    Signed(i64),
}

fn whole(text: &str) -> Option<Whole> {
    match (text.parse(), text.parse()) {
        (Ok(value), _) => Some(Whole::Unsigned(value)),
        (_, Ok(value)) => Some(Whole::Signed(value)),
        _ => None,
    }
}

fn number(text: &str) -> Option<f64> {
    let is_number = text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
    let value = text.parse::<f64>().ok().filter(|value| value.is_finite());
    value.filter(|_| is_number)
}

/// Parses YAML's words for true and false, those of YAML 1.1 included.
fn switch(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "y" => Some(true),
        "false" | "no" | "off" | "n" => Some(false),
        _ => None,
    }
}

impl Node {
    fn visit_whole<'de, V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, DecodeError> {
        let value = match &self.kind {
            NodeKind::Plain(text) => whole(text),
            _ => None,
        };
        match value {
            Some(Whole::Unsigned(value)) => visitor.visit_u64(value),
            Some(Whole::Signed(value)) => visitor.visit_i64(value),
            None => Err(mismatch(self, WHOLE)),
        }
        .map_err(|e: DecodeError| e.at(&self.span))
    }

    fn visit_number<'de, V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, DecodeError> {
        let value = match &self.kind {
            NodeKind::Plain(text) => number(text),
            _ => None,
        };
        match value {
            Some(value) => visitor.visit_f64(value),
            None => Err(mismatch(self, NUMBER)),
        }
        .map_err(|e: DecodeError| e.at(&self.span))
    }

    /// Visits lists and mappings as they are, and scalars through `scalar`.
    fn visit<'de, V: Visitor<'de>>(
        &self,
        visitor: V,
        scalar: impl FnOnce(V, &str, bool) -> Result<V::Value, DecodeError>,
    ) -> Result<V::Value, DecodeError> {
        match &self.kind {
            NodeKind::Plain(text) => scalar(visitor, text, true),
            NodeKind::Quoted(text) => scalar(visitor, text, false),
            NodeKind::Seq(items) => visitor.visit_seq(Items(items.iter())),
            NodeKind::Map(entries) => visitor.visit_map(Entries {
                rest: entries.iter(),
                value: None,
            }),
        }
        .map_err(|e| e.at(&self.span))
    }
}

impl<'de> Deserializer<'de> for &Node {
    type Error = DecodeError;

    /// Applies the rules of YAML, since no type is expected.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.visit(visitor, |visitor, text, is_plain| {
            if !is_plain {
                return visitor.visit_str(text);
            }
            match (is_null(text), text, whole(text), number(text)) {
                (true, ..) => visitor.visit_unit(),
                (_, "true" | "True" | "TRUE", ..) => visitor.visit_bool(true),
                (_, "false" | "False" | "FALSE", ..) => visitor.visit_bool(false),
                (_, _, Some(Whole::Unsigned(value)), _) => visitor.visit_u64(value),
                (_, _, Some(Whole::Signed(value)), _) => visitor.visit_i64(value),
                (_, _, None, Some(value)) => visitor.visit_f64(value),
                (_, _, None, None) => visitor.visit_str(text),
            }
        })
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match &self.kind {
            NodeKind::Plain(text) if text.is_empty() => Err(mismatch(self, TEXT)),
            NodeKind::Plain(text) | NodeKind::Quoted(text) => visitor.visit_str(text),
            NodeKind::Seq(_) | NodeKind::Map(_) => Err(mismatch(self, TEXT)),
        }
        .map_err(|e: DecodeError| e.at(&self.span))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let value = match &self.kind {
            NodeKind::Plain(text) => switch(text),
            _ => None,
        };
        match value {
            Some(value) => visitor.visit_bool(value),
            None => Err(mismatch(self, SWITCH)),
        }
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.visit_whole(visitor)
    }

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.visit_whole(visitor)
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.visit_whole(visitor)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.visit_whole(visitor)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.visit_whole(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.visit_number(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.kind {
            NodeKind::Seq(_) => self.deserialize_any(visitor),
            _ => Err(mismatch(self, LIST)),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.kind {
            NodeKind::Map(_) => self.deserialize_any(visitor),
            _ => Err(mismatch(self, MAPPING)),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_map(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if self.is_null() {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match name {
            SPANNED => visitor.visit_seq(Located {
                node: self,
                step: 0,
            }),
            WRITTEN if matches!(&self.kind, NodeKind::Plain(text) if text.is_empty()) => {
                Err(mismatch(self, &expectation(&visitor)))
            }
            WRITTEN => self.visit(visitor, |visitor, text, _| visitor.visit_str(text)),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        let one_of = format!("one of the words {}", variants.join(", "));
        let word = match &self.kind {
            NodeKind::Plain(text) if text.is_empty() => return Err(mismatch(self, &one_of)),
            NodeKind::Plain(text)
                if variants.contains(&"yes") && !variants.contains(&text.as_str()) =>
            {
                match switch(text) {
                    Some(true) => "yes",
                    Some(false) => "no",
                    None => text,
                }
            }
            NodeKind::Plain(text) | NodeKind::Quoted(text) => text,
            NodeKind::Seq(_) | NodeKind::Map(_) => return Err(mismatch(self, &one_of)),
        };
        let word: StrDeserializer<DecodeError> = word.into_deserializer();
        visitor.visit_enum(word).map_err(|e| e.at(&self.span))
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i128 u128 f32 char bytes byte_buf
        unit unit_struct tuple tuple_struct ignored_any
    }
}

/// Returns what a visitor expects, in words for users.
fn expectation<'de, V: Visitor<'de>>(visitor: &V) -> String {
    let expected: &dyn de::Expected = visitor;
    wanted(expected)
}

/// The three parts of a [`Spanned`]: start, end, value.
struct Located<'a> {
    node: &'a Node,
    step: u8,
}

impl<'de> de::SeqAccess<'de> for Located<'_> {
    type Error = DecodeError;
    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, DecodeError> {
        self.step += 1;
        match self.step {
            1 => seed.deserialize(self.node.span.start.into_deserializer()),
            2 => seed.deserialize(self.node.span.end.into_deserializer()),
            _ => seed
                .deserialize(self.node)
                .map_err(|e| e.at(&self.node.span)),
        }
        .map(Some)
    }
}

struct Items<'a>(std::slice::Iter<'a, Node>);

impl<'de> de::SeqAccess<'de> for Items<'_> {
    type Error = DecodeError;
    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, DecodeError> {
        let Some(node) = self.0.next() else {
            return Ok(None);
        };
        seed.deserialize(node)
            .map(Some)
            .map_err(|e| e.at(&node.span))
    }
}

struct Entries<'a> {
    rest: std::slice::Iter<'a, (Node, Node)>,
    value: Option<&'a Node>,
}

impl<'de> de::MapAccess<'de> for Entries<'_> {
    type Error = DecodeError;
    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, DecodeError> {
        let Some((key, value)) = self.rest.next() else {
            return Ok(None);
        };
        self.value = Some(value);
        seed.deserialize(key)
            .map(Some)
            .map_err(|e| e.of_key().at(&key.span))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<S::Value, DecodeError> {
        let Some(node) = self.value.take() else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        seed.deserialize(node).map_err(|e| e.at(&node.span))
    }
}
