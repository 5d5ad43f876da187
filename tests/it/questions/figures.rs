//! The figures of the first twelve questions, computed from the answers of the APIs without redlake.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use chrono::{NaiveDate, Timelike};
use serde_json::{Value, json};

use super::answers::{Endpoint, Look, date, local};
use super::facts::{BANDS, Facts, median, monday, newest, rounded, whole_median};

/// The account whose rank question 10 asks for.
pub const OWN_ACCOUNT: &str = "5b6b87780000000001000028";

/// Price of a search in the pipeline, in hundredths of a yuan.
pub const PRICE_OF_A_SEARCH: i64 = 10;

const DAY_S: i64 = 24 * 3_600;

/// The first twelve questions, each with its computation.
pub const FIRST_TWELVE: [fn(&Facts) -> Vec<Value>; 12] = [
    share_of_voice_by_week,
    rising_notes,
    creators_to_contact,
    notes_that_disappeared,
    growing_hashtags,
    new_and_known_notes,
    paid_share,
    price_of_a_new_note,
    engagement_rate_by_followers,
    own_rank,
    edited_titles,
    posting_hours,
];

fn utc(at: i64) -> String {
    let instant = chrono::DateTime::from_timestamp(at, 0).expect("an instant");
    instant.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

fn share_of_voice_by_week(facts: &Facts) -> Vec<Value> {
    let mut found: BTreeMap<(NaiveDate, &str), BTreeSet<&str>> = BTreeMap::new();
    let mut days: BTreeMap<NaiveDate, BTreeSet<NaiveDate>> = BTreeMap::new();
    for hit in &facts.answers.hits {
        days.entry(monday(hit.at)).or_default().insert(date(hit.at));
        if hit.keyword_set == "brands" {
            let week = (monday(hit.at), hit.keyword.as_str());
            found.entry(week).or_default().insert(&hit.note);
        }
    }
    let sum = |week: NaiveDate, notes: &BTreeSet<&str>| -> i64 {
        let of_each = notes
            .iter()
            .map(|note| facts.engagement_in(note, |at| monday(at) == week));
        of_each.sum()
    };
    let mut rows = Vec::new();
    for ((week, keyword), notes) in &found {
        let of_week = found.iter().filter(|((other, _), _)| other == week);
        let all: i64 = of_week.map(|(_, notes)| sum(*week, notes)).sum();
        let engagement = sum(*week, notes);
        let voice = rounded(100.0 * (engagement as f64 / all as f64), 1);
        rows.push((*week, voice, json!({
            "week_start": week, "days": days[week].len(), "keyword": keyword, "notes": notes.len(),
            "engagement_sum": engagement, "voice": voice,
        })));
    }
    rows.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)));
    rows.into_iter().map(|(.., row)| row).collect()
}

fn rising_notes(facts: &Facts) -> Vec<Value> {
    let newest_at = facts.answers.notes.iter().map(|note| note.at).max();
    let since = newest_at.expect("a note") - DAY_S;
    let mut rows = Vec::new();
    for (id, seen) in &facts.notes {
        let recent: BTreeSet<i64> = seen
            .iter()
            .map(|n| n.at)
            .filter(|at| *at >= since)
            .collect();
        let (Some(first), Some(last)) = (recent.first(), recent.last()) else {
            continue;
        };
        if first == last {
            continue;
        }
        let likes = |at: i64| facts.counts_at(id, at)[0].expect("likes");
        let delta = likes(*last) - likes(*first);
        let hits = facts.answers.hits.iter().filter(|hit| hit.note == *id);
        let keywords: BTreeSet<&str> = hits.map(|hit| hit.keyword.as_str()).collect();
        rows.push((
            Reverse(delta),
            id,
            json!({
                "title": facts.newest_of(id, |seen| seen.title.clone()),
                "keywords": keywords.into_iter().collect::<Vec<_>>().join(", "),
                "published_date": facts.newest_of(id, |seen| seen.published_at).map(date),
                "liked_count": facts.counts(id)[0],
                "liked_delta_24h": delta,
                "hours_24h": (last - first) as f64 / 3_600.0,
            }),
        ));
    }
    rows.sort_by_key(|(delta, id, _)| (*delta, *id));
    rows.into_iter().map(|(.., row)| row).take(6).collect()
}

