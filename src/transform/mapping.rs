//! A source contract's rules, compiled: a tree of keys to walk an answer with, and for every rule
//! the places its columns are read from.
//!
//! An answer is walked once. Each list that a rule goes over opens a *scope*; the walk leaves one
//! *frame* of captured values for each element. Rows are made from the frames afterwards, so a
//! column may refer to a key that stands behind its list in the answer.

use std::collections::HashMap;

use indexmap::IndexMap;

use super::coerce::{Convert, Origin, Place, Read};
use crate::spec::contracts::{Contract, Contracts};
use crate::spec::diagnostic::{Diagnostic, Diagnostics, nearest};
use crate::spec::source::{Columns, Condition, Endpoint, Mapping, Rule, Source, Test};
use crate::spec::table::{RowsFrom, Table};
use crate::spec::yaml::{Span, Spanned};

pub type NodeId = usize;
pub type ScopeId = usize;

/// One endpoint's compiled rules.
#[derive(Debug)]
pub struct Program {
    pub nodes: Vec<KeyNode>,
    pub scopes: Vec<Scope>,
    pub rules: Vec<CompiledRule>,
    /// The list that makes an answer a page, with the objects around it from the outermost;
    /// an answer without it is rejected.
    pub items: Vec<NodeId>,
}

/// A place in an answer that something is known about.
#[derive(Debug, Default)]
pub struct KeyNode {
    /// As drift reports it.
    pub path: String,
    pub children: HashMap<Box<str>, NodeId>,
    /// The loop over this list's elements, or over this object's values.
    pub each: Option<Loop>,
    pub over_keys: bool,
    /// Slot for the value itself.
    pub value: Option<usize>,
    /// Slot for the number of elements.
    pub length: Option<usize>,
    /// Slot for whether there is anything but null.
    pub presence: Option<usize>,
    /// Known and left out: not looked into.
    pub left_out: bool,
    scope: ScopeId,
}

/// A list whose elements are walked with a frame of their own.
#[derive(Clone, Copy, Debug)]
pub struct Loop {
    /// Position among the loops of the enclosing frame.
    pub at: usize,
    pub scope: ScopeId,
    pub element: NodeId,
}

/// What the frames of a scope hold.
#[derive(Debug, Default)]
pub struct Scope {
    pub slots: usize,
    pub loops: usize,
    depth: usize,
}

/// How rows of one table are made from frames.
#[derive(Debug)]
pub struct CompiledRule {
    pub table: usize,
    /// Whether `each` goes over the page's items, whose places are positions in a ranking.
    pub over_items: bool,
    /// Loops from the page to the elements that `when` looks at.
    pub each: Vec<usize>,
    pub when: Vec<(Place, Matcher)>,
    /// The objects that may hold the columns; the first that is there counts.
    pub variants: Vec<Variant>,
    /// Where the object should be, for the reject of an item that has none.
    pub at: String,
}

#[derive(Debug)]
pub struct Variant {
    /// Whether this variant's object is there; always, where the rule names none.
    pub present: Option<Place>,
    /// Loops below the object.
    pub then_each: Vec<usize>,
    pub then_when: Vec<(Place, Matcher)>,
    /// Texts whose hashtags give the rows.
    pub hashtags: Option<Vec<Place>>,
    /// For every column of the table the ways to read it; none for a filled or absent one.
    pub columns: Vec<Vec<Read>>,
}

/// A condition on a captured value.
#[derive(Debug)]
pub enum Matcher {
    OneOf(Vec<String>),
    NoneOf(Vec<String>),
    Exists(bool),
    Filled(bool),
}

/// Every endpoint's program, by source and endpoint.
pub type Programs = HashMap<(String, String), Program>;

/// Compiles all rules of all sources.
///
/// # Errors
/// Every rule that names an unknown table or column, or says something that makes no sense.
pub fn compile(contracts: &Contracts) -> Result<Programs, Diagnostics> {
    let mut found = Vec::new();
    let mut programs = HashMap::new();
    for (name, source) in &contracts.sources {
        for (endpoint_name, endpoint) in &source.endpoints {
            let mut compiler = Compiler::new(source, endpoint, &contracts.tables, &mut found);
            compiler.compile();
            programs.insert((name.clone(), endpoint_name.clone()), compiler.program);
        }
    }
    if found.is_empty() {
        Ok(programs)
    } else {
        Err(Diagnostics(found))
    }
}

