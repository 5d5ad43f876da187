//! Walks an answer once. Captured values go into [`Captures`], unknown keys into drift.

use crate::transform::page::captures::{Captures, FrameId, PAGE, Scalar, number_type};
use crate::transform::page::json::{Json, JsonText, NotJson, Number};
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
) -> Result<Walked, NotJson> {
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
    let mut json = Json::new(body.text);
    Step {
        walk: &mut walk,
        node: ROOT,
        frame: PAGE,
    }
    .value(&mut json)?;
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
    /// True for a node if none of its keys needs an escape. By node.
    is_plain: Vec<bool>,
}

impl KeyOrder {
    fn begin(&mut self, program: &Program) {
        if self.next.len() != program.nodes.len() {
            let places = |node: &KeyNode| vec![0; node.children.len() + 1];
            self.next = program.nodes.iter().map(places).collect();
            let is_plain =
                |key: &str| !key.contains(|c: char| c.is_control() || "\"\\".contains(c));
            let are_plain = |node: &KeyNode| node.children.keys().all(|key| is_plain(key));
            self.is_plain = program.nodes.iter().map(are_plain).collect();
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

    /// Returns whether a value is set, as a flag is. `text` is the value as it is written.
    fn is_set(&self, text: &str) -> bool {
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

    /// Returns the JSON type of a value, which need not fit a [`Scalar`]. `text` is the value as it is
    /// written.
    fn type_of(&self, text: &str) -> &'static str {
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
    fn left_out(mut self, value: &str) {
        if let Some(slot) = self.node().presence {
            let is_present = value != "null";
            let present = if is_present {
                Scalar::Bool(true)
            } else {
                Scalar::Absent
            };
            self.walk.captures.set(self.frame, slot, present);
        }
        if value != "null" {
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

/// The walk through the values of the answer.
impl<'w, 'a> Step<'_, 'w, 'a> {
    fn value(mut self, json: &mut Json<'a>) -> Result<(), NotJson> {
        match json.peek()? {
            b'{' => return self.object(json),
            b'[' => return self.list(json),
            b'"' => match json.string()? {
                JsonText::Plain(text) if self.walk.is_number(text) => {
                    self.scalar(Scalar::Number(text))
                }
                JsonText::Plain(text) => self.scalar(Scalar::Text(text)),
                JsonText::Unescaped(text) => self.unescaped(&text),
            },
            b't' => json
                .word("true")
                .map(|()| self.scalar(Scalar::Bool(true)))?,
            b'f' => json
                .word("false")
                .map(|()| self.scalar(Scalar::Bool(false)))?,
            b'n' => json.word("null").map(|()| self.scalar(Scalar::Absent))?,
            _ => match json.number()? {
                Number::Int(number) => self.scalar(Scalar::Int(number)),
                Number::Uint(number) => self.scalar(Scalar::Uint(number)),
                Number::Float(number) => self.float(number),
            },
        }
        Ok(())
    }

    fn float(&mut self, value: f64) {
        // The text of an expected float is not needed, and below 2^53 it is not a rounded integer.
        let expects = self.node().expects;
        let is_expected = expects.is_none_or(|types| types.has(&Scalar::Float(value)));
        let may_be_tiny = self.node().set.is_some() && value == 0.0;
        self.walk.is_inexact |=
            !is_expected || may_be_tiny || value.abs() >= 9_007_199_254_740_992.0;
        self.scalar(Scalar::Float(value));
    }

    fn list(mut self, json: &mut Json<'a>) -> Result<(), NotJson> {
        let node = self.node();
        let looped = node.each.filter(|_| !node.over_keys);
        self.nested("array", looped.is_some() || node.length.is_some());
        self.walk.has_items |= self.walk.program.items.last() == Some(&self.node);
        let mut length = 0;
        json.open()?;
        while json.has_next(b']', length == 0)? {
            match looped {
                Some(looped) => self.element(looped, None).value(json)?,
                None => _ = json.skip()?,
            }
            length += 1;
        }
        self.mark(length > 0);
        if let Some(slot) = node.length {
            let captures = &mut self.walk.captures;
            captures.set(self.frame, slot, Scalar::Int(length));
        }
        Ok(())
    }

    fn object(mut self, json: &mut Json<'a>) -> Result<(), NotJson> {
        let node = self.node();
        self.nested("object", !node.children.is_empty() || node.over_keys);
        let over_keys = node.each.filter(|_| node.over_keys);
        let mut place = 0;
        let mut is_empty = true;
        json.open()?;
        while json.has_next(b'}', is_empty)? {
            is_empty = false;
            match (self.key(json, &mut place)?, over_keys) {
                (Key::Known(child), _) if self.walk.program.nodes[child].left_out => {
                    let value = json.skip()?;
                    let child = self.step(child, self.frame);
                    let node = child.node();
                    if node.presence.is_some() || node.set.is_some() {
                        child.left_out(value);
                    }
                }
                (Key::Known(child), _) => self.step(child, self.frame).value(json)?,
                (Key::Unknown(key), Some(looped)) => {
                    self.element(looped, Some(key.as_str())).value(json)?;
                }
                (Key::Unknown(key), None) => {
                    let kind = self.walk.type_of(json.skip()?);
                    let path = format!("{}/{}", node.path, key.as_str());
                    self.walk.drift.count(&path, DriftKind::UnknownField, kind);
                }
            }
        }
        self.mark(!is_empty);
        Ok(())
    }

    /// Reads a key. `place` is the index of the previous key, counted from 1, and 0 at the beginning.
    fn key(&mut self, json: &mut Json<'a>, place: &mut usize) -> Result<Key<'a>, NotJson> {
        let children = &self.node().children;
        let expected = &mut self.walk.order.next[self.node][*place];
        if self.walk.order.is_plain[self.node]
            && let Some((name, child)) = children.get_index(*expected)
            && json.skip_key(name)?
        {
            *place = *expected + 1;
            return Ok(Key::Known(*child));
        }
        let key = json.key()?;
        match children.get_full(key.as_str()) {
            Some((at, _, child)) => {
                *expected = at;
                *place = at + 1;
                Ok(Key::Known(*child))
            }
            None => Ok(Key::Unknown(key)),
        }
    }
}

enum Key<'a> {
    Known(NodeId),
    Unknown(JsonText<'a>),
}
