//! A page of a note search.

use serde::Serialize;

use super::note_item::NoteItem;
use crate::sandbox::request::{BadParam, Findings, Params, Question};
use crate::sandbox::search::{self, Card, Hit, NoteKind, NoteQuery, Sort};
use crate::sandbox::world::dice::Dice;
use crate::sandbox::world::phrases::TOPICS;
use crate::sandbox::world::stream::{Stream, World};
use crate::spec::words::{Filter, TimeSpan};

/// The answer in the documents of the provider.
pub const DOCUMENTED: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/sample_data/documented/note_search.json"
));

/// The keyword that [`DOCUMENTED`] answers, with one page and any filters.
pub const DOCUMENTED_KEYWORD: &str = "海信洗衣机";

/// Answers a note search.
pub fn find(question: &Question) -> Result<Findings, BadParam> {
    let (world, now) = (question.world, question.now);
    let mut query = note_query(question.params)?;
    let is_documented = query.keyword == DOCUMENTED_KEYWORD;
    query.page = question.paging.shown(query.page, || {
        if is_documented {
            1
        } else {
            search::last_note_page(world, &query, now)
        }
    });
    let hits = match (is_documented, query.page) {
        (true, 1) => return Ok(Findings::Documented(DOCUMENTED)),
        (true, _) => Vec::new(),
        (false, _) => search::note_page(world, &query, question.paging.moved(), now),
    };
    let page = NotePage::of(world, &query, &hits, now.timestamp());
    Ok(Findings::data(&page))
}

fn note_query(params: &Params) -> Result<NoteQuery, BadParam> {
    let sort = params.filter(Filter::Sort, Sort::from_word)?;
    let kind = params.filter(Filter::NoteType, NoteKind::from_word)?;
    Ok(NoteQuery {
        keyword: params.keyword()?,
        page: params.page()?,
        sort: sort.unwrap_or(Sort::General),
        kind: kind.unwrap_or(NoteKind::All),
        window: params.filter(Filter::PublishedWithin, TimeSpan::window)?,
    })
}

#[derive(Debug, Serialize)]
struct NotePage {
    items: Vec<Item>,
    query_type: u8,
    query_intent: QueryIntent,
    service_status: String,
    strategy_info: StrategyInfo,
    dqa_authorized_user_by_shared: bool,
    show_single_col: bool,
    search_request_id: String,
    ai_mode_enable: bool,
    cur_cut_number: u8,
    query_debug_info: QueryDebugInfo,
    is_broad_query: bool,
    search_pull_down_opt_exp: u8,
    request_dqa_instant: bool,
    search_dqa_new_page_exp: u8,
    dqa_instant_sid: String,
    can_cut: bool,
    request_dqa: u8,
    has_more: bool,
}

/// An entry of the page. Its content is under the key of its kind.
#[derive(Debug, Default, Serialize)]
struct Item {
    #[serde(skip_serializing_if = "Option::is_none")]
    model_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<Box<NoteItem>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ads: Option<Ads>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ads_info: Option<AdsInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hot_query: Option<Proposals>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rec_query: Option<Proposals>,
    #[serde(skip_serializing_if = "Option::is_none")]
    related_queries: Option<Proposals>,
    #[serde(skip_serializing_if = "Option::is_none")]
    live: Option<LiveRoom>,
}

/// Other searches that the page suggests.
#[derive(Debug, Serialize)]
struct Proposals {
    title: &'static str,
    queries: Vec<Proposal>,
}

#[derive(Debug, Serialize)]
struct Proposal {
    name: &'static str,
    search_word: String,
}

#[derive(Debug, Serialize)]
struct LiveRoom {
    room_title: String,
    viewers: &'static str,
}

#[derive(Debug, Serialize)]
struct Ads {
    model_type: &'static str,
    note: Box<NoteItem>,
}

#[derive(Debug, Serialize)]
struct AdsInfo {
    id: String,
}

#[derive(Debug, Serialize)]
struct QueryIntent {
    #[serde(rename = "goodsIntent")]
    goods_intent: u64,
    search_ask_intent: bool,
    low_supply_intent: bool,
}

#[derive(Debug, Serialize)]
struct StrategyInfo {
    query_can_guide_to_feed: bool,
    query_average_impression_count: u64,
}