struct Compiler<'a> {
    source: &'a Contract<Source>,
    endpoint: &'a Endpoint,
    tables: &'a IndexMap<String, Table>,
    found: &'a mut Vec<Diagnostic>,
    program: Program,
}

/// One step outward from a row: the element it lies in, and the path from there.
#[derive(Clone, Debug)]
struct Level {
    node: NodeId,
    prefix: String,
}

impl<'a> Compiler<'a> {
    fn new(
        source: &'a Contract<Source>,
        endpoint: &'a Endpoint,
        tables: &'a IndexMap<String, Table>,
        found: &'a mut Vec<Diagnostic>,
    ) -> Self {
        let program = Program {
            nodes: vec![KeyNode::default()],
            scopes: vec![Scope::default()],
            rules: Vec::new(),
            items: Vec::new(),
        };
        Compiler {
            source,
            endpoint,
            tables,
            found,
            program,
        }
    }

    fn compile(&mut self) {
        let Compiler {
            source, endpoint, ..
        } = *self;
        let envelope = &source.envelope;
        for path in [
            Some(&envelope.code),
            Some(&envelope.message),
            envelope.request_id.as_ref(),
        ] {
            let node = path.map(|p| self.descend(ROOT, p));
            node.into_iter()
                .for_each(|n| self.program.nodes[n].left_out = true);
        }
        for rule in &endpoint.rows {
            self.rule(rule);
        }
        if let Some(path) = &endpoint.pagination.items {
            self.program.items = path
                .split('/')
                .skip(1)
                .scan(ROOT, |node, key| {
                    *node = self.child(*node, key);
                    Some(*node)
                })
                .collect();
        }
        for left_out in &endpoint.left_out {
            for at in &left_out.at {
                let (parent, _) = self.walk_loops(ROOT, at);
                for field in &left_out.fields {
                    let node = self.child(parent, field);
                    self.program.nodes[node].left_out = true;
                }
            }
        }
    }

    fn rule(&mut self, rule: &Spanned<Rule>) {
        let Some((table_at, _, table)) = self.tables.get_full(&rule.table.value) else {
            let near = nearest(&rule.table, self.tables.keys().map(String::as_str));
            let message = format!("there is no table `{}`", rule.table.value);
            return self.error(rule.table.span(), message, near.map(did_you_mean));
        };
        if table.rows_from != RowsFrom::Pages {
            let message = format!("`{}` is written by redlake itself", rule.table.value);
            return self.error(rule.table.span(), message, None);
        }
        self.known_columns(rule, table);

        let (element, each) = self.walk_loops(ROOT, rule.each.as_deref().unwrap_or_default());
        let outer = self.levels(element);
        let when = self.conditions(&rule.when, &outer, rule.span());
        let ats = if rule.at.is_empty() {
            vec![None]
        } else {
            rule.at.iter().map(Some).collect()
        };
        let variants = ats
            .into_iter()
            .map(|at| self.variant(rule, table, element, at.map(String::as_str)));
        let variants = variants.collect();
        let at = rule.at.join(" or ");
        let items = self
            .endpoint
            .pagination
            .items
            .as_ref()
            .map(|path| format!("{path}[*]"));
        let over_items = items
            .zip(rule.each.as_ref())
            .is_some_and(|(items, each)| each.starts_with(&items));
        self.program.rules.push(CompiledRule {
            table: table_at,
            over_items,
            each,
            when,
            variants,
            at,
        });
    }

