//! The meaning of answers by the built-in contracts: which items are notes, which are paid
//! places, which texts are ids and counts.

use serde_json::{Value, json};

use super::{Tables, built_in, flattened, note_search, page, rows};

fn searched(items: &[Value]) -> Tables {
    let body = json!({"code": 0, "data": {"items": items}}).to_string();
    flattened(&built_in(), &[note_search(body)])
}

fn note(id: &str) -> Value {
    json!({"id": id, "title": "t", "user": {"userid": format!("of {id}")}})
}

/// The values of the drift of one kind.
fn told(tables: &Tables, kind: &str) -> Vec<String> {
    let columns = ["kind", "path", "value", "count"];
    let of_kind = |row: &String| Some(row.strip_prefix(kind)?.strip_prefix('|')?.to_owned());
    if tables.batches.contains_key("drift") {
        rows(tables, "drift", &columns)
            .iter()
            .filter_map(of_kind)
            .collect()
    } else {
        Vec::new()
    }
}

#[test]
fn an_item_of_any_kind_with_a_note_is_a_note() {
    let tables = searched(&[
        json!({"model_type": "note", "note": note("a")}),
        json!({"note": note("b")}),
        json!({"model_type": "note_v2", "note": note("c")}),
        json!({"model_type": "live", "note": note("d")}),
        json!({"model_type": null, "note": note("e")}),
        json!({"model_type": "ads_v2", "ads": {"note": note("f")}}),
        json!({"model_type": "live_v2", "live_v2": {}}),
        json!({"model_type": "hot_query", "hot_query": {}}),
        json!({}),
    ]);
    let of_notes = ["a", "b", "c", "d", "e", "f"];
    assert_eq!(rows(&tables, "notes", &["note_id"]), of_notes);
    assert_eq!(rows(&tables, "engagement", &["note_id"]), of_notes);
    assert_eq!(
        rows(&tables, "users", &["user_id"]),
        of_notes.map(|id| format!("of {id}"))
    );
    let columns = ["position", "model_type", "entity", "entity_id"];
    assert_eq!(
        rows(&tables, "search_results", &columns),
        [
            "1|note|note|a",
            "2||note|b",
            "3|note_v2|note|c",
            "4|live|note|d",
            "5||note|e",
            "6|ads_v2|note|f",
            "7|live_v2||",
            "8|hot_query||",
            "9|||",
        ]
    );
    assert_eq!(
        told(&tables, "unknown_value"),
        [
            "/data/items[*]/model_type|ads_v2|1",
            "/data/items[*]/model_type|live_v2|1",
            "/data/items[*]/model_type|note_v2|1",
        ]
    );
    assert_eq!(
        told(&tables, "unknown_field"),
        ["/data/items[*]/live_v2||1"]
    );
    assert_eq!(tables.rejects, []);
}

#[test]
fn an_item_that_should_carry_a_note_and_does_not_is_rejected() {
    let tables = searched(&[
        json!({"model_type": "ad"}),
        json!({"model_type": "note", "note": null}),
    ]);
    let rejects = rows(
        &tables,
        "rejects",
        &["table", "item_index", "column", "reason"],
    );
    assert!(
        rejects.contains(&"notes|0|/note or /ads/note|missing".to_owned()),
        "{rejects:?}"
    );
    assert!(
        rejects.contains(&"notes|1|/note or /ads/note|missing".to_owned()),
        "{rejects:?}"
    );
    assert_eq!(
        rows(&tables, "search_results", &["entity", "entity_id", "is_ad"]),
        ["note||true", "note||false"]
    );
}

