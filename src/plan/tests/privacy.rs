//! Privacy rules and the retention of answers, resolved.

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::{CONTRACTS, PIPELINE, warnings};
use crate::plan::{Plan, PrivacyRule, RawRetention, plan};
use crate::spec::load::load_pipeline;
use crate::spec::yaml::diagnostic::Diagnostics;

const SALT: &str = "a salt of 24 characters!";

/// The pipeline with these lines, planned where `REDLAKE_SALT` is this.
fn try_with(more: &str, salt: &str) -> Result<Plan, Diagnostics> {
    let dir = TempDir::new().expect("a temporary folder");
    let path = dir.path().join("test.yaml");
    std::fs::write(&path, format!("{PIPELINE}{more}\n")).expect("a writable folder");
    let env = |name: &str| (name == "REDLAKE_SALT").then(|| salt.to_owned());
    plan(load_pipeline(&path, &env)?, Arc::clone(&CONTRACTS))
}

fn with(more: &str) -> Plan {
    try_with(more, SALT).unwrap_or_else(|e| panic!("{e}"))
}

/// What is wrong with the rules, each as `message [hint]`.
fn wrong(more: &str) -> Vec<String> {
    let found = try_with(more, SALT).expect_err(more).0;
    let told = found.iter().map(|d| {
        assert!(d.position().is_some_and(|(line, _)| line > 1), "{d:?}");
        format!("{} [{}]", d.message, d.hint.as_deref().unwrap_or_default())
    });
    told.collect()
}

fn wrong_rules(rules: &str) -> Vec<String> {
    wrong(&format!(
        "privacy: {{{rules}, salt: \"${{REDLAKE_SALT}}\"}}"
    ))
}

#[test]
fn a_pipeline_without_rules_has_none() {
    let plan = with("");
    assert!(!plan.privacy.has_rules());
    assert!(!plan.privacy.scrub_phone_numbers);
    assert!(plan.privacy.pseudonyms.is_none());
    assert_eq!(plan.raw, RawRetention::Forever);
}

#[test]
fn rules_are_found_by_table_and_column() {
    let plan = with(
        "privacy: {hash: [users.nickname, users.red_id], drop: [notes.latitude], \
         scrub_phone_numbers: true, salt: \"${REDLAKE_SALT}\"}",
    );
    let users: Vec<_> = plan.privacy.rules("users").collect();
    let hash = PrivacyRule::Hash(None);
    assert_eq!(users, [("nickname", &hash), ("red_id", &hash)]);
    let notes: Vec<_> = plan.privacy.rules("notes").collect();
    assert_eq!(notes, [("latitude", &PrivacyRule::Drop)]);
    assert!(plan.privacy.scrub_phone_numbers);
    assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
}

#[test]
fn each_wrong_rule_says_what_to_do() {
    let cases = [
        (
            "hash: [nickname]",
            "`nickname` has no table [write table.column, such as users.nickname]",
        ),
        (
            "hash: [who]",
            "`who` has no table [write table.column, such as users.nickname]",
        ),
        (
            "drop: [usrs.nickname]",
            "there is no table `usrs` [did you mean `users`?]",
        ),
        (
            "hash: [users.nicknam]",
            "the table `users` has no column `nicknam` [did you mean `nickname`?]",
        ),
        (
            "hash: [users.run_id]",
            "`users.run_id` is filled by redlake, not from answers [remove it from this list]",
        ),
        (
            "drop: [requests.error]",
            "`requests.error` is filled by redlake, not from answers [remove it from this list]",
        ),
        (
            "hash: [user_stats.follower_count]",
            "`user_stats.follower_count` is int64, not text [drop it, or remove it here]",
        ),
        (
            "drop: [note_tags.tag]",
            "`note_tags.tag` cannot be dropped: it is required \
             [hash it instead, or remove it here]",
        ),
        (
            "drop: [note_videos.video_index]",
            "`note_videos.video_index` cannot be dropped: it is required \
             [remove it here]",
        ),
        (
            "drop: [note_videos.codec]",
            "`note_videos.codec` cannot be dropped: it is part of the key of its rows \
             [hash it instead, or remove it here]",
        ),
        (
            "drop: [search_results.entity_id]",
            "`search_results.entity_id` cannot be dropped: it holds ids of several kinds \
             [hash it instead, or remove it here]",
        ),
        (
            "hash: [users.nickname], drop: [users.nickname]",
            "`users.nickname` is both hashed and dropped [name it in one of the lists]",
        ),
        (
            "hash: [users.user_id, user_stats.user_id]",
            "other columns hold the ids of `user_stats.user_id`, too \
             [add notes.author_user_id, search_results.entity_id to `hash:`]",
        ),
        (
            "drop: [notes.author_user_id]",
            "other columns hold the ids of `notes.author_user_id`, too \
             [add search_results.entity_id, user_stats.user_id, users.user_id to `hash:`]",
        ),
        (
            "hash: [search_results.entity_id]",
            "other columns hold the ids of `search_results.entity_id`, too \
             [add notes.author_user_id, user_stats.user_id, users.user_id to `hash:`]",
        ),
        (
            "hash: [notes.note_id]",
            "`notes.note_id` cannot be hidden \
             [remove it: search_pages.note_id has the same ids, and redlake asks by it]",
        ),
    ];
    for (rules, told) in cases {
        assert_eq!(wrong_rules(rules), [told], "{rules}");
    }
}

