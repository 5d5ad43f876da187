//! The text of a note: title, paragraphs and hashtags, composed from the word lists.

use super::dice::Dice;
use super::phrases::{CLOSINGS, CONTACT, EMOJI, Field, SENTENCES, TITLES, words};

/// The text of a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// Title; a quarter of the notes have none.
    pub title: Option<String>,
    pub paragraphs: Vec<String>,
    /// Bullet points of the full text. The short text of a search omits them.
    pub points: Vec<String>,
    pub tags: Vec<String>,
    /// True if hashtags are written `#tag[话题]#`.
    long_tags: bool,
}

impl Text {
    /// Returns a text about `subject`, with the words of `field`.
    pub fn write(dice: &mut Dice, subject: &str, field: Field) -> Self {
        let mut writer = Writer {
            dice,
            subject,
            field,
        };
        let title = (!writer.dice.chance(25)).then(|| writer.phrase_of(TITLES));
        Text {
            title,
            paragraphs: writer.paragraphs(),
            points: writer.points(),
            tags: writer.tags(),
            long_tags: writer.dice.chance(40),
        }
    }

    /// Replaces the title by another one. A text without a title gets one.
    pub fn retitle(&mut self, dice: &mut Dice, subject: &str, field: Field) {
        let mut writer = Writer {
            dice,
            subject,
            field,
        };
        let mut title = writer.phrase_of(TITLES);
        while self.title.as_ref() == Some(&title) {
            title = writer.phrase_of(TITLES);
        }
        self.title = Some(title);
    }

    /// Returns the text as a search shows it: plain text with its hashtags.
    pub fn plain(&self) -> String {
        format!("{}\n{}", self.paragraphs.join("\n"), self.hashtags())
    }

    /// Returns the text as the note shows it: HTML in which every second paragraph break is a line
    /// break.
    pub fn html(&self) -> String {
        let mut html = String::new();
        for pair in self.paragraphs.chunks(2) {
            let lines: Vec<_> = pair.iter().map(|line| escape(line)).collect();
            html.push_str(&format!("<p>{}</p>", lines.join("<br>")));
        }
        if !self.points.is_empty() {
            let points: String = self
                .points
                .iter()
                .map(|point| format!("<li>{}</li>", escape(point)))
                .collect();
            html.push_str(&format!("<ul>{points}</ul>"));
        }
        html.push_str(&format!("<p>{}&nbsp;</p>", escape(&self.hashtags())));
        html
    }

    fn hashtags(&self) -> String {
        let end = if self.long_tags { "[话题]#" } else { "" };
        let tags: Vec<_> = self.tags.iter().map(|tag| format!("#{tag}{end}")).collect();
        tags.join(" ")
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

struct Writer<'a> {
    dice: &'a mut Dice,
    subject: &'a str,
    field: Field,
}

impl Writer<'_> {
    fn paragraphs(&mut self) -> Vec<String> {
        let count = self.dice.between(1, 4);
        let sentences = self.dice.pick_some(SENTENCES, count);
        let mut paragraphs: Vec<_> = sentences.into_iter().map(|s| self.fill(s)).collect();
        if self.dice.chance(50) {
            paragraphs.push(self.phrase_of(CLOSINGS));
        }
        if self.dice.chance(3) {
            paragraphs.push(CONTACT.to_owned());
        }
        // As a hashtag, such a subject lacks its spaces and signs.
        if !self.subject.chars().all(char::is_alphanumeric) {
            paragraphs.push(format!("这篇讲的是：{}。", self.subject));
        }
        paragraphs
    }

    fn points(&mut self) -> Vec<String> {
        if self.dice.chance(50) {
            return Vec::new();
        }
        let count = self.dice.between(2, 4);
        let things = self.dice.pick_some(words(self.field).things, count);
        things
            .into_iter()
            .map(|thing| format!("{thing}：{}", self.fill("{praise}")))
            .collect()
    }

    fn tags(&mut self) -> Vec<String> {
        // A hashtag ends at a space or at another sign.
        let own: String = self
            .subject
            .chars()
            .filter(|c| c.is_alphanumeric())
            .collect();
        let count = self.dice.between(1, 4);
        let common = self.dice.pick_some(words(self.field).tags, count);
        let others = common.into_iter().filter(|tag| *tag != own);
        let others: Vec<String> = others.map(str::to_owned).collect();
        let own = Some(own).filter(|own| !own.is_empty());
        own.into_iter().chain(others).collect()
    }

    fn phrase_of(&mut self, list: &[&str]) -> String {
        let phrase = self.dice.pick(list);
        self.fill(phrase)
    }

    /// Replaces the placeholders of a phrase by words, which may have placeholders themselves.
    fn fill(&mut self, phrase: &str) -> String {
        let mut filled = String::new();
        let mut rest = phrase;
        while let Some((before, (place, after))) = rest
            .split_once('{')
            .and_then(|(before, tail)| Some((before, tail.split_once('}')?)))
        {
            filled.push_str(before);
            filled.push_str(&self.word_for(place));
            rest = after;
        }
        filled.push_str(rest);
        filled
    }

    fn word_for(&mut self, place: &str) -> String {
        let words = words(self.field);
        match place {
            "topic" => self.subject.to_owned(),
            "thing" => self.dice.pick(words.things).to_owned(),
            "scene" => self.dice.pick(words.scenes).to_owned(),
            "praise" => self.phrase_of(words.praise),
            "emoji" => self.dice.pick(EMOJI).to_owned(),
            _ => self.dice.between(2, 30).to_string(),
        }
    }
}
