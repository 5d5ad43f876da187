//! Captured values of an answer, by list element.
//!
//! The values are stored in a few vectors that are reused for the next page. Once they have grown,
//! walking a page allocates nothing. Texts are borrowed from the answer. Texts with escapes are
//! stored unescaped in one string.

use std::num::NonZeroU32;

/// A JSON value of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Scalar<'a> {
    /// The key is missing, or its value is null.
    #[default]
    Absent,
    Bool(bool),
    Int(i64),
    /// Larger than an `i64`.
    Uint(u64),
    Float(f64),
    /// A number as it is written in the answer. A page is read this way when it has a number that
    /// no other variant holds.
    Number(&'a str),
    Text(&'a str),
    /// A list or an object where a value was expected.
    Nested(&'static str),
}

/// A stored [`Scalar`].
#[derive(Clone, Copy, Debug)]
enum Slot<'a> {
    Value(Scalar<'a>),
    /// A text that had escapes: a range of [`Captures::unescaped`].
    Unescaped(usize, usize),
}

/// Position of a captured value: the loop depth of its frame, and the slot in the frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SlotPlace {
    pub depth: usize,
    pub slot: usize,
}

/// Index of a frame, which holds the values captured in one list element. Frame 0 is the page.
pub type FrameId = usize;

/// The frame of the answer as a whole.
pub const PAGE: FrameId = 0;

#[derive(Debug)]
struct Frame<'a> {
    slots: usize,
    lists: usize,
    /// The next element of the same list.
    next: Option<NonZeroU32>,
    /// Key of the element, if the loop iterates an object.
    key: Slot<'a>,
    /// Name of the element's JSON type.
    json_type: &'static str,
}

/// The elements of one list, linked by [`Frame::next`].
#[derive(Clone, Copy, Debug, Default)]
struct List {
    first: Option<NonZeroU32>,
    last: Option<NonZeroU32>,
}

/// The captured values of one page.
#[derive(Debug, Default)]
pub struct Captures<'a> {
    slots: Vec<Slot<'a>>,
    frames: Vec<Frame<'a>>,
    lists: Vec<List>,
    unescaped: String,
    /// Number of elements walked, by scope.
    elements: Vec<u64>,
}

impl<'a> Captures<'a> {
    /// Returns empty captures that reuse the memory of `old`.
    pub fn recycled(old: Captures<'_>) -> Self {
        let Captures {
            slots,
            frames,
            mut lists,
            mut unescaped,
            mut elements,
        } = old;
        lists.clear();
        unescaped.clear();
        elements.clear();
        Captures {
            slots: emptied(slots, |_| Slot::Value(Scalar::Absent)),
            frames: emptied(frames, |frame| Frame {
                slots: frame.slots,
                lists: frame.lists,
                next: frame.next,
                key: Slot::Value(Scalar::Absent),
                json_type: frame.json_type,
            }),
            lists,
            unescaped,
            elements,
        }
    }

    /// Adds the frame of the page.
    pub fn begin(&mut self, scopes: &[Scope]) {
        self.elements.resize(scopes.len(), 0);
        self.push_frame(&scopes[0], Slot::Value(Scalar::Absent));
    }

    /// Adds a frame for the next element of list `loop_at` of the parent.
    pub fn add_element(
        &mut self,
        scopes: &[Scope],
        parent: FrameId,
        loop_at: usize,
        scope: ScopeId,
        key: Option<&str>,
    ) -> FrameId {
        let key = match key {
            Some(key) => self.keep(key),
            None => Slot::Value(Scalar::Absent),
        };
        let frame = self.push_frame(&scopes[scope], key);
        self.elements[scope] += 1;
        // Frame 0 is the page, so an element's id is never 0. 2^32 elements do not fit in memory.
        let id = u32::try_from(frame).ok().and_then(NonZeroU32::new);
        let list = &mut self.lists[self.frames[parent].lists + loop_at];
        let last = list.last;
        list.last = id;
        list.first = list.first.or(id);
        if let Some(last) = last {
            self.frames[last.get() as usize].next = id;
        }
        frame
    }

