//! Compiled form of a source contract's rules: a tree of keys to walk an answer with, and the
//! positions that each rule reads its columns from.
//!
//! An answer is walked once. Each list that a rule iterates opens a *scope*. The walk makes one
//! *frame* of captured values for each element ([`crate::transform::page::captures`]). Rows are
//! made from the frames afterwards, so a column may refer to a key after its list in the answer.

use std::collections::{BTreeSet, HashMap};

use indexmap::IndexMap;

use crate::spec::source::Param;
use crate::transform::page::captures::{Scope, ScopeId, SlotPlace};
use crate::transform::program::coerce::{Read, Types};
use crate::transform::program::conditions::Alternatives;

pub type NodeId = usize;

/// Node of the whole answer.
pub const ROOT: NodeId = 0;

/// One endpoint's compiled rules.
#[derive(Debug)]
pub struct Program {
    pub nodes: Vec<KeyNode>,
    pub scopes: Vec<Scope>,
    pub rules: Vec<CompiledRule>,
    /// The objects that enclose the list of items, from the outermost, then the list itself. An
    /// answer without the list is rejected.
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

/// A path of an answer that the contract knows.
#[derive(Debug, Default)]
pub struct KeyNode {
    /// Path as reported in drift.
    pub path: String,
    pub children: IndexMap<Box<str>, NodeId>,
    /// The loop over this list's elements, or over this object's values.
    pub each: Option<Loop>,
    pub over_keys: bool,
    /// Slot for the value itself.
    pub value: Option<usize>,
    /// Slot for the number of elements.
    pub length: Option<usize>,
    /// Slot for whether the value is present and not null.
    pub presence: Option<usize>,
    /// Slot for whether the value is set, as a flag is.
    pub set: Option<usize>,
    /// JSON types that the readers of the value expect. `None` allows any type.
    pub expects: Option<Types>,
    /// True if the key is known and left out. The value is not parsed.
    pub left_out: bool,
    /// True if the node is an element of a list, or a value of an object that a rule iterates.
    pub is_element: bool,
    /// Known values, if rules depend on them. Any other text is drift.
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
    /// Fields that the columns are read from. A search that asks only for others gives no row.
    pub any_of_fields: Vec<String>,
    /// True if `each` iterates the page's items. Their indexes are positions in a ranking.
    pub over_items: bool,
    /// Loops from the page to the elements that `when` is evaluated on.
    pub each: Vec<usize>,
    pub when: Alternatives,
    /// Objects that may hold the columns. The first that is present is used.
    pub variants: Vec<Variant>,
    /// Expected path of the object, for the reject of an item without it.
    pub at: String,
    /// Scopes whose elements may each become a row: those of `then_each`, else those of `each`.
    /// Empty if the whole answer is one row.
    pub targets: Vec<ScopeId>,
}

#[derive(Debug)]
pub struct Variant {
    /// Slot for whether this variant's object is present. `None` if the rule names no object.
    pub present: Option<SlotPlace>,
    /// Loops below the object.
    pub then_each: Vec<usize>,
    /// Scope of the innermost loop of `then_each`.
    pub target: Option<ScopeId>,
    /// The list element that a row is made of, if the rule names no object inside it. The text is
    /// the element's path below the object or the page.
    pub element: Option<(NodeId, String)>,
    pub then_when: Alternatives,
    /// Texts whose hashtags give the rows.
    pub hashtags: Option<Vec<SlotPlace>>,
    /// Reads of each column of the table. Empty for a filled or absent column.
    pub columns: Vec<Vec<Read>>,
}

/// Every endpoint's program, by source and endpoint.
pub type Programs = HashMap<(String, String), Program>;