#[test]
fn a_paid_place_is_known_by_every_mark() {
    let marked = |id: &str, key: &str, mark: Value| {
        let mut note = note(id);
        note[key] = mark;
        note
    };
    let items = [
        json!({"model_type": "note", "note": note("plain")}),
        json!({"model_type": "ads", "ads": {"model_type": "note", "note": note("ads")}}),
        json!({"model_type": "ad", "note": note("ad")}),
        json!({"model_type": "note", "ads_info": {"id": 1}, "note": note("item ads_info")}),
        json!({"model_type": "note", "is_ads": true, "note": note("item is_ads")}),
        json!({"model_type": "note", "note": marked("note ads_info", "ads_info", json!({"id": 1}))}),
        json!({"model_type": "note", "note": marked("note is_ads", "is_ads", json!(1))}),
        json!({"ads": {"note": note("no kind")}}),
        json!({"model_type": "note", "is_ads": "yes", "note": note("a word")}),
        json!({"model_type": "note", "is_ads": 2, "note": note("two")}),
        json!({"model_type": "note", "is_ads": [], "ads_info": {}, "note": marked("empty", "ads_info", json!(""))}),
        json!({"model_type": "note", "is_ads": "0", "ads_info": false, "note": marked("words", "is_ads", json!("False"))}),
        json!({"model_type": "note", "note": marked("not one", "is_ads", json!(false))}),
        json!({"model_type": "note", "ads_info": null, "note": marked("nor this", "is_ads", json!(0))}),
    ];
    let tables = searched(&items);
    assert_eq!(
        rows(&tables, "search_results", &["entity_id", "is_ad"]),
        [
            "plain|false",
            "ads|true",
            "ad|true",
            "item ads_info|true",
            "item is_ads|true",
            "note ads_info|true",
            "note is_ads|true",
            "no kind|true",
            "a word|true",
            "two|true",
            "empty|false",
            "words|false",
            "not one|false",
            "nor this|false",
        ]
    );
    assert_eq!(rows(&tables, "notes", &["note_id"]).len(), 14);
    assert_eq!(tables.rejects, vec![]);
    // A page goes back in time to its last note that is not paid for.
    for mut item in items {
        let mut earlier = json!({"model_type": "note", "note": note("earlier")});
        earlier["note"]["timestamp"] = json!(1_700_000_000);
        let inner = ["/note", "/ads/note"]
            .into_iter()
            .find(|place| item.pointer(place).is_some());
        let note = item.pointer_mut(inner.expect("a note"));
        note.expect("a note")["timestamp"] = json!(1_600_000_000);
        let tables = searched(&[earlier, item.clone()]);
        let marks = rows(&tables, "search_results", &["entity_id", "is_ad"]);
        let is_paid = marks.iter().any(|mark| mark.ends_with("|true"));
        let last = rows(&tables, "search_pages", &["last_note_published_at"]);
        let expected = if is_paid {
            "2023-11-14T22:13:20Z"
        } else {
            "2020-09-13T12:26:40Z"
        };
        assert_eq!(last, [expected], "{item}");
    }
}

#[test]
fn a_blank_text_is_not_an_id_in_any_column() {
    let blanks = ["", " ", "\u{3000}", "\u{200B}", "\t\n", "\u{FEFF}"];
    let mut items: Vec<Value> = blanks
        .iter()
        .map(|blank| json!({"model_type": "note", "note": {"id": blank, "title": "t", "images_list": [{"fileid": "f"}]}}))
        .collect();
    items.extend(blanks.iter().enumerate().map(|(at, blank)| {
        let user = json!({"userid": blank, "nickname": "用户已注销"});
        json!({"model_type": "note", "note": {"id": format!("n{at}"), "user": user}})
    }));
    items.push(json!({"model_type": "note", "note": {"id": " n ", "user": {"userid": 0}}}));
    let tables = searched(&items);
    let kept = ["\u{20}n |0", "n0|", "n1|", "n2|", "n3|", "n4|", "n5|"];
    assert_eq!(rows(&tables, "notes", &["note_id", "author_user_id"]), kept);
    assert_eq!(rows(&tables, "users", &["user_id"]), ["0"]);
    assert_eq!(rows(&tables, "note_images", &["note_id"]), [""; 0]);
    let entities = rows(&tables, "search_results", &["entity", "entity_id"]);
    assert_eq!(entities[..6], ["note|"; 6]);
    let blank = |table: &str| {
        let of = |reject: &&super::Reject| {
            reject.table.as_deref() == Some(table) && reject.reason == "a blank id"
        };
        tables.rejects.iter().filter(of).count()
    };
    assert_eq!(
        ["notes", "engagement", "note_images", "users"].map(blank),
        [6, 6, 6, 6]
    );

    let users =
        json!({"code": 0, "data": {"users": [{"id": "", "fans": 5}, {"id": "u", "fans": 6}]}});
    let tables = flattened(
        &built_in(),
        &[page("justoneapi", "user_search", users.to_string())],
    );
    assert_eq!(rows(&tables, "users", &["user_id"]), ["u"]);
    assert_eq!(
        rows(&tables, "user_stats", &["user_id", "follower_count"]),
        ["u|6"]
    );
    assert_eq!(rows(&tables, "search_results", &["entity_id"]), ["", "u"]);
    assert_eq!(tables.rejects.len(), 2);

    let detail = json!({"code": 200, "data": {"note_id": "n", "author": {"user_id": " "}}});
    let tables = flattened(
        &built_in(),
        &[page("xhs_open", "note_detail", detail.to_string())],
    );
    assert_eq!(
        rows(&tables, "notes", &["note_id", "author_user_id"]),
        ["n|"]
    );
    assert_eq!(tables.rejects.len(), 2);
}

