//! The figures of the last eight questions, computed from the answers of the APIs without redlake.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use chrono::{Datelike, NaiveDate};
use serde_json::{Value, json};

use super::answers::{Endpoint, Hit, date};
use super::facts::{Facts, monday, rounded, whole_median};
use super::figures::PRICE_OF_A_SEARCH;

/// The note that question 16 looks for.
pub const NOTE: &str = "69a55fc90000000001000016";

/// Price of a request for a note, in hundredths of a yuan. That for a deleted note is free.
const PRICE_OF_A_DETAIL: i64 = 2;

/// The last eight questions, each with its computation.
pub const LAST_EIGHT: [fn(&Facts) -> Vec<Value>; 8] = [
    own_against_rivals,
    topics_by_weekday,
    notes_about_a_rival,
    places_of_a_note,
    whole_days,
    spending,
    pictures_or_videos,
    new_creators,
];

fn second_week() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 3, 9).expect("a Monday")
}

fn own_against_rivals(facts: &Facts) -> Vec<Value> {
    let mut found: BTreeMap<(NaiveDate, &str, &str), BTreeSet<&str>> = BTreeMap::new();
    let mut all: BTreeMap<NaiveDate, i64> = BTreeMap::new();
    for hit in facts
        .answers
        .hits
        .iter()
        .filter(|hit| hit.keyword_set == "brands")
    {
        let label = if hit.keyword == "兰蔻" {
            "own"
        } else {
            "rival"
        };
        let key = (monday(hit.at), label, hit.keyword.as_str());
        found.entry(key).or_default().insert(&hit.note);
    }
    let mut sums: BTreeMap<(NaiveDate, &str), (usize, i64)> = BTreeMap::new();
    for ((week, label, _), notes) in &found {
        let counted = notes
            .iter()
            .map(|note| facts.engagement_in(note, |at| monday(at) == *week));
        let engagement: i64 = counted.sum();
        *all.entry(*week).or_default() += engagement;
        let sum = sums.entry((*week, label)).or_default();
        *sum = (sum.0 + notes.len(), sum.1 + engagement);
    }
    let rows = sums
        .into_iter()
        .map(|((week, label), (notes, engagement))| {
            let voice = rounded(100.0 * (engagement as f64 / all[&week] as f64), 1);
            json!({
                "week_start": week, "label": label, "notes": notes, "engagement": engagement,
                "voice": voice,
            })
        });
    rows.collect()
}

fn topics_by_weekday(facts: &Facts) -> Vec<Value> {
    let topics = || {
        facts
            .answers
            .hits
            .iter()
            .filter(|hit| hit.keyword_set == "topics")
    };
    let mut first: BTreeMap<(&str, &str), NaiveDate> = BTreeMap::new();
    for hit in topics() {
        let first = first
            .entry((&hit.keyword, &hit.note))
            .or_insert(date(hit.at));
        *first = (*first).min(date(hit.at));
    }
    let mut new: BTreeMap<NaiveDate, BTreeMap<&str, usize>> = BTreeMap::new();
    for ((keyword, _), date) in first.iter().filter(|(_, date)| **date >= second_week()) {
        *new.entry(*date).or_default().entry(keyword).or_default() += 1;
    }
    let rows = new.into_iter().map(|(date, by_topic)| {
        let (topic, notes) = by_topic
            .into_iter()
            .max_by_key(|(_, notes)| *notes)
            .expect("a topic");
        json!({
            "weekday_name": date.format("%A").to_string(), "topic": topic, "new_notes": notes,
        })
    });
    rows.collect()
}

fn notes_about_a_rival(facts: &Facts) -> Vec<Value> {
    let of = |endpoint: Endpoint, note: &str| {
        facts.newest_of(note, |seen| {
            seen.text.clone().filter(|_| seen.endpoint == endpoint)
        })
    };
    let mut rows = Vec::new();
    for id in facts.notes.keys() {
        let title = facts.newest_of(id, |seen| seen.title.clone());
        let texts = [
            title.clone(),
            of(Endpoint::NoteSearch, id),
            of(Endpoint::NoteDetail, id),
        ];
        if !texts.iter().flatten().any(|text| text.contains("雅诗兰黛")) {
            continue;
        }
        let likes = facts.counts(id)[0];
        rows.push((
            Reverse(likes),
            id,
            json!({
                "title": title,
                "published": facts.newest_of(id, |seen| seen.published_at).map(date),
                "liked_count": likes,
                "note_url": format!("https://www.xiaohongshu.com/explore/{id}"),
            }),
        ));
    }
    rows.sort_by_key(|(likes, id, _)| (*likes, *id));
    rows.into_iter().map(|(.., row)| row).take(4).collect()
}

