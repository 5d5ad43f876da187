//! The first sentences of a report.

use chrono::Days;

use super::figures::Figures;
use super::format::Numbers;
use super::rows::VoiceRow;
use super::texts::Texts;

/// Returns the sentences at the top of the report: the voice of one's own keywords, or of the
/// leading one, the note that grew most, and the cost.
pub(super) fn headline(figures: &Figures, texts: &Texts) -> Vec<String> {
    let numbers = Numbers { texts };
    let mut sentences = of_voice(figures, texts);
    if let Some(note) = figures.rising.rows.first() {
        let title = note.title.as_deref().unwrap_or(texts.get("untitled"));
        let change = numbers.change(note.engagement_delta_7d);
        sentences.push(texts.fill("headline_rising", &[("title", title), ("change", &change)]));
    }
    sentences.extend(of_costs(figures, texts));
    sentences
}

fn of_voice(figures: &Figures, texts: &Texts) -> Vec<String> {
    let Some(week) = figures.span.week else {
        return Vec::new();
    };
    let rows = &figures.voice.rows;
    let of_week: Vec<&VoiceRow> = rows.iter().filter(|row| row.week_start == week).collect();
    let has_own = of_week.iter().any(|row| row.is_own);
    let told: Vec<&VoiceRow> = if has_own {
        of_week.iter().filter(|row| row.is_own).copied().collect()
    } else {
        // The sets stand in the order of their names: the leader of the first one.
        let first = of_week
            .iter()
            .map(|row| (&row.pipeline, &row.keyword_set))
            .min();
        let of_first = of_week
            .iter()
            .filter(|row| first == Some((&row.pipeline, &row.keyword_set)));
        let leader = of_first.max_by(|a, b| voice(a).total_cmp(&voice(b)));
        leader.into_iter().copied().collect()
    };
    let before = week.checked_sub_days(Days::new(7));
    let mut sentences: Vec<String> = told
        .iter()
        .filter(|row| row.share_of_voice.is_some())
        .map(|row| {
            let before = rows.iter().find(|other| {
                Some(other.week_start) == before
                    && (&other.pipeline, &other.keyword_set, &other.keyword)
                        == (&row.pipeline, &row.keyword_set, &row.keyword)
            });
            of_keyword(row, before.and_then(|row| row.share_of_voice), texts)
        })
        .collect();
    if let Some(open) = told.iter().find(|row| !row.is_over)
        && !sentences.is_empty()
    {
        let days = open.days.to_string();
        sentences.push(texts.fill("headline_open", &[("days", &days)]));
    }
    sentences
}

fn voice(row: &VoiceRow) -> f64 {
    row.share_of_voice.unwrap_or(-1.0)
}

fn of_keyword(row: &VoiceRow, before: Option<f64>, texts: &Texts) -> String {
    let numbers = Numbers { texts };
    let week = row.week_start.to_string();
    let week = texts.fill("week_of", &[("week", &week)]);
    let share = numbers.share(row.share_of_voice);
    let change = numbers.points(row.share_of_voice, before);
    let sentence = match (row.is_own, before.is_some()) {
        (true, true) => "headline_own",
        (true, false) => "headline_own_first",
        (false, true) => "headline_leader",
        (false, false) => "headline_leader_first",
    };
    let values = [
        ("keyword", row.keyword.as_str()),
        ("set", row.keyword_set.as_deref().unwrap_or(&row.pipeline)),
        ("share", &share),
        ("week", &week),
        ("change", &change),
    ];
    texts.fill(sentence, &values)
}

/// Returns a sentence for each currency.
fn of_costs(figures: &Figures, texts: &Texts) -> Vec<String> {
    let numbers = Numbers { texts };
    let rows = &figures.costs.rows;
    let mut currencies: Vec<&str> = rows
        .iter()
        .filter_map(|row| row.currency.as_deref())
        .collect();
    currencies.sort_unstable();
    currencies.dedup();
    let sentence = |currency: &str| {
        let of_currency = rows
            .iter()
            .filter(|row| row.currency.as_deref() == Some(currency));
        let (mut cost, mut notes) = (0.0, 0);
        for row in of_currency {
            cost += row.cost.unwrap_or_default();
            notes += row.new_notes;
        }
        #[expect(clippy::cast_precision_loss, reason = "numbers of notes are small")]
        let price = (notes > 0).then(|| cost / notes as f64);
        let cost = numbers.money(Some(cost), Some(currency));
        let price = numbers.money(price, Some(currency));
        texts.fill("headline_costs", &[("cost", &cost), ("price", &price)])
    };
    currencies.into_iter().map(sentence).collect()
}