#[test]
fn elements_that_are_no_objects_are_rejects_of_their_table() {
    let tables = searched(&[
        json!({"model_type": "note", "note": {
            "id": "n",
            "user": {"userid": "u"},
            "images_list": [null, "https://x/1.jpg", 7, {"fileid": "f"}, {}, {"new": 1, "width": null}, {"url": ""}],
            "corner_tag_info": [null, {"type": "poi", "text": "上海"}],
            "video_info_v2": {"media": {"stream": {"h264": [null, {"width": 7}]}}},
        }}),
        Value::Null,
    ]);
    assert_eq!(
        rows(
            &tables,
            "note_images",
            &["image_index", "file_id", "is_live_photo"]
        ),
        ["3|f|false", "6||false"]
    );
    assert_eq!(
        rows(&tables, "note_badges", &["badge_index", "badge_text"]),
        ["1|上海"]
    );
    assert_eq!(
        rows(&tables, "note_videos", &["video_index", "width"]),
        ["1|7"]
    );
    assert_eq!(rows(&tables, "search_results", &["position"]), ["1"]);
    assert_eq!(
        rows(&tables, "rejects", &["table", "column", "reason", "value"]),
        [
            "note_badges|/corner_tag_info[*]|null in a list|<null>",
            "note_images|/images_list[*]|an object without a known value|<object>",
            "note_images|/images_list[*]|an object without a known value|<object>",
            "note_images|/images_list[*]|not an object|<integer>",
            "note_images|/images_list[*]|not an object|<string>",
            "note_images|/images_list[*]|null in a list|<null>",
            "note_videos|/video_info_v2/media/stream/*[*]|null in a list|<null>",
            "search_results|/data/items[*]|null in a list|<null>",
        ]
    );

    let detail = json!({"code": 200, "data": {
        "note_id": "n", "images": ["https://x/1.jpg", null], "tags": ["a", null, "", " \u{200b}"],
        "videos": ["x", {"url": "u"}, {}, {"url": null}],
    }});
    let tables = flattened(
        &built_in(),
        &[page("xhs_open", "note_detail", detail.to_string())],
    );
    assert_eq!(
        rows(&tables, "note_images", &["image_index", "url"]),
        ["0|https://x/1.jpg"]
    );
    assert_eq!(rows(&tables, "note_tags", &["tag"]), ["a"]);
    assert_eq!(
        rows(&tables, "note_videos", &["video_index", "url"]),
        ["1|u"]
    );
    assert_eq!(tables.rejects.len(), 7);
}

/// The counts, the shop and the last activity of a user's line, each only in the provider's own form.
#[test]
fn free_text_under_a_name_is_no_count() {
    let cases = [
        ("粉丝·24.2万 | 5天前更新", "242000||5天前更新|"),
        ("粉丝·1855 | 服装配饰店 | 笔记·162", "1855|服装配饰店||162"),
        ("粉丝·9,246 | 笔记·1,393", "9246|||1393"),
        ("互相关注 | 粉丝·12", "12|||"),
        ("粉丝 381.2万", "3812000|||"),
        ("粉丝·10万+", "100000|||"),
        ("粉丝・3.1万 | 刚刚更新", "31000||刚刚更新|"),
        ("粉丝数：2.5万", "25000|||"),
        ("笔记·35 | 12小时前更新", "||12小时前更新|35"),
        // Biographies.
        ("粉丝1000送福利，合作私信", "|||"),
        ("粉丝·1000送福利", "|||"),
        ("感谢粉丝 1000", "|||"),
        ("万粉丝博主", "|||"),
        ("感谢20万粉丝", "|||"),
        ("1.2万粉丝 | 笔记·10", "|||10"),
        ("笔记1000篇", "|||"),
        ("开了一家服装店", "|||"),
        ("我爱 | 服装店", "|||"),
        ("每天更新 | 周更新", "|||"),
        ("小红书号：26814156493", "|||"),
        ("Followers 3.1k", "|||"),
        ("", "|||"),
    ];
    let users: Vec<Value> = cases
        .iter()
        .enumerate()
        .map(|(at, (desc, _))| json!({"id": format!("u{at:02}"), "desc": desc}))
        .collect();
    let body = json!({"code": 0, "data": {"users": users}}).to_string();
    let tables = flattened(&built_in(), &[page("justoneapi", "user_search", body)]);
    assert_eq!(tables.rejects, []);
    let lines = rows(&tables, "users", &["shop_category", "last_activity_text"]);
    let counts = rows(&tables, "user_stats", &["follower_count", "note_count"]);
    for (at, (desc, expected)) in cases.iter().enumerate() {
        let (fans, notes) = counts[at].split_once('|').expect("two counts");
        assert_eq!(format!("{fans}|{}|{notes}", lines[at]), *expected, "{desc}");
    }

    let users = json!([
        {"id": "a", "desc": "粉丝·1.23456万"},
        {"id": "e", "desc": "粉丝·1,8"},
        {"id": "f", "fans": -1},
        {"id": "g", "fans": "12,34"},
        {"id": "h", "desc": "粉丝·1.万"},
        {"id": "b", "update_time": "3天前更新"},
        {"id": "c", "update_time": 1_763_000_000},
        {"id": "d", "update_time": "", "sub_title": "粉丝 5646"},
    ]);
    let body = json!({"code": 0, "data": {"users": users}}).to_string();
    let tables = flattened(&built_in(), &[page("justoneapi", "user_search", body)]);
    let lines = rows(&tables, "users", &["user_id", "last_activity_text"]);
    assert_eq!(
        lines,
        [
            "a|",
            "b|3天前更新",
            "c|1763000000",
            "d|",
            "e|",
            "f|",
            "g|",
            "h|"
        ]
    );
    let counts = rows(&tables, "user_stats", &["user_id", "follower_count"]);
    assert_eq!(counts, ["b|", "c|", "d|5646"]);
    let rejects = rows(&tables, "rejects", &["table", "column", "reason", "value"]);
    let broken = ["-1", "12,34", "粉丝·1,8", "粉丝·1.23456万", "粉丝·1.万"];
    let mut expected = broken.map(|value| format!("user_stats|follower_count|not a count|{value}"));
    let mut told = rejects;
    expected.sort_unstable();
    told.sort_unstable();
    assert_eq!(told, expected);
}

