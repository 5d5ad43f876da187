//! Walks an answer once. Captured values go into [`Captures`], unknown keys into drift.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::transform::page::captures::{Captures, FrameId, PAGE, Scalar, number_type};
use crate::transform::program::coerce::{as_text, is_set};
use crate::transform::program::mapping::{KeyNode, Loop, NodeId, Program, ROOT};
use crate::transform::quality::drift::{Drift, DriftKind};

/// A body to walk.
#[derive(Clone, Copy, Debug)]
pub struct Body<'a> {
    pub text: &'a str,
    /// True if decoding replaced characters by U+FFFD. Texts that contain U+FFFD are then counted
    /// as drift.
    pub is_replaced: bool,
    /// Byte offsets of the texts that are numbers in the answer. See [`QuotedNumbers`].
    ///
    /// [`QuotedNumbers`]: crate::transform::page::repair::QuotedNumbers
    pub quoted: &'a [usize],
}

/// The result of a walk.
#[derive(Clone, Copy, Debug)]
pub struct Walked {
    /// True if the body has the list of items, or no data at all.
    pub has_items: bool,
    /// True if a captured number may differ from the text that it was read from.
    pub is_inexact: bool,
}

/// Walks a body.
///
/// # Errors
/// The body is not JSON. The caller must discard the captures.
pub fn walk<'a>(
    program: &Program,
    body: Body<'a>,
    captures: &mut Captures<'a>,
    order: &mut KeyOrder,
    drift: &mut Drift,
) -> Result<Walked, serde_json::Error> {
    captures.begin(&program.scopes);
    order.begin(program);
    let mut walk = Walk {
        program,
        captures,
        order,
        drift,
        body,
        is_inexact: false,
        has_items: program.items.is_empty(),
    };
    let mut json = serde_json::Deserializer::from_str(body.text);
    Step {
        walk: &mut walk,
        node: ROOT,
        frame: PAGE,
    }
    .deserialize(&mut json)?;
    json.end()?;
    Ok(Walked {
        has_items: walk.has_items,
        is_inexact: walk.is_inexact,
    })
}

/// Key order of the previous objects. A provider's objects nearly always have their keys in the
/// same order, and comparing a key with the expected one is faster than a lookup.
#[derive(Debug, Default)]
pub struct KeyOrder {
    /// Index of the expected next key, by node and by the previous key's index, counted from 1
    /// (0 at the beginning).
    next: Vec<Vec<usize>>,
}

impl KeyOrder {
    fn begin(&mut self, program: &Program) {
        if self.next.len() != program.nodes.len() {
            let places = |node: &KeyNode| vec![0; node.children.len() + 1];
            self.next = program.nodes.iter().map(places).collect();
        }
    }
}

struct Walk<'w, 'a> {
    program: &'w Program,
    captures: &'w mut Captures<'a>,
    order: &'w mut KeyOrder,
    drift: &'w mut Drift,
    body: Body<'a>,
    is_inexact: bool,
    has_items: bool,
}

impl Walk<'_, '_> {
    /// Returns whether a text of the body is a number in the answer.
    fn is_number(&self, text: &str) -> bool {
        let quoted = self.body.quoted;
        !quoted.is_empty() && {
            let start = text.as_ptr() as usize - self.body.text.as_ptr() as usize;
            quoted.binary_search(&start).is_ok()
        }
    }

    /// Returns whether a value that is not parsed is set, as a flag is.
    fn is_set(&self, value: &RawValue) -> bool {
        let text = value.get();
        match text.as_bytes().first() {
            Some(b'n' | b'f') => false,
            Some(b't') => true,
            Some(b'"') if self.is_number(&text[1..]) => {
                is_set(Scalar::Number(&text[1..text.len() - 1]))
            }
            Some(b'"') => {
                let text: Option<String> = serde_json::from_str(text).ok();
                text.is_some_and(|text| is_set(Scalar::Text(&text)))
            }
            Some(b'[' | b'{') => !text[1..text.len() - 1].trim().is_empty(),
            _ => is_set(Scalar::Number(text)),
        }
    }

    /// Returns the JSON type of a value that is not parsed. The value need not fit a [`Scalar`].
    fn type_of(&self, value: &RawValue) -> &'static str {
        let text = value.get();
        match text.as_bytes().first() {
            Some(b'n') => "null",
            Some(b't' | b'f') => "boolean",
            Some(b'"') if self.is_number(&text[1..]) => number_type(&text[1..text.len() - 1]),
            Some(b'"') => "string",
            Some(b'[') => "array",
            Some(b'{') => "object",
            _ => number_type(text),
        }
    }
}

/// One value to be read into `frame` according to `node`.
struct Step<'s, 'w, 'a> {
    walk: &'s mut Walk<'w, 'a>,
    node: NodeId,
    frame: FrameId,
}

