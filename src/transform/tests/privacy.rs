//! What becomes of personal data on its way into the tables.

use std::sync::Arc;

use super::{Tables, flattened, flattened_as, note_search, notes, page, rows, time};
use crate::plan::{Privacy, Pseudonyms, plan};
use crate::raw::page::RawPage;
use crate::run_meta::RunMeta;
use crate::spec::contracts::Contracts;
use crate::spec::load::load_pipeline;
use crate::transform::contracts::Transform;

const SALT: &str = "a salt of 24 characters!";

/// Rules as a pipeline gives them.
fn privacy(rules: &str) -> Privacy {
    let pipeline = format!(
        "
version: 1
pipeline: test
source: {{name: justoneapi}}
keyword_sets: {{words: [a]}}
extract: [{{endpoint: note_search, keywords: [words], pages: {{max: 1}}}}]
privacy: {{{rules}}}
"
    );
    let dir = tempfile::TempDir::new().expect("a temporary folder");
    let path = dir.path().join("test.yaml");
    std::fs::write(&path, pipeline).expect("a writable folder");
    let salt = |name: &str| (name == "REDLAKE_SALT").then(|| SALT.to_owned());
    let loaded = load_pipeline(&path, &salt).unwrap_or_else(|e| panic!("{e}"));
    let planned = plan(loaded, contracts()).unwrap_or_else(|e| panic!("{e}"));
    planned.privacy
}

fn contracts() -> Arc<Contracts> {
    Arc::new(Contracts::load(None).unwrap_or_else(|e| panic!("{e}")))
}

fn tables(rules: &str, pages: &[RawPage]) -> Tables {
    let transform = Transform::new(contracts(), &privacy(rules)).unwrap_or_else(|e| panic!("{e}"));
    flattened(&transform, pages)
}

