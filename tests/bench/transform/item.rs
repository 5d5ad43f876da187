//! One place on a page, as JSON text: a note, or a card that is none.

use crate::pages::{NOW, SEED};
use crate::world::dice::Dice;
use crate::world::phrases::{EMOJI, NAME_CORES, NAME_ENDS, NAME_STARTS, PLACES, TOPICS, Topic};
use crate::world::text::Text;

const DAY: u64 = 24 * 3_600;
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const BASE32: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";

/// A card that is no note: it proposes other searches, or a live room.
pub fn card(number: u64, keyword: &str) -> String {
    let mut dice = Dice::new(SEED, "card", &number.to_string());
    let topics = dice.pick_some(&TOPICS.each_ref(), 4);
    let proposals = topics.iter().map(|topic| {
        let name = topic.name;
        format!(r#"{{"name":"{name}","search_word":"{keyword} {name}"}}"#)
    });
    let proposals = list(proposals);
    let (kind, content) = match dice.below(4) {
        0 => (
            "live",
            format!(r#"{{"room_title":"{keyword}专场直播","viewers":"2.3万"}}"#),
        ),
        1 => (
            "rec_query",
            format!(r#"{{"title":"猜你想搜","queries":{proposals}}}"#),
        ),
        2 => (
            "hot_query",
            format!(r#"{{"title":"大家都在搜","queries":{proposals}}}"#),
        ),
        // A card that does not say what it is.
        _ => {
            return format!(
                r#"{{"related_queries":{{"title":"相关搜索","queries":{proposals}}}}}"#
            );
        }
    };
    format!(r#"{{"model_type":"{kind}","{kind}":{content}}}"#)
}

/// A note: 30 in 100 are videos, a quarter has no title.
pub fn note(number: u64, keyword: &str) -> String {
    let mut dice = Dice::new(SEED, "bench note", &number.to_string());
    let is_video = dice.chance(30);
    let published_s = NOW as u64 - dice.between(3_600, 400 * DAY);
    let edited_s = dice.chance(25).then(|| published_s + dice.below(3_000));
    let likes = dice.tier(&[
        (15, 0..400),
        (42, 400..3_000),
        (28, 3_000..20_000),
        (15, 20_000..1_200_000),
    ]);
    let user_id = id(&mut dice, published_s - 200 * DAY, number, 0x1b);
    let nickname = nickname(&mut dice);
    let words = Words::of(&mut dice, keyword);
    let images = match is_video {
        true => 1,
        false => dice.tier(&[(20, 1..3), (42, 3..8), (31, 7..11), (7, 11..19)]),
    };
    one_line(&format!(
        r#"{{
        "extract_text_enabled":0,
        "nice_count":{nice},
        "update_time":{updated_ms},
        "xsec_token":"YB{xsec}=",
        "interaction_area":{{"text":"{likes_text}","type":1,"status":false}},
        "result_from":"",
        "type":"{kind}",
        "last_update_time":{last_update},
        "geo_info":{{"distance":""}},
        "niced":false,
        "liked_count":{likes},
        "corner_tag_info":{corner_tags},
        "collected":false,
        "collected_count":{collected},
        "timestamp":{published_s},
        "user":{user},
        "has_music":{music},
        {title}
        "desc":{desc},
        {abstract_show}
        "tag_info":{tag_info},
        "cover_image_index":{cover},
        "advanced_widgets_groups":{{"groups":[{{"mode":1,"fetch_types":["guos_test"]}}]}},
        "id":"{note_id}",
        "images_list":{images_list},
        {video}
        "debug_info_str":"",
        "widgets_context":"{{\"flags\":{{}},\"author_id\":\"{user_id}\",\"author_name\":\"{nickname}\"}}",
        "liked":false,
        "shared_count":{shared},
        "comments_count":{comments},
        "note_attributes":[]
        }}"#,
        nice = likes / dice.between(30, 200),
        updated_ms = edited_s.unwrap_or(published_s) * 1_000 + dice.below(1_000),
        xsec = word(&mut dice, BASE64, 42),
        likes_text = shortened(likes),
        kind = if is_video { "video" } else { "normal" },
        last_update = edited_s.unwrap_or(0),
        corner_tags = corner_tags(&mut dice, published_s),
        collected = likes * dice.between(10, 80) / 100,
        user = user(&mut dice, &user_id, &nickname),
        music = dice.chance(35),
        title = words.title,
        desc = words.desc,
        abstract_show = words.abstract_show,
        tag_info = tag_info(&mut dice),
        cover = match dice.chance(6) {
            true => dice.below(images),
            false => 0,
        },
        note_id = id(&mut dice, published_s, number, 0x0c),
        images_list = images_list(&mut dice, images, !is_video),
        video = match is_video {
            true => video_info(&mut dice),
            false => String::new(),
        },
        shared = likes * dice.between(1, 20) / 100,
        comments = likes * dice.between(1, 12) / 100,
    ))
}

/// What a note says, each as JSON; a field that may be missing with its key and the comma after it.
struct Words {
    title: String,
    desc: String,
    abstract_show: String,
}

impl Words {
    fn of(dice: &mut Dice, keyword: &str) -> Self {
        let topic = TOPICS.iter().find(|topic| topic.name == keyword);
        let topic: &Topic = topic.unwrap_or(&TOPICS[0]);
        let parts = dice.between(1, 4);
        let texts: Vec<_> = (0..parts)
            .map(|_| Text::write(dice, topic.name, topic.field))
            .collect();
        let title = texts[0].title.as_ref().map(|title| {
            let (emoji, n) = (dice.pick(EMOJI), dice.below(1_000));
            format!(r#""title":{},"#, json(&format!("{title}{emoji}{n}")))
        });
        let paragraphs: Vec<_> = texts.iter().map(Text::plain).collect();
        let desc = format!("{}\n{}", paragraphs.join("\n\n"), dice.below(1_000_000));
        let abstract_show = dice.chance(15).then(|| {
            let short = format!("#{} {}", texts[0].tags[0], texts[0].paragraphs[0]);
            format!(r#""abstract_show":{},"#, json(&short))
        });
        Words {
            title: title.unwrap_or_default(),
            desc: json(&desc),
            abstract_show: abstract_show.unwrap_or_default(),
        }
    }
}

fn user(dice: &mut Dice, id: &str, nickname: &str) -> String {
    let verified = dice.tier(&[(82, 0..1), (11, 1..2), (7, 2..3)]);
    one_line(&format!(
        r#"{{
        "followed":false,
        "red_official_verify_type":{verified},
        "track_duration":0,
        "show_red_official_verify_icon":{icon},
        "red_official_verified":{is_verified},
        "userid":"{id}",
        "red_id":"{red_id}",
        "nickname":"{nickname}",
        "images":"https://sns-avatar-qc.xhscdn.com/avatar/1040g2jo31{file}?imageView2/2/w/80/format/jpg"
        {status}
        }}"#,
        icon = verified == 2,
        is_verified = verified != 0,
        red_id = dice.between(100_000_000, 99_999_999_999),
        file = word(dice, BASE32, 34),
        status = optional(dice.chance(30), r#","FStatus":"none""#),
    ))
}

fn nickname(dice: &mut Dice) -> String {
    let (start, core) = (dice.pick(NAME_STARTS), dice.pick(NAME_CORES));
    let (end, number) = (dice.pick(NAME_ENDS), dice.below(100_000));
    format!("{start}{core}{end}{number}")
}

fn tag_info(dice: &mut Dice) -> String {
    let (title, kind) = match dice.chance(10) {
        true => (dice.pick(&["好物推荐", "官方活动", "热门话题"]), "topic"),
        false => ("", ""),
    };
    format!(r#"{{"title":"{title}","type":"{kind}"}}"#)
}

fn corner_tags(dice: &mut Dice, published_s: u64) -> String {
    let token = word(dice, BASE64, 100);
    let mut tags = vec![format!(
        r#"{{"location":-1,"type":"ubt_sig_token","icon":"","text":"{token}","text_en":"","style":0}}"#
    )];
    if dice.chance(80) {
        let days = (NOW as u64 - published_s) / DAY;
        let style = optional(dice.chance(50), r#","style":0"#);
        tags.push(format!(
            r#"{{"location":2,"type":"publish_time","text":"{days}天前"{style}}}"#
        ));
    }
    if dice.chance(30) {
        let text = format!(r#""text":"{}","#, dice.pick(PLACES).0);
        let text = optional(dice.chance(70), &text);
        let poi = hex(dice, 24);
        tags.push(format!(r#"{{"type":"poi",{text}"poi_id":"{poi}"}}"#));
    }
    list(tags)
}

/// The small address stands in the first image only.
fn images_list(dice: &mut Dice, count: u64, may_live: bool) -> String {
    let (width, height) = dice.pick(&[
        (1080, 1440),
        (1440, 1920),
        (3024, 4032),
        (4284, 5712),
        (1280, 960),
    ]);
    let folder = dice.pick(&["notes_uhdr/", "notes_pre_post/", "spectrum/", ""]);
    let is_live = may_live && dice.chance(12);
    list((0..count).map(|index| {
        let file = format!("{folder}1040g3k831{}", word(dice, BASE32, 34));
        one_line(&format!(
            r#"{{
            "need_load_original_image":false,
            "fileid":"{file}",
            "height":{height},
            "width":{width},
            "url":"{small}",
            "url_size_large":"{large}",
            "original":"",
            "trace_id":"{file}"
            {live}
            }}"#,
            small = match index {
                0 => image_url(dice, &file, 576),
                _ => String::new(),
            },
            large = image_url(dice, &file, 1440),
            live = match is_live && index % 3 == 0 {
                true => live_photo(dice),
                false => String::new(),
            },
        ))
    }))
}

/// With the comma before it and its key.
fn live_photo(dice: &mut Dice) -> String {
    let seconds = dice.between(2, 4);
    format!(r#","live_photo":{{"media":{}}}"#, media(dice, seconds))
}

/// With its key and the comma after it.
fn video_info(dice: &mut Dice) -> String {
    let seconds = dice.between(7, 320);
    let file = format!("frame/110/0/01e{}_0.webp", hex(dice, 40));
    one_line(&format!(
        r#""video_info_v2":{{
        "capa":{{"duration":{seconds}}},
        "image":{{"thumbnail":"{thumbnail}"}},
        "media":{media}
        }},"#,
        thumbnail = image_url(dice, &file, 576),
        media = media(dice, seconds),
    ))
}

/// One stream or two in h264, which all can play; more in newer codecs, of which h266 is rare.
fn media(dice: &mut Dice, seconds: u64) -> String {
    let size = dice.pick(&[(720, 1280), (1080, 1920), (1920, 1080)]);
    let (width, height) = size;
    let counts = [
        dice.between(1, 2),
        dice.between(0, 3),
        u64::from(dice.chance(30)),
        u64::from(dice.chance(5)),
    ];
    let [h264, h265, av1, h266] = ["h264", "hevc", "av1", "vvc"];
    let mut streams = |codec, count| list((0..count).map(|_| stream(dice, codec, size, seconds)));
    one_line(&format!(
        r#"{{
        "stream":{{"h264":{h264},"h265":{h265},"av1":{av1},"h266":{h266}}},
        "video":{{"width":{width},"height":{height},"duration":{seconds},"md5":"{md5}"}}
        }}"#,
        h264 = streams(h264, counts[0]),
        h265 = streams(h265, counts[1]),
        av1 = streams(av1, counts[2]),
        h266 = streams(h266, counts[3]),
        md5 = hex(dice, 32),
    ))
}

fn stream(dice: &mut Dice, codec: &str, (width, height): (u32, u32), seconds: u64) -> String {
    let (folder, name, kind) = (dice.below(400), hex(dice, 40), dice.between(100, 300));
    let file = format!(
        "stream/1/110/{folder}/01e{name}_{kind}.mp4?{}",
        signature(dice)
    );
    let bitrate = dice.between(400_000, 2_500_000);
    let duration_ms = seconds * 1_000 + dice.below(1_000);
    one_line(&format!(
        r#"{{
        "master_url":"http://sns-video-qc.xhscdn.com/{file}",
        "backup_urls":["http://sns-bak-v1.xhscdn.com/{file}","http://sns-bak-v6.xhscdn.com/{file}"],
        "width":{width},
        "height":{height},
        "duration":{duration_ms},
        "size":{size},
        "fps":{fps},
        "video_codec":"{codec}",
        "avg_bitrate":{bitrate}
        }}"#,
        size = bitrate * duration_ms / 8_000,
        fps = dice.pick(&[24, 25, 30, 60]),
    ))
}

fn image_url(dice: &mut Dice, file: &str, width: u32) -> String {
    let host = dice.between(1, 10);
    let signature = signature(dice);
    format!(
        "https://sns-na-i{host}.xhscdn.com/{file}?imageView2/2/w/{width}/format/heif/q/56\
         |imageMogr2/strip&redImage/frame/0&ap=5&sc=SRH_PRV&{signature}"
    )
}

/// Who may open an address, and until when.
fn signature(dice: &mut Dice) -> String {
    format!("sign={}&t={:x}", hex(dice, 32), NOW as u64 + 2 * DAY)
}

/// In the provider's form, 24 hex digits. No other number has the same.
fn id(dice: &mut Dice, seconds: u64, number: u64, kind: u8) -> String {
    let middle = dice.below(1 << 16);
    format!(
        "{seconds:08x}0000{middle:04x}{kind:02x}{:06x}",
        number & 0xff_ffff
    )
}

/// A count as people read it: `1855`, `1.2万`.
fn shortened(count: u64) -> String {
    match count {
        0..10_000 => count.to_string(),
        10_000..100_000 => format!("{}.{}万", count / 10_000, count % 10_000 / 1_000),
        _ => "10万+".to_owned(),
    }
}

/// Random hex digits, sixteen a roll.
fn hex(dice: &mut Dice, digits: usize) -> String {
    let mut text = String::with_capacity(digits + 16);
    while text.len() < digits {
        text.push_str(&format!("{:016x}", dice.number()));
    }
    text.truncate(digits);
    text
}

/// Random letters of an alphabet with up to 64, ten a roll.
fn word(dice: &mut Dice, alphabet: &[u8], length: usize) -> String {
    let mut text = String::with_capacity(length + 10);
    while text.len() < length {
        let roll = dice.number();
        text.extend(
            (0..10).map(|n| char::from(alphabet[(roll >> (6 * n)) as usize % alphabet.len()])),
        );
    }
    text.truncate(length);
    text
}

/// A field that not all have.
fn optional(is_there: bool, field: &str) -> &str {
    match is_there {
        true => field,
        false => "",
    }
}

fn list(elements: impl IntoIterator<Item = String>) -> String {
    let elements: Vec<_> = elements.into_iter().collect();
    format!("[{}]", elements.join(","))
}

/// JSON without the line breaks and the spaces before each line; no text in it has any.
pub fn one_line(json: &str) -> String {
    json.lines().map(str::trim_start).collect()
}

fn json(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}
