//! The answers printed in the providers' own documents, column by column.

use serde_json::{Value, json};

use crate::support::Lake;

const PIPELINE: &str = "
version: 1
pipeline: documented
source: {name: justoneapi, base_url: sandbox}
keyword_sets: {notes: [海信洗衣机], users: [Amir Ali]}
extract:
  - {endpoint: note_search, keywords: [notes], filters: {published_within: 1d}, pages: {max: 5}}
  - {endpoint: user_search, keywords: [users], pages: {max: 5}}
  - endpoint: note_detail
    source: {name: xhs_open, base_url: sandbox}
    notes: {ids: [649c46ab000000002702ad36]}
limits: {requests_per_second: 1000}
";

const COMMON: &str = "run_id, pipeline, source, snapshot_at, snapshot_date, fetched_at, dt";

fn documented() -> Lake {
    let lake = Lake::new();
    let pipeline = lake.write("documented.yaml", PIPELINE);
    let report = lake.run(&pipeline, &[]);
    assert_eq!(report["stops"], json!({"empty": 2, "single": 1}));
    assert_eq!(
        (&report["rejects"], &report["drift"]),
        (&json!(0), &json!(0))
    );
    lake
}

fn rows(lake: &Lake, table: &str, condition: &str) -> Vec<Value> {
    lake.query(&format!(
        "select * exclude ({COMMON}) from {table} where {condition} order by all"
    ))
}

const SEARCHED: &str = "#海信洗衣机 这是海信全家筒·棉花糖U7S,一款全球首创的6合1热泵洗护站,主打“衣鞋同净、\
                        分区健康洗护”。 核心亮点";

