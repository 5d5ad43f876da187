//! Composes YAML text into a tree of located values.
//!
//! Scalars keep the written text. [`crate::spec::yaml::decode`] knows the expected type and decides
//! what `007` or `no` means.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, ScanError, options};

use crate::spec::yaml::diagnostic::{ByteSpan, Diagnostic, SourceFile};
use crate::spec::yaml::node::{Node, NodeKind};
use crate::spec::yaml::syntax;

/// Maximum nesting depth of lists and mappings, those behind aliases included.
const DEEPEST: usize = 100;

/// Maximum number of values that aliases may add to the written ones.
const MOST_COPIES: usize = 250_000;

/// Returns the tree of a file's only document; `None` if its structure cannot be read.
///
/// Adds a diagnostic to `found` for each mistake. Leaves out a repeated key. Keeps the name of an
/// unknown alias as a text.
pub fn compose(file: &SourceFile, found: &mut Vec<Diagnostic>) -> Option<Node> {
    let before = found.len();
    let options = options! {
        flow_nesting_limit: DEEPEST,
        block_nesting_limit: DEEPEST,
        emit_anchor_events: true,
        emit_unresolved_aliases: true,
    };
    let mut composer = Composer {
        file,
        parser: Parser::new_from_str_with_options(file.text(), options),
        anchors: HashMap::new(),
        open: Vec::new(),
        read: 0,
        copies: 0,
        found,
    };
    let root = match composer.document() {
        Ok(root) => root,
        Err(Stopped) => return None,
    };
    composer.unused_anchors();
    let Some(root) = root else {
        let is_blank = file.text().trim().is_empty();
        let message = if is_blank {
            "this file is empty"
        } else {
            "this file holds only comments"
        };
        found.push(Diagnostic::error(file, None, message));
        return None;
    };
    if let NodeKind::Plain(text) = &root.kind
        && found.len() == before
        && let Some(diagnostic) = syntax::no_key(file, &root.span, text)
    {
        found.push(diagnostic);
        return None;
    }
    Some(root)
}

/// Signals that reading cannot continue. The diagnostic is in `found` already.
struct Stopped;

/// A value that an alias can stand for.
struct Anchor {
    name: String,
    place: ByteSpan,
    /// `None` while the value itself is being read.
    node: Option<Node>,
    depth: usize,
    is_used: bool,
}

struct Composer<'f, 'd> {
    file: &'f SourceFile,
    parser: Parser<'f, granit_parser::StrInput<'f>>,
    anchors: HashMap<usize, Anchor>,
    /// Start offsets of the lists and mappings that are being read, innermost last.
    open: Vec<usize>,
    /// Byte offset up to which the text is parsed.
    read: usize,
    copies: usize,
    found: &'d mut Vec<Diagnostic>,
}

/// An event and its byte range.
type Placed<'f> = (Event<'f>, ByteSpan);