fn creators_to_contact(facts: &Facts) -> Vec<Value> {
    let creators = facts.creators().into_iter();
    let fitting = creators.filter(|c| c.band() == Some("10k-100k") && c.notes >= 3);
    let mut rated: Vec<_> = fitting.filter_map(|c| Some((c.rate?, c))).collect();
    rated.sort_by(|(a, one), (b, other)| b.total_cmp(a).then(one.id.cmp(&other.id)));
    let rows = rated.into_iter().take(6).map(|(rate, c)| {
        json!({
            "nickname": c.nickname, "follower_count": c.followers, "notes": c.notes,
            "rate": rounded(rate, 2), "best_rank": c.best_rank,
            "profile_url": format!("https://www.xiaohongshu.com/user/profile/{}", c.id),
        })
    });
    rows.collect()
}

fn notes_that_disappeared(facts: &Facts) -> Vec<Value> {
    let mut rows = Vec::new();
    for (id, seen) in &facts.notes {
        let last_seen = seen.iter().map(|note| note.at).max().expect("a sight");
        let gone = facts
            .answers
            .gone
            .iter()
            .filter(|(gone, at)| gone == id && *at >= last_seen);
        let (status, since) = match gone.map(|(_, at)| *at).min() {
            Some(at) => ("gone", at),
            None => match missing_since(facts, id, last_seen) {
                Some(at) => ("missing", at),
                None => continue,
            },
        };
        let likes = facts.counts(id)[0];
        rows.push((status, Reverse(likes), id, json!({
            "title": facts.newest_of(id, |seen| seen.title.clone()),
            "status": status, "last_seen_at": utc(last_seen), "since": utc(since), "liked_count": likes,
        })));
    }
    rows.sort_by_key(|(status, likes, id, _)| (*status, *likes, *id));
    rows.into_iter().map(|(.., row)| row).take(8).collect()
}

/// The first look, after the note was seen last, that should have found the note and did not.
fn missing_since(facts: &Facts, id: &str, last_seen: i64) -> Option<i64> {
    let organic = || facts.answers.hits.iter().filter(|hit| !hit.is_paid);
    let own = || organic().filter(|hit| hit.note == id);
    let found_at = own().map(|hit| hit.at).max()?;
    let published = facts.newest_of(id, |seen| seen.published_at)?;
    let missed = own().filter(|hit| hit.at == found_at).filter_map(|hit| {
        let looks = &facts.answers.looks[&hit.search];
        let depth = looks.iter().find(|look| look.at == found_at)?.pages;
        let is_deep = |look: &&Look| {
            if look.is_whole {
                return true;
            }
            if hit.sort != "newest" {
                return look.pages >= depth;
            }
            let of_look =
                organic().filter(|other| other.search == hit.search && other.at == look.at);
            let last = of_look
                .max_by_key(|other| other.rank)
                .map(|last| &last.note);
            let oldest = last.and_then(|note| facts.newest_of(note, |seen| seen.published_at));
            oldest.is_some_and(|oldest| oldest < published)
        };
        let later = looks
            .iter()
            .filter(|look| look.at > last_seen && look.is_complete);
        later.filter(is_deep).map(|look| look.at).min()
    });
    missed.min()
}

