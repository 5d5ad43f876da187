//! The first sentences of a report.

use chrono::Days;

use super::figures::Figures;
use super::format::Numbers;
use super::rows::{VoiceRow, WeekRow};
use super::texts::Texts;

/// Maximum number of sentences about keywords.
const KEYWORDS: usize = 3;
/// Maximum length of a title, in characters.
const TITLE: usize = 40;

/// Returns the sentences at the top of the report: the voice of one's own keywords, or of the
/// leading one, the note that grew most, and the cost.
pub(super) fn headline(figures: &Figures, texts: &Texts, has_several: bool) -> Vec<String> {
    let numbers = Numbers { texts };
    let mut sentences: Vec<String> = told_keywords(figures)
        .iter()
        .take(KEYWORDS)
        .map(|(row, week)| of_keyword(figures, row, week, texts, has_several))
        .collect();
    if let Some(note) = figures.rising.rows.first() {
        let title = note
            .title
            .as_deref()
            .filter(|title| !title.trim().is_empty());
        let title = title.map_or_else(|| texts.get("untitled").to_owned(), quoted);
        let change = numbers.change(note.engagement_delta_7d);
        let time = numbers.hours(note.hours_7d);
        let values = [
            ("title", title.as_str()),
            ("change", &change),
            ("time", &time),
        ];
        sentences.push(texts.fill("headline_rising", &values));
    }
    sentences.extend(of_costs(figures, texts));
    sentences
}

/// Returns the start of a title in quotation marks. Its direction does not spread to what follows.
fn quoted(title: &str) -> String {
    let mut start: String = title
        .chars()
        .filter(|c| !c.is_control())
        .take(TITLE)
        .collect();
    if title.chars().count() > TITLE {
        start.push('…');
    }
    // First strong isolate, and its end.
    format!("“\u{2068}{start}\u{2069}”")
}

/// Returns the own keywords with the largest share first, or the leading keyword, with their weeks.
fn told_keywords(figures: &Figures) -> Vec<(&VoiceRow, &WeekRow)> {
    let rows = figures.voice.rows.iter();
    let with_week = rows.filter_map(|row| {
        let week = figures.week_of(&row.pipeline)?;
        (week.week == row.week_start && row.share_of_voice.is_some()).then_some((row, week))
    });
    let mut told: Vec<_> = with_week.collect();
    if told.iter().any(|(row, _)| row.is_own) {
        told.retain(|(row, _)| row.is_own);
        told.sort_by(|(a, _), (b, _)| voice(b).total_cmp(&voice(a)));
        return told;
    }
    // The sets stand in the order of their names: the leader of the first one.
    let first = told
        .iter()
        .map(|(row, _)| (&row.pipeline, &row.keyword_set))
        .min();
    let of_first = told
        .iter()
        .filter(|(row, _)| first == Some((&row.pipeline, &row.keyword_set)));
    let leader = of_first.max_by(|(a, _), (b, _)| voice(a).total_cmp(&voice(b)));
    leader.into_iter().copied().collect()
}

fn voice(row: &VoiceRow) -> f64 {
    row.share_of_voice.unwrap_or(-1.0)
}

fn of_keyword(
    figures: &Figures,
    row: &VoiceRow,
    week: &WeekRow,
    texts: &Texts,
    has_several: bool,
) -> String {
    let numbers = Numbers { texts };
    let before = week.week.checked_sub_days(Days::new(7));
    let before = figures.voice.rows.iter().find(|other| {
        Some(other.week_start) == before
            && (&other.pipeline, &other.keyword_set, &other.keyword)
                == (&row.pipeline, &row.keyword_set, &row.keyword)
    });
    let before = before.and_then(|row| row.share_of_voice);
    let sentence = match (row.is_own, before.is_some()) {
        (true, true) => "headline_own",
        (true, false) => "headline_own_first",
        (false, true) => "headline_leader",
        (false, false) => "headline_leader_first",
    };
    let set = texts.set_name(&row.pipeline, row.keyword_set.as_deref(), has_several);
    let values = [
        ("keyword", row.keyword.as_str()),
        ("set", &set),
        ("share", &numbers.share(row.share_of_voice)),
        ("week", &week_with_days(week, texts)),
        ("change", &numbers.points(row.share_of_voice, before)),
    ];
    texts.fill(sentence, &values)
}

/// Returns the name of a week. It has the days of the week and of the one before if they are not all
/// there.
pub(super) fn week_with_days(week: &WeekRow, texts: &Texts) -> String {
    let name = texts.fill("week_of", &[("week", &week.week.to_string())]);
    let (days, before) = (
        week.days.to_string(),
        week.days_before.unwrap_or(7).to_string(),
    );
    let values = [
        ("week", name.as_str()),
        ("days", &days),
        ("before", &before),
    ];
    match (week.days < 7, week.days_before.is_some_and(|days| days < 7)) {
        (false, false) => name,
        (true, false) if week.is_over => texts.fill("week_with_days", &values),
        (true, false) => texts.fill("week_so_far", &values),
        (_, true) => texts.fill("week_with_both_days", &values),
    }
}

/// Returns a sentence about the cost if there is one currency, and all calls have a price.
fn of_costs(figures: &Figures, texts: &Texts) -> Option<String> {
    let numbers = Numbers { texts };
    let rows = &figures.costs.rows;
    let currency = rows.first()?.currency.as_deref()?;
    if rows
        .iter()
        .any(|row| row.currency.as_deref() != Some(currency))
    {
        return None;
    }
    let cost: f64 = rows.iter().filter_map(|row| row.cost).sum();
    let notes: i64 = rows.iter().map(|row| row.new_notes).sum();
    #[expect(clippy::cast_precision_loss, reason = "numbers of notes are small")]
    let price = (notes > 0).then(|| cost / notes as f64);
    let cost = numbers.money(Some(cost), Some(currency));
    let price = numbers.money(price, Some(currency));
    Some(texts.fill("headline_costs", &[("cost", &cost), ("price", &price)]))
}
