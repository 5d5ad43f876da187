//! The answers of the APIs as they are in the raw zone, read with serde_json alone: no table, no view
//! and none of the code that flattens answers.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, TimeDelta};
use serde_json::Value;

/// The endpoints in the order in which their values count, if they are of one snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Endpoint {
    NoteDetail,
    UserSearch,
    NoteSearch,
}

/// A note in one answer.
#[derive(Clone, Debug)]
pub struct SeenNote {
    pub at: i64,
    pub endpoint: Endpoint,
    pub id: String,
    pub title: Option<String>,
    /// The text of a hit, or the HTML of a detail.
    pub text: Option<String>,
    /// Pictures or a video; details do not say it.
    pub form: Option<String>,
    pub author: Option<String>,
    pub published_at: Option<i64>,
    /// Likes, collects, comments and shares.
    pub counts: [Option<i64>; 4],
    pub tags: BTreeSet<String>,
}

/// A user in one answer.
#[derive(Clone, Debug)]
pub struct SeenUser {
    pub at: i64,
    pub endpoint: Endpoint,
    pub id: String,
    pub nickname: Option<String>,
    pub followers: Option<i64>,
}

/// A note at a place of a search.
#[derive(Clone, Debug)]
pub struct Hit {
    pub at: i64,
    pub search: String,
    pub sort: String,
    pub keyword: String,
    pub keyword_set: String,
    pub rank: i64,
    pub note: String,
    pub is_paid: bool,
}

/// A search in one run.
#[derive(Clone, Debug)]
pub struct Look {
    pub at: i64,
    pub pages: i64,
    /// True if the look ended at its last page, or at the end of the list.
    pub is_complete: bool,
    /// True if the list ended.
    pub is_whole: bool,
}

/// All that the answers of a lake say.
#[derive(Debug, Default)]
pub struct Answers {
    pub notes: Vec<SeenNote>,
    pub users: Vec<SeenUser>,
    pub hits: Vec<Hit>,
    /// The looks of each search, in their order.
    pub looks: BTreeMap<String, Vec<Look>>,
    /// The snapshots in which the request for a note was answered with code 404.
    pub gone: Vec<(String, i64)>,
    /// The keyword of each call of a search.
    pub calls: Vec<String>,
    /// Requests for a note that were answered with the note.
    pub details: i64,
}

/// Date of an instant in Shanghai, whose clocks have been eight hours ahead of UTC since 1991.
pub fn date(at: i64) -> NaiveDate {
    local(at).date_naive()
}

/// The instant with the wall clock of Shanghai as its UTC time.
pub fn local(at: i64) -> DateTime<chrono::Utc> {
    DateTime::from_timestamp(at, 0).expect("an instant") + TimeDelta::hours(8)
}

