//! serde over a located tree: every error knows its place.

use std::fmt;

use serde::Deserializer;
use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeSeed, IntoDeserializer, Visitor};

use super::diagnostic::nearest;
use super::yaml::{Kind, Node, SPANNED, Span};

/// Why a tree has no value of the wanted type, and where.
#[derive(Debug)]
pub struct DecodeError {
    pub message: String,
    pub hint: Option<String>,
    pub span: Option<Span>,
    /// Whether a key is missing, which may be because it was taken out.
    pub missing: bool,
}

impl DecodeError {
    /// The innermost place wins: outer levels only add one where there is none yet.
    fn at(mut self, span: &Span) -> Self {
        self.span.get_or_insert_with(|| span.clone());
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
    fn custom<T: fmt::Display>(message: T) -> Self {
        DecodeError {
            message: message.to_string(),
            hint: None,
            span: None,
            missing: false,
        }
    }

    fn invalid_value(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn invalid_type(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let expected = match expected.to_string().as_str() {
            "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number".to_owned(),
            "f64" => "a number".to_owned(),
            other => other.to_owned(),
        };
        Self::custom(format!("expected {expected}, found {found}"))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        DecodeError {
            hint: Some(choose(field, expected)),
            ..Self::custom(format!("unknown key `{field}`"))
        }
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        DecodeError {
            hint: Some(choose(variant, expected)),
            ..Self::custom(format!("unknown value `{variant}`"))
        }
    }

    fn missing_field(field: &'static str) -> Self {
        DecodeError {
            missing: true,
            ..Self::custom(format!("the key `{field}` is missing here"))
        }
    }
}

/// The hint of a misspelt word.
fn choose(word: &str, expected: &[&str]) -> String {
    match nearest(word, expected.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("use one of: {}", expected.join(", ")),
    }
}

fn mismatch(node: &Node, expected: &dyn de::Expected) -> DecodeError {
    <DecodeError as de::Error>::custom(format!("expected {expected}, found {}", node.kind.name()))
        .at(&node.span)
}

impl<'de> Deserializer<'de> for &Node {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match &self.kind {
            Kind::Null => visitor.visit_unit(),
            Kind::Bool(value) => visitor.visit_bool(*value),
            Kind::Number(text) => match (text.parse::<u64>(), text.parse::<i64>()) {
                (Ok(value), _) => visitor.visit_u64(value),
                (_, Ok(value)) => visitor.visit_i64(value),
                _ => match text.parse::<f64>() {
                    Ok(value) => visitor.visit_f64(value),
                    Err(_) => visitor.visit_str(text),
                },
            },
            Kind::String(value) => visitor.visit_str(value),
            Kind::Seq(items) => visitor.visit_seq(Items(items.iter())),
            Kind::Map(entries) => visitor.visit_map(Entries {
                rest: entries.iter(),
                value: None,
            }),
        }
        .map_err(|e| e.at(&self.span))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match &self.kind {
            // What is written is what is meant: the id 0123, the dialect word `on`.
            Kind::Number(text) | Kind::String(text) => visitor.visit_str(text),
            Kind::Bool(value) => visitor.visit_str(if *value { "true" } else { "false" }),
            _ => return Err(mismatch(self, &"text")),
        }
        .map_err(|e: DecodeError| e.at(&self.span))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.kind {
            Kind::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        if name == SPANNED {
            visitor.visit_seq(Located {
                node: self,
                step: 0,
            })
        } else {
            visitor.visit_newtype_struct(self)
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match &self.kind {
            Kind::Number(text) | Kind::String(text) => {
                let word: StrDeserializer<DecodeError> = text.as_str().into_deserializer();
                visitor.visit_enum(word).map_err(|e| e.at(&self.span))
            }
            Kind::Bool(value) => {
                let word: StrDeserializer<DecodeError> =
                    if *value { "yes" } else { "no" }.into_deserializer();
                visitor.visit_enum(word).map_err(|e| e.at(&self.span))
            }
            _ => Err(mismatch(self, &"a word")),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf
        unit unit_struct seq tuple tuple_struct map struct ignored_any
    }
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
        seed.deserialize(key).map(Some).map_err(|e| e.at(&key.span))
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