fn users(users: &[&str]) -> RawPage {
    let users = users.join(",");
    let body = format!(r#"{{"code":0,"data":{{"users":[{users}]}}}}"#);
    page("justoneapi", "user_search", body)
}

fn detail(note: &str) -> RawPage {
    let body = format!(r#"{{"code":200,"data":{note}}}"#);
    page("xhs_open", "note_detail", body)
}

fn pseudonym(text: &str) -> String {
    Pseudonyms::new(SALT).of(text)
}

const SALTED: &str = r#"salt: "${REDLAKE_SALT}""#;

/// With the salt, any BLAKE3 implementation computes the same values.
#[test]
fn a_pseudonym_is_the_same_for_ever() {
    assert_eq!(pseudonym("小美"), "acfa3683752efe129d453788c257bc23");
    assert_eq!(pseudonym("小美"), Pseudonyms::new(SALT).of("小美"));
    assert_ne!(
        pseudonym("小美"),
        Pseudonyms::new("a salt of 24 characters?").of("小美")
    );
    assert_ne!(pseudonym("小美"), pseudonym("小美 "));
}

#[test]
fn equal_texts_are_equal_pseudonyms_in_every_table() {
    let ids = "hash: [users.user_id, user_stats.user_id, notes.author_user_id, \
               search_results.entity_id, users.nickname]";
    let tables = tables(
        &format!("{ids}, {SALTED}"),
        &[
            notes(&[r#"{"id":"n1","user":{"userid":"u1","nickname":"小美"}}"#]),
            users(&[r#"{"id":"u1","name":"小美","fans":5,"link":"xhs://user/user.u1"}"#]),
        ],
    );
    let (id, name) = (pseudonym("u1"), pseudonym("小美"));
    assert_eq!(
        rows(&tables, "notes", &["author_user_id"]),
        std::slice::from_ref(&id)
    );
    assert_eq!(
        rows(&tables, "users", &["user_id", "nickname", "profile_url"]),
        [
            format!("{id}|{name}|"),
            format!("{id}|{name}|xhs://user/user.{id}")
        ]
    );
    assert_eq!(
        rows(&tables, "user_stats", &["user_id", "follower_count"]),
        [format!("{id}|5")]
    );
    // The ids of notes stay: redlake asks for notes by them.
    assert_eq!(
        rows(&tables, "search_results", &["entity", "entity_id"]),
        ["note|n1".to_owned(), format!("user|{id}")]
    );
}

#[test]
fn hiding_the_kind_of_an_id_does_not_reveal_the_id() {
    let ids = "hash: [users.user_id, user_stats.user_id, notes.author_user_id, \
               search_results.entity_id], drop: [search_results.entity]";
    let found = users(&[r#"{"id":"u1","name":"x"}"#]);
    let tables = tables(&format!("{ids}, {SALTED}"), &[found]);
    assert_eq!(
        rows(&tables, "search_results", &["entity", "entity_id"]),
        [format!("|{}", pseudonym("u1"))]
    );
}

#[test]
fn what_is_dropped_is_null_and_nothing_else_changes() {
    let pages = [notes(&[
        r#"{"id":"n1","title":"t","desc":"d","user":{"userid":"u1","nickname":"x"}}"#,
    ])];
    let columns = ["note_id", "title", "description", "author_user_id"];
    let dropped = tables("drop: [notes.title, users.nickname]", &pages);
    assert_eq!(rows(&dropped, "notes", &columns), ["n1||d|u1"]);
    assert_eq!(rows(&dropped, "users", &["user_id", "nickname"]), ["u1|"]);
    let all = tables("", &pages);
    assert_eq!(rows(&all, "notes", &columns), ["n1|t|d|u1"]);
}

/// A user search repeats the account number in its free lines.
#[test]
fn what_is_hidden_is_hidden_in_the_rest_of_its_row() {
    let pages = [users(&[
        r#"{"id":"u1","red_id":"9425875921","name":"小云","desc":"小云的小红书号:9425875921 | 粉丝 3",
            "sub_title":"小红书号\uff1a9425875921","image":"https://x/9425875921.jpg"}"#,
    ])];
    let columns = [
        "red_id",
        "nickname",
        "description",
        "sub_title",
        "avatar_url",
    ];
    let (id, name) = (pseudonym("9425875921"), pseudonym("小云"));
    let hashed = tables(
        &format!("hash: [users.red_id, users.nickname], {SALTED}"),
        &pages,
    );
    assert_eq!(
        rows(&hashed, "users", &columns),
        [format!(
            "{id}|{name}|{name}的小红书号:{id} | 粉丝 3|小红书号\u{FF1A}{id}|https://x/{id}.jpg"
        )]
    );
    let dropped = tables("drop: [users.red_id]", &pages);
    assert_eq!(
        rows(&dropped, "users", &columns),
        [
            "|小云|小云的小红书号:[dropped] | 粉丝 3|小红书号\u{FF1A}[dropped]|https://x/[dropped].jpg"
        ]
    );
    // What is counted in the text is read before.
    assert_eq!(rows(&dropped, "user_stats", &["follower_count"]), ["3"]);
}

/// A short name may be part of a longer text that is hidden, or of a pseudonym.
#[test]
fn one_hidden_text_in_another_spoils_nothing() {
    let pages = [users(&[
        r#"{"id":"u1","red_id":"ab12","name":"ab","desc":"ab is ab12, a b"}"#,
    ])];
    let hashed = tables(
        &format!("hash: [users.red_id, users.nickname], {SALTED}"),
        &pages,
    );
    let (id, name) = (pseudonym("ab12"), pseudonym("ab"));
    assert_eq!(
        rows(&hashed, "users", &["description"]),
        [format!("{name} is {id}, a b")]
    );
}

#[test]
fn telephone_numbers_go_from_every_free_text() {
    let number = "138-0013-8000";
    let wide =
        "\u{FF11}\u{FF13}\u{FF18}\u{FF10}\u{FF10}\u{FF11}\u{FF13}\u{FF18}\u{FF10}\u{FF10}\u{FF10}";
    let scrub = "scrub_phone_numbers: true";
    let tables = tables(
        scrub,
        &[
            notes(&[&format!(
                r##"{{"id":"n1","title":"tel {number}","desc":"#{wide} #护肤 #138001 38000",
                "tag_info":{{"title":"{number}"}},"corner_tag_info":[{{"type":"poi","text":"{number}"}}],
                "user":{{"userid":"13800138000","nickname":"{wide}"}}}}"##
            )]),
            detail(&format!(
                r#"{{"note_id":"n2","content":"<p>138<b>0013</b>8000</p>","location":{{"name":"{number}"}},
                "tags":["{number}"]}}"#
            )),
            users(&[&format!(
                r#"{{"id":"u1","red_id":"13800138000","desc":"{number}","sub_title":"{wide}"}}"#
            )]),
        ],
    );
    assert_eq!(
        rows(
            &tables,
            "notes",
            &[
                "title",
                "description",
                "content_html",
                "content_text",
                "location_name"
            ]
        ),
        [
            "tel [phone]|#[phone] #护肤 #[phone]|||",
            "||<p>[phone]</p>|[phone]|[phone]",
        ]
    );
    assert_eq!(
        rows(&tables, "note_tags", &["origin", "tag"]),
        ["hashtag|护肤", "tag_info|[phone]", "tags|[phone]"]
    );
    assert_eq!(rows(&tables, "note_badges", &["badge_text"]), ["[phone]"]);
    // Ids are not texts: what looks like a number there can be hashed.
    assert_eq!(
        rows(
            &tables,
            "users",
            &["user_id", "red_id", "nickname", "description", "sub_title"]
        ),
        ["13800138000||[phone]||", "u1|13800138000||[phone]|[phone]"]
    );
}

/// With the rest of the text known, all numbers could be tried against a hash of the whole.
#[test]
fn the_hash_of_a_text_does_not_reveal_scrubbed_numbers() {
    let hash = |rules: &str, text: &str| {
        let note = format!(r#"{{"id":"n1","title":"t","desc":"{text}"}}"#);
        rows(
            &tables(rules, &[notes(&[&note])]),
            "notes",
            &["content_hash"],
        )
        .remove(0)
    };
    let scrub = "scrub_phone_numbers: true";
    assert_eq!(hash(scrub, "13800138000"), hash(scrub, "13900139000"));
    assert_eq!(hash(scrub, "[phone]"), hash("", "[phone]"));
    assert_ne!(hash(scrub, "a"), hash(scrub, "b"));
    assert_ne!(hash(SALTED, "a"), hash("", "a"), "with the salt");
    assert_ne!(hash(SALTED, "a"), hash(SALTED, "b"));
}

#[test]
fn a_reject_shows_no_more_than_a_row_would() {
    let pages = [notes(&[
        r#"{"id":"n1","liked_count":"call 13800138000","user":{"userid":"u1","nickname":"x"}}"#,
    ])];
    let shown = |rules: &str| rows(&tables(rules, &pages), "rejects", &["column", "value"]);
    assert_eq!(shown(""), ["liked_count|call 13800138000"]);
    assert_eq!(
        shown("scrub_phone_numbers: true"),
        ["liked_count|call [phone]"]
    );
    // The fault may lie in a text that another column, which is hidden, is read from.
    assert_eq!(shown("drop: [users.nickname]"), ["liked_count|"]);
}

#[test]
fn a_number_at_the_end_of_a_fragment_is_found_whole() {
    let text = format!("{}13800138000{}", "x".repeat(195), "y".repeat(100));
    let note = format!(r#"{{"id":"n1","liked_count":"{text}"}}"#);
    let tables = tables("scrub_phone_numbers: true", &[notes(&[&note])]);
    let value = tables.rejects[0].value.clone().unwrap_or_default();
    assert_eq!(value, format!("{}[phon…", "x".repeat(195)));
}

#[test]
fn a_page_that_is_none_shows_no_more_either() {
    let shown = |rules: &str, body: &str| {
        let tables = tables(rules, &[note_search(body)]);
        tables.rejects[0].value.clone()
    };
    let scrub = "scrub_phone_numbers: true";
    assert_eq!(
        shown("", "no 13800138000").as_deref(),
        Some("no 13800138000")
    );
    assert_eq!(
        shown(scrub, "no 13800138000").as_deref(),
        Some("no [phone]")
    );
    assert_eq!(shown(scrub, r#"{"a":"\uff11\uff13800138000"}"#), None);
    assert_eq!(shown("drop: [users.nickname]", "no page"), None);
}

#[test]
fn a_path_in_drift_shows_no_number() {
    let note = r#"{"id":"n1","13800138000":1,"13900139000":2}"#;
    let tables = tables("scrub_phone_numbers: true", &[notes(&[note])]);
    assert_eq!(
        rows(&tables, "drift", &["path", "count"]),
        ["/data/items[*]/note/[phone]|2"]
    );
}

#[test]
fn the_same_page_gives_the_same_rows_in_every_run() {
    let pages = [notes(&[
        r#"{"id":"n1","title":"t","user":{"userid":"u1","nickname":"小美"}}"#,
    ])];
    let rules = format!("hash: [users.nickname, notes.title], {SALTED}");
    let first = tables(&rules, &pages);
    let transform = Transform::new(contracts(), &privacy(&rules)).unwrap_or_else(|e| panic!("{e}"));
    let meta = RunMeta::new(
        "later",
        "test",
        time("2026-03-10T20:00:00Z"),
        chrono_tz::UTC,
        false,
    );
    let second = flattened_as(&transform, meta, &pages);
    let columns = ["note_id", "title", "content_hash"];
    assert_eq!(
        rows(&first, "notes", &columns),
        rows(&second, "notes", &columns)
    );
    assert_eq!(
        rows(&first, "users", &["nickname"]),
        rows(&second, "users", &["nickname"])
    );
}
