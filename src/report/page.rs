//! The page: figures as texts, tables and charts, for the template `page.html`.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use chrono::{DateTime, NaiveDate, Utc};
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;

use super::charts::{LINES, Line, Scale, lines, sparkline};
use super::error::ReportError;
use super::figures::Figures;
use super::format::Numbers;
use super::headline::headline;
use super::rows::{CreatorRow, HashtagRow, RisingRow};
use super::scope::Scope;
use super::texts::Texts;

/// Everything that the template shows. Texts are not escaped yet.
#[derive(Serialize)]
struct Page<'f> {
    t: &'f Texts,
    style: &'static str,
    dates: Option<String>,
    pipelines: String,
    made_at: String,
    headline: Vec<String>,
    is_empty: bool,
    voice: Part<LineChart>,
    rising: Part<RisingNote>,
    creators: Part<Creator>,
    hashtags: Part<Hashtags>,
    ranks: Part<LineChart>,
    paid: Part<LineChart>,
    hours: Part<HourRow>,
    costs: Part<Vec<String>>,
    health: Part<Vec<String>>,
    definitions: Vec<&'f str>,
}

/// A section: its rows, a sentence about it, and its numbers as a link to a CSV file.
#[derive(Serialize)]
struct Part<T> {
    note: String,
    rows: Vec<T>,
    csv: String,
}

#[derive(Serialize)]
struct LineChart {
    /// Keyword set, and pipeline where there are several.
    title: String,
    svg: String,
    legend: Vec<LegendRow>,
    /// Lines that are only in the CSV.
    more: Option<String>,
}

#[derive(Serialize)]
struct LegendRow {
    /// Number of the line in the chart, from 1.
    number: usize,
    name: String,
    is_own: bool,
    values: Vec<String>,
}

#[derive(Serialize)]
struct RisingNote {
    title: String,
    url: Option<String>,
    author: String,
    author_url: Option<String>,
    facts: Vec<String>,
    is_paid: bool,
    engagement: String,
    growth: String,
    best_rank: String,
    svg: String,
}

#[derive(Serialize)]
struct Creator {
    name: String,
    url: Option<String>,
    red_id: Option<String>,
    values: Vec<String>,
}

#[derive(Serialize)]
struct Hashtags {
    title: Option<String>,
    note: Option<String>,
    up: Vec<Vec<String>>,
    down: Vec<Vec<String>>,
}

#[derive(Serialize)]
struct HourRow {
    weekday: String,
    cells: Vec<HourCell>,
}

#[derive(Serialize)]
struct HourCell {
    notes: i64,
    /// Part of the largest number, from 0 to 1.
    heat: f64,
    title: String,
}

/// Fills in the page.
///
/// # Errors
/// A chart cannot be drawn, or the template cannot be filled in.
pub(super) fn page(
    figures: &Figures,
    scope: &Scope,
    texts: &Texts,
    now: DateTime<Utc>,
) -> Result<String, ReportError> {
    let build = Build {
        figures,
        scope,
        texts,
        numbers: Numbers { texts },
        has_several: figures.pipelines().len() > 1,
    };
    let page = build.page(now)?;
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment
        .add_template("page.html", include_str!("page.html"))
        .and_then(|()| environment.get_template("page.html"))
        .and_then(|template| template.render(Serde(&page)))
        .map_err(ReportError::Page)
}

struct Build<'f> {
    figures: &'f Figures,
    scope: &'f Scope,
    texts: &'f Texts,
    numbers: Numbers<'f>,
    /// True if the names of pipelines must be told.
    has_several: bool,
}

