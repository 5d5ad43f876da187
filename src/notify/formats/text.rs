//! A message as text, in the markup that a service shows.

use crate::notify::message::{RowCard, WebhookMessage};
use crate::spec::yaml::escape::escaped_line;

/// Markup of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// No markup.
    Plain,
    /// Markdown with `**bold**` and `[text](address)`: Feishu and WeCom.
    Markdown,
    /// The same, in which a line break needs two spaces before it: DingTalk.
    SpacedMarkdown,
    /// Slack's own, with `*bold*` and `<address|text>`.
    Slack,
}

/// Returns the text of a message without its title, in at most `limit` bytes. Lines that do not fit
/// are left out, and the text says so.
pub fn text(message: &WebhookMessage, dialect: Dialect, limit: usize) -> String {
    let mut lines = Vec::new();
    for (name, value) in &message.facts {
        lines.push(format!("{} {}", dialect.bold(name), dialect.escape(value)));
    }
    for paragraph in &message.paragraphs {
        // Hints may have several lines.
        lines.extend(paragraph.lines().map(|line| dialect.escape(line)));
    }
    for item in &message.items {
        lines.push(format!("- {}", dialect.escape(item)));
    }
    for (at, card) in message.cards.iter().enumerate() {
        lines.push(dialect.card(at + 1, card));
    }
    if message.more > 0 {
        lines.push(format!("… and {} more", message.more));
    }
    fitted(lines, dialect.line_end(), limit)
}

/// Joins the lines that fit into `limit` bytes.
fn fitted(lines: Vec<String>, end: &str, limit: usize) -> String {
    let cut = "… the message is cut here".to_owned();
    let mut text = String::new();
    for line in lines {
        let room = limit.saturating_sub(cut.len() + 2 * end.len());
        let is_full = text.len() + line.len() > room;
        if !text.is_empty() {
            text.push_str(end);
        }
        if is_full {
            text.push_str(&cut);
            return text;
        }
        text.push_str(&line);
    }
    text
}

impl Dialect {
    fn line_end(self) -> &'static str {
        match self {
            Dialect::Plain | Dialect::Markdown | Dialect::Slack => "\n",
            Dialect::SpacedMarkdown => "  \n",
        }
    }

    pub fn bold(self, text: &str) -> String {
        match self {
            Dialect::Plain => format!("{text}:"),
            Dialect::Markdown | Dialect::SpacedMarkdown => format!("**{text}**"),
            Dialect::Slack => format!("*{text}*"),
        }
    }

    /// Returns a text on one line that is no markup, mentions nobody and opens no tag. Services have
    /// no common way to escape: full-width characters stand for those of the markup.
    pub fn escape(self, text: &str) -> String {
        let line = escaped_line(text);
        if self == Dialect::Plain {
            return line.into_owned();
        }
        let replaced = |c| match c {
            '<' => '＜',
            '>' => '＞',
            '[' => '［',
            ']' => '］',
            '*' => '＊',
            '`' => '｀',
            '~' => '～',
            '&' => '＆',
            other => other,
        };
        line.chars().map(replaced).collect()
    }

    fn link(self, text: &str, address: &str) -> String {
        let text = self.escape(text);
        let address: String = address
            .chars()
            .map(|c| match c {
                '(' => "%28".to_owned(),
                ')' => "%29".to_owned(),
                '|' => "%7C".to_owned(),
                '<' => "%3C".to_owned(),
                '>' => "%3E".to_owned(),
                other => other.to_string(),
            })
            .collect();
        match self {
            Dialect::Plain => format!("{text} {address}"),
            Dialect::Markdown | Dialect::SpacedMarkdown => format!("[{text}]({address})"),
            Dialect::Slack => format!("<{address}|{text}>"),
        }
    }

    /// Returns a row: its heading with the link, and its values on a second line.
    fn card(self, number: usize, card: &RowCard) -> String {
        let heading = match &card.link {
            Some(address) => self.link(&card.heading, address),
            None => self.bold(&self.escape(&card.heading)),
        };
        let values = card.values.iter();
        let values: Vec<String> = values
            .map(|(name, value)| format!("{} {}", self.escape(name), self.escape(value)))
            .collect();
        if values.is_empty() {
            format!("{number}. {heading}")
        } else {
            let end = self.line_end();
            format!("{number}. {heading}{end}{}", values.join(" · "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::message::MessageKind;

    fn message(cards: Vec<RowCard>) -> WebhookMessage {
        let at = "2026-03-09T04:00:00Z".parse().expect("a time");
        let mut message =
            WebhookMessage::new(MessageKind::Finding, "watch", "redlake".to_owned(), at);
        message.cards = cards;
        message
    }

    fn hostile() -> RowCard {
        RowCard {
            heading: "**买一送一** [点我](http://evil) <at id=all></at>\n# 标题".to_owned(),
            link: Some("https://www.xiaohongshu.com/explore/1?a=(b)|c".to_owned()),
            values: vec![("liked_count".to_owned(), "1,234".to_owned())],
        }
    }

    #[test]
    fn texts_of_notes_are_no_markup() {
        let of = |dialect| text(&message(vec![hostile()]), dialect, 10_000);
        let heading = "＊＊买一送一＊＊ ［点我］(http://evil) ＜at id=all＞＜/at＞\\n# 标题";
        let address = "https://www.xiaohongshu.com/explore/1?a=%28b%29%7Cc";
        let markdown = format!("1. [{heading}]({address})\nliked_count 1,234");
        assert_eq!(of(Dialect::Markdown), markdown);
        let spaced = format!("1. [{heading}]({address})  \nliked_count 1,234");
        assert_eq!(of(Dialect::SpacedMarkdown), spaced);
        let slack = format!("1. <{address}|{heading}>\nliked_count 1,234");
        assert_eq!(of(Dialect::Slack), slack);
    }

    #[test]
    fn a_long_message_is_cut_between_lines_and_says_so() {
        let cards = vec![hostile(); 50];
        let text = text(&message(cards), Dialect::Markdown, 1_000);
        assert!(text.len() <= 1_000, "{}", text.len());
        assert!(text.ends_with("\n… the message is cut here"), "{text}");
    }
}
