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

/// A message as text.
pub struct MessageText {
    pub text: String,
    /// Number of cards in it.
    pub cards: usize,
}

/// Returns the text of a message without its title, in at most `limit` bytes. Cards that do not fit are
/// counted at its end; the first one is cut if necessary.
pub fn text(message: &WebhookMessage, dialect: Dialect, limit: usize) -> MessageText {
    let end = dialect.line_end();
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
    let rest = |count: u64| format!("… and {count} more");
    let room = limit.saturating_sub(rest(u64::MAX).len() + end.len());
    let mut text = String::new();
    for line in lines {
        if !append(&mut text, &line, end, room) {
            append(&mut text, CUT, end, limit);
            return MessageText { text, cards: 0 };
        }
    }
    let mut cards = 0;
    for card in &message.cards {
        let shown = dialect.card(cards + 1, card);
        if append(&mut text, &shown, end, room) {
            cards += 1;
            continue;
        }
        if cards == 0 {
            let most = room.saturating_sub(text.len() + end.len() + CUT_SHORT.len());
            let short = format!("{}{CUT_SHORT}", prefix(&shown, most));
            append(&mut text, &short, end, room);
            cards = 1;
        }
        break;
    }
    let more = message.more + (message.cards.len() - cards) as u64;
    if more > 0 {
        append(&mut text, &rest(more), end, limit);
    }
    MessageText { text, cards }
}

const CUT: &str = "… the message is cut";
const CUT_SHORT: &str = "…";

/// Returns the longest beginning of a text in at most `most` bytes.
fn prefix(text: &str, most: usize) -> &str {
    let mut ends = (0..=most.min(text.len())).rev();
    let end = ends.find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or_default()]
}

/// Appends a line if it fits into `limit` bytes. Returns true if it did.
fn append(text: &mut String, line: &str, end: &str, limit: usize) -> bool {
    let end = if text.is_empty() { "" } else { end };
    let fits = text.len() + end.len() + line.len() <= limit;
    if fits {
        text.push_str(end);
        text.push_str(line);
    }
    fits
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
        let of = |dialect| text(&message(vec![hostile()]), dialect, 10_000).text;
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
    fn cards_that_do_not_fit_are_counted() {
        let mut message = message(vec![hostile(); 50]);
        message.more = 7;
        let MessageText { text, cards } = text(&message, Dialect::Markdown, 1_000);
        assert!(text.len() <= 1_000, "{}", text.len());
        assert!((1..10).contains(&cards), "{cards}");
        assert_eq!(text.matches("liked_count 1,234").count(), cards);
        let more = format!("\n… and {} more", 57 - cards);
        assert!(text.ends_with(&more), "{text}");
    }

    #[test]
    fn a_card_that_is_longer_than_a_message_is_cut() {
        let mut long = hostile();
        long.values = vec![("text".to_owned(), "长".repeat(1_000))];
        let MessageText { text, cards } =
            text(&message(vec![long, hostile()]), Dialect::Slack, 500);
        assert!(text.len() <= 500, "{}", text.len());
        assert_eq!(cards, 1);
        assert!(text.ends_with("长…\n… and 1 more"), "{text}");
    }
}
