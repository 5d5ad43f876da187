//! Answers that hold one note in full.

use serde_json::{Value, json};

use super::Oddities;
use crate::raw::page::RawPage;
use crate::spec::class::CallClass;

impl Oddities {
    pub fn detail(&mut self) -> RawPage {
        let mut asked = self.asked("xhs_open", "note_detail");
        let known = self
            .notes
            .keys()
            .nth(self.random.usize(..self.notes.len().max(1)));
        let id = match (known.cloned(), self.random.bool()) {
            (Some(id), true) => id,
            _ => format!("{:x}", self.random.u8(..)),
        };
        let search = &mut asked.page.header.search;
        search.keyword = None;
        search.filters.clear();
        search.note_id = Some(id.clone());
        if self.odd("a note that is gone", 10) {
            return self.gone(asked);
        }
        let mut data = self.full_note(&id);
        if self.odd("a detail of some fields", 4) {
            asked.page.header.search.fields = self.some_fields(&mut data);
        }
        let number = id.parse::<u64>().ok().filter(|n| n.to_string() == id);
        if let Some(number) = number
            && self.odd("a note's own id as a number", 3)
        {
            data["note_id"] = json!(number);
        } else if self.odd("an answer about another note", 8) {
            data["note_id"] = match self.random.u8(0..5) {
                0 => json!(self.random.u64(..)),
                1 => json!(format!("{id} ")),
                _ => json!(self.id()),
            };
        } else if self.odd("a note with a blank id", 15) {
            data["note_id"] = json!(*self.one_of(&["", " ", "\u{3000}"]));
        }
        self.spoil_item(&mut data);
        let mut answer = json!({"code": 200, "message": "success", "data": data});
        if self.odd("data null", 30) {
            answer["data"] = Value::Null;
        }
        self.spoil_keys(&mut answer);
        self.finish(&mut asked, &answer, 1)
    }

    /// An answer that says that a note is no more: a page, unless the code was not understood.
    fn gone(&mut self, mut asked: super::Asked) -> RawPage {
        let answer = json!({"code": 404, "message": "deleted", "data": null});
        let mut page = self.finish(&mut asked, &answer, 1);
        page.header.status = 404;
        page.header.class = CallClass::Gone;
        if self.odd("a note that is gone, its answer no page", 3) {
            page.header.accepted = false;
            page.header.class = CallClass::NotFound;
        }
        page
    }

    /// Takes out the fields that a search did not ask for; the names of the others.
    fn some_fields(&mut self, data: &mut Value) -> Vec<String> {
        let fields = data.as_object_mut().expect("a note");
        fields.retain(|name, _| name == "note_id" || self.random.u8(0..4) == 0);
        fields.keys().cloned().collect()
    }

    fn full_note(&mut self, id: &str) -> Value {
        let images: Vec<String> = (0..self.random.usize(0..4))
            .map(|i| format!("https://img.example.com/{i}.jpg"))
            .collect();
        let videos: Vec<Value> = (0..self.random.usize(0..2))
            .map(|_| json!({"type": "video", "url": "https://v.example.com/1", "cover": ""}))
            .collect();
        let tags: Vec<String> = (0..self.random.usize(0..4)).map(|_| self.word()).collect();
        let mut note = json!({
            "note_id": id,
            "title": self.sentence(),
            "content": self.html(),
            "images": images,
            "videos": videos,
            "tags": tags,
            "like_count": self.random.u32(..),
            "comment_count": self.random.u32(..),
            "favorite_count": self.random.u32(..),
            "share_count": self.random.u32(..),
            "author": self.full_author(),
            "publish_time": self.publish_time(),
        });
        if !self.odd("no location", 3) {
            note["location"] = json!({"name": self.word()});
            if !self.odd("a location without coordinates", 6) {
                note["location"]["latitude"] = json!(self.random.i32(-90_000..90_000) as f64 / 1e3);
                note["location"]["longitude"] = json!(self.random.i32(-180..180));
            }
        }
        note
    }

    fn full_author(&mut self) -> Value {
        let followers = if self.odd("follower_count as text", 5) {
            json!(self.count_text())
        } else {
            json!(self.random.u32(..))
        };
        json!({
            "user_id": format!("author{}", self.random.u8(0..80)),
            "nickname": self.word(),
            "avatar": *self.one_of(&["https://img.example.com/avatar", ""]),
            "follower_count": followers,
        })
    }

    fn publish_time(&mut self) -> String {
        let at = chrono::DateTime::from_timestamp(self.seconds(), 0).unwrap_or_default();
        if self.odd("a publish_time without an offset", 20) {
            return at.format("%Y-%m-%d %H:%M").to_string();
        }
        if self.odd("an offset in publish_time", 3) {
            let there = at.with_timezone(&chrono_tz::Asia::Shanghai);
            return there.to_rfc3339();
        }
        at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
    }

    fn html(&mut self) -> String {
        let (a, b) = (self.sentence(), self.tagged());
        if self.odd("HTML in paragraphs", 3) {
            return format!("<p>{a}</p><p>{b}<br/>{a}</p>");
        }
        if self.odd("HTML that is not closed", 8) {
            return format!("<div><b>{a}<p>{b} < 3");
        }
        if self.odd("HTML with entities", 8) {
            return format!("{a} &lt; {b} &amp;&nbsp;&#x597d; &unknown; <!-- no --> end");
        }
        if self.odd("HTML lists and tables", 8) {
            return format!(
                "<h2>{a}</h2><ul><li>{a}<li>{b}</ul><table><tr><td>{a}</td><td>{b}</td></tr></table>\
                 <a href='https://example.com'>{b}</a><img src=x alt='{a}'>"
            );
        }
        if self.odd("HTML nested too deeply", 5) {
            let deep = self.random.usize(100..102);
            return format!("{}{a}{}", "<div>".repeat(deep), "</div>".repeat(deep));
        }
        self.count("no HTML");
        b
    }
}
