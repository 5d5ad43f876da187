//! The text of HTML.

use std::panic::catch_unwind;
use std::rc::Rc;

use html2text::render::TrivialDecorator;
use html2text::{Element, Handle};

use super::Bad;

/// The text of an HTML fragment, a line for each block.
pub fn html_text(html: &str) -> Result<String, Bad> {
    // Laying deeply nested elements out takes time without bound.
    if html.len() > MOST_HTML || nesting(html) > DEEPEST_HTML {
        return Err("HTML that is too large or too deeply nested");
    }
    // The library has more assumptions than we can check, and a run must outlive any note.
    let text = catch_unwind(|| laid_out(html)).unwrap_or(Err("HTML that cannot be laid out"))?;
    Ok(text.trim_end().to_owned())
}

fn laid_out(html: &str) -> Result<String, Bad> {
    // Without the brackets and number signs that other decorators put around links and headings.
    let config = html2text::config::with_decorator(TrivialDecorator::new())
        .no_link_wrapping()
        .no_table_borders();
    let text = || {
        let page = config.parse_html(html.as_bytes())?;
        give_each_cell_one_place(&page.document);
        config.render_to_string(config.dom_to_render_tree(&page)?, LONG_LINE)
    };
    text().map_err(|_| "not HTML")
}

/// Takes away what makes a table's cell reach over others: html2text panics on some such tables, and
/// the text is the same without.
fn give_each_cell_one_place(page: &Handle) {
    let mut nodes = vec![Rc::clone(page)];
    while let Some(node) = nodes.pop() {
        if let Element { attrs, .. } = &node.data {
            let mut attrs = attrs.borrow_mut();
            attrs.retain(|attr| !["colspan", "rowspan"].contains(&&*attr.name.local));
        }
        nodes.extend(node.children.borrow().iter().map(Rc::clone));
    }
}

/// Bytes of HTML that are turned into text at most; a note has at most some thousand characters.
const MOST_HTML: usize = 1 << 20;
const DEEPEST_HTML: usize = 100;

/// How many elements are open at once at most. Those that need no closing tag do not count.
fn nesting(html: &str) -> usize {
    let light = ["br", "img", "hr", "p", "li"];
    let mut open = 0_usize;
    let mut deepest = 0;
    for tag in html.split('<').skip(1) {
        let closes = tag.starts_with('/');
        let name = tag.trim_start_matches('/');
        let end = name.find(|c: char| !c.is_ascii_alphanumeric());
        let name = name[..end.unwrap_or(name.len())].to_ascii_lowercase();
        match closes {
            _ if name.is_empty() || light.contains(&name.as_str()) => {}
            true => open = open.saturating_sub(1),
            false => open += 1,
        }
        deepest = deepest.max(open);
    }
    deepest
}

/// Wide enough that no line is wrapped.
const LONG_LINE: usize = 1 << 20;