impl<'w, 'a> Step<'_, 'w, 'a> {
    fn node(&self) -> &'w KeyNode {
        &self.walk.program.nodes[self.node]
    }

    /// Captures a value that is neither a list nor an object.
    fn scalar(&mut self, value: Scalar<'a>) {
        self.note_scalar(&value);
        if let Some(slot) = self.node().value {
            self.walk.captures.set(self.frame, slot, value);
        }
    }

    /// Captures a text that had escapes.
    fn unescaped(&mut self, text: &str) {
        self.note_scalar(&Scalar::Text(text));
        if let Some(slot) = self.node().value {
            self.walk.captures.set_unescaped(self.frame, slot, text);
        }
    }

    /// Records everything about a scalar besides its value.
    fn note_scalar(&mut self, value: &Scalar<'_>) {
        let node = self.node();
        let null = *value == Scalar::Absent;
        let container = !node.children.is_empty() || node.each.is_some();
        let unexpected = node.expects.is_some_and(|types| !types.has(value));
        if !null && (container || unexpected) {
            self.walk
                .drift
                .count(&node.path, DriftKind::TypeChanged, value.type_name());
        }
        if node.is_element {
            let json_type = value.type_name();
            self.walk.captures.set_json_type(self.frame, json_type);
        }
        if let Some(known) = &node.values
            && let Ok(text) = as_text(*value)
            && !known.contains(text.as_ref())
        {
            let json_type = value.type_name();
            self.walk.drift.count_value(&node.path, json_type, &text);
        }
        if self.walk.body.is_replaced
            && let Scalar::Text(text) = value
            && text.contains(char::REPLACEMENT_CHARACTER)
        {
            let kind = DriftKind::ReplacedCharacter;
            self.walk.drift.count(&node.path, kind, value.type_name());
        }
        // An answer without data is an empty page. Data without the list is not a page.
        self.walk.has_items |= null && self.walk.program.items.contains(&self.node);
        if let Some(slot) = node.presence {
            let present = if null {
                Scalar::Absent
            } else {
                Scalar::Bool(true)
            };
            self.walk.captures.set(self.frame, slot, present);
        }
        if !null {
            self.mark(is_set(*value));
        }
    }

    /// Records whether a left-out value is present and whether it is set.
    fn left_out(mut self, value: &RawValue) {
        if let Some(slot) = self.node().presence {
            let is_present = value.get() != "null";
            let present = if is_present {
                Scalar::Bool(true)
            } else {
                Scalar::Absent
            };
            self.walk.captures.set(self.frame, slot, present);
        }
        if value.get() != "null" {
            self.mark(self.walk.is_set(value));
        }
    }

    /// Records whether the value is set, if a rule reads that.
    fn mark(&mut self, is_set: bool) {
        if let Some(slot) = self.node().set {
            let value = Scalar::Bool(is_set);
            self.walk.captures.set(self.frame, slot, value);
        }
    }

    /// Records a list or an object. It is drift unless `expected`.
    fn nested(&mut self, kind: &'static str, expected: bool) {
        let node = self.node();
        let captures = &mut self.walk.captures;
        if node.is_element {
            captures.set_json_type(self.frame, kind);
        }
        if let Some(slot) = node.presence {
            captures.set(self.frame, slot, Scalar::Bool(true));
        }
        if !expected {
            self.walk
                .drift
                .count(&node.path, DriftKind::TypeChanged, kind);
            if let Some(slot) = node.value {
                captures.set(self.frame, slot, Scalar::Nested(kind));
            }
        }
    }

    /// Adds a frame for the next element and returns the step that reads it.
    fn element(&mut self, looped: Loop, key: Option<&str>) -> Step<'_, 'w, 'a> {
        let Loop { at, scope, element } = looped;
        let program = self.walk.program;
        let captures = &mut self.walk.captures;
        let frame = captures.add_element(&program.scopes, self.frame, at, scope, key);
        self.step(element, frame)
    }

    fn step(&mut self, node: NodeId, frame: FrameId) -> Step<'_, 'w, 'a> {
        Step {
            walk: self.walk,
            node,
            frame,
        }
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

    fn visit_unit<E>(mut self) -> Result<(), E> {
        self.scalar(Scalar::Absent);
        Ok(())
    }

    fn visit_bool<E>(mut self, value: bool) -> Result<(), E> {
        self.scalar(Scalar::Bool(value));
        Ok(())
    }

    fn visit_i64<E>(mut self, value: i64) -> Result<(), E> {
        self.scalar(Scalar::Int(value));
        Ok(())
    }

    fn visit_u64<E>(mut self, value: u64) -> Result<(), E> {
        self.scalar(i64::try_from(value).map_or(Scalar::Uint(value), Scalar::Int));
        Ok(())
    }

    fn visit_f64<E>(mut self, value: f64) -> Result<(), E> {
        // The text of an expected float is not needed, and below 2^53 it is not a rounded integer.
        let expects = self.node().expects;
        let is_expected = expects.is_none_or(|types| types.has(&Scalar::Float(value)));
        let may_be_tiny = self.node().set.is_some() && value == 0.0;
        self.walk.is_inexact |=
            !is_expected || may_be_tiny || value.abs() >= 9_007_199_254_740_992.0;
        self.scalar(Scalar::Float(value));
        Ok(())
    }

    fn visit_borrowed_str<E>(mut self, value: &'a str) -> Result<(), E> {
        let scalar = if self.walk.is_number(value) {
            Scalar::Number(value)
        } else {
            Scalar::Text(value)
        };
        self.scalar(scalar);
        Ok(())
    }

    fn visit_str<E>(mut self, value: &str) -> Result<(), E> {
        self.unescaped(value);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'a>>(mut self, mut seq: A) -> Result<(), A::Error> {
        let node = self.node();
        let looped = node.each.filter(|_| !node.over_keys);
        self.nested("array", looped.is_some() || node.length.is_some());
        self.walk.has_items |= self.walk.program.items.last() == Some(&self.node);
        let mut length = 0;
        match looped {
            // `Element` adds the frame when it reads an element: only `seq` knows whether there
            // is another one.
            Some(looped) => {
                while seq
                    .next_element_seed(Element {
                        list: &mut self,
                        looped,
                    })?
                    .is_some()
                {
                    length += 1;
                }
            }
            None => {
                while seq.next_element::<IgnoredAny>()?.is_some() {
                    length += 1;
                }
            }
        }
        self.mark(length > 0);
        if let Some(slot) = node.length {
            let captures = &mut self.walk.captures;
            captures.set(self.frame, slot, Scalar::Int(length));
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'a>>(mut self, mut map: A) -> Result<(), A::Error> {
        let node = self.node();
        self.nested("object", !node.children.is_empty() || node.over_keys);
        let over_keys = node.each.filter(|_| node.over_keys);
        let mut place = 0;
        let mut is_empty = true;
        loop {
            let order = &mut self.walk.order.next[self.node];
            let Some(key) = map.next_key_seed(KeySeed {
                node,
                order,
                place: &mut place,
            })?
            else {
                self.mark(!is_empty);
                return Ok(());
            };
            is_empty = false;
            match (key, over_keys) {
                (Key::Known(child), _) if self.walk.program.nodes[child].left_out => {
                    let child = self.step(child, self.frame);
                    let node = child.node();
                    if node.presence.is_some() || node.set.is_some() {
                        child.left_out(map.next_value::<&RawValue>()?);
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                (Key::Known(child), _) => {
                    map.next_value_seed(self.step(child, self.frame))?;
                }
                (Key::Unknown(key), Some(looped)) => {
                    map.next_value_seed(self.element(looped, Some(&key)))?;
                }
                (Key::Unknown(key), None) => {
                    let kind = self.walk.type_of(map.next_value::<&RawValue>()?);
                    let path = format!("{}/{key}", node.path);
                    self.walk.drift.count(&path, DriftKind::UnknownField, kind);
                }
            }
        }
    }
}

/// Seed for the next element of `list`, if there is one.
struct Element<'e, 's, 'w, 'a> {
    list: &'e mut Step<'s, 'w, 'a>,
    looped: Loop,
}

impl<'a> DeserializeSeed<'a> for Element<'_, '_, '_, 'a> {
    type Value = ();
    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        self.list
            .element(self.looped, None)
            .deserialize(deserializer)
    }
}

/// A key. Known keys are looked up without a copy.
enum Key<'a> {
    Known(NodeId),
    Unknown(Cow<'a, str>),
}

struct KeySeed<'k> {
    node: &'k KeyNode,
    order: &'k mut [usize],
    /// Index of the previous key, counted from 1. 0 at the beginning.
    place: &'k mut usize,
}

impl KeySeed<'_> {
    fn known(self, key: &str) -> Option<NodeId> {
        let children = &self.node.children;
        let expected = &mut self.order[*self.place];
        let found = match children.get_index(*expected) {
            Some((name, child)) if **name == *key => Some((*expected, *child)),
            _ => children
                .get_full(key)
                .map(|(place, _, child)| (place, *child)),
        };
        let (at, child) = found?;
        *expected = at;
        *self.place = at + 1;
        Some(child)
    }
}

impl<'a> DeserializeSeed<'a> for KeySeed<'_> {
    type Value = Key<'a>;
    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Key<'a>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'a> for KeySeed<'_> {
    type Value = Key<'a>;
    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a key")
    }
    fn visit_borrowed_str<E>(self, key: &'a str) -> Result<Key<'a>, E> {
        Ok(self
            .known(key)
            .map_or(Key::Unknown(Cow::Borrowed(key)), Key::Known))
    }
    fn visit_str<E>(self, key: &str) -> Result<Key<'a>, E> {
        Ok(self
            .known(key)
            .map_or_else(|| Key::Unknown(Cow::Owned(key.to_owned())), Key::Known))
    }
}
