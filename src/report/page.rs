//! The page: figures as texts, tables and charts, for the template `page.html`.

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use chrono::{DateTime, Days, NaiveDate, Utc};
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;

use super::charts::{LINES, Line, Scale, lines, sparkline};
use super::error::ReportError;
use super::figures::Figures;
use super::format::{Numbers, signed};
use super::headline::{headline, week_with_days};
use super::rows::{CreatorRow, HashtagRow, RisingRow, WeekRow};
use super::scope::ReportScope;
use super::texts::Texts;

/// Everything that the template shows. Texts are not escaped yet.
#[derive(Serialize)]
struct Page<'f> {
    t: &'f Texts,
    style: &'static str,
    dates: Option<String>,
    pipelines: String,
    made_at: String,
    /// Sentences that stand before all figures: simulated data, marts that are behind.
    warnings: Vec<String>,
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
    /// The week or the date of the legend.
    note: String,
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
    /// Time that the growth covers.
    time: String,
    best_place: String,
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
    title: String,
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
    scope: &ReportScope,
    texts: &Texts,
    now: DateTime<Utc>,
) -> Result<String, ReportError> {
    let build = Build {
        figures,
        scope,
        texts,
        numbers: Numbers { texts },
        has_several: scope.pipelines.len() > 1,
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
    scope: &'f ReportScope,
    texts: &'f Texts,
    numbers: Numbers<'f>,
    /// True if the names of pipelines must be told.
    has_several: bool,
}

impl Build<'_> {
    fn page(&self, now: DateTime<Utc>) -> Result<Page<'_>, ReportError> {
        let (figures, texts) = (self.figures, self.texts);
        let has_runs = !figures.health.rows.is_empty();
        let dates = self.scope.last_date.filter(|_| has_runs).map(|last| {
            let seen = self.scope.pipelines.iter().map(|row| row.first_date).min();
            let first = seen.map_or(self.scope.since, |seen| seen.max(self.scope.since));
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
            warnings: self.warnings(),
            headline: headline(figures, texts, self.has_several),
            voice: self.part("voice_note", self.voice()?, &figures.voice.csv),
            rising: self.part("rising_note", self.rising()?, &figures.rising.csv),
            creators: self.part("creators_note", self.creators(), &figures.creators.csv),
            hashtags: self.hashtags(),
            ranks: self.ranks()?,
            paid: self.part("paid_note", self.paid()?, &figures.paid.csv),
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

    /// Returns what makes all figures doubtful.
    fn warnings(&self) -> Vec<String> {
        let simulated = self
            .scope
            .is_simulated
            .then(|| self.texts.get("simulated").to_owned());
        let behind = self.figures.health.rows.iter().filter(|row| row.is_behind);
        let behind: Vec<&str> = behind.map(|row| row.pipeline.as_str()).collect();
        let behind = (!behind.is_empty()).then(|| {
            self.texts
                .fill("behind", &[("pipelines", &behind.join(", "))])
        });
        simulated.into_iter().chain(behind).collect()
    }

    fn set_name(&self, pipeline: &str, set: Option<&str>) -> String {
        self.texts.set_name(pipeline, set, self.has_several)
    }

    fn voice(&self) -> Result<Vec<LineChart>, ReportError> {
        let mut sets: BTreeMap<(&str, Option<&str>), Lines> = BTreeMap::new();
        for row in &self.figures.voice.rows {
            let key = (row.pipeline.as_str(), row.keyword_set.as_deref());
            let lines = sets.entry(key).or_default();
            lines.add(&row.keyword, row.is_own, row.week_start, row.share_of_voice);
        }
        let charts = sets.into_iter().map(|((pipeline, set), lines)| {
            let week = self.figures.week_of(pipeline);
            self.line_chart(self.set_name(pipeline, set), &lines, Axis::Weeks(week))
        });
        charts.collect()
    }

    fn paid(&self) -> Result<Vec<LineChart>, ReportError> {
        let mut pipelines: BTreeMap<&str, Lines> = BTreeMap::new();
        for row in &self.figures.paid.rows {
            let lines = pipelines.entry(&row.pipeline).or_default();
            let name = row.keyword_set.as_deref().unwrap_or(&row.pipeline);
            lines.add(name, false, row.week_start, row.ad_share);
        }
        let charts = pipelines.into_iter().map(|(pipeline, lines)| {
            let week = self.figures.week_of(pipeline);
            self.line_chart(self.pipeline_title(pipeline), &lines, Axis::Weeks(week))
        });
        charts.collect()
    }

    /// Returns the name of a pipeline as a heading, which is empty if there is only one.
    fn pipeline_title(&self, pipeline: &str) -> String {
        if self.has_several {
            pipeline.to_owned()
        } else {
            String::new()
        }
    }

    fn ranks(&self) -> Result<Part<LineChart>, ReportError> {
        let mut pipelines: BTreeMap<&str, Lines> = BTreeMap::new();
        for row in &self.figures.ranks.rows {
            let lines = pipelines.entry(&row.pipeline).or_default();
            #[expect(clippy::cast_precision_loss, reason = "ranks are small")]
            let place = row.best_place as f64;
            lines.add(&row.keyword, false, row.snapshot_date, Some(place));
        }
        let charts = pipelines.into_iter().map(|(pipeline, lines)| {
            self.line_chart(self.pipeline_title(pipeline), &lines, Axis::Days)
        });
        let rows: Vec<LineChart> = charts.collect::<Result<_, _>>()?;
        let brands = self.scope.brands().join(self.texts.get("between"));
        let note = match (brands.is_empty(), rows.is_empty()) {
            (true, _) => "ranks_no_own",
            (false, true) => "ranks_none",
            (false, false) => "ranks_note",
        };
        Ok(Part {
            note: self.texts.fill(note, &[("brands", &brands)]),
            rows,
            csv: link(&self.figures.ranks.csv),
        })
    }

    /// Draws a chart. Its legend has the values of the week that is compared, or of the newest date,
    /// and their changes since the place before on the axis.
    fn line_chart(
        &self,
        title: String,
        all: &Lines,
        axis: Axis<'_>,
    ) -> Result<LineChart, ReportError> {
        let dates = all.axis(axis.step());
        let newest = dates.last().copied().unwrap_or_default();
        let told = match axis {
            Axis::Weeks(Some(week)) if dates.contains(&week.week) => week.week,
            Axis::Weeks(_) | Axis::Days => newest,
        };
        let before = told.checked_sub_days(axis.step());
        let scale = axis.scale();
        let at = |line: &DatedLine, date: Option<NaiveDate>| {
            date.and_then(|date| line.values.get(&date).copied().flatten())
        };
        let mut drawn: Vec<_> = all.lines.iter().collect();
        drawn.sort_by(|(_, a), (_, b)| {
            let [a, b] = [a, b].map(|line| match (scale, at(line, Some(told))) {
                (Scale::Share, value) => -value.unwrap_or(-1.0),
                (Scale::Rank, value) => value.unwrap_or(f64::INFINITY),
            });
            a.total_cmp(&b)
        });
        let left_out = drawn.len().saturating_sub(LINES);
        // Own lines beyond the first ones take the places of the last of these.
        let (mut first, rest) = drawn.split_at(LINES.min(drawn.len()));
        let own = rest.iter().filter(|(_, line)| line.is_own).take(LINES / 2);
        let own: Vec<_> = own.copied().collect();
        first = first.get(..first.len() - own.len()).unwrap_or_default();
        let drawn: Vec<_> = first.iter().copied().chain(own).collect();

        let series = drawn.iter().map(|(_, line)| Line {
            values: dates.iter().map(|date| at(line, Some(*date))).collect(),
            is_own: line.is_own,
        });
        let series: Vec<Line> = series.collect();
        let labels: Vec<String> = dates
            .iter()
            .map(|date| date.format("%m-%d").to_string())
            .collect();
        let svg = lines(&labels, &series, scale).map_err(ReportError::Chart)?;
        let legend = drawn
            .iter()
            .enumerate()
            .map(|(number, (name, line))| LegendRow {
                number: number + 1,
                name: (*name).clone(),
                is_own: line.is_own,
                values: self.told_values(at(line, Some(told)), at(line, before), scale),
            });
        let more = left_out.to_string();
        Ok(LineChart {
            title,
            note: match axis {
                Axis::Weeks(Some(week)) => {
                    let week = week_with_days(week, self.texts);
                    self.texts.fill("table_week", &[("week", &week)])
                }
                Axis::Weeks(None) | Axis::Days => {
                    self.texts.fill("table_day", &[("date", &told.to_string())])
                }
            },
            svg,
            legend: legend.collect(),
            more: (left_out > 0).then(|| self.texts.fill("other_lines", &[("count", &more)])),
        })
    }

    /// Returns a value and its change.
    fn told_values(&self, value: Option<f64>, before: Option<f64>, scale: Scale) -> Vec<String> {
        let numbers = self.numbers;
        match scale {
            Scale::Share => vec![numbers.share(value), numbers.points(value, before)],
            Scale::Rank => {
                let change = value.zip(before).map(|(value, before)| before - value);
                let unknown = self.texts.get("unknown").to_owned();
                vec![
                    numbers.rounded(value),
                    change.map_or(unknown, |change| signed(change, 0)),
                ]
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
        let points: Vec<(f64, f64)> = of_note
            .map(|growth| (growth.seconds, growth.engagement))
            .collect();
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
            time: numbers.hours(row.hours_7d),
            best_place: numbers.count(row.best_place),
            svg: sparkline(&points).map_err(ReportError::Chart)?,
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
                numbers.count(row.best_place),
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
            let week = self.figures.week_of(pipeline);
            let up = rows.iter().filter(|row| row.change > 0);
            // The largest loss comes first.
            let down = rows.iter().filter(|row| row.change < 0).rev();
            Hashtags {
                title: self.pipeline_title(pipeline),
                note: week.map(|week| {
                    let week = week_with_days(week, self.texts);
                    self.texts.fill("hashtags_note", &[("week", &week)])
                }),
                up: up.map(|row| cells(row)).collect(),
                down: down.map(|row| cells(row)).collect(),
            }
        });
        let rows: Vec<Hashtags> = tables.collect();
        let note = if rows.is_empty() {
            "hashtags_none"
        } else {
            "hashtags_about"
        };
        Part {
            note: self.texts.get(note).to_owned(),
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
                row.last_run.to_string(),
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

const DEFINITIONS: [&str; 10] = [
    "definition_interactions",
    "definition_voice",
    "definition_week",
    "definition_new",
    "definition_place",
    "definition_rate",
    "definition_paid",
    "definition_time",
    "definition_unclear",
    "definition_day_over",
];

/// The horizontal axis of a chart.
#[derive(Clone, Copy)]
enum Axis<'f> {
    /// Weeks, and the one that is compared.
    Weeks(Option<&'f WeekRow>),
    Days,
}

impl Axis<'_> {
    fn step(self) -> Days {
        match self {
            Axis::Weeks(_) => Days::new(7),
            Axis::Days => Days::new(1),
        }
    }

    fn scale(self) -> Scale {
        match self {
            Axis::Weeks(_) => Scale::Share,
            Axis::Days => Scale::Rank,
        }
    }
}

/// Lines of a chart, by name.
#[derive(Default)]
struct Lines {
    lines: BTreeMap<String, DatedLine>,
}

struct DatedLine {
    is_own: bool,
    values: BTreeMap<NaiveDate, Option<f64>>,
}

impl Lines {
    /// Returns every date of the axis, also those without a value.
    fn axis(&self, step: Days) -> Vec<NaiveDate> {
        let dates = || {
            self.lines
                .values()
                .flat_map(|line| line.values.keys().copied())
        };
        let (Some(first), Some(last)) = (dates().min(), dates().max()) else {
            return Vec::new();
        };
        let next = |date: &NaiveDate| date.checked_add_days(step);
        let all = std::iter::successors(Some(first), next);
        all.take_while(|date| *date <= last).collect()
    }

    fn add(&mut self, name: &str, is_own: bool, date: NaiveDate, value: Option<f64>) {
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