impl<'f> Composer<'f, '_> {
    fn error(&mut self, span: ByteSpan, message: impl Into<String>, hint: impl Into<String>) {
        let diagnostic = Diagnostic::error(self.file, Some(span), message);
        self.found.push(diagnostic.hint(hint));
    }

    /// Returns the next event, with the place of its tag if it has one; `None` at the end.
    fn next(&mut self) -> Result<Option<(Placed<'f>, Option<ByteSpan>)>, Stopped> {
        let (event, span) = match self.parser.next_event() {
            None => return Ok(None),
            Some(Ok(next)) => next,
            Some(Err(error)) => return Err(self.unreadable(&error)),
        };
        let tag = span.tag_span().and_then(|tag| tag.byte_range());
        let span = span.byte_range().unwrap_or(self.read..self.read);
        self.read = self.read.max(span.end);
        Ok(Some(((event, span), tag)))
    }

    fn unreadable(&mut self, error: &ScanError) -> Stopped {
        let at = error.marker().byte_offset().unwrap_or(self.read);
        let at = at.min(self.file.text().len());
        let open = self.open.last().copied();
        let diagnostic = syntax::explained(self.file, error.kind(), at, self.read, open);
        self.found.push(diagnostic);
        Stopped
    }

    /// Returns the root of the document; `None` if the file has no value.
    fn document(&mut self) -> Result<Option<Node>, Stopped> {
        let mut root = None;
        let mut documents = 0;
        while let Some(((event, span), tag)) = self.next()? {
            match event {
                Event::DocumentStart(..) => {
                    documents += 1;
                    if documents == 2 {
                        let message = "a second document begins here";
                        let hint = "a file has one: remove `---` and what follows, or move that to its \
                                    own file";
                        self.error(span, message, hint);
                        return Err(Stopped);
                    }
                }
                Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
                event => root = Some(self.node(event, span, tag, 0)?),
            }
        }
        let is_written =
            |root: &Node| !matches!(&root.kind, NodeKind::Plain(text) if text.is_empty());
        Ok(root.filter(is_written))
    }

    /// Reads the value that begins with this event. `tag` is the place of its `!` tag.
    fn node(
        &mut self,
        event: Event<'f>,
        span: ByteSpan,
        tag: Option<ByteSpan>,
        depth: usize,
    ) -> Result<Node, Stopped> {
        if depth > DEEPEST {
            let hint = "write fewer lists and mappings inside each other";
            self.error(span, "this is nested too deeply", hint);
            return Err(Stopped);
        }
        let is_text_tag = event
            .tag()
            .is_some_and(|tag| tag.is_yaml_core_schema_tag("str"));
        if let (Some(tag), false) = (tag, is_text_tag) {
            let written = self.file.text().get(tag.clone()).unwrap_or_default();
            let message = format!("a text cannot begin with `{written}` without quotes");
            self.error(tag.clone(), message, syntax::QUOTE);
            if let Event::Scalar(text, _, 0, _) = &event {
                let kind = NodeKind::Quoted(text.to_string());
                let span = tag.start..span.end.max(tag.end);
                return Ok(Node { span, kind });
            }
        }
        let anchor = event.anchor_id();
        if let Some(id) = anchor {
            self.anchor(id)?;
        }
        let node = match event {
            Event::Scalar(text, style, ..) => self.scalar(&text, style, span, is_text_tag),
            Event::SequenceStart(..) => self.list(span, depth)?,
            Event::MappingStart(..) => self.mapping(span, depth)?,
            Event::Alias(id) => return self.alias(id, span, depth),
            Event::UnresolvedAlias(name) => {
                let message = format!(
                    "`*{name}` refers to a value marked `&{name}` above, and there is none"
                );
                self.error(span.clone(), message, syntax::QUOTE);
                let kind = NodeKind::Quoted(name.into_owned());
                return Ok(Node { span, kind });
            }
            _ => {
                self.error(span, "this cannot be read", syntax::QUOTE);
                return Err(Stopped);
            }
        };
        if let Some(anchor) = anchor.and_then(|id| self.anchors.get_mut(&id)) {
            anchor.depth = node.depth();
            anchor.node = Some(node.clone());
        }
        Ok(node)
    }

    /// Records an anchor. The parser sends its name in the event after the one that begins the
    /// anchored value.
    fn anchor(&mut self, id: usize) -> Result<(), Stopped> {
        let Some(((Event::Anchor(_, name), place), _)) = self.next()? else {
            return Ok(());
        };
        let anchor = Anchor {
            name: name.into_owned(),
            place,
            node: None,
            depth: 0,
            is_used: false,
        };
        self.anchors.insert(id, anchor);
        Ok(())
    }

    /// Returns a copy of the value that an alias stands for. Its place is that of the original.
    fn alias(&mut self, id: usize, span: ByteSpan, depth: usize) -> Result<Node, Stopped> {
        let Some(anchor) = self.anchors.get_mut(&id) else {
            return Err(Stopped);
        };
        anchor.is_used = true;
        let Some(node) = &anchor.node else {
            let message = format!("`*{}` refers to a value that contains it", anchor.name);
            self.error(span, message, "write the value out");
            return Err(Stopped);
        };
        let node = node.clone();
        self.copies += node.size();
        if self.copies > MOST_COPIES || depth + anchor.depth > DEEPEST {
            let hint = "write the values out, or use fewer aliases";
            self.error(span, "the aliases of this file make it too large", hint);
            return Err(Stopped);
        }
        Ok(node)
    }

    /// Reports scalars with an unused anchor: YAML takes a word that begins with `&` for an anchor,
    /// so the word would be lost.
    fn unused_anchors(&mut self) {
        let is_lost = |anchor: &&Anchor| {
            let is_scalar = |node: &Node| node.text().is_some();
            !anchor.is_used && anchor.node.as_ref().is_some_and(is_scalar)
        };
        let lost: Vec<_> = self.anchors.values().filter(is_lost).collect();
        let mut lost: Vec<_> = lost
            .into_iter()
            .map(|anchor| (anchor.name.clone(), anchor.place.clone()))
            .collect();
        lost.sort_by_key(|(_, place)| place.start);
        for (name, place) in lost {
            let message = format!("a text cannot begin with `&{name}` without quotes");
            self.error(place, message, syntax::QUOTE);
        }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, span: ByteSpan, is_text: bool) -> Node {
        let kind = match style {
            // The parser inserts a null where nothing is written.
            ScalarStyle::Plain if span.is_empty() => NodeKind::Plain(String::new()),
            ScalarStyle::Plain if !is_text => NodeKind::Plain(text.to_owned()),
            _ => NodeKind::Quoted(text.to_owned()),
        };
        Node { span, kind }
    }

    fn list(&mut self, begin: ByteSpan, depth: usize) -> Result<Node, Stopped> {
        self.open.push(begin.start);
        let mut items = Vec::new();
        let end = loop {
            let Some(((event, span), tag)) = self.next()? else {
                return Err(Stopped);
            };
            if event == Event::SequenceEnd {
                break span.end;
            }
            let mut item = self.node(event, span, tag, depth + 1)?;
            if item.span.is_empty() {
                let before = items
                    .last()
                    .map_or(begin.start, |item: &Node| item.span.end);
                self.empty_item(&mut item, before);
            }
            items.push(item);
        };
        self.open.pop();
        let last = items.last().map(|item| item.span.end);
        let span = begin.start..self.end(&begin, end, last);
        let kind = NodeKind::Seq(items);
        Ok(Node { span, kind })
    }

    /// Places an empty list item at its `-`. `before` is the end offset of the previous item.
    ///
    /// Reports a comment that looks like the item's text.
    fn empty_item(&mut self, item: &mut Node, before: usize) {
        let text = self.file.text();
        let mut start = before;
        for line in text[before..].split_inclusive('\n') {
            let content = line.trim_start();
            if content.starts_with('-') {
                start += line.len() - content.len();
                item.span = start..start + 1;
                break;
            }
            start += line.len();
        }
        let rest = text[item.span.end..].lines().next().unwrap_or_default();
        let rest = rest.trim_start();
        let comment = rest.strip_prefix('#');
        if comment.is_some_and(|comment| comment.starts_with(|c: char| c.is_alphanumeric())) {
            let word = rest.split_whitespace().next().unwrap_or(rest).to_owned();
            let message = format!("`{word}` is a comment: nothing is written before it");
            self.error(item.span.clone(), message, syntax::QUOTE);
            item.kind = NodeKind::Quoted(word);
        }
    }

    fn mapping(&mut self, begin: ByteSpan, depth: usize) -> Result<Node, Stopped> {
        self.open.push(begin.start);
        let mut entries: Vec<(Node, Node)> = Vec::new();
        let mut starts: HashMap<String, usize> = HashMap::new();
        let mut merged = Vec::new();
        let end = loop {
            let Some(((event, span), tag)) = self.next()? else {
                return Err(Stopped);
            };
            if event == Event::MappingEnd {
                break span.end;
            }
            let key = self.node(event, span, tag, depth + 1)?;
            let Some(((event, span), tag)) = self.next()? else {
                return Err(Stopped);
            };
            let mut value = self.node(event, span, tag, depth + 1)?;
            if value.span.is_empty() {
                // An absent value gets the place of its key.
                value.span = key.span.clone();
            }
            if matches!(&key.kind, NodeKind::Plain(text) if text == "<<") {
                merged.push(value);
                continue;
            }
            let Some(name) = key.text() else {
                entries.push((key, value));
                continue;
            };
            match starts.get(name) {
                Some(first) => {
                    let (line, _) = self.file.position(*first);
                    let message = format!("duplicate key `{name}`, first in line {line}");
                    let hint = "remove one of them, or rename it";
                    self.error(key.span, message, hint);
                }
                None => {
                    starts.insert(name.to_owned(), key.span.start);
                    entries.push((key, value));
                }
            }
        };
        self.open.pop();
        let last = entries.last();
        let last = last.map(|(key, value)| value.span.end.max(key.span.end + 1));
        let span = begin.start..self.end(&begin, end, last);
        for value in merged {
            self.merge(value, &mut entries);
        }
        let kind = NodeKind::Map(entries);
        Ok(Node { span, kind })
    }

    /// Adds the entries behind a `<<`, except for keys that the mapping already has.
    fn merge(&mut self, value: Node, entries: &mut Vec<(Node, Node)>) {
        let span = value.span.clone();
        let values = match value.kind {
            NodeKind::Seq(values) => values,
            _ => vec![value],
        };
        for value in values {
            let NodeKind::Map(more) = value.kind else {
                let message = "`<<` takes over the keys of another mapping";
                self.error(
                    span.clone(),
                    message,
                    "write it like `<<: *name`, with `&name` at a mapping above",
                );
                continue;
            };
            for (key, value) in more {
                if !entries.iter().any(|(own, _)| own.text() == key.text()) {
                    entries.push((key, value));
                }
            }
        }
    }

    /// Returns the end offset of a list or mapping: at its bracket, or after its last value.
    fn end(&self, begin: &ByteSpan, end: usize, last: Option<usize>) -> usize {
        let end = if begin.is_empty() {
            last.unwrap_or(begin.start)
        } else {
            end
        };
        end.clamp(begin.start, self.file.text().len())
    }
}