    fn variant(
        &mut self,
        rule: &Spanned<Rule>,
        table: &Table,
        element: NodeId,
        at: Option<&str>,
    ) -> Variant {
        let object = self.descend(element, at.unwrap_or_default());
        let present = at.map(|_| self.presence(object));
        let (row, then_each) =
            self.walk_loops(object, rule.then_each.as_deref().unwrap_or_default());
        let mut levels = self.levels(element);
        if let Some(at) = at {
            levels.insert(
                0,
                Level {
                    node: element,
                    prefix: at.to_owned(),
                },
            );
        }
        if row != object {
            let inner = self.levels(row);
            // Loops between the object and the row lie between their levels.
            let between = inner.len().saturating_sub(self.levels(element).len());
            levels = inner.into_iter().take(between).chain(levels).collect();
        }
        let then_when = self.conditions(&rule.then_when, &levels, rule.span());
        let hashtags = rule.explode.as_ref().map(|explode| {
            explode
                .hashtags
                .iter()
                .filter_map(|p| self.value(p, &levels, rule.span()))
                .collect()
        });
        let columns = table
            .columns
            .keys()
            .map(|column| {
                let declared = rule.columns.iter().find(|(name, _)| name.value == *column);
                declared.map_or(Vec::new(), |(name, reads)| {
                    self.reads(name, reads, table, &levels)
                })
            })
            .collect();
        Variant {
            present,
            then_each,
            then_when,
            hashtags,
            columns,
        }
    }

    fn known_columns(&mut self, rule: &Spanned<Rule>, table: &Table) {
        for name in rule.columns.keys() {
            let message = match table.columns.get(&name.value) {
                Some(column) if column.fill.is_some() => {
                    format!("`{}` is filled by redlake, not from the answer", name.value)
                }
                Some(_) => continue,
                None => format!(
                    "the table `{}` has no column `{}`",
                    table.name(),
                    name.value
                ),
            };
            let near = nearest(name, table.columns.keys().map(String::as_str));
            let hint = near.filter(|n| *n != name.value).map(did_you_mean);
            self.error(name.span(), message, hint);
        }
        for (name, column) in &table.columns {
            let read = rule.columns.keys().any(|k| k.value == *name);
            if column.required && column.fill.is_none() && !read {
                let message = format!(
                    "the required column `{name}` of `{}` is not read",
                    table.name()
                );
                self.error(
                    rule.table.span(),
                    message,
                    Some(format!("add `{name}: /path`")),
                );
            }
        }
    }

    fn reads(
        &mut self,
        name: &Spanned<String>,
        Columns(mappings): &Columns,
        table: &Table,
        levels: &[Level],
    ) -> Vec<Read> {
        let kind = table.columns[&name.value].kind;
        let mut reads = Vec::new();
        for mapping in mappings {
            let convert = match Convert::compile(mapping, kind) {
                Ok(convert) => convert,
                Err(message) => {
                    self.error(name.span(), message, None);
                    continue;
                }
            };
            if let Some(origin) = self.origin(mapping, levels, name.span()) {
                reads.push(Read { origin, convert });
            }
        }
        reads
    }

    /// What a mapping reads. Exactly one of its origins is given.
    fn origin(&mut self, mapping: &Mapping, levels: &[Level], span: Span) -> Option<Origin> {
        let told = self.found.len();
        let mut origins = Vec::new();
        if let Some(path) = &mapping.path {
            origins.extend(self.value(path, levels, span.clone()).map(Origin::Value));
        }
        if let Some(list) = &mapping.list {
            let index_at = mapping.index_at.as_deref().unwrap_or_default();
            let item = mapping.item.as_deref().unwrap_or_default();
            origins.extend(self.pick(list, index_at, item, levels, span.clone()));
        }
        if let Some(path) = &mapping.length {
            origins.extend(self.length(path, levels, span.clone()).map(Origin::Value));
        }
        if let Some(paths) = &mapping.hash {
            let places = paths
                .iter()
                .filter_map(|p| self.value(p, levels, span.clone()))
                .collect();
            origins.push(Origin::Hash(places));
        }
        if let Some(text) = &mapping.constant {
            origins.push(Origin::Constant(text.clone()));
        }
        if mapping.index == Some(true) {
            origins.push(Origin::Index);
        }
        if let Some(path) = &mapping.index_equals {
            origins.extend(
                self.value(path, levels, span.clone())
                    .map(Origin::IndexEquals),
            );
        }
        if mapping.key == Some(true) {
            origins.push(Origin::Key);
        }
        if mapping.exploded == Some(true) {
            origins.push(Origin::Exploded);
        }
        // A path that leads nowhere is told already.
        if origins.len() > 1 || (origins.is_empty() && self.found.len() == told) {
            let message = "exactly one of path, list, length, hash, const, index, index_equals, key \
                           and exploded says where a column comes from";
            self.error(span, message.to_owned(), None);
        }
        origins.pop()
    }

