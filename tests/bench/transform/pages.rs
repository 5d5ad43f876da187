//! Pages of a note search as the provider sends them: 20 items of 5.5 KB on average. The same
//! bytes every time. No note and no author comes twice, so no engine has to drop a row.
//!
//! The sandbox's own pages are of the same shape, but their addresses and texts are shorter.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use chrono::{DateTime, Duration, Utc};
use redlake::plan::{Search, StopRules};
use redlake::raw::{self, PageHeader};
use redlake::spec::class::CallClass;

use crate::item;
use crate::world::dice::Dice;
use crate::world::phrases::TOPICS;

const PIPELINE: &str = "bench";
const ITEMS_A_PAGE: u64 = 20;
const PAGES_A_SEARCH: u64 = 10;
/// Of all that is random.
pub const SEED: u64 = 1;
const RUN_ID: &str = "01977000-0000-7000-8000-000000000001";
/// 2026-03-09T04:00:00Z.
pub const NOW: i64 = 1_773_028_800;

/// How much was written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Written {
    pub pages: u64,
    pub items: u64,
    /// Of the items alone.
    pub item_bytes: u64,
    /// Of the answers.
    pub body_bytes: u64,
}

impl Written {
    pub fn megabytes(&self) -> f64 {
        self.body_bytes as f64 / 1e6
    }

    pub fn bytes_an_item(&self) -> f64 {
        self.item_bytes as f64 / self.items as f64
    }

    pub fn bytes_a_page(&self) -> f64 {
        self.body_bytes as f64 / self.pages as f64
    }
}

/// Writes `pages` pages as a raw file, a zstd frame a page, and the same lines as plain text if
/// `plain` is given.
///
/// # Errors
/// A file that cannot be written.
pub fn write(pages: u64, raw: &Path, plain: Option<&Path>) -> io::Result<Written> {
    let mut frames = BufWriter::new(File::create(raw)?);
    let mut lines = plain.map(File::create).transpose()?.map(BufWriter::new);
    let mut written = Written::default();
    for number in 0..pages {
        let items = items(number);
        let body = body(number, &items);
        let frame = raw::encode(&header(number), body.as_bytes()).map_err(io::Error::other)?;
        frames.write_all(&frame)?;
        if let Some(lines) = &mut lines {
            lines.write_all(&zstd::decode_all(frame.as_slice())?)?;
        }
        written.pages += 1;
        written.items += items.len() as u64;
        written.item_bytes += items.iter().map(|item| item.len() as u64).sum::<u64>();
        written.body_bytes += body.len() as u64;
    }
    frames.flush()?;
    lines.map_or(Ok(()), |mut lines| lines.flush())?;
    Ok(written)
}

/// Mostly notes; an advertisement on most pages, a card that is no note on some.
fn items(page: u64) -> Vec<String> {
    let mut dice = Dice::new(SEED, "places", &page.to_string());
    let ad = dice.chance(80).then(|| dice.between(1, 4));
    let card = dice.chance(40).then(|| dice.between(5, 15));
    (0..ITEMS_A_PAGE)
        .map(|place| {
            let number = page * ITEMS_A_PAGE + place;
            if card == Some(place) {
                return item::card(number, keyword(page));
            }
            let note = item::note(number, keyword(page));
            match ad == Some(place) {
                true => format!(r#"{{"model_type":"ads","ads":{{"note":{note}}}}}"#),
                false => format!(r#"{{"model_type":"note","note":{note}}}"#),
            }
        })
        .collect()
}

fn body(page: u64, items: &[String]) -> String {
    let mut dice = Dice::new(SEED, "page", &page.to_string());
    item::one_line(&format!(
        r#"{{
        "code":0,
        "data":{{
        "items":[{items}],
        "query_type":0,
        "query_intent":{{"goodsIntent":{intent},"search_ask_intent":{ask},"low_supply_intent":false}},
        "service_status":"{{\"filter\":\"not_required\",\"note\":\"success\",\"cost\":{{\"all\":{cost}}}}}",
        "strategy_info":{{"query_can_guide_to_feed":true,"query_average_impression_count":{shown}}},
        "dqa_authorized_user_by_shared":false,
        "show_single_col":false,
        "search_request_id":"{search}",
        "ai_mode_enable":false,
        "cur_cut_number":0,
        "query_debug_info":{{"is_forbidden":false}},
        "is_broad_query":{broad},
        "search_pull_down_opt_exp":1,
        "request_dqa_instant":true,
        "search_dqa_new_page_exp":1,
        "dqa_instant_sid":"{sid}",
        "can_cut":false,
        "request_dqa":0
        }},
        "message":"",
        "recordTime":"{at}",
        "requestId":"{request}"
        }}"#,
        items = items.join(","),
        intent = dice.below(4),
        ask = dice.chance(50),
        cost = dice.between(300, 1_400),
        shown = dice.between(8, 60),
        search = dice.hex(16),
        broad = dice.chance(50),
        sid = dice.hex(10),
        at = fetched_at(page).format("%Y-%m-%dT%H:%M:%S%.3fZ"),
        request = dice.hex(32),
    ))
}

/// The pipeline that these pages are of. `load` is what its key `load` has besides.
pub fn pipeline(load: &str) -> String {
    format!(
        "\
version: 1
pipeline: {PIPELINE}
source: {{name: justoneapi}}
keyword_sets: {{words: [词]}}
load: {{marts: false{load}}}
extract:
  - {{endpoint: note_search, keywords: [words], pages: {{max: {PAGES_A_SEARCH}}}}}
"
    )
}

fn header(page: u64) -> PageHeader {
    let search = page / PAGES_A_SEARCH;
    let on_page = page % PAGES_A_SEARCH;
    PageHeader {
        v: raw::VERSION,
        run_id: RUN_ID.to_owned(),
        pipeline: PIPELINE.to_owned(),
        snapshot_at: fetched_at(0),
        simulated: true,
        request_id: format!("{page:032x}"),
        search: Search {
            search_id: format!("{search:016x}"),
            source: "justoneapi".to_owned(),
            endpoint: "note_search".to_owned(),
            keyword: Some(format!("{} {search}", keyword(page))),
            keyword_set: Some("words".to_owned()),
            filters: BTreeMap::new(),
            note_id: None,
            params: BTreeMap::from([("keyword".to_owned(), keyword(page).to_owned())]),
            max_pages: PAGES_A_SEARCH as u32,
            stop_when: StopRules::default(),
            wishes: Vec::new(),
            fields: Vec::new(),
        },
        page: on_page as u32 + 1,
        fetched_at: fetched_at(page),
        status: 200,
        content_type: None,
        accepted: true,
        class: CallClass::Ok,
        item_count: ITEMS_A_PAGE,
        items_before: on_page * ITEMS_A_PAGE,
        new_item_count: ITEMS_A_PAGE,
        stop: (on_page + 1 == PAGES_A_SEARCH).then(|| "max_pages".to_owned()),
    }
}

fn keyword(page: u64) -> &'static str {
    TOPICS[(page / PAGES_A_SEARCH) as usize % TOPICS.len()].name
}

fn fetched_at(page: u64) -> DateTime<Utc> {
    DateTime::from_timestamp(NOW, 0).unwrap_or_default() + Duration::milliseconds(page as i64 * 137)
}