/// As the contract documents it: BLAKE3 over each text, its length in bytes (64 bits, little
/// endian) before it.
fn content_hash(texts: &[&str]) -> String {
    let mut hasher = blake3::Hasher::new();
    for text in texts {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

#[test]
fn the_documented_note() {
    let lake = documented();
    let search = "endpoint = 'note_search'";
    assert_eq!(
        rows(&lake, "notes", search),
        [json!({
            "note_id": "69abb712000000001600a32a",
            "note_type": "normal",
            "title": null,
            "description": SEARCHED,
            "content_html": null,
            "content_text": null,
            "published_at": "2026-03-07T05:26:42Z",
            "updated_at": "2026-03-08T09:47:41Z",
            "last_updated_at": null,
            "author_user_id": "6276a4d10000000021026c1f",
            "cover_url": "https://sns-na-i8-a.xhscdn.com/notes_uhdr/1040g3qg31tdcat495m005ojmkj8ocr0v9fjbf2g?imageView2/2/w/60...",
            "image_count": 1,
            "video_duration_s": null,
            "has_music": false,
            "has_goods": false,
            "location_name": null,
            "latitude": null,
            "longitude": null,
            "note_url": "https://www.xiaohongshu.com/explore/69abb712000000001600a32a",
            "xsec_token": "YBtw6gvZIq7-ULy_Lt2R72ZheGwXy_ackAgZ_tUQf29go=",
            "content_hash": content_hash(&["", SEARCHED]),
            "endpoint": "note_search",
        })]
    );
    assert_eq!(
        rows(&lake, "engagement", search),
        [json!({
            "note_id": "69abb712000000001600a32a",
            "liked_count": 15,
            "collected_count": 9,
            "comments_count": 25,
            "shared_count": 14,
            "nice_count": 0,
            "endpoint": "note_search",
        })]
    );
    assert_eq!(
        rows(&lake, "users", search),
        [json!({
            "user_id": "6276a4d10000000021026c1f",
            "red_id": "1527435277",
            "nickname": "郑州卖海信电视容声冰箱团购处",
            "avatar_url": "https://sns-avatar-qc.xhscdn.com/avatar/1040g2jo31gf10nru3s0g5ojmkj8ocr0v47fj5ro?imageView2/2/w/80/f...",
            "description": null,
            "sub_title": null,
            "official_verified": false,
            "official_verify_type": 0,
            "profile_url": null,
            "shop_category": null,
            "last_activity_text": null,
            "endpoint": "note_search",
        })]
    );
    assert_eq!(
        rows(&lake, "note_images", search),
        [json!({
            "note_id": "69abb712000000001600a32a",
            "image_index": 0,
            "file_id": "notes_uhdr/1040g3qg31tdcat495m005ojmkj8ocr0v9fjbf2g",
            "trace_id": "notes_uhdr/1040g3qg31tdcat495m005ojmkj8ocr0v9fjbf2g",
            "width": 4284,
            "height": 5712,
            "url": "https://sns-na-i8-a.xhscdn.com/notes_uhdr/1040g3qg31tdcat495m005ojmkj8ocr0v9fjbf2g?imageView2/2/w/60...",
            "url_large": "https://sns-na-i8-a.xhscdn.com/notes_uhdr/1040g3qg31tdcat495m005ojmkj8ocr0v9fjbf2g?imageView2/2/w/14...",
            "original_url": null,
            "is_cover": true,
            "is_live_photo": false,
            "live_photo_file_id": null,
            "endpoint": "note_search",
        })]
    );
    assert_eq!(
        rows(&lake, "note_tags", search),
        [json!({
            "note_id": "69abb712000000001600a32a",
            "tag_index": 0,
            "tag": "海信洗衣机",
            "origin": "hashtag",
            "endpoint": "note_search",
        })]
    );
    assert_eq!(rows(&lake, "note_badges", "true"), Vec::<Value>::new());
    assert_eq!(rows(&lake, "note_videos", search), Vec::<Value>::new());
    let hits = "select keyword, keyword_set, sort, note_type_filter, published_within, page, position, \
                rank, model_type, entity, entity_id, is_ad, in_requested_window \
                from search_results where endpoint = 'note_search'";
    assert_eq!(
        lake.query(hits),
        [json!({
            "keyword": "海信洗衣机",
            "keyword_set": "notes",
            "sort": null,
            "note_type_filter": null,
            "published_within": "1d",
            "page": 1,
            "position": 1,
            "rank": 1,
            "model_type": "note",
            "entity": "note",
            "entity_id": "69abb712000000001600a32a",
            "is_ad": false,
            // Published on March 7th, asked on March 9th for one day.
            "in_requested_window": false,
        })]
    );
    let pages = "select page, item_count, new_item_count, provider_search_id, goods_intent, \
                 search_ask_intent, low_supply_intent, is_broad_query, last_note_published_at \
                 from search_pages \
                 where endpoint = 'note_search' order by page";
    assert_eq!(
        lake.query(pages)[0],
        json!({
            "page": 1,
            "item_count": 1,
            "new_item_count": 1,
            "provider_search_id": "ff0597830871a638",
            "goods_intent": 3,
            "search_ask_intent": true,
            "low_supply_intent": false,
            "is_broad_query": true,
            "last_note_published_at": "2026-03-07T05:26:42Z",
        })
    );
}

#[test]
fn the_documented_users() {
    let lake = documented();
    let user = |id: &str, red_id: &str, nickname: &str, avatar: &str| {
        json!({
            "user_id": id,
            "red_id": red_id,
            "nickname": nickname,
            "avatar_url": format!("https://sns-avatar-qc.xhscdn.com/avatar/{avatar}.jpg?imageView2/2/w/360/format/webp"),
            "description": format!("小红书号:{red_id}"),
            "sub_title": "",
            "official_verified": false,
            "official_verify_type": 0,
            "profile_url": format!("xhsdiscover://1/user/user.{id}"),
            "shop_category": null,
            "last_activity_text": null,
            "endpoint": "user_search",
        })
    };
    let first = user(
        "68b016570000000018028e20",
        "26814156493",
        "Amir Ali",
        "645b7efe1fc3de4c930effac",
    );
    let last = user(
        "678b1e17000000000d0084f2",
        "95355142911",
        "Amir Ali",
        "645b7f3c86578b8c6ab3b068",
    );
    assert_eq!(
        rows(&lake, "users", "user_id = '68b016570000000018028e20'"),
        [first]
    );
    assert_eq!(
        rows(&lake, "users", "user_id = '678b1e17000000000d0084f2'"),
        [last]
    );
    assert_eq!(
        lake.value("select count(*) from users where endpoint = 'user_search'"),
        20
    );
    // Their descriptions hold an id and no count: none is made up.
    let counted = "select count(follower_count) + count(note_count) from user_stats where endpoint = 'user_search'";
    assert_eq!(lake.value(counted), 0);
    let places = "select count(*) from search_results where endpoint = 'user_search' and entity = 'user' \
                  and model_type = 'user' and not is_ad and in_requested_window is null and rank = position";
    assert_eq!(lake.value(places), 20);
    let facets = lake.query(
        "select facet_id, facet_name, string_agg(option_name, ' ' order by option_id) as options \
         from search_facets group by all order by facet_id",
    );
    assert_eq!(
        facets,
        [
            json!({"facet_id": "fans_count", "facet_name": "粉丝数量", "options": "0-100 100-1000 1000-1万 1万-10万 10万以上 不限"}),
            json!({"facet_id": "user_type", "facet_name": "用户类型", "options": "不限 企业认证 个人认证 普通用户"}),
        ]
    );
}

#[test]
fn the_documented_detail() {
    let lake = documented();
    let detail = "endpoint = 'note_detail'";
    assert_eq!(
        rows(&lake, "notes", detail),
        [json!({
            "note_id": "649c46ab000000002702ad36",
            "note_type": null,
            "title": "春季美妆新品推荐",
            "description": null,
            "content_html": "<p>今天分享几款超火的美妆新品...</p>",
            "content_text": "今天分享几款超火的美妆新品...",
            "published_at": "2025-04-25T14:30:00Z",
            "updated_at": null,
            "last_updated_at": null,
            "author_user_id": "987654321",
            "cover_url": null,
            "image_count": 2,
            "video_duration_s": null,
            "has_music": null,
            "has_goods": null,
            "location_name": "上海",
            "latitude": 31.2304,
            "longitude": 121.4737,
            "note_url": "https://www.xiaohongshu.com/explore/649c46ab000000002702ad36",
            "xsec_token": null,
            "content_hash": content_hash(&["春季美妆新品推荐", "<p>今天分享几款超火的美妆新品...</p>"]),
            "endpoint": "note_detail",
        })]
    );
    assert_eq!(
        rows(&lake, "engagement", detail),
        [json!({
            "note_id": "649c46ab000000002702ad36",
            "liked_count": 1024,
            "collected_count": 512,
            "comments_count": 256,
            "shared_count": 128,
            "nice_count": null,
            "endpoint": "note_detail",
        })]
    );
    assert_eq!(
        rows(&lake, "users", detail),
        [json!({
            "user_id": "987654321",
            "red_id": null,
            "nickname": "美妆达人",
            "avatar_url": "https://example.com/avatar.jpg",
            "description": null,
            "sub_title": null,
            "official_verified": null,
            "official_verify_type": null,
            "profile_url": null,
            "shop_category": null,
            "last_activity_text": null,
            "endpoint": "note_detail",
        })]
    );
    assert_eq!(
        rows(&lake, "user_stats", detail),
        [json!({
            "user_id": "987654321",
            "follower_count": 100_000,
            "follower_count_text": "100000",
            "note_count": null,
            "endpoint": "note_detail",
        })]
    );
    let image = |index: u32, url: &str| {
        json!({
            "note_id": "649c46ab000000002702ad36",
            "image_index": index,
            "file_id": null,
            "trace_id": null,
            "width": null,
            "height": null,
            "url": url,
            "url_large": null,
            "original_url": null,
            "is_cover": null,
            "is_live_photo": null,
            "live_photo_file_id": null,
            "endpoint": "note_detail",
        })
    };
    assert_eq!(
        rows(&lake, "note_images", detail),
        [
            image(0, "https://example.com/image1.jpg"),
            image(1, "https://example.com/image2.jpg")
        ]
    );
    assert_eq!(
        rows(&lake, "note_videos", detail),
        [json!({
            "note_id": "649c46ab000000002702ad36",
            "video_index": 0,
            "codec": null,
            "url": "https://example.com/video.mp4",
            "cover_url": "https://example.com/cover.jpg",
            "width": null,
            "height": null,
            "duration_s": null,
            "size_bytes": null,
            "fps": null,
            "avg_bitrate_bps": null,
            "quality_type": null,
            "hdr_type": null,
            "video_id": null,
            "first_frame_url": null,
            "endpoint": "note_detail",
        })]
    );
    let tag = |index: u32, tag: &str| {
        json!({
            "note_id": "649c46ab000000002702ad36",
            "tag_index": index,
            "tag": tag,
            "origin": "tags",
            "endpoint": "note_detail",
        })
    };
    assert_eq!(
        rows(&lake, "note_tags", detail),
        [tag(0, "美妆"), tag(1, "新品")]
    );
}