#[derive(Debug, Serialize)]
struct QueryDebugInfo {
    is_forbidden: bool,
}

impl NotePage {
    /// Returns the page that shows these hits.
    fn of(world: &World, query: &NoteQuery, hits: &[Hit], now: i64) -> Self {
        let mut of_keyword = Dice::new(world.seed, "page", &query.keyword);
        let call = format!("{} {} {now}", query.keyword, query.page);
        let mut of_call = Dice::new(world.seed, "page call", &call);
        NotePage {
            items: hits.iter().map(|hit| Item::of(hit, query, now)).collect(),
            query_type: 0,
            query_intent: QueryIntent {
                goods_intent: of_keyword.below(4),
                search_ask_intent: of_keyword.chance(50),
                low_supply_intent: of_keyword.chance(10),
            },
            service_status: service_status(&mut of_call),
            strategy_info: StrategyInfo {
                query_can_guide_to_feed: true,
                query_average_impression_count: of_keyword.between(8, 60),
            },
            dqa_authorized_user_by_shared: false,
            show_single_col: false,
            search_request_id: of_call.hex(16),
            ai_mode_enable: false,
            cur_cut_number: 0,
            query_debug_info: QueryDebugInfo {
                is_forbidden: false,
            },
            is_broad_query: of_keyword.chance(50),
            search_pull_down_opt_exp: 1,
            request_dqa_instant: true,
            search_dqa_new_page_exp: 1,
            dqa_instant_sid: of_call.word(b"ABCDEFGHJKLMabcdefghjklm23456789", 10),
            can_cut: false,
            request_dqa: 0,
            has_more: !hits.is_empty(),
        }
    }
}

impl Item {
    fn of(hit: &Hit, query: &NoteQuery, now: i64) -> Self {
        match hit {
            Hit::Note(note) => Item {
                model_type: Some("note"),
                note: Some(Box::new(NoteItem::of(note, now))),
                ..Item::default()
            },
            Hit::Ad(note) => Item {
                model_type: Some("ads"),
                ads_info: Some(AdsInfo {
                    id: note.dice("ads info").hex(16),
                }),
                ads: Some(Ads {
                    model_type: "note",
                    note: Box::new(NoteItem::of(note, now)),
                }),
                ..Item::default()
            },
            Hit::Card(card) => Item::of_card(*card, query),
        }
    }

    fn of_card(card: Card, query: &NoteQuery) -> Self {
        let mut item = Item {
            model_type: card.model_type(),
            ..Item::default()
        };
        match card {
            Card::HotQuery => item.hot_query = Some(Proposals::of(query)),
            Card::RecQuery => item.rec_query = Some(Proposals::of(query)),
            Card::RelatedQueries | Card::Unnamed => {
                item.related_queries = Some(Proposals::of(query));
            }
            Card::Live => item.live = Some(LiveRoom::of(query)),
        }
        item
    }
}

impl Card {
    fn model_type(self) -> Option<&'static str> {
        match self {
            Card::HotQuery => Some("hot_query"),
            Card::RecQuery => Some("rec_query"),
            Card::RelatedQueries => Some("related_queries"),
            Card::Live => Some("live"),
            Card::Unnamed => None,
        }
    }
}

impl Proposals {
    /// Returns the topics next to the searched one.
    fn of(query: &NoteQuery) -> Self {
        let own = Stream::of(&query.keyword).topic().name;
        let from_own = TOPICS.iter().cycle().skip_while(|topic| topic.name != own);
        let queries = from_own.skip(1).take(4).map(|topic| Proposal {
            name: topic.name,
            search_word: format!("{own} {}", topic.name),
        });
        Proposals {
            title: "大家都在搜",
            queries: queries.collect(),
        }
    }
}

impl LiveRoom {
    fn of(query: &NoteQuery) -> Self {
        LiveRoom {
            room_title: format!("{}专场直播", query.keyword),
            viewers: "2.3万",
        }
    }
}

/// Returns JSON inside a string, as the provider sends it.
fn service_status(dice: &mut Dice) -> String {
    let milliseconds = dice.between(300, 1_400);
    format!(
        r#"{{"filter":"not_required","note":"success","onebox":"not_required","cost":{{"all":{milliseconds},"zone":"rcsh1"}}}}"#
    )
}
