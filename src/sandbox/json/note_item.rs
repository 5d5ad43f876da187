//! A note in the shape of a note search.

use chrono::{DateTime, FixedOffset, Utc};
use serde::Serialize;

use super::parts::{self, Image, VideoInfo, shortened};
use crate::sandbox::world::dice::Dice;
use crate::sandbox::world::note::{Note, Verification};
use crate::sandbox::world::phrases;
use crate::sandbox::world::stream::{DAY, HOUR};

#[derive(Debug, Serialize)]
pub struct NoteItem {
    extract_text_enabled: u8,
    nice_count: u64,
    update_time: i64,
    xsec_token: String,
    interaction_area: InteractionArea,
    result_from: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    last_update_time: i64,
    geo_info: GeoInfo,
    niced: bool,
    liked_count: u64,
    corner_tag_info: Vec<CornerTag>,
    collected: bool,
    collected_count: u64,
    timestamp: i64,
    user: User,
    has_music: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    desc: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    abstract_show: Option<String>,
    tag_info: TagInfo,
    cover_image_index: u64,
    advanced_widgets_groups: WidgetGroups,
    id: String,
    images_list: Vec<Image>,
    #[serde(skip_serializing_if = "Option::is_none")]
    video_info_v2: Option<VideoInfo>,
    debug_info_str: &'static str,
    widgets_context: String,
    liked: bool,
    shared_count: u64,
    comments_count: u64,
    note_attributes: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    video_preview_type: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct InteractionArea {
    text: String,
    #[serde(rename = "type")]
    kind: u8,
    status: bool,
}

#[derive(Debug, Serialize)]
struct GeoInfo {
    distance: &'static str,
}

/// A badge in the corner of a note's picture. Any of its keys may be missing.
#[derive(Debug, Default, Serialize)]
struct CornerTag {
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<i8>,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    icon: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text_en: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    style: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    poi_id: Option<String>,
}

#[derive(Debug, Serialize)]
struct User {
    followed: bool,
    red_official_verify_type: u8,
    track_duration: u8,
    vshow: u8,
    show_red_official_verify_icon: bool,
    red_official_verified: bool,
    userid: String,
    red_id: String,
    nickname: String,
    images: String,
    #[serde(rename = "FStatus", skip_serializing_if = "Option::is_none")]
    follow_status: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct TagInfo {
    title: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Debug, Serialize)]
struct WidgetGroups {
    groups: [WidgetGroup; 1],
}

#[derive(Debug, Serialize)]
struct WidgetGroup {
    mode: u8,
    fetch_types: [&'static str; 1],
}

impl NoteItem {
    pub fn of(note: &Note, now: i64) -> Self {
        let counts = note.engagement(now);
        let text = note.text(now);
        let images_list = parts::images(note, now);
        let sells = note.dice("goods").chance(8);
        NoteItem {
            extract_text_enabled: 0,
            nice_count: counts.nice,
            update_time: note.edited_at(now).unwrap_or(note.published_at) * 1_000,
            xsec_token: xsec_token(note),
            interaction_area: InteractionArea::of(note, counts.liked),
            result_from: "",
            kind: if note.is_video() { "video" } else { "normal" },
            last_update_time: note.edited_at(now).unwrap_or(0),
            geo_info: GeoInfo { distance: "" },
            niced: false,
            liked_count: counts.liked,
            corner_tag_info: corner_tags(note, now),
            collected: false,
            collected_count: counts.collected,
            timestamp: note.published_at,
            user: User::of(note),
            has_music: note.dice("music").chance(35),
            desc: text.plain(),
            abstract_show: abstract_show(note, &text.tags),
            title: text.title,
            tag_info: TagInfo::of(note),
            cover_image_index: cover_index(note, images_list.len()),
            advanced_widgets_groups: WidgetGroups {
                groups: [WidgetGroup {
                    mode: 1,
                    fetch_types: ["guos_test"],
                }],
            },
            id: note.id.clone(),
            images_list,
            video_info_v2: parts::video_info(note, now),
            debug_info_str: "",
            widgets_context: widgets_context(note),
            liked: false,
            shared_count: counts.shared,
            comments_count: counts.comments,
            note_attributes: if sells { vec!["goods"] } else { Vec::new() },
            video_preview_type: note.is_video().then_some("full_note"),
        }
    }
}

impl InteractionArea {
    /// Formats the likes as the app does: exact only for small counts.
    fn of(note: &Note, likes: u64) -> Self {
        let text = match likes {
            1_000..10_000 if note.dice("likes text").chance(20) => "999+".to_owned(),
            100_000.. => "10万+".to_owned(),
            _ => shortened(likes),
        };
        InteractionArea {
            text,
            kind: 1,
            status: false,
        }
    }
}

impl User {
    fn of(note: &Note) -> Self {
        let author = &note.author;
        let verified = author.verified();
        User {
            followed: false,
            red_official_verify_type: verified.as_number(),
            track_duration: 0,
            vshow: 0,
            show_red_official_verify_icon: verified == Verification::Company,
            red_official_verified: verified != Verification::No,
            userid: author.id.clone(),
            red_id: author.red_id(),
            nickname: author.nickname(),
            images: author.avatar(80),
            follow_status: author.dice("FStatus").chance(30).then_some("none"),
        }
    }
}

impl TagInfo {
    fn of(note: &Note) -> Self {
        let mut dice = note.dice("tag info");
        let (title, kind) = if dice.chance(10) {
            (dice.pick(&["好物推荐", "官方活动", "热门话题"]), "topic")
        } else {
            ("", "")
        };
        TagInfo { title, kind }
    }
}

fn abstract_show(note: &Note, tags: &[String]) -> Option<String> {
    let mut dice = note.dice("abstract");
    let tag = tags.first()?;
    let sentence = dice.pick(phrases::CLOSINGS).replace("{thing}", tag);
    dice.chance(15).then(|| format!("#{tag} {sentence}"))
}

/// Returns the index of the cover: usually the first image, in a few notes another one.
fn cover_index(note: &Note, images: usize) -> u64 {
    let mut dice = note.dice("cover");
    if dice.chance(6) {
        dice.below(images as u64)
    } else {
        0
    }
}

fn xsec_token(note: &Note) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    format!("YB{}=", note.dice("xsec token").word(LETTERS, 42))
}

/// Returns JSON inside a string, as the provider sends it. Names contain no characters that JSON
/// escapes.
fn widgets_context(note: &Note) -> String {
    let (id, name) = (&note.author.id, note.author.nickname());
    format!(r#"{{"flags":{{}},"author_id":"{id}","author_name":"{name}"}}"#)
}

fn corner_tags(note: &Note, now: i64) -> Vec<CornerTag> {
    let mut dice = note.dice("corner tags");
    let mut tags = vec![CornerTag {
        location: Some(-1),
        kind: "ubt_sig_token",
        icon: Some(""),
        text: Some(noise(&mut dice)),
        text_en: Some(""),
        style: Some(0),
        poi_id: None,
    }];
    if dice.chance(80) {
        tags.push(CornerTag {
            location: Some(2),
            kind: "publish_time",
            text: Some(publish_time(&mut dice, note.published_at, now)),
            style: dice.chance(50).then_some(0),
            ..CornerTag::default()
        });
    }
    if let Some(place) = note.place() {
        tags.push(CornerTag {
            kind: "poi",
            text: dice.chance(70).then(|| place.name.to_owned()),
            poi_id: Some(dice.hex(24)),
            ..CornerTag::default()
        });
    }
    tags
}

fn noise(dice: &mut Dice) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    dice.word(LETTERS, 100)
}

/// Formats the publication time as the app does: less exact with age, but some notes show a date
/// from the start.
fn publish_time(dice: &mut Dice, published_at: i64, now: i64) -> String {
    let age = now - published_at;
    let date = |form| china_time(published_at).format(form).to_string();
    let is_this_year = date("%Y") == china_time(now).format("%Y").to_string();
    match dice.below(10) {
        0 => date("%Y-%m-%d"),
        1 if is_this_year => date("%m-%d"),
        _ if age < HOUR => format!("{}分钟前", age / 60),
        _ if age < DAY => format!("{}小时前", age / HOUR),
        _ if age < 7 * DAY => format!("{}天前", age / DAY),
        _ if is_this_year => date("%m-%d"),
        _ => date("%Y-%m-%d"),
    }
}

fn china_time(seconds: i64) -> DateTime<FixedOffset> {
    let shifted = DateTime::from_timestamp(seconds + 8 * HOUR, 0);
    shifted.unwrap_or(DateTime::<Utc>::MAX_UTC).fixed_offset()
}
