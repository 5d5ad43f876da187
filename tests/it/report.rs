//! The report: its figures are those of views and marts, its texts stay texts, and it never costs a run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use scraper::{Html, Selector};
use serde_json::Value;

use crate::support::{FakeApi, Lake, fail, repository, succeed};

/// A lake of some days of `pipelines/brand_week.yaml`, with these lines at the end of the pipeline.
fn brand_lake(days: &[&str], more: &str) -> (Lake, PathBuf) {
    let lake = Lake::new();
    let text = std::fs::read_to_string(repository("pipelines/brand_week.yaml")).expect("a file");
    let pipeline = lake.write("brand.yaml", &format!("{text}\n{more}\n"));
    for day in days {
        lake.run(
            &pipeline,
            &["--snapshot-at", &format!("{day}T09:00:00+08:00")],
        );
    }
    (lake, pipeline)
}

fn report(lake: &Lake, more: &[&str]) -> String {
    let file = lake.path().with_file_name("report.html");
    let mut args = vec!["report", "-o", file.to_str().expect("UTF-8")];
    args.extend(more);
    succeed(&mut lake.redlake(&args));
    std::fs::read_to_string(file).expect("the report")
}

fn all(page: &Html, selector: &str) -> Vec<String> {
    let selector = Selector::parse(selector).expect("a selector");
    page.select(&selector)
        .map(|element| element.text().collect::<String>())
        .collect()
}

/// The CSV files in a page, by name.
fn files(page: &Html) -> BTreeMap<String, String> {
    let links = Selector::parse("a[download]").expect("a selector");
    let file = |link: scraper::ElementRef<'_>| {
        let name = link.attr("download")?.to_owned();
        let data = link.attr("href")?.split_once("base64,")?.1;
        let bytes = BASE64_STANDARD.decode(data).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        Some((name, text.strip_prefix('\u{feff}')?.to_owned()))
    };
    page.select(&links).filter_map(file).collect()
}

