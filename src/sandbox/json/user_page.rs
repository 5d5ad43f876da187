//! A page of a user search.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::parts::shortened;
use crate::sandbox::request::{BadParam, Findings, Question};
use crate::sandbox::search;
use crate::sandbox::world::note::{Author, Verification};

/// The answer in the documents of the provider.
pub const DOCUMENTED: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/sample_data/documented/user_search.json"
));

/// The keyword that [`DOCUMENTED`] answers, with one page.
pub const DOCUMENTED_KEYWORD: &str = "Amir Ali";

/// Answers a user search.
pub fn find(question: &Question) -> Result<Findings, BadParam> {
    let keyword = question.params.keyword()?;
    let is_documented = keyword == DOCUMENTED_KEYWORD;
    let page = question.paging.shown(question.params.page()?, || {
        if is_documented {
            1
        } else {
            search::last_user_page(question.world, &keyword)
        }
    });
    let authors = match (is_documented, page) {
        (true, 1) => return Ok(Findings::Documented(DOCUMENTED)),
        (true, _) => Vec::new(),
        (false, _) => search::user_page(question.world, &keyword, page, question.paging.moved()),
    };
    let page = UserPage::of(&authors, question.now.timestamp());
    Ok(Findings::data(&page))
}

#[derive(Debug, Serialize)]
struct UserPage {
    users: Vec<UserItem>,
    filters: &'static [Facet],
    has_more: bool,
}

#[derive(Debug, Serialize)]
struct UserItem {
    name: String,
    red_official_verify_type: u8,
    #[serde(rename = "self")]
    is_self: bool,
    reason: &'static str,
    id: String,
    image: String,
    followed: bool,
    red_id: String,
    show_red_official_verify_icon: bool,
    red_official_verified: bool,
    link: String,
    sub_title: String,
    desc: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    fans: Option<Fans>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note_count: Option<u64>,
    track_duration: u8,
    vshow: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    update_time: Option<String>,
}

/// A count that is a number in some answers and a text in others.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Fans {
    Number(u64),
    Text(String),
}

/// A filter of the search, the same on every page.
#[derive(Debug, Deserialize, Serialize)]
struct Facet {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    id: String,
    group_show_type: u8,
    filter_tags: Vec<FacetOption>,
    word_request_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    invisible: Option<bool>,
}

#[derive(Debug, Deserialize, Serialize)]
struct FacetOption {
    need_location_info: bool,
    sub_filters_select_type: String,
    sub_filters: Option<Vec<String>>,
    origin_text: String,
    icon_tail_url: String,
    icon_tail_url_night: String,
    icon_url_night: String,
    icon_url: String,
    id: String,
    name: String,
}

/// The facets of the documented answer.
static FACETS: LazyLock<Vec<Facet>> = LazyLock::new(|| {
    #[derive(Deserialize)]
    struct Answer {
        data: Data,
    }
    #[derive(Deserialize)]
    struct Data {
        filters: Vec<Facet>,
    }
    let answer: Answer = serde_json::from_str(DOCUMENTED)
        .expect("the documented answer is part of the program and a test reads it");
    answer.data.filters
});

impl UserPage {
    /// Returns the page that shows these authors.
    fn of(authors: &[Author], now: i64) -> Self {
        UserPage {
            users: authors.iter().map(|a| UserItem::of(a, now)).collect(),
            filters: &FACETS,
            has_more: !authors.is_empty(),
        }
    }
}

impl UserItem {
    fn of(author: &Author, now: i64) -> Self {
        let verified = author.verified();
        UserItem {
            name: author.nickname(),
            red_official_verify_type: verified.as_number(),
            is_self: false,
            reason: "",
            image: author.avatar(360),
            followed: false,
            red_id: author.red_id(),
            show_red_official_verify_icon: verified == Verification::Company,
            red_official_verified: verified != Verification::No,
            link: format!("xhsdiscover://1/user/user.{}", author.id),
            sub_title: sub_title(author, now),
            desc: desc(author, now),
            fans: fans(author, now),
            note_count: note_count(author, now),
            track_duration: 0,
            vshow: 0,
            update_time: update_time(author, now),
            id: author.id.clone(),
        }
    }
}

/// Returns the short description of a user, in the formats of the provider.
fn desc(author: &Author, now: i64) -> String {
    let fans = format!("粉丝·{}", shortened(author.followers(now)));
    let notes = format!("笔记·{}", author.note_count(now));
    match author.dice("desc").below(5) {
        0 | 1 => format!("小红书号:{}", author.red_id()),
        2 => format!("{fans} | {notes}"),
        3 => format!("{fans} | {} | {notes}", author.trade()),
        _ => format!("{fans} | {}天前更新", author.days_since_note(now)),
    }
}

fn sub_title(author: &Author, now: i64) -> String {
    match author.dice("sub title").below(4) {
        0 => format!("小红书号\u{FF1A}{}", author.red_id()),
        1 => format!("粉丝 {}", shortened(author.followers(now))),
        _ => String::new(),
    }
}

/// Newer answers have the count in a separate field, as a number or as text.
fn fans(author: &Author, now: i64) -> Option<Fans> {
    let followers = author.followers(now);
    match author.dice("fans").below(5) {
        0 => Some(Fans::Number(followers)),
        1 => Some(Fans::Text(shortened(followers))),
        _ => None,
    }
}

/// Some answers have the time of the last activity in a separate field.
fn update_time(author: &Author, now: i64) -> Option<String> {
    let has_field = author.dice("update time").chance(20);
    has_field.then(|| format!("{}天前更新", author.days_since_note(now)))
}

fn note_count(author: &Author, now: i64) -> Option<u64> {
    let has_field = author.dice("note count field").chance(30);
    has_field.then(|| author.note_count(now))
}
