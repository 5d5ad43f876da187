//! Compiled form of a source contract's rules: a tree of keys to walk an answer with, and for every rule
//! the places its columns are read from.
//!
//! An answer is walked once. Each list that a rule goes over opens a *scope*; the walk leaves one
//! *frame* of captured values for each element ([`crate::transform::page::captures`]). Rows are made from the frames
//! afterwards, so a column may refer to a key that stands behind its list in the answer.

use crate::transform::page::captures::Scope;
use crate::transform::page::captures::ScopeId;
use std::collections::{BTreeSet, HashMap};

use indexmap::IndexMap;

use crate::spec::source::Param;
use crate::transform::page::captures::SlotPlace;
use crate::transform::program::coerce::{Read, Types};
use crate::transform::program::conditions::Alternatives;

pub type NodeId = usize;

/// The answer as a whole.
pub const ROOT: NodeId = 0;

/// One endpoint's compiled rules.
#[derive(Debug)]
pub struct Program {
    pub nodes: Vec<KeyNode>,
    pub scopes: Vec<Scope>,
    pub rules: Vec<CompiledRule>,
    /// The list that makes an answer a page, with the objects around it from the outermost;
    /// an answer without it is rejected.
    pub items: Vec<NodeId>,
    /// Places where an answer names its subject.
    pub about: Vec<About>,
}

/// A parameter whose value an answer repeats.
#[derive(Debug)]
pub struct About {
    pub name: String,
    pub param: Param,
    pub value: SlotPlace,
}

/// A place in an answer that something is known about.
#[derive(Debug, Default)]
pub struct KeyNode {
    /// As drift reports it.
    pub path: String,
    pub children: IndexMap<Box<str>, NodeId>,
    /// The loop over this list's elements, or over this object's values.
    pub each: Option<Loop>,
    pub over_keys: bool,
    /// Slot for the value itself.
    pub value: Option<usize>,
    /// Slot for the number of elements.
    pub length: Option<usize>,
    /// Slot for whether there is anything but null.
    pub presence: Option<usize>,
    /// Slot for whether it is set, as a mark is.
    pub set: Option<usize>,
    /// The JSON types that the readers of the value expect; any, if there are none.
    pub expects: Option<Types>,
    /// Known and left out: not looked into.
    pub left_out: bool,
    /// True if it is an element of a list, or a value of an object that a rule goes over.
    pub is_element: bool,
    /// The known values, where rules look at them; any other text is drift.
    pub values: Option<BTreeSet<String>>,
    pub scope: ScopeId,
}

/// A list whose elements are walked with a frame of their own.
#[derive(Clone, Copy, Debug)]
pub struct Loop {
    /// Position among the loops of the enclosing frame.
    pub at: usize,
    pub scope: ScopeId,
    pub element: NodeId,
}

/// Compiled rule that makes rows of one table from frames.
#[derive(Debug)]
pub struct CompiledRule {
    pub table: usize,
    /// The fields that its columns are read from: a search that asks for others gives no row.
    pub any_of_fields: Vec<String>,
    /// True if `each` goes over the page's items, whose places are positions in a ranking.
    pub over_items: bool,
    /// Loops from the page to the elements that `when` looks at.
    pub each: Vec<usize>,
    pub when: Alternatives,
    /// The objects that may hold the columns; the first that is there counts.
    pub variants: Vec<Variant>,
    /// Expected path of the object, for the reject of an item without it.
    pub at: String,
    /// The scopes whose elements may each become a row: those that `then_each` goes over, else
    /// those of `each`; none where the whole answer is one.
    pub targets: Vec<ScopeId>,
}

#[derive(Debug)]
pub struct Variant {
    /// True if this variant's object is there; always, where the rule names none.
    pub present: Option<SlotPlace>,
    /// Loops below the object.
    pub then_each: Vec<usize>,
    /// The scope of the innermost of them.
    pub target: Option<ScopeId>,
    /// The list element that a row is made of, where the rule names no object inside it, and the
    /// element's path below the object or the page.
    pub element: Option<(NodeId, String)>,
    pub then_when: Alternatives,
    /// Texts whose hashtags give the rows.
    pub hashtags: Option<Vec<SlotPlace>>,
    /// For every column of the table the ways to read it; none for a filled or absent one.
    pub columns: Vec<Vec<Read>>,
}

/// Every endpoint's program, by source and endpoint.
pub type Programs = HashMap<(String, String), Program>;
