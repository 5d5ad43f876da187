//! A complete note, in the shape of the open platform.

use chrono::{DateTime, SecondsFormat};
use serde::Serialize;

use super::media;
use crate::sandbox::world::note::Note;

#[derive(Debug, Serialize)]
pub struct NoteDetail {
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
    pub fn of(note: &Note, now: i64) -> Self {
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
    let images = media::images(note, now);
    images
        .iter()
        .map(|image| image.large().to_owned())
        .collect()
}

fn video(note: &Note, now: i64) -> Option<Video> {
    let info = media::video_info(note, now)?;
    Some(Video {
        kind: "video",
        url: info.address()?.to_owned(),
        cover: info.cover().to_owned(),
    })
}

fn iso_8601(seconds: i64) -> String {
    let time = DateTime::from_timestamp(seconds, 0).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}