    fn conditions(
        &mut self,
        conditions: &IndexMap<String, Condition>,
        levels: &[Level],
        span: Span,
    ) -> Vec<(Place, Matcher)> {
        let mut compiled = Vec::new();
        for (path, condition) in conditions {
            let matcher = match condition {
                Condition::Is(word) => Matcher::OneOf(vec![word.clone()]),
                Condition::OneOf(words) => Matcher::OneOf(words.clone()),
                Condition::Test(Test {
                    none_of: Some(words),
                    exists: None,
                    filled: None,
                }) => Matcher::NoneOf(words.clone()),
                Condition::Test(Test {
                    none_of: None,
                    exists: Some(exists),
                    filled: None,
                }) => Matcher::Exists(*exists),
                Condition::Test(Test {
                    none_of: None,
                    exists: None,
                    filled: Some(filled),
                }) => Matcher::Filled(*filled),
                Condition::Test(_) => {
                    let message = "a test is exactly one of none_of, exists and filled".to_owned();
                    self.error(span.clone(), message, None);
                    continue;
                }
            };
            let Some(node) = self.resolve(path, levels, span.clone()) else {
                continue;
            };
            let place = match matcher {
                Matcher::Exists(_) => self.presence(node),
                _ => self.capture(node),
            };
            compiled.push((place, matcher));
        }
        compiled
    }

    fn value(&mut self, path: &str, levels: &[Level], span: Span) -> Option<Place> {
        self.resolve(path, levels, span)
            .map(|node| self.capture(node))
    }

    fn length(&mut self, path: &str, levels: &[Level], span: Span) -> Option<Place> {
        let node = self.resolve(path, levels, span)?;
        let slot = match self.program.nodes[node].length {
            Some(slot) => slot,
            None => self.slot(node),
        };
        self.program.nodes[node].length = Some(slot);
        Some(self.place(node, slot))
    }

    fn pick(
        &mut self,
        list: &str,
        index_at: &str,
        item: &str,
        levels: &[Level],
        span: Span,
    ) -> Option<Origin> {
        let index = self.value(index_at, levels, span.clone())?;
        let list = self.resolve(list, levels, span)?;
        let depth = self.program.scopes[self.program.nodes[list].scope].depth;
        let inner = self.open(list, false);
        let item = self.descend(inner.element, item);
        let slot = self.capture(item).slot;
        Some(Origin::Pick {
            depth,
            list: inner.at,
            index,
            slot,
        })
    }

    /// The node that `path` names, `^` being one step outward.
    fn resolve(&mut self, path: &str, levels: &[Level], span: Span) -> Option<NodeId> {
        let outward = path.chars().take_while(|c| *c == '^').count();
        let rest = &path[outward..];
        if !rest.is_empty() && !rest.starts_with('/') {
            let hint = "a path is like /note/id, or ^/id for the object around";
            self.error(span, format!("`{path}` is no path"), Some(hint.into()));
            return None;
        }
        let Some(level) = levels.get(outward) else {
            self.error(span, format!("`{path}` leads out of the answer"), None);
            return None;
        };
        Some(self.descend(level.node, &format!("{}{rest}", level.prefix)))
    }

    /// The elements around `node`, from itself outward.
    fn levels(&self, node: NodeId) -> Vec<Level> {
        let mut levels = vec![Level {
            node,
            prefix: String::new(),
        }];
        let mut scope = self.program.nodes[node].scope;
        while let Some((parent, element)) = self.enclosing(scope) {
            levels.push(Level {
                node: element,
                prefix: String::new(),
            });
            scope = parent;
        }
        levels
    }