fn growing_hashtags(facts: &Facts) -> Vec<Value> {
    let week = NaiveDate::from_ymd_opt(2026, 3, 9).expect("a Monday");
    let mut tagged: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for note in facts
        .answers
        .notes
        .iter()
        .filter(|note| monday(note.at) == week)
    {
        for tag in &note.tags {
            tagged.entry(tag).or_default().insert(&note.id);
        }
    }
    let mut rows = Vec::new();
    for (tag, notes) in tagged.into_iter().filter(|(_, notes)| notes.len() >= 30) {
        let is_new = |note: &&&str| facts.notes[**note].iter().all(|seen| date(seen.at) >= week);
        let new = notes.iter().filter(is_new).count();
        let percent = rounded((100 * new) as f64 / notes.len() as f64, 0) as i64;
        let author = |note: &&str| {
            let of_week = facts.notes[*note]
                .iter()
                .filter(|seen| monday(seen.at) == week);
            newest(of_week.map(|seen| (seen.at, seen.endpoint, seen.author.clone())))
        };
        let authors: BTreeSet<String> = notes.iter().filter_map(author).collect();
        let counted = notes
            .iter()
            .map(|note| facts.engagement_in(note, |at| monday(at) == week));
        rows.push((
            Reverse(percent),
            tag,
            json!({
                "tag": tag, "notes": notes.len(), "new_notes": new, "new_percent": percent,
                "authors": authors.len(), "engagement_sum": counted.sum::<i64>(),
            }),
        ));
    }
    rows.sort_by_key(|(percent, tag, _)| (*percent, *tag));
    rows.into_iter().map(|(.., row)| row).take(6).collect()
}

fn new_and_known_notes(facts: &Facts) -> Vec<Value> {
    let mut by_date: BTreeMap<NaiveDate, BTreeSet<&str>> = BTreeMap::new();
    for hit in facts
        .answers
        .hits
        .iter()
        .filter(|hit| hit.keyword == "兰蔻")
    {
        by_date.entry(date(hit.at)).or_default().insert(&hit.note);
    }
    let mut known: BTreeSet<&str> = BTreeSet::new();
    let mut rows = Vec::new();
    for (date, notes) in by_date {
        let known_notes = notes.intersection(&known).count();
        rows.push(json!({
            "snapshot_date": date, "notes": notes.len(), "new_notes": notes.len() - known_notes,
            "known_notes": known_notes,
        }));
        known.extend(notes);
    }
    rows
}

fn paid_share(facts: &Facts) -> Vec<Value> {
    let hits = &facts.answers.hits;
    let keywords: BTreeSet<&str> = hits.iter().map(|hit| hit.keyword.as_str()).collect();
    let mut rows = Vec::new();
    for keyword in keywords {
        let of_keyword = || hits.iter().filter(|hit| hit.keyword == keyword);
        let all = || of_keyword().filter(|hit| hit.sort == "general");
        let paid = || all().filter(|hit| hit.is_paid);
        let paid_notes = paid().map(|hit| &hit.note).collect::<BTreeSet<_>>().len();
        let percent = rounded((100 * paid().count()) as f64 / all().count() as f64, 1);
        rows.push((
            percent,
            json!({
                "keyword": keyword, "hits": all().count(), "paid_hits": paid().count(),
                "paid_percent": percent, "paid_notes": paid_notes,
            }),
        ));
    }
    // The keywords are sorted, and stay so where the percentages are equal.
    rows.sort_by(|a, b| b.0.total_cmp(&a.0));
    rows.into_iter().map(|(_, row)| row).collect()
}

fn price_of_a_new_note(facts: &Facts) -> Vec<Value> {
    let mut calls: BTreeMap<&str, i64> = BTreeMap::new();
    for keyword in &facts.answers.calls {
        *calls.entry(keyword).or_default() += 1;
    }
    let mut rows = Vec::new();
    for (keyword, calls) in calls {
        let hits = facts
            .answers
            .hits
            .iter()
            .filter(|hit| hit.keyword == keyword);
        // Each note was new once.
        let notes = hits.map(|hit| &hit.note).collect::<BTreeSet<_>>().len();
        let cost = (calls * PRICE_OF_A_SEARCH) as f64 / 100.0;
        let each = rounded(cost / notes as f64, 4);
        rows.push((
            each,
            json!({
                "keyword": keyword, "calls": calls, "cost": cost, "new_notes": notes,
                "cost_per_new_note": each,
            }),
        ));
    }
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    rows.into_iter().map(|(_, row)| row).collect()
}