impl Build<'_> {
    fn page(&self, now: DateTime<Utc>) -> Result<Page<'_>, ReportError> {
        let (figures, texts) = (self.figures, self.texts);
        let span = &figures.span;
        let dates = span.first_date.zip(span.last_date).map(|(first, last)| {
            let [first, last] = [first, last].map(|date| date.to_string());
            texts.fill("dates", &[("first", &first), ("last", &last)])
        });
        let names: Vec<&str> = self
            .scope
            .pipelines
            .iter()
            .map(|row| row.pipeline.as_str())
            .collect();
        let at = now.format("%Y-%m-%d %H:%M UTC").to_string();
        let version = env!("CARGO_PKG_VERSION");
        Ok(Page {
            t: texts,
            style: include_str!("page.css"),
            is_empty: dates.is_none(),
            dates,
            pipelines: texts.fill("pipelines", &[("names", &names.join(", "))]),
            made_at: texts.fill("made_at", &[("at", &at), ("version", version)]),
            headline: headline(figures, texts),
            voice: self.weekly("voice_note", self.voice()?, &figures.voice.csv),
            rising: self.part("rising_note", self.rising()?, &figures.rising.csv),
            creators: self.part("creators_note", self.creators(), &figures.creators.csv),
            hashtags: self.hashtags(),
            ranks: self.ranks()?,
            paid: self.weekly("paid_note", self.paid()?, &figures.paid.csv),
            hours: self.hours(),
            costs: self.part("costs_note", self.costs(), &figures.costs.csv),
            health: self.part("health_note", self.health(), &figures.health.csv),
            definitions: DEFINITIONS.iter().map(|name| texts.get(name)).collect(),
        })
    }

    fn part<T>(&self, note: &str, rows: Vec<T>, csv: &str) -> Part<T> {
        Part {
            note: self.texts.fill(note, &[]),
            rows,
            csv: link(csv),
        }
    }

    /// Returns a section whose tables have the week that the report compares.
    fn weekly<T>(&self, note: &str, rows: Vec<T>, csv: &str) -> Part<T> {
        let mut part = self.part(note, rows, csv);
        if let Some(week) = self.figures.span.week {
            let week = self.texts.fill("week_of", &[("week", &week.to_string())]);
            let week = self.texts.fill("table_week", &[("week", &week)]);
            part.note = format!("{} {week}", part.note);
        }
        part
    }

    /// Returns the name of a keyword set, with its pipeline where there are several.
    fn set_name(&self, pipeline: &str, set: Option<&str>) -> String {
        match (set, self.has_several) {
            (Some(set), true) => format!("{pipeline} · {set}"),
            (Some(set), false) => set.to_owned(),
            (None, _) => pipeline.to_owned(),
        }
    }

    fn voice(&self) -> Result<Vec<LineChart>, ReportError> {
        let rows = &self.figures.voice.rows;
        let mut sets: BTreeMap<(&str, Option<&str>), Lines> = BTreeMap::new();
        for row in rows {
            let key = (row.pipeline.as_str(), row.keyword_set.as_deref());
            let lines = sets.entry(key).or_default();
            lines.add(&row.keyword, row.is_own, row.week_start, row.share_of_voice);
        }
        let charts = sets.into_iter().map(|((pipeline, set), lines)| {
            self.line_chart(
                self.set_name(pipeline, set),
                &lines,
                Scale::Share,
                self.figures.span.week,
            )
        });
        charts.collect()
    }

    fn paid(&self) -> Result<Vec<LineChart>, ReportError> {
        let mut lines = Lines::default();
        for row in &self.figures.paid.rows {
            let name = self.set_name(&row.pipeline, row.keyword_set.as_deref());
            lines.add(&name, false, row.week_start, row.ad_share);
        }
        if lines.dates.is_empty() {
            return Ok(Vec::new());
        }
        let week = self.figures.span.week;
        Ok(vec![self.line_chart(
            String::new(),
            &lines,
            Scale::Share,
            week,
        )?])
    }

    fn ranks(&self) -> Result<Part<LineChart>, ReportError> {
        let mut pipelines: BTreeMap<&str, Lines> = BTreeMap::new();
        for row in &self.figures.ranks.rows {
            let lines = pipelines.entry(&row.pipeline).or_default();
            #[expect(clippy::cast_precision_loss, reason = "ranks are small")]
            let rank = row.best_rank as f64;
            lines.add(&row.keyword, false, row.snapshot_date, Some(rank));
        }
        let charts = pipelines.into_iter().map(|(pipeline, lines)| {
            let title = if self.has_several { pipeline } else { "" };
            self.line_chart(title.to_owned(), &lines, Scale::Rank, None)
        });
        let note = if self.scope.own.is_empty() {
            self.texts.get("ranks_no_own").to_owned()
        } else {
            let brands = self.scope.own.join(", ");
            self.texts.fill("ranks_note", &[("brands", &brands)])
        };
        Ok(Part {
            note,
            rows: charts.collect::<Result<_, _>>()?,
            csv: link(&self.figures.ranks.csv),
        })
    }

    /// Draws a chart. Its legend has the values of the date `told`, or of the newest one, and their
    /// changes since the date before.
    fn line_chart(
        &self,
        title: String,
        all: &Lines,
        scale: Scale,
        told: Option<NaiveDate>,
    ) -> Result<LineChart, ReportError> {
        let mut drawn: Vec<_> = all.lines.iter().collect();
        let newest = |dates: &BTreeMap<NaiveDate, Option<f64>>| {
            dates.values().next_back().copied().flatten()
        };
        // One's own lines come first, and then those with the best newest values.
        drawn.sort_by(|(_, a), (_, b)| {
            let [x, y] = [a, b].map(|line| {
                let value = newest(&line.values).unwrap_or(f64::NEG_INFINITY);
                match scale {
                    Scale::Share => -value,
                    Scale::Rank => value,
                }
            });
            b.is_own.cmp(&a.is_own).then(x.total_cmp(&y))
        });
        let left_out = drawn.len().saturating_sub(LINES);
        drawn.truncate(LINES);
        let dates: Vec<NaiveDate> = all.dates.iter().copied().collect();
        let at_told = told.and_then(|told| dates.iter().position(|date| *date == told));
        let at_told = at_told.unwrap_or(dates.len().saturating_sub(1));
        let labels: Vec<String> = dates
            .iter()
            .map(|date| date.format("%m-%d").to_string())
            .collect();
        let values = |line: &DatedLine| -> Vec<Option<f64>> {
            let value = |date| line.values.get(date).copied().flatten();
            dates.iter().map(value).collect()
        };
        let series: Vec<Line> = drawn
            .iter()
            .map(|(_, line)| Line {
                values: values(line),
                is_own: line.is_own,
            })
            .collect();
        let svg = lines(&labels, &series, scale).map_err(ReportError::Chart)?;
        let legend = drawn
            .iter()
            .zip(&series)
            .enumerate()
            .map(|(at, ((name, line), drawn))| LegendRow {
                number: at + 1,
                name: (**name).to_owned(),
                is_own: line.is_own,
                values: self.told_values(drawn.values.get(..=at_told).unwrap_or_default(), scale),
            });
        let more = left_out.to_string();
        Ok(LineChart {
            title,
            svg,
            legend: legend.collect(),
            more: (left_out > 0).then(|| self.texts.fill("other_keywords", &[("count", &more)])),
        })
    }

    /// Returns the last value and its change.
    fn told_values(&self, values: &[Option<f64>], scale: Scale) -> Vec<String> {
        let mut newest = values.iter().rev().copied();
        let (last, before) = (newest.next().flatten(), newest.next().flatten());
        match scale {
            Scale::Share => vec![self.numbers.share(last), self.numbers.points(last, before)],
            Scale::Rank => {
                let rank = |rank: Option<f64>| self.numbers.rounded(rank);
                let change = last.zip(before).map(|(last, before)| before - last);
                let change = change.map_or(self.texts.get("unknown").to_owned(), |change| {
                    if change == 0.0 {
                        "=".to_owned()
                    } else {
                        format!("{change:+.0}")
                    }
                });
                vec![rank(last), change]
            }
        }
    }

    fn rising(&self) -> Result<Vec<RisingNote>, ReportError> {
        let rows = self.figures.rising.rows.iter();
        rows.map(|row| self.rising_note(row)).collect()
    }

    fn rising_note(&self, row: &RisingRow) -> Result<RisingNote, ReportError> {
        let growth = self.figures.growth.rows.iter();
        let of_note = growth.filter(|growth| growth.note_id == row.note_id);
        let values: Vec<f64> = of_note.filter_map(|growth| growth.engagement).collect();
        let numbers = self.numbers;
        let published = row.published_date.map(|date| date.to_string());
        Ok(RisingNote {
            title: self.or("untitled", row.title.as_deref()),
            url: row.note_url.clone(),
            author: self.or("unnamed", row.nickname.as_deref()),
            author_url: row.profile_url.clone(),
            facts: published.into_iter().chain(row.keywords.clone()).collect(),
            is_paid: row.is_paid == Some(true),
            engagement: numbers.count(row.engagement),
            growth: numbers.change(row.engagement_delta_7d),
            best_rank: numbers.count(row.best_rank),
            svg: sparkline(&values).map_err(ReportError::Chart)?,
        })
    }

    fn or(&self, name: &str, text: Option<&str>) -> String {
        let text = text.filter(|text| !text.trim().is_empty());
        text.unwrap_or(self.texts.get(name)).to_owned()
    }

    fn creators(&self) -> Vec<Creator> {
        let numbers = self.numbers;
        let creator = |row: &CreatorRow| Creator {
            name: self.or("unnamed", row.nickname.as_deref()),
            url: row.profile_url.clone(),
            red_id: row.red_id.clone(),
            values: vec![
                numbers.count(row.follower_count),
                numbers.count(Some(row.notes)),
                numbers.rounded(row.engagement_per_note),
                numbers.share(row.engagement_rate),
                numbers.count(row.best_rank),
            ],
        };
        self.figures.creators.rows.iter().map(creator).collect()
    }

    fn hashtags(&self) -> Part<Hashtags> {
        let mut pipelines: BTreeMap<&str, Vec<&HashtagRow>> = BTreeMap::new();
        for row in &self.figures.hashtags.rows {
            pipelines.entry(&row.pipeline).or_default().push(row);
        }
        let cells = |row: &HashtagRow| {
            let numbers = self.numbers;
            vec![
                format!("#{}", row.tag),
                numbers.count(Some(row.notes)),
                numbers.change(row.change),
            ]
        };
        let tables = pipelines.into_iter().map(|(pipeline, rows)| {
            let days = rows.first().filter(|row| row.days != row.days_before);
            let note = days.map(|row| {
                let [days, before] = [row.days, row.days_before].map(|days| days.to_string());
                self.texts
                    .fill("hashtags_days", &[("days", &days), ("before", &before)])
            });
            let up = rows.iter().filter(|row| row.change > 0);
            // The largest loss comes first.
            let down = rows.iter().filter(|row| row.change < 0).rev();
            Hashtags {
                title: self.has_several.then(|| pipeline.to_owned()),
                note,
                up: up.map(|row| cells(row)).collect(),
                down: down.map(|row| cells(row)).collect(),
            }
        });
        let rows: Vec<Hashtags> = tables.collect();
        let note = match self.figures.span.week {
            Some(week) if !rows.is_empty() => {
                let week = self.texts.fill("week_of", &[("week", &week.to_string())]);
                self.texts.fill("hashtags_note", &[("week", &week)])
            }
            _ => self.texts.get("hashtags_none").to_owned(),
        };
        Part {
            note,
            rows,
            csv: link(&self.figures.hashtags.csv),
        }
    }

    fn hours(&self) -> Part<HourRow> {
        let rows = &self.figures.hours.rows;
        let csv = link(&self.figures.hours.csv);
        let Some(busiest) = rows.iter().max_by_key(|row| row.notes) else {
            let (note, rows) = (self.texts.get("no_data").to_owned(), Vec::new());
            return Part { note, rows, csv };
        };
        let weekdays: Vec<&str> = self.texts.get("weekdays").split(',').collect();
        let weekday = |day: usize| weekdays.get(day - 1).copied().unwrap_or_default();
        let cell = |day: usize, hour: usize| {
            let row = rows
                .iter()
                .find(|row| (row.weekday, row.hour) == (day, hour));
            let notes = row.map_or(0, |row| row.notes);
            let [hour, count] = [format!("{hour:02}"), notes.to_string()];
            let values = [
                ("weekday", weekday(day)),
                ("hour", &hour),
                ("notes", &count),
            ];
            HourCell {
                notes,
                heat: part(notes, busiest.notes),
                title: self.texts.fill("at_hour", &values),
            }
        };
        let hour = format!("{:02}", busiest.hour);
        let values = [
            ("weekday", weekday(busiest.weekday)),
            ("hour", hour.as_str()),
        ];
        let table = (1..=7).map(|day| HourRow {
            weekday: weekday(day).to_owned(),
            cells: (0..24).map(|hour| cell(day, hour)).collect(),
        });
        Part {
            note: self.texts.fill("hours_note", &values),
            rows: table.collect(),
            csv,
        }
    }

    fn costs(&self) -> Vec<Vec<String>> {
        let numbers = self.numbers;
        let rows = self.figures.costs.rows.iter().rev();
        rows.map(|row| {
            let currency = row.currency.as_deref();
            vec![
                row.week_start.to_string(),
                numbers.count(Some(row.calls)),
                numbers.count(Some(row.unknown_calls)),
                numbers.money(row.cost, currency),
                numbers.count(Some(row.new_notes)),
                numbers.money(row.cost_per_new_note, currency),
            ]
        })
        .collect()
    }

    fn health(&self) -> Vec<Vec<String>> {
        let count = |count: i64| self.numbers.count(Some(count));
        let rows = self.figures.health.rows.iter();
        rows.map(|row| {
            vec![
                row.pipeline.clone(),
                count(row.runs),
                count(row.runs_not_complete),
                count(row.days_without_run),
                count(row.searches_failed),
                count(row.rejects),
                count(row.drift),
                count(row.days_not_over),
            ]
        })
        .collect()
    }
}

