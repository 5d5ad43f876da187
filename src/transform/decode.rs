//! Walking an answer once: captured values go into frames, unknown keys into drift.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::drift::{Drift, Kind};
use super::mapping::{KeyNode, Loop, NodeId, Program, ROOT};

/// A value as it stands in an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Scalar<'a> {
    /// The key is not there, or its value is null.
    #[default]
    Absent,
    Bool(bool),
    Int(i64),
    /// Larger than an `i64`.
    Uint(u64),
    Float(f64),
    Text(Cow<'a, str>),
    /// A list or an object where a value was expected.
    Nested(&'static str),
}

/// The values captured in one element of a list, and the frames of the lists inside it.
#[derive(Debug, Default)]
pub struct Frame<'a> {
    pub slots: Vec<Scalar<'a>>,
    pub loops: Vec<Vec<Frame<'a>>>,
    /// The key of a value, where a loop goes over an object.
    pub key: Option<String>,
}

/// What is left of a page after the walk.
#[derive(Debug)]
pub struct Walked<'a> {
    pub frame: Frame<'a>,
    /// Whether the list of items was there, or the answer had no data at all.
    pub has_items: bool,
}

/// Walks a body.
///
/// # Errors
/// The body is no JSON.
pub fn walk<'a>(
    program: &Program,
    body: &'a str,
    drift: &mut Drift,
) -> Result<Walked<'a>, serde_json::Error> {
    let mut frame = new_frame(program, 0);
    let mut walk = Walk {
        program,
        drift,
        has_items: program.items.is_empty(),
    };
    let mut json = serde_json::Deserializer::from_str(body);
    Step {
        walk: &mut walk,
        node: ROOT,
        frame: &mut frame,
    }
    .deserialize(&mut json)?;
    json.end()?;
    let has_items = walk.has_items;
    Ok(Walked { frame, has_items })
}

/// The body with U+FFFD for every half of a surrogate pair that stands alone, if there is one: a
/// text cut in the middle of an emoji must not cost the page it stands on.
pub fn without_lone_surrogates(body: &str) -> Option<String> {
    let unit = |at: usize| {
        let hex = body.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(hex, 16).ok()
    };
    let mut repaired = String::with_capacity(body.len());
    let mut changed = false;
    let mut at = 0;
    while let Some(found) = body[at..].find('\\') {
        let escape = at + found;
        repaired.push_str(&body[at..escape]);
        let (len, lone) = match (unit(escape), unit(escape + 6)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => (12, false),
            (Some(0xD800..=0xDFFF), _) => (6, true),
            (Some(_), _) => (6, false),
            (None, _) => (2, false),
        };
        // An escape is ASCII, but what follows a stray backslash need not be.
        let end = (escape + len..body.len()).find(|end| body.is_char_boundary(*end));
        let end = end.unwrap_or(body.len());
        repaired.push_str(if lone { "\\ufffd" } else { &body[escape..end] });
        changed |= lone;
        at = end;
    }
    repaired.push_str(&body[at..]);
    changed.then_some(repaired)
}

fn new_frame<'a>(program: &Program, scope: usize) -> Frame<'a> {
    let scope = &program.scopes[scope];
    Frame {
        slots: vec![Scalar::Absent; scope.slots],
        loops: (0..scope.loops).map(|_| Vec::new()).collect(),
        key: None,
    }
}

struct Walk<'w> {
    program: &'w Program,
    drift: &'w mut Drift,
    has_items: bool,
}

/// One value, to be read as `node` says, into `frame`.
struct Step<'s, 'w, 'a> {
    walk: &'s mut Walk<'w>,
    node: NodeId,
    frame: &'s mut Frame<'a>,
}

impl<'w, 'a> Step<'_, 'w, 'a> {
    fn node(&self) -> &'w KeyNode {
        &self.walk.program.nodes[self.node]
    }

    /// A value that is no list and no object.
    fn scalar(self, value: Scalar<'a>) {
        let node = self.node();
        let null = value == Scalar::Absent;
        if !null && (!node.children.is_empty() || node.each.is_some()) {
            self.walk
                .drift
                .count(&node.path, Kind::TypeChanged, value.type_name());
        }
        // An answer without data is an empty page; data without a list is not.
        self.walk.has_items |= null && self.walk.program.items.contains(&self.node);
        if let Some(slot) = node.presence {
            self.frame.slots[slot] = if null {
                Scalar::Absent
            } else {
                Scalar::Bool(true)
            };
        }
        if let Some(slot) = node.value {
            self.frame.slots[slot] = value;
        }
    }

    /// A list or an object where the contract may know only a value.
    fn nested(&mut self, kind: &'static str, expected: bool) {
        let node = self.node();
        if let Some(slot) = node.presence {
            self.frame.slots[slot] = Scalar::Bool(true);
        }
        if !expected {
            self.walk.drift.count(&node.path, Kind::TypeChanged, kind);
            if let Some(slot) = node.value {
                self.frame.slots[slot] = Scalar::Nested(kind);
            }
        }
    }

    fn element(&mut self, looped: Loop, key: Option<String>) -> (NodeId, Frame<'a>) {
        let mut frame = new_frame(self.walk.program, looped.scope);
        frame.key = key;
        (looped.element, frame)
    }
}

