//! From the rules of the source contracts to programs.

use std::collections::HashMap;

use indexmap::IndexMap;

use crate::spec::contracts::{Contract, Contracts};
use crate::spec::source::{
    ColumnReads, Condition, Conditions, Endpoint, Mapping, RowRule, Source, Test,
};
use crate::spec::table::{RowsFrom, Table};
use crate::spec::yaml::diagnostic::{ByteSpan, Diagnostic, Diagnostics, nearest};
use crate::spec::yaml::document::Spanned;
use crate::transform::page::captures::{ScopeId, SlotPlace};
use crate::transform::program::coerce::{Convert, LastItem, Origin, Read, Types};
use crate::transform::program::conditions::{Alternatives, Matcher};
use crate::transform::program::mapping::{
    About, CompiledRule, NodeId, Program, Programs, ROOT, Variant,
};
use crate::transform::program::tree::Level;

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

impl<'a> Compiler<'a> {
    fn new(
        source: &'a Contract<Source>,
        endpoint: &'a Endpoint,
        tables: &'a IndexMap<String, Table>,
        found: &'a mut Vec<Diagnostic>,
    ) -> Self {
        Compiler {
            source,
            endpoint,
            tables,
            found,
            program: Program::empty(),
        }
    }

    fn compile(&mut self) {
        let Compiler {
            source, endpoint, ..
        } = *self;
        let envelope = &source.envelope;
        let words = envelope.message.iter().chain(&envelope.request_id);
        for path in words.chain([&envelope.code]) {
            let node = self.program.descend(ROOT, path);
            self.program.nodes[node].left_out = true;
        }
        for rule in &endpoint.rows {
            self.rule(rule);
        }
        if let Some(path) = &endpoint.pagination.items {
            self.program.items = path
                .split('/')
                .skip(1)
                .scan(ROOT, |node, key| {
                    *node = self.program.child(*node, key);
                    Some(*node)
                })
                .collect();
        }
        for (name, path) in &endpoint.about {
            // A parameter that is not there was refused when the contract was read.
            if let Some(param) = endpoint.params.get(&name.value) {
                let node = self.program.descend(ROOT, path);
                let value = self.program.capture(node, Types::STRING);
                self.program.about.push(About {
                    name: name.value.clone(),
                    param: param.clone(),
                    value,
                });
            }
        }
        for left_out in &endpoint.left_out {
            for at in &left_out.at {
                let (parent, _) = self.program.walk_loops(ROOT, at);
                for field in &left_out.fields {
                    let node = self.program.child(parent, field);
                    self.program.nodes[node].left_out = true;
                }
            }
        }
        for known in &endpoint.known_values {
            for at in &known.at {
                let (node, _) = self.program.walk_loops(ROOT, at);
                if self.program.nodes[node].values.is_none() {
                    let message = format!("no rule reads the values of `{}`", at.value);
                    let hint =
                        "give `known_values` only where a `when` or `values` reads the value";
                    self.error(at.span(), message, Some(hint.to_owned()));
                }
                self.program.know_values(node, &known.values);
            }
        }
    }

