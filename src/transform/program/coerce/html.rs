//! Converts HTML to text.

use std::panic::catch_unwind;
use std::rc::Rc;

use html2text::render::TrivialDecorator;
use html2text::{Element, Handle};

use crate::transform::program::value::BadReason;

/// Returns the text of an HTML fragment, with one line for each block.
pub fn html_text(html: &str) -> Result<String, BadReason> {
    // The layout time of deeply nested elements is unbounded.
    if html.len() > MOST_HTML || nesting(html) > DEEPEST_HTML {
        return Err(TOO_MUCH);
    }
    // The library may panic on inputs that we cannot check for. One note must not end the run.
    let text = catch_unwind(|| laid_out(html)).unwrap_or(Err("HTML that cannot be laid out"))?;
    Ok(text.trim_end().to_owned())
}

fn laid_out(html: &str) -> Result<String, BadReason> {
    // Other decorators put brackets and number signs around links and headings.
    let config = html2text::config::with_decorator(TrivialDecorator::new())
        .no_link_wrapping()
        .no_table_borders();
    let text = || {
        let page = config.parse_html(html.as_bytes())?;
        if give_each_cell_one_place(&page.document) > DEEPEST_TREE {
            return Ok(None);
        }
        let tree = config.dom_to_render_tree(&page)?;
        config.render_to_string(tree, LONG_LINE).map(Some)
    };
    let text: Result<Option<String>, html2text::Error> = text();
    text.map_err(|_| "not HTML")?.ok_or(TOO_MUCH)
}

/// Removes `colspan` and `rowspan` from all elements, and returns the depth of the tree. html2text
/// panics on some tables with spans, and the text is the same without them.
fn give_each_cell_one_place(page: &Handle) -> usize {
    let mut nodes = vec![(Rc::clone(page), 0)];
    let mut deepest = 0;
    while let Some((node, depth)) = nodes.pop() {
        deepest = deepest.max(depth);
        if let Element { attrs, .. } = &node.data {
            let mut attrs = attrs.borrow_mut();
            attrs.retain(|attr| !["colspan", "rowspan"].contains(&&*attr.name.local));
        }
        let children = node.children.borrow();
        nodes.extend(children.iter().map(|child| (Rc::clone(child), depth + 1)));
    }
    deepest
}

/// Maximum bytes of HTML that are converted. A note has a few thousand characters at most.
const MOST_HTML: usize = 1 << 20;
const DEEPEST_HTML: usize = 100;

/// Maximum depth of the parsed tree. It includes elements that need no closing tag and elements
/// that a wrong tag has not closed.
const DEEPEST_TREE: usize = 3 * DEEPEST_HTML;
const TOO_MUCH: BadReason = "HTML that is too large or too deeply nested";

/// Returns the maximum number of elements that are open at once. Elements that need no closing tag
/// do not count.
fn nesting(html: &str) -> usize {
    let light = ["br", "img", "hr", "p", "li"];
    let mut open = 0_usize;
    let mut deepest = 0;
    for tag in html.split('<').skip(1) {
        let closes = tag.starts_with('/');
        let name = tag.trim_start_matches('/');
        let end = name.find(|c: char| !c.is_ascii_alphanumeric());
        let name = name[..end.unwrap_or(name.len())].to_ascii_lowercase();
        if name.is_empty() || light.contains(&name.as_str()) {
            continue;
        }
        open = if closes {
            open.saturating_sub(1)
        } else {
            open + 1
        };
        deepest = deepest.max(open);
    }
    deepest
}

/// Line width in characters, large enough that no line is wrapped.
const LONG_LINE: usize = 1 << 20;