    /// The scope around `scope`, and the element that it is the scope of.
    fn enclosing(&self, scope: ScopeId) -> Option<(ScopeId, NodeId)> {
        let holder = self
            .program
            .nodes
            .iter()
            .find(|n| n.each.is_some_and(|l| l.scope == scope))?;
        let element = self
            .program
            .nodes
            .iter()
            .find_map(|n| n.each.filter(|l| l.scope == holder.scope));
        Some((holder.scope, element.map_or(ROOT, |l| l.element)))
    }

    /// Follows a path whose segments may end in `[*]` (each element) or be `*` (each value); the
    /// node it ends at and the loops on the way.
    fn walk_loops(&mut self, from: NodeId, path: &str) -> (NodeId, Vec<usize>) {
        let mut node = from;
        let mut loops = Vec::new();
        for segment in path.split('/').skip(1) {
            let (key, lists) = match segment.find("[*]") {
                Some(at) => (&segment[..at], segment[at..].matches("[*]").count()),
                None => (segment, 0),
            };
            if key == "*" {
                let opened = self.open(node, true);
                loops.push(opened.at);
                node = opened.element;
            } else if !key.is_empty() {
                node = self.child(node, key);
            }
            for _ in 0..lists {
                let opened = self.open(node, false);
                loops.push(opened.at);
                node = opened.element;
            }
        }
        (node, loops)
    }

    fn descend(&mut self, from: NodeId, path: &str) -> NodeId {
        path.split('/')
            .skip(1)
            .fold(from, |node, key| self.child(node, key))
    }

    fn child(&mut self, parent: NodeId, key: &str) -> NodeId {
        if let Some(&child) = self.program.nodes[parent].children.get(key) {
            return child;
        }
        let path = format!("{}/{key}", self.program.nodes[parent].path);
        let scope = self.program.nodes[parent].scope;
        let child = self.add(KeyNode {
            path,
            scope,
            ..KeyNode::default()
        });
        self.program.nodes[parent]
            .children
            .insert(key.into(), child);
        child
    }

    /// The loop over the elements of `node`.
    fn open(&mut self, node: NodeId, over_keys: bool) -> Loop {
        if let Some(known) = self.program.nodes[node].each {
            return known;
        }
        let outer = self.program.nodes[node].scope;
        let at = self.program.scopes[outer].loops;
        self.program.scopes[outer].loops += 1;
        let depth = self.program.scopes[outer].depth + 1;
        let scope = self.program.scopes.len();
        self.program.scopes.push(Scope {
            depth,
            ..Scope::default()
        });
        let mark = if over_keys { "/*" } else { "[*]" };
        let path = format!("{}{mark}", self.program.nodes[node].path);
        let element = self.add(KeyNode {
            path,
            scope,
            ..KeyNode::default()
        });
        let opened = Loop { at, scope, element };
        self.program.nodes[node].each = Some(opened);
        self.program.nodes[node].over_keys = over_keys;
        opened
    }

    fn add(&mut self, node: KeyNode) -> NodeId {
        self.program.nodes.push(node);
        self.program.nodes.len() - 1
    }

    fn capture(&mut self, node: NodeId) -> Place {
        let slot = match self.program.nodes[node].value {
            Some(slot) => slot,
            None => self.slot(node),
        };
        self.program.nodes[node].value = Some(slot);
        self.place(node, slot)
    }

    fn presence(&mut self, node: NodeId) -> Place {
        let slot = match self.program.nodes[node].presence {
            Some(slot) => slot,
            None => self.slot(node),
        };
        self.program.nodes[node].presence = Some(slot);
        self.place(node, slot)
    }

    fn slot(&mut self, node: NodeId) -> usize {
        let scope = &mut self.program.scopes[self.program.nodes[node].scope];
        scope.slots += 1;
        scope.slots - 1
    }

    fn place(&self, node: NodeId, slot: usize) -> Place {
        Place {
            depth: self.program.scopes[self.program.nodes[node].scope].depth,
            slot,
        }
    }

    fn error(&mut self, span: Span, message: String, hint: Option<String>) {
        let mut diagnostic = Diagnostic::error(&self.source.file, Some(span), message);
        diagnostic.hint = hint;
        self.found.push(diagnostic);
    }
}

/// The answer as a whole.
pub const ROOT: NodeId = 0;

fn did_you_mean(name: &str) -> String {
    format!("did you mean `{name}`?")
}