    fn push_frame(&mut self, scope: &Scope, key: Slot<'a>) -> FrameId {
        let (slots, lists) = (self.slots.len(), self.lists.len());
        self.slots
            .resize(slots + scope.slots, Slot::Value(Scalar::Absent));
        self.lists.resize(lists + scope.loops, List::default());
        self.frames.push(Frame {
            slots,
            lists,
            next: None,
            key,
            json_type: "null",
        });
        self.frames.len() - 1
    }

    pub fn set(&mut self, frame: FrameId, slot: usize, value: Scalar<'a>) {
        let at = self.frames[frame].slots + slot;
        self.slots[at] = Slot::Value(value);
    }

    /// Sets the name of an element's JSON type.
    pub fn set_json_type(&mut self, frame: FrameId, json_type: &'static str) {
        self.frames[frame].json_type = json_type;
    }

    /// Returns whether nothing was captured in an element.
    pub fn is_empty(&self, frame: FrameId, scope: &Scope) -> bool {
        let Frame { slots, lists, .. } = self.frames[frame];
        let is_absent = |slot: &Slot<'_>| matches!(slot, Slot::Value(Scalar::Absent));
        let is_empty = |list: &List| list.first.is_none();
        self.slots[slots..slots + scope.slots].iter().all(is_absent)
            && self.lists[lists..lists + scope.loops].iter().all(is_empty)
    }

    /// Returns the name of an element's JSON type.
    pub fn json_type(&self, frame: FrameId) -> &'static str {
        self.frames[frame].json_type
    }

    /// Stores a copy of a text that is not in the answer in this form.
    pub fn set_unescaped(&mut self, frame: FrameId, slot: usize, text: &str) {
        let at = self.frames[frame].slots + slot;
        self.slots[at] = self.keep(text);
    }

    fn keep(&mut self, text: &str) -> Slot<'a> {
        let start = self.unescaped.len();
        self.unescaped.push_str(text);
        Slot::Unescaped(start, self.unescaped.len())
    }

    pub fn get(&self, frame: FrameId, slot: usize) -> Scalar<'_> {
        self.read(self.slots[self.frames[frame].slots + slot])
    }

    /// Returns the key of an element, if its list is an object.
    pub fn key(&self, frame: FrameId) -> Scalar<'_> {
        self.read(self.frames[frame].key)
    }

    fn read(&self, slot: Slot<'a>) -> Scalar<'_> {
        match slot {
            Slot::Value(value) => value,
            Slot::Unescaped(start, end) => Scalar::Text(&self.unescaped[start..end]),
        }
    }

    /// Returns the elements of a frame's list, in order.
    pub fn elements(&self, frame: FrameId, loop_at: usize) -> impl Iterator<Item = FrameId> {
        let first = self.lists[self.frames[frame].lists + loop_at].first;
        std::iter::successors(first, |at| self.frames[at.get() as usize].next)
            .map(|at| at.get() as usize)
    }

    /// Returns the number of elements of a scope.
    pub fn count(&self, scope: ScopeId) -> u64 {
        self.elements[scope]
    }
}

/// Returns an empty vector that reuses the memory: collecting in place keeps the allocation.
fn emptied<T, U>(mut old: Vec<T>, never: impl Fn(T) -> U) -> Vec<U> {
    old.clear();
    old.into_iter().map(never).collect()
}

impl Scalar<'_> {
    /// Returns the name of the JSON type, as in drift.
    pub fn type_name(&self) -> &'static str {
        match self {
            Scalar::Absent => "null",
            Scalar::Bool(_) => "boolean",
            Scalar::Int(_) | Scalar::Uint(_) => "integer",
            Scalar::Float(_) => "number",
            Scalar::Number(text) => number_type(text),
            Scalar::Text(_) => "string",
            Scalar::Nested(kind) => kind,
        }
    }
}

/// Returns the name of a number's JSON type, as written: an integer has only digits after the sign.
pub fn number_type(text: &str) -> &'static str {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if text != "-0" && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        "integer"
    } else {
        "number"
    }
}

pub type ScopeId = usize;

/// Number of slots and loops in each frame of a scope.
#[derive(Debug, Default)]
pub struct Scope {
    pub slots: usize,
    pub loops: usize,
    /// Number of loops that enclose the scope.
    pub depth: usize,
}