fn places_of_a_note(facts: &Facts) -> Vec<Value> {
    let mut found: BTreeMap<(&str, &str), Vec<&Hit>> = BTreeMap::new();
    for hit in facts.answers.hits.iter().filter(|hit| hit.note == NOTE) {
        found
            .entry((&hit.sort, &hit.keyword))
            .or_default()
            .push(hit);
    }
    let rows = found.into_iter().map(|((sort, keyword), hits)| {
        let days: BTreeSet<NaiveDate> = hits.iter().map(|hit| date(hit.at)).collect();
        json!({
            "keyword": keyword, "sort": sort, "days": days.len(),
            "best_rank": hits.iter().map(|hit| hit.rank).min(),
            "worst_rank": hits.iter().map(|hit| hit.rank).max(),
        })
    });
    rows.collect()
}

fn whole_days(facts: &Facts) -> Vec<Value> {
    let mut days: BTreeMap<NaiveDate, (BTreeSet<i64>, usize)> = BTreeMap::new();
    for hit in &facts.answers.hits {
        let (snapshots, hits) = days.entry(date(hit.at)).or_default();
        snapshots.insert(hit.at);
        *hits += 1;
    }
    let last = *days.keys().next_back().expect("a day");
    let rows = days.into_iter().map(|(day, (snapshots, hits))| {
        let looks = facts.answers.looks.values().flatten();
        let failed = looks.filter(|look| date(look.at) == day && !look.is_complete);
        json!({
            "snapshot_date": day, "snapshots": snapshots.len(), "failed": failed.count(),
            "is_over": day < last, "hits": hits,
        })
    });
    rows.collect()
}

fn spending(facts: &Facts) -> Vec<Value> {
    let months: BTreeSet<(i32, u32)> = facts
        .answers
        .notes
        .iter()
        .map(|note| (date(note.at).year(), date(note.at).month()))
        .collect();
    assert_eq!(
        months,
        BTreeSet::from([(2026, 3)]),
        "all calls are of one month"
    );
    let mut spent: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
    for keyword in &facts.answers.calls {
        let (calls, cost) = spent.entry(keyword).or_default();
        *calls += 1;
        *cost += PRICE_OF_A_SEARCH;
    }
    let details = facts.answers.details;
    let asked = details + facts.answers.gone.len() as i64;
    spent.insert("(details)", (asked, details * PRICE_OF_A_DETAIL));
    let mut spent: Vec<_> = spent.into_iter().collect();
    spent.sort_by_key(|(keyword, (_, cost))| (Reverse(*cost), *keyword));
    let rows = spent.into_iter().map(|(keyword, (calls, cost))| {
        json!({
            "year": 2026, "month": 3, "currency": "CNY", "keyword": keyword, "calls": calls,
            "cost": cost as f64 / 100.0,
        })
    });
    rows.collect()
}

fn pictures_or_videos(facts: &Facts) -> Vec<Value> {
    let mut by_form: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for id in facts.notes.keys() {
        if let Some(form) = facts.newest_of(id, |seen| seen.form.clone()) {
            by_form.entry(form).or_default().push(id);
        }
    }
    let paid = facts.answers.hits.iter().filter(|hit| hit.is_paid);
    let paid: BTreeSet<&str> = paid.map(|hit| hit.note.as_str()).collect();
    let rows = by_form.into_iter().map(|(form, notes)| {
        let sum = |count: usize| -> i64 {
            let counts = notes.iter().filter_map(|note| facts.counts(note)[count]);
            counts.sum()
        };
        json!({
            "note_type": form, "notes": notes.len(),
            "median_engagement": whole_median(notes.iter().map(|note| facts.engagement(note) as f64)),
            "saves_per_like": rounded(sum(1) as f64 / sum(0) as f64, 2),
            "paid": notes.iter().filter(|note| paid.contains(*note)).count(),
        })
    });
    rows.collect()
}

fn new_creators(facts: &Facts) -> Vec<Value> {
    let mut creators = facts.creators();
    creators.retain(|creator| date(creator.first_seen) >= second_week());
    creators.sort_by_key(|creator| (Reverse(creator.engagement), creator.id.clone()));
    let rows = creators.iter().take(5).map(|creator| {
        json!({
            "nickname": creator.nickname, "first_seen": date(creator.first_seen),
            "follower_band": creator.band(), "notes": creator.notes,
            "engagement": creator.engagement, "best_rank": creator.best_rank,
        })
    });
    rows.collect()
}