#[test]
fn an_identity_may_be_hashed_and_dropped_as_a_whole() {
    let plan = with(
        "privacy: {hash: [users.user_id, user_stats.user_id, search_results.entity_id], \
         drop: [notes.author_user_id], salt: \"${REDLAKE_SALT}\"}",
    );
    let found: Vec<_> = plan.privacy.rules("search_results").collect();
    let [("entity_id", PrivacyRule::Hash(Some(only)))] = found[..] else {
        panic!("{found:?}");
    };
    assert_eq!(only.column, "entity");
    assert_eq!(only.identities.iter().collect::<Vec<_>>(), ["user"]);
}

#[test]
fn a_salt_is_needed_and_must_be_long() {
    let rules = "privacy: {hash: [users.nickname]}";
    assert_eq!(
        wrong(rules),
        [
            "hashing needs a salt [add `salt: \"${REDLAKE_SALT}\"` to `privacy:`, and set that variable \
             to at least 16 random characters]"
        ]
    );
    let rules = "privacy: {hash: [users.nickname], salt: \"${REDLAKE_SALT}\"}";
    for short in ["", "sixteen minus 1", "   four   "] {
        let error = try_with(rules, short).expect_err("too short").to_string();
        assert!(error.contains("the salt is too short"), "{error}");
        assert!(short.is_empty() || !error.contains(short.trim()), "{error}");
    }
    assert!(try_with(rules, "sixteen letters!").is_ok());
    // Spaces around it are none of it: a file that ends with a line break gives the same.
    let of = |salt: &str| {
        let plan = try_with(rules, salt).unwrap_or_else(|e| panic!("{e}"));
        plan.privacy.pseudonyms.map(|p| p.of("x"))
    };
    assert_eq!(of(SALT), of(&format!("{SALT}\n")));
}

#[test]
fn a_salt_that_is_not_set_is_told_once() {
    let rules = "privacy: {hash: [users.nickname], salt: \"${OTHER_SALT}\"}";
    let found = wrong(rules);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("the environment variable `OTHER_SALT` is not set"));
}

#[test]
fn a_salt_in_the_file_is_warned_of_and_never_shown() {
    let literal = "only-seen-in-the-file-9";
    let rules = |hash: &str, salt: &str| format!("privacy: {{hash: [{hash}], salt: {salt}}}");
    let plan = with(&rules("users.nickname", literal));
    assert_eq!(plan.warnings.len(), 1);
    assert!(warnings(&plan)[0].contains("put it into the environment"));
    assert!(!format!("{plan:?}").contains(literal));
    // Other mistakes on its line show the line, and not the salt.
    for (hash, salt) in [
        ("users.nicknam", literal),
        ("users.nickname", "seen-in-file"),
    ] {
        let error = try_with(&rules(hash, salt), SALT).expect_err("a mistake");
        let text = error.to_string();
        assert!(text.contains("privacy: {hash:"), "{text}");
        assert!(!text.contains(salt), "{text}");
    }
    let misspelt = format!("privacy: {{hsh: [], salt: \"{literal}\"}}");
    let text = try_with(&misspelt, SALT)
        .expect_err("a mistake")
        .to_string();
    assert!(
        text.contains("unknown key `hsh`") && !text.contains(literal),
        "{text}"
    );
}