fn instant(text: &Value) -> Option<i64> {
    let parsed = DateTime::parse_from_rfc3339(text.as_str()?);
    Some(parsed.expect("RFC 3339").timestamp())
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// A text that is not empty.
fn filled(value: &Value) -> Option<String> {
    text(value).filter(|text| !text.is_empty())
}

impl Answers {
    pub fn read(pages: &[Value]) -> Self {
        let mut pages: Vec<&Value> = pages.iter().collect();
        // Whole numbers, so that page 10 is not before page 2.
        pages.sort_by_key(|page| (text(&page["snapshot_at"]), page["page"].as_u64()));
        let mut answers = Answers::default();
        // Items on the earlier pages of a search in a snapshot.
        let mut before: BTreeMap<(String, i64), i64> = BTreeMap::new();
        for page in pages {
            let at = instant(&page["snapshot_at"]).expect("a snapshot");
            let search = text(&page["search"]["search_id"]).expect("a search");
            let before = before.entry((search.clone(), at)).or_default();
            match page["search"]["endpoint"].as_str() {
                Some("note_search") => answers.note_search(page, at, &search, before),
                Some("user_search") => answers.user_search(page, at),
                Some("note_detail") => answers.note_detail(page, at),
                other => panic!("{other:?}"),
            }
        }
        answers
    }

    fn note_search(&mut self, page: &Value, at: i64, search: &str, before: &mut i64) {
        let asked = &page["search"];
        let keyword = text(&asked["keyword"]).expect("a keyword");
        self.calls.push(keyword.clone());
        let items = page["body"]["data"]["items"].as_array().expect("items");
        for (item, rank) in items.iter().zip(*before + 1..) {
            let ad = &item["ads"]["note"];
            let note = if ad.is_object() { ad } else { &item["note"] };
            let Some(id) = text(&note["id"]) else {
                continue;
            };
            self.hits.push(Hit {
                at,
                search: search.to_owned(),
                sort: text(&asked["filters"]["sort"]).expect("an order"),
                keyword: keyword.clone(),
                keyword_set: text(&asked["keyword_set"]).expect("a set"),
                rank,
                note: id.clone(),
                is_paid: ad.is_object(),
            });
            let user = &note["user"];
            let mut tags: BTreeSet<String> =
                filled(&note["tag_info"]["title"]).into_iter().collect();
            for field in ["title", "desc", "abstract_show"] {
                tags.extend(hashtags(note[field].as_str().unwrap_or_default()));
            }
            self.notes.push(SeenNote {
                at,
                endpoint: Endpoint::NoteSearch,
                id,
                title: filled(&note["title"]),
                text: text(&note["desc"]),
                form: text(&note["type"]),
                author: text(&user["userid"]),
                published_at: note["timestamp"].as_i64(),
                counts: ["liked", "collected", "comments", "shared"]
                    .map(|count| note[format!("{count}_count")].as_i64()),
                tags,
            });
            self.users.push(SeenUser {
                at,
                endpoint: Endpoint::NoteSearch,
                id: text(&user["userid"]).expect("an author"),
                nickname: text(&user["nickname"]),
                followers: None,
            });
        }
        *before += items.len() as i64;
        let looks = self.looks.entry(search.to_owned()).or_default();
        if looks.last().is_none_or(|look| look.at != at) {
            looks.push(Look {
                at,
                pages: 0,
                is_complete: false,
                is_whole: false,
            });
        }
        let look = looks.last_mut().expect("a look");
        look.pages = page["page"].as_i64().expect("a page");
        look.is_whole = items.is_empty();
        look.is_complete = look.is_whole || asked["max_pages"].as_i64() == Some(look.pages);
    }

    fn user_search(&mut self, page: &Value, at: i64) {
        self.calls
            .push(text(&page["search"]["keyword"]).expect("a keyword"));
        for user in page["body"]["data"]["users"].as_array().expect("users") {
            self.users.push(SeenUser {
                at,
                endpoint: Endpoint::UserSearch,
                id: text(&user["id"]).expect("a user"),
                nickname: text(&user["name"]),
                followers: followers(user),
            });
        }
    }

    fn note_detail(&mut self, page: &Value, at: i64) {
        let body = &page["body"];
        if body["code"] == 404 {
            let asked = text(&page["search"]["note_id"]).expect("a note");
            self.gone.push((asked, at));
            return;
        }
        self.details += 1;
        let (note, author) = (&body["data"], &body["data"]["author"]);
        let tags = note["tags"].as_array().into_iter().flatten();
        self.notes.push(SeenNote {
            at,
            endpoint: Endpoint::NoteDetail,
            id: text(&note["note_id"]).expect("a note"),
            title: filled(&note["title"]),
            text: text(&note["content"]),
            form: None,
            author: text(&author["user_id"]),
            published_at: instant(&note["publish_time"]),
            counts: ["like", "favorite", "comment", "share"]
                .map(|count| note[format!("{count}_count")].as_i64()),
            tags: tags.filter_map(filled).collect(),
        });
        self.users.push(SeenUser {
            at,
            endpoint: Endpoint::NoteDetail,
            id: text(&author["user_id"]).expect("an author"),
            nickname: text(&author["nickname"]),
            followers: author["follower_count"].as_i64(),
        });
    }
}

/// The words after a `#`, up to the next sign or space.
fn hashtags(text: &str) -> impl Iterator<Item = String> {
    let parts = text.split('#').skip(1);
    let tags = parts.map(|part| {
        let end = part.find(|c: char| !c.is_alphanumeric());
        part[..end.unwrap_or(part.len())].to_owned()
    });
    tags.filter(|tag| !tag.is_empty())
}

/// The followers of a user in a user search: a number, a count as text, or part of the texts such as
/// `粉丝·2.3万 | 笔记·265` or `粉丝 608`.
fn followers(user: &Value) -> Option<i64> {
    let fans = &user["fans"];
    let told = || fans.as_i64().or_else(|| count(fans.as_str()?));
    let in_text = |text: &Value| {
        let mut parts = text.as_str()?.split('|').map(str::trim);
        let followers = parts.find_map(|part| part.strip_prefix("粉丝"))?;
        count(followers.trim_start_matches(['·', ' ']))
    };
    told()
        .or_else(|| in_text(&user["desc"]))
        .or_else(|| in_text(&user["sub_title"]))
}

/// A count such as `608` or `2.3万`.
fn count(text: &str) -> Option<i64> {
    match text.strip_suffix('万') {
        Some(tens_of_thousands) => {
            let number: f64 = tens_of_thousands.parse().ok()?;
            Some((number * 10_000.0).round() as i64)
        }
        None => text.parse().ok(),
    }
}