fn engagement_rate_by_followers(facts: &Facts) -> Vec<Value> {
    let creators = facts.creators();
    let rows = BANDS.iter().map(|(band, _)| {
        let of_band = || creators.iter().filter(|c| c.band() == Some(band));
        let rates: Vec<f64> = of_band().filter_map(|creator| creator.rate).collect();
        json!({
            "follower_band": band, "creators": rates.len(),
            "median_rate": rounded(median(rates), 3),
            "median_per_note": whole_median(of_band().map(|creator| creator.per_note)),
        })
    });
    rows.collect()
}

fn own_rank(facts: &Facts) -> Vec<Value> {
    let mut by_date: BTreeMap<NaiveDate, Vec<(i64, bool)>> = BTreeMap::new();
    let hits = facts.answers.hits.iter();
    for hit in hits.filter(|hit| hit.keyword == "兰蔻" && hit.sort == "general") {
        let of_date = facts.notes[&hit.note]
            .iter()
            .filter(|seen| date(seen.at) == date(hit.at));
        let author = newest(of_date.map(|seen| (seen.at, seen.endpoint, seen.author.as_deref())));
        if author == Some(OWN_ACCOUNT) {
            by_date
                .entry(date(hit.at))
                .or_default()
                .push((hit.rank, hit.is_paid));
        }
    }
    let rows = by_date.into_iter().map(|(date, ranks)| {
        let organic = ranks.iter().filter(|(_, is_paid)| !is_paid);
        json!({
            "snapshot_date": date, "hits": ranks.len(),
            "best_organic_rank": organic.map(|(rank, _)| *rank).min(),
            "median_rank": median(ranks.iter().map(|(rank, _)| *rank as f64).collect()),
        })
    });
    rows.collect()
}

fn edited_titles(facts: &Facts) -> Vec<Value> {
    // The first snapshot of each distinct change.
    let mut changes: BTreeMap<(&str, Option<&str>, Option<&str>), i64> = BTreeMap::new();
    for (id, seen) in &facts.notes {
        for endpoint in [Endpoint::NoteDetail, Endpoint::NoteSearch] {
            let of_endpoint = seen.iter().filter(|note| note.endpoint == endpoint);
            let titles: BTreeMap<i64, Option<&str>> = of_endpoint
                .map(|note| (note.at, note.title.as_deref()))
                .collect();
            for ((_, before), (at, after)) in titles.iter().zip(titles.iter().skip(1)) {
                if before != after {
                    let first = changes.entry((id, *before, *after)).or_insert(*at);
                    *first = (*first).min(*at);
                }
            }
        }
    }
    let mut changes: Vec<_> = changes.into_iter().collect();
    changes.sort_by_key(|((id, ..), at)| (Reverse(*at), *id));
    let rows = changes.into_iter().take(6).map(
        |((_, before, after), at)| json!({"seen_on": date(at), "before": before, "after": after}),
    );
    rows.collect()
}

fn posting_hours(facts: &Facts) -> Vec<Value> {
    let mut by_hour: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    for id in facts.notes.keys() {
        let published = facts
            .newest_of(id, |seen| seen.published_at)
            .expect("a time");
        let hour = local(published).hour();
        by_hour
            .entry(hour)
            .or_default()
            .push(facts.engagement(id) as f64);
    }
    by_hour.retain(|_, notes| notes.len() >= 30);
    let rows = by_hour.into_iter().map(|(hour, notes)| {
        let count = notes.len();
        (hour, count, whole_median(notes.into_iter()))
    });
    let mut rows: Vec<_> = rows.collect();
    rows.sort_by_key(|(hour, _, median)| (Reverse(*median), *hour));
    let rows = rows.into_iter().take(6).map(|(hour, notes, median)| {
        json!({"published_hour": hour, "notes": notes, "median_engagement": median})
    });
    rows.collect()
}