    fn rule(&mut self, rule: &Spanned<RowRule>) {
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

        let (element, each) = self
            .program
            .walk_loops(ROOT, rule.each.as_deref().unwrap_or_default());
        for path in rule.each.iter().chain(&rule.then_each) {
            if !path.contains("[*]") && !path.ends_with("/*") {
                let message = format!("`{path}` names no elements");
                let hint = format!("write `{path}[*]` for each element of a list");
                self.error(rule.span(), message, Some(hint));
            }
        }
        let outer = self.program.levels(element);
        let when = self.conditions(&rule.when, &outer, rule.span());
        let ats = if rule.at.is_empty() {
            vec![None]
        } else {
            rule.at.iter().map(Some).collect()
        };
        let variants = ats
            .into_iter()
            .map(|at| self.variant(rule, table, element, at.map(String::as_str)));
        let variants: Vec<Variant> = variants.collect();
        let mut targets: Vec<ScopeId> = variants.iter().filter_map(|v| v.target).collect();
        if targets.is_empty() && !each.is_empty() {
            targets.push(self.program.nodes[element].scope);
        }
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
            any_of_fields: names(&rule.any_of_fields),
            over_items,
            each,
            when,
            variants,
            at,
            targets,
        });
    }

    fn variant(
        &mut self,
        rule: &Spanned<RowRule>,
        table: &Table,
        element: NodeId,
        at: Option<&str>,
    ) -> Variant {
        let object = self.program.descend(element, at.unwrap_or_default());
        let present = at.map(|_| self.program.presence(object));
        let (row, then_each) = self
            .program
            .walk_loops(object, rule.then_each.as_deref().unwrap_or_default());
        let mut levels = self.program.levels(element);
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
            let inner = self.program.levels(row);
            // Loops between the object and the row lie between their levels.
            let between = inner
                .len()
                .saturating_sub(self.program.levels(element).len());
            levels = inner.into_iter().take(between).chain(levels).collect();
        }
        let element = match (&rule.then_each, &rule.each, at) {
            (Some(path), ..) => Some((row, path.clone())),
            (None, Some(path), None) => Some((element, path.clone())),
            _ => None,
        };
        let then_when = self.conditions(&rule.then_when, &levels, rule.span());
        let hashtags = rule.explode.as_ref().map(|explode| {
            explode
                .hashtags
                .iter()
                .filter_map(|p| self.value(p, &levels, rule.span(), Types::STRING))
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
            target: (!then_each.is_empty()).then(|| self.program.nodes[row].scope),
            then_each,
            element,
            then_when,
            hashtags,
            columns,
        }
    }

    fn known_columns(&mut self, rule: &Spanned<RowRule>, table: &Table) {
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
        ColumnReads(mappings): &ColumnReads,
        table: &Table,
        levels: &[Level],
    ) -> Vec<Read> {
        let column = &table.columns[&name.value];
        let is_id = column.identity.is_some() || column.identity_by.is_some();
        let mut reads = Vec::new();
        for mapping in mappings {
            let convert = match Convert::compile(mapping, column.kind) {
                Ok(convert) => convert.of_ids(is_id),
                Err(message) => {
                    self.error(name.span(), message, None);
                    continue;
                }
            };
            let types = convert.expects();
            if let Some(origin) = self.origin(mapping, levels, name.span(), types) {
                let path = mapping.path.as_ref().or(mapping.list.as_ref());
                let node = path.and_then(|path| self.resolve(path, levels, name.span()));
                let path = node.map(|node| self.program.nodes[node].path.clone());
                let when = self.conditions(&mapping.when, levels, name.span());
                reads.push(Read {
                    origin,
                    convert,
                    when,
                    path: path.unwrap_or_default(),
                    all_of_fields: names(&mapping.all_of_fields),
                });
            }
        }
        reads
    }

    /// Returns the origin that a mapping reads. Exactly one is given.
    fn origin(
        &mut self,
        mapping: &Mapping,
        levels: &[Level],
        span: ByteSpan,
        types: Types,
    ) -> Option<Origin> {
        let told = self.found.len();
        let mut origins = Vec::new();
        if let Some(path) = &mapping.path {
            let place = self.value(path, levels, span.clone(), types);
            origins.extend(place.map(Origin::Value));
            if let Some(values) = mapping.values.as_ref().filter(|_| mapping.json.is_none())
                && let Some(node) = self.resolve(path, levels, span.clone())
            {
                self.program.know_values(node, values.keys());
            }
        }
        self.check_list(mapping, span.clone());
        if let Some(list) = &mapping.list {
            let item = mapping.item.as_deref().unwrap_or_default();
            origins.extend(match &mapping.index_at {
                Some(index_at) => self.pick([list, index_at, item], levels, span.clone(), types),
                None => self.last(
                    [list, item],
                    &mapping.item_when,
                    levels,
                    span.clone(),
                    types,
                ),
            });
        }
        if let Some(path) = &mapping.length {
            origins.extend(self.length(path, levels, span.clone()).map(Origin::Value));
        }
        if let Some(paths) = &mapping.hash {
            let places = paths
                .iter()
                .filter_map(|p| self.value(p, levels, span.clone(), Types::STRING))
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
            let place = self.value(path, levels, span.clone(), Types::INTEGER);
            origins.extend(place.map(Origin::IndexEquals));
        }
        if mapping.key == Some(true) {
            origins.push(Origin::Key);
        }
        if mapping.exploded == Some(true) {
            origins.push(Origin::Exploded);
        }
        if let Some(path) = &mapping.has_in {
            let text = mapping.has.as_deref().unwrap_or_default();
            origins.extend(self.has(path, text, levels, span.clone()));
        }
        // A path that leads nowhere is told already.
        if origins.len() > 1 || (origins.is_empty() && self.found.len() == told) {
            let message = "exactly one of path, list, length, hash, const, index, index_equals, key, \
                           exploded and has_in says where a column comes from";
            self.error(span, message.to_owned(), None);
        }
        origins.pop()
    }

    fn conditions(
        &mut self,
        Conditions(alternatives): &Conditions,
        levels: &[Level],
        span: ByteSpan,
    ) -> Alternatives {
        alternatives
            .iter()
            .map(|all| self.alternative(all, levels, &span))
            .collect()
    }

    fn alternative(
        &mut self,
        conditions: &IndexMap<String, Condition>,
        levels: &[Level],
        span: &ByteSpan,
    ) -> Vec<(SlotPlace, Matcher)> {
        let mut compiled = Vec::new();
        for (path, condition) in conditions {
            let matcher = match condition {
                Condition::Is(word) => Matcher::OneOf(vec![word.clone()]),
                Condition::OneOf(words) => Matcher::OneOf(words.clone()),
                Condition::Test(test) => match matcher(test) {
                    Some(matcher) => matcher,
                    None => {
                        let message = "a test is exactly one of none_of, exists, filled and is_set";
                        self.error(span.clone(), message.to_owned(), None);
                        continue;
                    }
                },
            };
            let Some(node) = self.resolve(path, levels, span.clone()) else {
                continue;
            };
            let place = match matcher {
                Matcher::Exists(_) => self.program.presence(node),
                Matcher::IsSet(_) => self.program.set(node),
                Matcher::Filled(_) => self.program.capture(node, Types::STRING),
                Matcher::OneOf(_) | Matcher::NoneOf(_) => {
                    self.program.know_values(node, condition.values());
                    self.program.capture(node, Types::STRING)
                }
            };
            compiled.push((place, matcher));
        }
        compiled
    }

    fn value(
        &mut self,
        path: &str,
        levels: &[Level],
        span: ByteSpan,
        types: Types,
    ) -> Option<SlotPlace> {
        self.resolve(path, levels, span)
            .map(|node| self.program.capture(node, types))
    }

    fn length(&mut self, path: &str, levels: &[Level], span: ByteSpan) -> Option<SlotPlace> {
        let node = self.resolve(path, levels, span)?;
        Some(self.program.length(node))
    }

    /// Checks the keys that select an element of a list.
    fn check_list(&mut self, mapping: &Mapping, span: ByteSpan) {
        let has_list = mapping.list.is_some();
        let selects = [mapping.index_at.is_some(), mapping.last];
        let selected = selects.into_iter().filter(|selects| *selects).count();
        let is_path_of_elements = mapping
            .list
            .as_ref()
            .is_some_and(|list| list.contains("[*]"));
        let message = if is_path_of_elements {
            "`list` is the path of the list itself, without `[*]`"
        } else if selected != usize::from(has_list) {
            "`list` and exactly one of `index_at` and `last: true` belong together"
        } else if mapping.item.is_some() && !has_list {
            "`item` is a path in an element of `list`"
        } else if !mapping.item_when.is_empty() && !mapping.last {
            "`item_when` needs `last: true`"
        } else {
            return;
        };
        self.error(span, message.to_owned(), None);
    }

    fn pick(
        &mut self,
        [list, index_at, item]: [&str; 3],
        levels: &[Level],
        span: ByteSpan,
        types: Types,
    ) -> Option<Origin> {
        let index = self.value(index_at, levels, span.clone(), Types::INTEGER)?;
        let elements = self.elements(list, levels, span.clone())?;
        let slot = self.value(item, &[elements.level], span, types)?.slot;
        Some(Origin::Pick {
            depth: elements.depth,
            list: elements.list,
            index,
            slot,
        })
    }

    fn last(
        &mut self,
        [list, item]: [&str; 2],
        item_when: &Conditions,
        levels: &[Level],
        span: ByteSpan,
        types: Types,
    ) -> Option<Origin> {
        let elements = self.elements(list, levels, span.clone())?;
        let level = [elements.level];
        let slot = self.value(item, &level, span.clone(), types)?.slot;
        Some(Origin::Last(LastItem {
            depth: elements.depth,
            list: elements.list,
            slot,
            item_when: self.conditions(item_when, &level, span),
        }))
    }

    /// Opens the list at a path.
    fn elements(&mut self, list: &str, levels: &[Level], span: ByteSpan) -> Option<Elements> {
        let node = self.resolve(list, levels, span)?;
        let depth = self.program.scopes[self.program.nodes[node].scope].depth;
        let inner = self.program.open(node, false);
        Some(Elements {
            depth,
            list: inner.at,
            level: Level {
                node: inner.element,
                prefix: String::new(),
            },
        })
    }

    /// Returns whether the list at `path` has an element that is `text`.
    fn has(&mut self, path: &str, text: &str, levels: &[Level], span: ByteSpan) -> Option<Origin> {
        if text.is_empty() {
            let hint = "add `has: text`, the element that is looked for".to_owned();
            self.error(span, "`has_in` needs `has`".to_owned(), Some(hint));
            return None;
        }
        let list = self.resolve(path, levels, span)?;
        let depth = self.program.scopes[self.program.nodes[list].scope].depth;
        let present = self.program.length(list);
        let inner = self.program.open(list, false);
        let slot = self.program.capture(inner.element, Types::STRING).slot;
        self.program.know_values(inner.element, [&text.to_owned()]);
        Some(Origin::Has {
            depth,
            list: inner.at,
            slot,
            present,
            text: text.to_owned(),
        })
    }

    /// The node that `path` names, `^` being one step outward.
    fn resolve(&mut self, path: &str, levels: &[Level], span: ByteSpan) -> Option<NodeId> {
        let outward = path.chars().take_while(|c| *c == '^').count();
        let rest = &path[outward..];
        if !rest.is_empty() && !rest.starts_with('/') {
            let hint = "write a path such as /note/id, or ^/id for the parent object";
            self.error(span, format!("`{path}` is not a path"), Some(hint.into()));
            return None;
        }
        let Some(level) = levels.get(outward) else {
            self.error(span, format!("`{path}` leads out of the answer"), None);
            return None;
        };
        Some(
            self.program
                .descend(level.node, &format!("{}{rest}", level.prefix)),
        )
    }

    fn error(&mut self, span: ByteSpan, message: String, hint: Option<String>) {
        let mut diagnostic = Diagnostic::error(&self.source.file, Some(span), message);
        diagnostic.hint = hint;
        self.found.push(diagnostic);
    }
}

/// A list that one element is read from.
struct Elements {
    /// Loop depth of the frame with the list, and the position among its loops.
    depth: usize,
    list: usize,
    /// The level that paths in an element begin at.
    level: Level,
}

/// The condition that a test stands for, if it is exactly one.
fn matcher(test: &Test) -> Option<Matcher> {
    let none_of = test.none_of.clone().map(Matcher::NoneOf);
    let exists = test.exists.map(Matcher::Exists);
    let filled = test.filled.map(Matcher::Filled);
    let is_set = test.is_set.map(Matcher::IsSet);
    let mut tests = [none_of, exists, filled, is_set].into_iter().flatten();
    tests.next().filter(|_| tests.next().is_none())
}

fn names(declared: &[Spanned<String>]) -> Vec<String> {
    declared.iter().map(|name| name.value.clone()).collect()
}

fn did_you_mean(name: &str) -> String {
    format!("did you mean `{name}`?")
}