impl<'a> DeserializeSeed<'a> for Step<'_, '_, 'a> {
    type Value = ();
    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Step<'_, '_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.scalar(Scalar::Absent);
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.scalar(Scalar::Bool(value));
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.scalar(Scalar::Int(value));
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.scalar(i64::try_from(value).map_or(Scalar::Uint(value), Scalar::Int));
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.scalar(Scalar::Float(value));
        Ok(())
    }

    fn visit_borrowed_str<E>(self, value: &'a str) -> Result<(), E> {
        self.scalar(Scalar::Text(Cow::Borrowed(value)));
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.scalar(Scalar::Text(Cow::Owned(value.to_owned())));
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'a>>(mut self, mut seq: A) -> Result<(), A::Error> {
        let node = self.node();
        let looped = node.each.filter(|_| !node.over_keys);
        self.nested("array", looped.is_some() || node.length.is_some());
        self.walk.has_items |= self.walk.program.items.last() == Some(&self.node);
        let mut length = 0;
        match looped {
            Some(looped) => loop {
                let (node, mut frame) = self.element(looped, None);
                let step = Step {
                    walk: self.walk,
                    node,
                    frame: &mut frame,
                };
                if seq.next_element_seed(step)?.is_none() {
                    break;
                }
                self.frame.loops[looped.at].push(frame);
                length += 1;
            },
            None => {
                while seq.next_element::<IgnoredAny>()?.is_some() {
                    length += 1;
                }
            }
        }
        if let Some(slot) = node.length {
            self.frame.slots[slot] = Scalar::Int(length);
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'a>>(mut self, mut map: A) -> Result<(), A::Error> {
        let node = self.node();
        self.nested("object", !node.children.is_empty() || node.over_keys);
        let over_keys = node.each.filter(|_| node.over_keys);
        while let Some(key) = map.next_key_seed(KeySeed(node))? {
            match (key, over_keys) {
                (Key::Known(child), _) if self.walk.program.nodes[child].left_out => {
                    map.next_value::<IgnoredAny>()?;
                }
                (Key::Known(node), _) => {
                    map.next_value_seed(Step {
                        walk: self.walk,
                        node,
                        frame: self.frame,
                    })?;
                }
                (Key::Unknown(key), Some(looped)) => {
                    let (node, mut frame) = self.element(looped, Some(key));
                    let step = Step {
                        walk: self.walk,
                        node,
                        frame: &mut frame,
                    };
                    map.next_value_seed(step)?;
                    self.frame.loops[looped.at].push(frame);
                }
                (Key::Unknown(key), None) => {
                    let kind = map.next_value::<TypeOnly>()?.0;
                    let path = format!("{}/{key}", node.path);
                    self.walk.drift.count(&path, Kind::UnknownField, kind);
                }
            }
        }
        Ok(())
    }
}

/// A key, looked up without being copied.
enum Key {
    Known(NodeId),
    Unknown(String),
}

struct KeySeed<'w>(&'w KeyNode);

impl<'a> DeserializeSeed<'a> for KeySeed<'_> {
    type Value = Key;
    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Key, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed<'_> {
    type Value = Key;
    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a key")
    }
    fn visit_str<E>(self, key: &str) -> Result<Key, E> {
        let known = self.0.children.get(key);
        Ok(known.map_or_else(|| Key::Unknown(key.to_owned()), |node| Key::Known(*node)))
    }
}

/// The JSON type of a value that nothing else is wanted of.
struct TypeOnly(&'static str);

impl<'a> serde::Deserialize<'a> for TypeOnly {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        struct TypeVisitor;
        impl<'a> Visitor<'a> for TypeVisitor {
            type Value = TypeOnly;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("any JSON value")
            }
            fn visit_unit<E>(self) -> Result<TypeOnly, E> {
                Ok(TypeOnly("null"))
            }
            fn visit_bool<E>(self, _: bool) -> Result<TypeOnly, E> {
                Ok(TypeOnly("boolean"))
            }
            fn visit_i64<E>(self, _: i64) -> Result<TypeOnly, E> {
                Ok(TypeOnly("integer"))
            }
            fn visit_u64<E>(self, _: u64) -> Result<TypeOnly, E> {
                Ok(TypeOnly("integer"))
            }
            fn visit_f64<E>(self, _: f64) -> Result<TypeOnly, E> {
                Ok(TypeOnly("number"))
            }
            fn visit_str<E>(self, _: &str) -> Result<TypeOnly, E> {
                Ok(TypeOnly("string"))
            }
            fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<TypeOnly, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(TypeOnly("array"))
            }
            fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<TypeOnly, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(TypeOnly("object"))
            }
        }
        deserializer.deserialize_any(TypeVisitor)
    }
}

impl Scalar<'_> {
    /// The JSON type's name, as drift reports it.
    fn type_name(&self) -> &'static str {
        match self {
            Scalar::Absent => "null",
            Scalar::Bool(_) => "boolean",
            Scalar::Int(_) | Scalar::Uint(_) => "integer",
            Scalar::Float(_) => "number",
            Scalar::Text(_) => "string",
            Scalar::Nested(kind) => kind,
        }
    }
}