/// Fields that real answers have beside those of the documents: each a column or left out.
#[test]
fn the_known_fields_of_real_answers_are_columns_or_left_out() {
    let stream = json!({
        "master_url": "http://v/1", "backup_urls": ["http://v/2"], "width": 720, "height": 1280, "duration": 61_905,
        "size": 8_804_944, "fps": 30, "video_codec": "hevc", "avg_bitrate": 1_137_831, "audio_bitrate": 128_000,
        "audio_channels": 2, "audio_codec": "aac", "audio_duration": 61_905, "default_stream": 0, "format": "mp4",
        "hdr_type": 1, "opaque1": {"use_pcdn": "1", "new": 5}, "psnr": 38.1, "quality_type": "FHD", "rotate": 0,
        "sr": 0, "ssim": 0, "stream_desc": "X", "stream_type": 115, "token": "", "video_bitrate": 1_000_000,
        "video_duration": 61_900, "vmaf": -1, "volume": 0, "weight": 62,
    });
    let note = json!({
        "id": "n", "type": "video", "video_preview_type": "full", "note_attributes": ["goods"],
        "images_list": [
            {"fileid": "f", "live_photo_file_id": "l", "live_photo": {"media": {"any": 1}}},
            {"fileid": "g", "live_photo_file_id": ""},
            {"fileid": "h", "live_photo": {}, "live_photo_file_id": "\u{200b}"},
            {"fileid": "i", "live_photo": {"media": 1}},
        ],
        "user": {"userid": "u", "track_duration": 0, "vshow": 0},
        "video_info_v2": {
            "capa": {"duration": 61, "frame_ts": 0, "is_upload": false, "is_user_select": false},
            "consumer": {"can_super_resolution": true},
            "image": {"thumbnail": "t", "first_frame": "http://i/first", "thumbnail_dim": "http://i/dim"},
            "media": {
                "user_level": 0, "video_id": 137_849_201_884_938_472_u64, "video": {"md5": "x"},
                "stream": {"h265": [stream], "h264": [], "av1": []},
            },
        },
    });
    let items = [json!({"model_type": "note", "note": note})];
    let body = json!({"code": 0, "data": {"items": items, "has_more": true}}).to_string();
    let tables = flattened(&built_in(), &[note_search(body)]);
    assert_eq!((&tables.drift, &tables.rejects), (&vec![], &vec![]));
    assert_eq!(rows(&tables, "notes", &["has_goods"]), ["true"]);
    assert_eq!(
        rows(
            &tables,
            "note_images",
            &["is_live_photo", "live_photo_file_id"]
        ),
        ["true|l", "false|", "false|", "true|"]
    );
    let columns = [
        "avg_bitrate_bps",
        "quality_type",
        "hdr_type",
        "video_id",
        "first_frame_url",
    ];
    assert_eq!(
        rows(&tables, "note_videos", &columns),
        ["1137831|FHD|1|137849201884938472|http://i/first"]
    );
    assert_eq!(rows(&tables, "search_pages", &["has_more"]), ["true"]);
}
