//! Builds the tree of keys that an answer is walked with: nodes, loops, scopes and slots.

use crate::transform::page::captures::{Scope, ScopeId, SlotPlace};
use crate::transform::program::coerce::Types;
use crate::transform::program::mapping::{KeyNode, Loop, NodeId, Program, ROOT};

/// One step outward from a row: the enclosing element, and the path from there.
#[derive(Clone, Debug)]
pub struct Level {
    pub node: NodeId,
    pub prefix: String,
}

impl Program {
    /// Returns a program that captures nothing.
    pub fn empty() -> Self {
        Program {
            nodes: vec![KeyNode::default()],
            scopes: vec![Scope::default()],
            rules: Vec::new(),
            items: Vec::new(),
            about: Vec::new(),
        }
    }

    /// Returns `node` and the elements that enclose it, from the inside outward.
    pub fn levels(&self, node: NodeId) -> Vec<Level> {
        let mut levels = vec![Level {
            node,
            prefix: String::new(),
        }];
        let mut scope = self.nodes[node].scope;
        while let Some((parent, element)) = self.enclosing(scope) {
            levels.push(Level {
                node: element,
                prefix: String::new(),
            });
            scope = parent;
        }
        levels
    }

    /// Returns the scope that encloses `scope`, and the element that it is the scope of.
    fn enclosing(&self, scope: ScopeId) -> Option<(ScopeId, NodeId)> {
        let holder = self
            .nodes
            .iter()
            .find(|n| n.each.is_some_and(|l| l.scope == scope))?;
        let element = self
            .nodes
            .iter()
            .find_map(|n| n.each.filter(|l| l.scope == holder.scope));
        Some((holder.scope, element.map_or(ROOT, |l| l.element)))
    }

    /// Follows a path whose segments may end in `[*]` (each element) or be `*` (each value).
    /// Returns the node at its end and the loops on the way.
    pub fn walk_loops(&mut self, from: NodeId, path: &str) -> (NodeId, Vec<usize>) {
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

    pub fn descend(&mut self, from: NodeId, path: &str) -> NodeId {
        path.split('/')
            .skip(1)
            .fold(from, |node, key| self.child(node, key))
    }

    pub fn child(&mut self, parent: NodeId, key: &str) -> NodeId {
        if let Some(&child) = self.nodes[parent].children.get(key) {
            return child;
        }
        let path = format!("{}/{key}", self.nodes[parent].path);
        let scope = self.nodes[parent].scope;
        let child = self.add(KeyNode {
            path,
            scope,
            ..KeyNode::default()
        });
        self.nodes[parent].children.insert(key.into(), child);
        child
    }

    /// Returns the loop over the elements of `node`, and adds it if missing.
    pub fn open(&mut self, node: NodeId, over_keys: bool) -> Loop {
        if let Some(known) = self.nodes[node].each {
            return known;
        }
        let outer = self.nodes[node].scope;
        let at = self.scopes[outer].loops;
        self.scopes[outer].loops += 1;
        let depth = self.scopes[outer].depth + 1;
        let scope = self.scopes.len();
        self.scopes.push(Scope {
            depth,
            ..Scope::default()
        });
        let mark = if over_keys { "/*" } else { "[*]" };
        let path = format!("{}{mark}", self.nodes[node].path);
        let element = self.add(KeyNode {
            path,
            scope,
            is_element: true,
            ..KeyNode::default()
        });
        let opened = Loop { at, scope, element };
        self.nodes[node].each = Some(opened);
        self.nodes[node].over_keys = over_keys;
        opened
    }

    fn add(&mut self, node: KeyNode) -> NodeId {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// Returns the position of a node's value, and adds `types` to the types expected of it.
    pub fn capture(&mut self, node: NodeId, types: Types) -> SlotPlace {
        let expects = &mut self.nodes[node].expects;
        *expects = Some(expects.unwrap_or_default().or(types));
        self.slot(node, |node| &mut node.value)
    }

    /// Returns the position of a node's number of elements.
    pub fn length(&mut self, node: NodeId) -> SlotPlace {
        self.slot(node, |node| &mut node.length)
    }

    /// Returns the position of whether a node is present.
    pub fn presence(&mut self, node: NodeId) -> SlotPlace {
        self.slot(node, |node| &mut node.presence)
    }

    /// Adds known values to a node.
    pub fn know_values<'v>(&mut self, node: NodeId, values: impl IntoIterator<Item = &'v String>) {
        let known = self.nodes[node].values.get_or_insert_default();
        known.extend(values.into_iter().cloned());
    }

    /// Returns the position of whether a node is set, as a flag is.
    pub fn set(&mut self, node: NodeId) -> SlotPlace {
        self.slot(node, |node| &mut node.set)
    }

    /// Returns the slot of one kind of a node, and adds it if missing.
    fn slot(&mut self, node: NodeId, kind: fn(&mut KeyNode) -> &mut Option<usize>) -> SlotPlace {
        let node = &mut self.nodes[node];
        let scope = &mut self.scopes[node.scope];
        let slot = *kind(node).get_or_insert_with(|| {
            scope.slots += 1;
            scope.slots - 1
        });
        SlotPlace {
            depth: scope.depth,
            slot,
        }
    }
}