#[test]
fn a_salt_in_a_wrong_place_is_not_shown_either() {
    let salt = "a \"quoted\" salt of some length";
    let wrong_places = [
        "privacy: \"${REDLAKE_SALT}\"",
        "privacy: {hash: \"${REDLAKE_SALT}\"}",
        "privacy: {hash: [\"${REDLAKE_SALT}\"]}",
        "privacy: {drop: [\"users.${REDLAKE_SALT}\"]}",
        "privacy: {scrub_phone_numbers: \"${REDLAKE_SALT}\"}",
        "timezone: \"${REDLAKE_SALT}\"",
        "raw: \"${REDLAKE_SALT}\"",
    ];
    for more in wrong_places {
        let text = try_with(more, salt).expect_err(more).to_string();
        assert!(!text.contains("quoted"), "{text}");
        let told = text.matches("${REDLAKE_SALT}").count();
        assert!(told > 1, "as it is written, and in the message: {text}");
    }
}

#[test]
fn the_salt_changes_pseudonyms_and_no_plan() {
    let rules = "privacy: {hash: [users.nickname], salt: \"${REDLAKE_SALT}\"}";
    let other = "another salt of 32 characters!!!";
    let [one, two] =
        [SALT, other].map(|salt| try_with(rules, salt).unwrap_or_else(|e| panic!("{e}")));
    assert_eq!(one.hash, two.hash);
    assert_eq!(
        one.hash,
        with("").hash,
        "and what is hidden is asked for all the same"
    );
    let pseudonym = |plan: Plan| plan.privacy.pseudonyms.map(|p| p.of("x"));
    assert!(!format!("{one:?}").contains(SALT));
    assert_ne!(pseudonym(one), pseudonym(two));
}

#[test]
fn columns_that_a_run_needs_cannot_be_hidden() {
    let detail = "  - {endpoint: note_detail, source: {name: xhs_open}, notes: {found_by: note_search, \
                  top: 5, by: liked_count}}";
    assert_eq!(
        wrong(&format!(
            "{detail}\nprivacy: {{drop: [engagement.liked_count]}}"
        )),
        ["`engagement.liked_count` is dropped, but ranks notes here \
          [rank them by another count, or keep this one]"]
    );
    let ids = "privacy: {hash: [users.user_id, user_stats.user_id, notes.author_user_id, \
               search_results.entity_id], salt: \"${REDLAKE_SALT}\"}";
    let search = |endpoint: &str| {
        format!(
            "  - {{endpoint: {endpoint}, keywords: [brands], \
             pages: {{max: 9, stop_when: {{known_share: 0.9}}}}}}\n{ids}"
        )
    };
    assert_eq!(
        wrong(&search("user_search")),
        ["`known_share` compares ids, which are hashed here \
          [remove `known_share`, or do not hash the ids]"]
    );
    // Notes keep their ids.
    with(&search("note_search"));
}

#[test]
fn answers_are_kept_as_long_as_the_pipeline_says() {
    assert_eq!(with("raw: none").raw, RawRetention::UntilTables);
    let month = Duration::from_secs(30 * 86_400);
    assert_eq!(with("raw: {keep: 30d}").raw, RawRetention::For(month));
    assert_eq!(
        wrong("raw: {keep: 0d}"),
        ["`keep` must be longer than 0 [write a time such as 30d, or `raw: none`]"]
    );
    assert_eq!(
        wrong("raw: nothing"),
        ["`none` or {keep: 30d} is needed here, not `nothing` [write `none` or {keep: 30d}]"]
    );
    assert_eq!(
        wrong("raw: {kept: 30d}"),
        ["unknown key `kept` [did you mean `keep`?]"]
    );
}