const DEFINITIONS: [&str; 8] = [
    "definition_interactions",
    "definition_voice",
    "definition_week",
    "definition_new",
    "definition_place",
    "definition_time",
    "definition_unclear",
    "definition_day_over",
];

/// Lines of a chart, by name.
#[derive(Default)]
struct Lines {
    dates: BTreeSet<NaiveDate>,
    lines: BTreeMap<String, DatedLine>,
}

struct DatedLine {
    is_own: bool,
    values: BTreeMap<NaiveDate, Option<f64>>,
}

impl Lines {
    fn add(&mut self, name: &str, is_own: bool, date: NaiveDate, value: Option<f64>) {
        self.dates.insert(date);
        let line = self
            .lines
            .entry(name.to_owned())
            .or_insert_with(|| DatedLine {
                is_own,
                values: BTreeMap::new(),
            });
        line.values.insert(date, value);
    }
}

/// Returns a part of a number that is not 0, to two decimals.
#[expect(clippy::cast_precision_loss, reason = "numbers of notes are small")]
fn part(number: i64, whole: i64) -> f64 {
    (number as f64 / whole as f64 * 100.0).round() / 100.0
}

/// Returns the address of a CSV file that is in the page itself. It begins with a byte order mark,
/// so that Excel reads it as UTF-8.
fn link(csv: &str) -> String {
    let bytes = format!("\u{feff}{csv}");
    format!(
        "data:text/csv;charset=utf-8;base64,{}",
        BASE64_STANDARD.encode(bytes)
    )
}