fn csv(lake: &Lake, sql: &str) -> String {
    let output = succeed(&mut lake.redlake(&["query", sql, "--format", "csv"]));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The expected files of a report, each as SQL over views and marts. The lake has one pipeline.
const FIGURES: [(&str, &str); 9] = [
    (
        "share_of_voice.csv",
        "select pipeline, keyword_set, keyword, keyword = '兰蔻' as is_own, week_start, share_of_voice, \
         engagement_sum, notes, new_notes, days, is_over from keyword_weekly \
         order by keyword_set, keyword, week_start",
    ),
    (
        "rising_notes.csv",
        "select note_id, title, nickname, profile_url, note_url, published_date, keywords, \
         (select min(best_organic_rank) from rank_history where entity = 'note' and sort = 'general' \
           and entity_id = note_id) as best_place, \
         is_paid, engagement, engagement_delta_7d, hours_7d from note_overview \
         where engagement_delta_7d > 0 and status in ('seen', 'missing') \
         order by engagement_delta_7d desc, note_id limit 10",
    ),
    (
        "creators.csv",
        "select user_id, nickname, red_id, profile_url, follower_count, follower_delta_7d, notes, \
         engagement, engagement_per_note, engagement_rate, \
         (select min(rank) from search_results r join notes_latest n using (note_id) \
           where sort = 'general' and not is_ad and n.author_user_id = creator_overview.user_id) as best_place \
         from creator_overview \
         where notes > 1 and coalesce(follower_count, 1000) >= 1000 and not coalesce(official_verified, false) \
         and engagement > 0 \
         order by engagement_rate desc nulls last, engagement_per_note desc, user_id limit 10",
    ),
    (
        "hashtags.csv",
        "with tags as (select tag, \
           coalesce(sum(notes) filter (week_start = '2026-03-09'), 0)::bigint as notes, \
           coalesce(sum(notes) filter (week_start = '2026-03-02'), 0)::bigint as notes_before \
           from hashtag_weekly where week_start >= '2026-03-02' group by tag), \
         ranked as (select *, notes - notes_before as change, row_number() over (\
           partition by sign(notes - notes_before) order by abs(notes - notes_before) desc, tag) as nth from tags) \
         select 'brand_week' as pipeline, tag, notes, notes_before, change from ranked where change <> 0 and nth <= 8 order by change desc, tag",
    ),
    (
        "paid_share.csv",
        "select pipeline, keyword_set, week_start, sum(ad_hits)::bigint as ad_hits, \
         sum(hits)::bigint as hits, sum(ad_hits)::double / sum(hits)::double as ad_share \
         from keyword_weekly group by all order by keyword_set, week_start",
    ),
    (
        "hours_of_publication.csv",
        "select isodow(published_date) as weekday, published_hour as hour, count(note_id) as notes \
         from note_overview where published_date >= '2026-01-19' group by all order by weekday, hour",
    ),
    (
        "costs.csv",
        "select week_start, currency, sum(calls)::bigint as calls, \
         sum(billed_calls)::bigint as billed_calls, sum(unknown_calls)::bigint as unknown_calls, \
         round(sum(cost), 6)::double as cost, sum(new_notes)::bigint as new_notes, \
         round(sum(cost), 6)::double / sum(new_notes) as cost_per_new_note \
         from keyword_costs join dim_date on date = snapshot_date group by all order by week_start",
    ),
    (
        "health.csv",
        "select 'brand_week' as pipeline, '2026-03-11' as last_run, count(*) as runs, 0 as runs_not_complete, \
         1 as days_without_run, 0 as searches_failed, sum(rejects)::bigint as rejects, \
         (select count(*) from (select distinct endpoint, path, kind from drift)) as drift, \
         (select count(distinct snapshot_date) from keyword_daily where not is_over) as days_not_over, \
         false as is_behind from runs",
    ),
    // Each keyword of the sandbox has notes of its own.
    ("own_places.csv", ""),
];

#[test]
fn the_figures_are_those_of_views_and_marts() {
    let (lake, _) = brand_lake(&["2026-03-08", "2026-03-09", "2026-03-11"], "");
    let text = report(&lake, &["--lang", "en"]);
    let page = Html::parse_document(&text);
    let files = files(&page);
    for (name, sql) in FIGURES {
        match (files.get(name), sql) {
            (None, "") => {}
            (Some(file), sql) => {
                let expected = csv(&lake, sql);
                assert!(expected.lines().count() > 1, "{name} has no rows");
                assert_eq!(*file, expected, "{name}");
            }
            (None, _) => panic!("there is no {name}"),
        }
    }

    // What people read are the same numbers.
    let share = "select format('{:.1f}%', 100 * share_of_voice) from keyword_weekly \
                 where keyword = '兰蔻' and week_start = '2026-03-09'";
    let share = lake.value(share);
    let share = share.as_str().expect("a text");
    let headline = all(&page, ".headline p").join("\n");
    assert!(
        headline.contains(&format!(
            "兰蔻 has {share} of the voice in brands (week of 2026-03-09 with 2 days, the week before \
             with 1)"
        )),
        "{headline}"
    );
    assert!(all(&page, "#voice tr.own td").contains(&share.to_owned()));
    let titles = lake.query(
        "select coalesce(nullif(trim(title), ''), '(no title)') as title from note_overview \
         where engagement_delta_7d > 0 and status <> 'gone' \
         order by engagement_delta_7d desc, note_id limit 10",
    );
    let titles: Vec<&str> = titles
        .iter()
        .filter_map(|row| row["title"].as_str())
        .collect();
    let shown = all(&page, "#rising tbody th .clamp:first-child bdi");
    assert_eq!(shown, titles);
    let cells: u64 = all(&page, "#hours td span")
        .iter()
        .filter_map(|n| n.parse::<u64>().ok())
        .sum();
    assert_eq!(
        Value::from(cells),
        lake.value("select count(*) from note_overview where published_date >= '2026-01-19'")
    );
}

#[test]
fn a_report_covers_the_pipelines_dates_and_brands_that_are_asked_for() {
    let (lake, _) = brand_lake(&["2026-03-08", "2026-03-09"], "");
    let chinese = Html::parse_document(&report(&lake, &[]));
    assert_eq!(all(&chinese, "h1"), ["小红书监测报告"]);
    let page = report(
        &lake,
        &[
            "--lang",
            "en",
            "--since",
            "2026-03-09",
            "--brand",
            "雅诗兰黛",
        ],
    );
    let page = Html::parse_document(&page);
    assert!(all(&page, ".meta")[0].starts_with("2026-03-09 to 2026-03-09"));
    assert!(all(&page, ".headline p")[0].starts_with("雅诗兰黛 has "));
    let voice = &files(&page)["share_of_voice.csv"];
    assert!(
        !voice.contains("2026-03-02") && voice.contains("2026-03-09"),
        "{voice}"
    );
    let same = report(
        &lake,
        &[
            "--lang",
            "en",
            "--pipeline",
            "brand_week",
            "--pipeline",
            "brand_week",
        ],
    );
    let all_pipelines = report(&lake, &["--lang", "en"]);
    let [same, whole] = [same, all_pipelines].map(|page| files(&Html::parse_document(&page)));
    assert_eq!(same, whole);

    let refused = |more: &[&str]| {
        let mut args = vec!["report", "-o", "no.html"];
        args.extend(more);
        fail(&mut lake.redlake(&args))
    };
    let (code, stderr) = refused(&["--pipeline", "brand_weak"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("no pipeline `brand_weak`"), "{stderr}");
    assert!(stderr.contains("did you mean `brand_week`?"), "{stderr}");
    let (code, stderr) = refused(&["--brand", "娇兰"]);
    assert_eq!(code, 2);
    assert!(
        stderr.contains("no search of the pipelines is for the keyword `娇兰`"),
        "{stderr}"
    );
    let catalog = lake.path().join("tables/r.html");
    for (file, reason) in [
        ("r.pdf", "r.pdf does not end with .html"),
        (path(&catalog), "is in the lake"),
    ] {
        let (code, stderr) = fail(&mut lake.redlake(&["report", "-o", file]));
        assert_eq!(code, 2);
        assert!(stderr.contains(reason), "{stderr}");
    }
    let (code, stderr) = fail(&mut lake.redlake(&["report", "-o", "/no/such/folder/r.html"]));
    assert_eq!(code, 2);
    assert!(
        stderr.contains("cannot write /no/such/folder/r.html"),
        "{stderr}"
    );
}

#[test]
fn marts_that_are_behind_and_simulated_data_are_told() {
    let (lake, pipeline) = brand_lake(&["2026-03-08"], "");
    let told = |lake: &Lake| {
        all(
            &Html::parse_document(&report(lake, &["--lang", "en"])),
            "p.warn",
        )
    };
    let simulated = "Simulated data: the built-in sandbox made it. It says nothing about the real \
                     platform, and its calls cost nothing.";
    assert_eq!(told(&lake), [simulated]);
    let text = std::fs::read_to_string(&pipeline).expect("the pipeline");
    std::fs::write(&pipeline, text.replace("load: {", "load: {marts: false, ")).expect("written");
    lake.run(&pipeline, &["--snapshot-at", "2026-03-09T09:00:00+08:00"]);
    let behind = "The figures by week and day are behind the newest runs of brand_week: run redlake \
                  marts, then make the report again.";
    assert_eq!(told(&lake), [simulated, behind]);
    succeed(&mut lake.redlake(&["marts"]));
    assert_eq!(told(&lake), [simulated]);
}

#[test]
fn a_lake_without_runs_makes_a_report_that_says_so() {
    let (lake, _) = brand_lake(&["2026-03-08"], "");
    let page = Html::parse_document(&report(&lake, &["--lang", "en", "--since", "2030-01-01"]));
    assert_eq!(
        all(&page, ".headline p"),
        [
            "This lake has no run in these dates yet.",
            "Run a pipeline, then make the report again."
        ]
    );
    assert_eq!(all(&page, "section h2"), ["Definitions"]);
}

/// A text that ends elements and attributes, begins others, and changes the direction.
const HOSTILE: &str = "</bdi></td><script>alert(1)</script><img src=x onerror=alert(2)> \
                       \" onmouseover=\"alert(3)' & {{ 7 * 7 }} \u{202e}olleh 👩‍👩‍👧";

/// Puts the hostile text into every text field of an answer, and raises the counts.
fn poison(value: &mut Value, more: i64) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match (name.as_str(), &value) {
                    ("title" | "desc" | "nickname" | "name" | "red_id", Value::String(_)) => {
                        *value = Value::from(HOSTILE);
                    }
                    ("liked_count", Value::Number(count)) => {
                        *value = Value::from(count.as_i64().unwrap_or_default() + more);
                    }
                    _ => poison(value, more),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| poison(item, more)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn texts_of_pages_and_of_the_pipeline_stay_texts() {
    let lake = Lake::new();
    let pipeline = lake.write(
        "hostile.yaml",
        "
version: 1
pipeline: hostile
source: {name: justoneapi}
keyword_sets: {'<b>set</b>': ['<i>兰蔻</i>']}
keyword_labels: {own: ['<i>兰蔻</i>']}
extract:
  - {endpoint: note_search, keywords: ['<b>set</b>'], pages: {max: 1}}
limits: {requests_per_second: 1000, retries: 0}
price: {note_search: 0.1, currency: CNY}
",
    );
    let sample = "sample_data/generated/note_search.general.page1.json";
    let sample = std::fs::read_to_string(repository(sample)).expect("a sample");
    for (day, more) in [("2026-03-08", 0), ("2026-03-09", 1_000)] {
        let mut body: Value = serde_json::from_str(&sample).expect("JSON");
        poison(&mut body, more);
        let api = FakeApi::start(move |_| (200, body.to_string().into_bytes()));
        let at = format!("{day}T09:00:00+08:00");
        let args = [
            "run",
            pipeline.to_str().expect("UTF-8"),
            "--snapshot-at",
            &at,
        ];
        let mut run = lake.redlake(&args);
        run.env("JUSTONEAPI_BASE_URL", &api.url);
        succeed(run.env("JUSTONEAPI_TOKEN", "a-token-of-some-length"));
    }
    let text = report(&lake, &["--lang", "en"]);
    let page = Html::parse_document(&text);
    for element in ["script", "img", "iframe", "object", "b", "i", "form"] {
        assert_eq!(all(&page, element), Vec::<String>::new(), "{element}");
    }
    let every = Selector::parse("*").expect("a selector");
    for element in page.select(&every) {
        for (name, value) in element.value().attrs() {
            assert!(!name.starts_with("on"), "{name}={value}");
            let is_address = ["href", "src"].contains(&name);
            let is_safe = ["https://", "data:text/csv;", "data:,"]
                .iter()
                .any(|s| value.starts_with(s));
            assert!(!is_address || is_safe, "{name}={value}");
        }
    }
    // Each text is where it belongs, in full and by itself.
    let titles = all(&page, "#rising tbody th .clamp:first-child bdi");
    let hostile = titles.iter().filter(|title| *title == HOSTILE).count();
    let none = titles.iter().filter(|title| *title == "(no title)").count();
    assert!(hostile > 3 && hostile + none == titles.len(), "{titles:?}");
    assert!(
        all(&page, "#rising tbody td bdi")
            .iter()
            .all(|name| name == HOSTILE)
    );
    assert!(all(&page, "#voice th bdi").contains(&"<i>兰蔻</i>".to_owned()));
    assert!(all(&page, "#voice h3 bdi").contains(&"<b>set</b>".to_owned()));
}

#[test]
fn a_report_never_shows_what_privacy_hides() {
    let rules = "privacy: {drop: [users.nickname, users.red_id], hash: [users.user_id, \
                 user_stats.user_id, notes.author_user_id, \
                 search_results.entity_id], salt: 0123456789abcdef}\nraw: none";
    let (open, pipeline) = brand_lake(&["2026-03-08", "2026-03-09"], "");
    let (hidden, _) = brand_lake(&["2026-03-08", "2026-03-09"], rules);
    let secrets = open.query(
        "select distinct nickname as text from users_latest where len(nickname) > 3 \
         union select distinct user_id from users_latest \
         union select distinct red_id from users_latest where red_id is not null",
    );
    let secrets: Vec<&str> = secrets
        .iter()
        .filter_map(|row| row["text"].as_str())
        .collect();
    let shown = |text: &str| {
        let page = Html::parse_document(text);
        let mut whole: Vec<String> = files(&page).into_values().collect();
        whole.push(text.to_owned());
        secrets
            .iter()
            .filter(|secret| whole.iter().any(|text| text.contains(**secret)))
            .count()
    };
    assert!(shown(&report(&open, &[])) > 10);
    // The other pipeline of a lake may show what this one hides.
    let text = std::fs::read_to_string(&pipeline).expect("the pipeline");
    let text = text.replace("pipeline: brand_week", "pipeline: hidden") + rules;
    let beside = open.write("beside.yaml", &text);
    open.run(&beside, &["--snapshot-at", "2026-03-10T09:00:00+08:00"]);
    assert_eq!(shown(&report(&hidden, &[])), 0);
    assert_eq!(shown(&report(&open, &["--pipeline", "hidden"])), 0);
}

#[test]
fn a_pipeline_makes_its_report_after_each_run_and_a_failure_is_a_warning() {
    let key = "report: {file: 'reports/{pipeline}-{date}.html', lang: zh}";
    let (lake, pipeline) = brand_lake(&["2026-03-08", "2026-03-09"], key);
    let folder = pipeline.with_file_name("reports");
    for day in ["2026-03-08", "2026-03-09"] {
        let file = folder.join(format!("brand_week-{day}.html"));
        let text = std::fs::read_to_string(&file).expect("a report");
        assert!(text.contains("小红书监测报告") && text.contains(&format!("至 {day}")));
    }
    std::fs::remove_dir_all(&folder).expect("removed");
    std::fs::write(&folder, "a file in the place of the folder").expect("written");
    let args = [
        "run",
        pipeline.to_str().expect("UTF-8"),
        "--snapshot-at",
        "2026-03-10T09:00:00+08:00",
    ];
    let output = succeed(&mut lake.redlake(&args));
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        stderr.contains("brand_week-2026-03-10.html is not written"),
        "{stderr}"
    );
    assert_eq!(lake.value("select count(*) from runs"), 3);

    let text = std::fs::read_to_string(&pipeline).expect("the pipeline");
    let wrong = text.replace("{pipeline}-{date}.html", "{when}.html");
    std::fs::write(&pipeline, wrong).expect("written");
    let (code, stderr) = fail(&mut lake.redlake(&["validate", path(&pipeline)]));
    assert_eq!(code, 2);
    assert!(
        stderr.contains("a place other than {date} and {pipeline}"),
        "{stderr}"
    );
}

fn path(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}
