//! A complete note, in the shape of the open platform.

use chrono::{DateTime, SecondsFormat};
use serde::Serialize;

use super::parts;
use crate::sandbox::request::{BadParam, Findings, Question};
use crate::sandbox::world::note::Note;

/// The answer in the documents of the provider.
pub const DOCUMENTED: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/sample_data/documented/note_detail.json"
));

/// The note that [`DOCUMENTED`] shows.
pub const DOCUMENTED_ID: &str = "649c46ab000000002702ad36";

/// Answers a request for one note.
pub fn find(question: &Question) -> Result<Findings, BadParam> {
    let id = question.params.note_id()?;
    if id == DOCUMENTED_ID {
        return Ok(Findings::Documented(DOCUMENTED));
    }
    let now = question.now.timestamp();
    let note = question.world.note(&id, now);
    Ok(note.map_or(Findings::Nothing, |note| {
        Findings::data(&NoteDetail::of(&note, now))
    }))
}

#[derive(Debug, Serialize)]
struct NoteDetail {
    note_id: String,
    title: String,
    content: String,
    images: Vec<String>,
    videos: Vec<Video>,
    tags: Vec<String>,
    like_count: u64,
    comment_count: u64,
    favorite_count: u64,
    share_count: u64,
    author: DetailAuthor,
    publish_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<Location>,
}

#[derive(Debug, Serialize)]
struct Video {
    #[serde(rename = "type")]
    kind: &'static str,
    url: String,
    cover: String,
}

#[derive(Debug, Serialize)]
struct DetailAuthor {
    user_id: String,
    nickname: String,
    avatar: String,
    follower_count: u64,
}

#[derive(Debug, Serialize)]
struct Location {
    name: &'static str,
    latitude: f64,
    longitude: f64,
}

impl NoteDetail {
    fn of(note: &Note, now: i64) -> Self {
        let counts = note.engagement(now);
        let text = note.text(now);
        NoteDetail {
            note_id: note.id.clone(),
            content: text.html(),
            title: text.title.unwrap_or_default(),
            images: images(note, now),
            videos: video(note, now).into_iter().collect(),
            tags: text.tags,
            like_count: counts.liked,
            comment_count: counts.comments,
            favorite_count: counts.collected,
            share_count: counts.shared,
            author: DetailAuthor {
                user_id: note.author.id.clone(),
                nickname: note.author.nickname(),
                avatar: note.author.avatar(360),
                follower_count: note.author.followers(now),
            },
            publish_time: iso_8601(note.published_at),
            location: note.place().map(|place| Location {
                name: place.name,
                latitude: place.latitude,
                longitude: place.longitude,
            }),
        }
    }
}

fn images(note: &Note, now: i64) -> Vec<String> {
    let images = parts::images(note, now);
    images
        .iter()
        .map(|image| image.large().to_owned())
        .collect()
}

fn video(note: &Note, now: i64) -> Option<Video> {
    let info = parts::video_info(note, now)?;
    Some(Video {
        kind: "video",
        url: info.address()?.to_owned(),
        cover: info.cover().to_owned(),
    })
}

fn iso_8601(seconds: i64) -> String {
    let time = DateTime::from_timestamp(seconds, 0).expect("notes are of the years up to 2106");
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}
