use super::{PIPELINE, and, changed, try_plan};

/// What is wrong with a pipeline, each as `line:column message [hint]`.
pub(super) fn mistakes(pipeline: &str) -> Vec<String> {
    let Err(found) = try_plan(pipeline) else {
        panic!("nothing is wrong with:{pipeline}");
    };
    let mut told = Vec::new();
    for diagnostic in found.0.iter().filter(|d| !d.is_warning) {
        let (line, column) = diagnostic.position().expect("a place");
        let hint = diagnostic.hint.as_deref();
        let hint = hint.unwrap_or_else(|| panic!("no hint: {diagnostic:?}"));
        told.push(format!("{line}:{column} {} [{hint}]", diagnostic.message));
    }
    told
}

#[test]
fn each_mistake_has_its_place_and_a_hint() {
    let detail = |rest: &str| {
        and(&format!(
            "  - {{endpoint: note_detail, source: {{name: xhs_open}}{rest}}}\n"
        ))
    };
    let source = |rest: &str| changed("{name: justoneapi}", &format!("{{name: justoneapi{rest}}}"));
    let cases = [
        (
            changed("version: 1", "version: 2"),
            "2:10 unknown version 2 of the pipeline format [write `version: 1`]",
        ),
        (
            changed("pipeline: test", "pipeline: Übung"),
            "3:11 `Übung` cannot be the name of a pipeline [use 1 to 64 of a-z, 0-9, `_` and `-`]",
        ),
        (
            and("timezone: Asia/Shangai\n"),
            "11:11 unknown time zone `Asia/Shangai` [did you mean `Asia/Shanghai`?]",
        ),
        (
            and("timezone: Xx\n"),
            "11:11 unknown time zone `Xx` [write an IANA name such as Asia/Shanghai]",
        ),
        (
            and("timezone: Asia/Beijing\n"),
            "11:11 unknown time zone `Asia/Beijing` [write `Asia/Shanghai`, the name of China's time zone]",
        ),
        (
            and("timezone: UTC+8\n"),
            "11:11 unknown time zone `UTC+8` [write `Asia/Shanghai`, the name of China's time zone]",
        ),
        (
            and("timezone: 北京时间\n"),
            "11:11 unknown time zone `北京时间` [write `Asia/Shanghai`, the name of China's time zone]",
        ),
        (
            and("timezone: CST\n"),
            "11:11 unknown time zone `CST` [CST is the time of China, of Cuba and of Chicago: write \
             `Asia/Shanghai`, or the zone you mean]",
        ),
        (
            and("price: {note_search: 0.1, currency: RMB}\n"),
            "11:37 unknown currency `RMB` [write `CNY`]",
        ),
        (
            and("price: {note_search: 0.1, currency: 人民币}\n"),
            "11:37 unknown currency `人民币` [write `CNY`]",
        ),
        (
            and("price: {note_search: 0.1, currency: cny}\n"),
            "11:37 unknown currency `cny` [did you mean `CNY`?]",
        ),
        (
            and("price: {note_search: 0.1, currency: points}\n"),
            "11:37 unknown currency `points` [write its three letters of ISO 4217, such as CNY]",
        ),
        (
            and("limits: {requests_per_second: 0}\n"),
            "11:31 `requests_per_second` must be above 0 [write a number such as 2 or 0.5]",
        ),
        (
            and("limits: {cost_per_run: 0.05}\nprice: {note_search: 0.1, currency: CNY}\n"),
            "11:24 a budget of 0.05 does not pay for one call [a call costs up to 0.1]",
        ),
        (
            and("limits: {retries: 0, on_unknown_outcome: retry_once}\n"),
            "11:42 `on_unknown_outcome: retry_once` has no effect with `retries: 0` [write \
             `retries: 1` or more, or remove it]",
        ),
        (
            and("limits: {concurrency: 0}\n"),
            "11:23 `concurrency` must be at least 1 [write a whole number from 1]",
        ),
        (
            and("limits: {requests_per_second: -0.5}\n"),
            "11:31 `requests_per_second` must be above 0 [write a number such as 2 or 0.5]",
        ),
        (
            and("limits: {burst: 0}\n"),
            "11:17 `burst` must be at least 1 [write a whole number from 1]",
        ),
        (
            and("limits: {max_answer_mib: 0}\n"),
            "11:26 `max_answer_mib` must be at least 1 [write a whole number from 1]",
        ),
        (
            and("limits: {requests_per_run: 0}\n"),
            "11:28 `requests_per_run` must be at least 1 [write a whole number from 1]",
        ),
        (
            and("limits: {requests_per_day: 0}\n"),
            "11:28 `requests_per_day` must be at least 1 [write a whole number from 1]",
        ),
        (
            and("limits: {cost_per_run: 10}\n"),
            "11:24 this budget cannot be enforced: there is no price of note_search [add `note_search:` \
             to `price:`; 0 if it is free]",
        ),
        (
            and("limits: {cost_per_day: 10}\nprice: {user_search: 1, currency: CNY}\n"),
            "11:24 this budget cannot be enforced: there is no price of note_search [add `note_search:` \
             to `price:`; 0 if it is free]",
        ),
        (
            and("limits: {cost_per_day: lots}\n"),
            "11:24 `lots` is not an amount of money [write an amount such as 200 or 12.50]",
        ),
        (
            and("limits: {cost_per_day: -1}\n"),
            "11:24 `-1` is not an amount of money [write an amount such as 200 or 12.50]",
        ),
        (
            and("limits: {cost_per_run: nan}\n"),
            "11:24 `nan` is not an amount of money [write an amount such as 200 or 12.50]",
        ),
        (
            and("limits: {cost_per_run: 1e13}\n"),
            "11:24 `1e13` is not an amount of money [write an amount such as 200 or 12.50]",
        ),
        (
            and("price: {note_serch: 0.1, currency: CNY}\n"),
            "11:9 unknown endpoint `note_serch` [did you mean `note_search`?]",
        ),
        (
            and("price: {note_search: cheap, currency: CNY}\n"),
            "11:22 `cheap` is not a price [write the price of one call, such as 0.10]",
        ),
        (
            and("price: {note_search: -1, currency: CNY}\n"),
            "11:22 `-1` is not a price [write the price of one call, such as 0.10]",
        ),
        (
            and("price: {note_search: 0.1}\n"),
            "11:9 the currency of the prices is missing [add `currency: CNY`]",
        ),
        (
            and("load: {compression: zstd(23)}\n"),
            "11:21 unknown compression `zstd(23)` [use zstd(1) to zstd(22), snappy or uncompressed]",
        ),
        (
            changed("name: justoneapi", "name: justonapi"),
            "4:16 unknown source `justonapi` [did you mean `justoneapi`?]",
        ),
        (
            source(", base_url: prod-globl"),
            "4:38 justoneapi has no address `prod-globl` [did you mean `prod-global`?; or any http(s) URL]",
        ),
        (
            source(", dialect: enums"),
            "4:37 unknown dialect `enums` [did you mean `enum`?]",
        ),
        (
            source(", base_url: prod-cn, sandbox: {seed: 1}"),
            "4:38 only the sandbox has sandbox options [write `base_url: sandbox`, or remove `sandbox:`]",
        ),
        (
            source(", base_url: sandbox, sandbox: {late_notes: 101}"),
            "4:69 `late_notes` is a percentage, at most 100 [write 5 for 5 of 100 notes]",
        ),
        (
            source(", base_url: sandbox, sandbox: {removed_notes: 101}"),
            "4:72 `removed_notes` is a percentage, at most 100 [write 5 for 5 of 100 notes]",
        ),
        (
            source(", base_url: sandbox, sandbox: {retitled_notes: 101}"),
            "4:73 `retitled_notes` is a percentage, at most 100 [write 5 for 5 of 100 notes]",
        ),
        (
            source(", base_url: sandbox, sandbox: {clock: noon}"),
            "4:64 `noon` is not a time [write it as in 2026-03-09T12:00:00+08:00]",
        ),
        (
            source(", base_url: sandbox, sandbox: {clock: 2026-03-09 12:00}"),
            "4:64 `2026-03-09 12:00` has no time zone [write it as in 2026-03-09T12:00:00+08:00]",
        ),
        (
            source(", base_url: sandbox, sandbox: {clock: 2026-03-09}"),
            "4:64 `2026-03-09` has no time of day and no time zone [write it as in 2026-03-09T12:00:00+08:00]",
        ),
        (
            changed("endpoint: note_search", "endpoint: note_serch"),
            "8:15 justoneapi has no endpoint `note_serch` [did you mean `note_search`?]",
        ),
        (
            changed("endpoint: note_search", "endpoint: note_detail"),
            "8:15 justoneapi has no endpoint `note_detail` [add `source: {name: xhs_open}` to this entry]",
        ),
        (
            changed("    keywords: [brands]\n", ""),
            "8:15 note_search needs keywords [add `keywords: [name of a set]`]",
        ),
        (
            changed("keywords: [brands]", "keywords: [brand]"),
            "9:16 unknown keyword set `brand` [did you mean `brands`?]",
        ),
        (
            changed("[海蓝之谜, 兰蔻]", "['', ' ']"),
            "6:11 the keyword set `brands` is empty [add a keyword]",
        ),
        (
            changed("    pages: {max: 3}\n", ""),
            "8:15 `pages.max` is missing for note_search [add `pages: {max: 10}`; every page is a paid call]",
        ),
        (
            changed("max: 3", "max: 0"),
            "10:18 `max` must be at least 1 [write a whole number from 1]",
        ),
        (
            changed("pages:", "filters: {sort: newst}\n    pages:"),
            "10:21 unknown sort value `newst` [did you mean `newest`?]",
        ),
        (
            changed("pages:", "filters: {sort: [general, newst]}\n    pages:"),
            "10:31 unknown sort value `newst` [did you mean `newest`?]",
        ),
        (
            changed(
                "note_search\n",
                "user_search\n    filters: {sort: newest}\n",
            ),
            "8:5 user_search has no filter `sort` [remove this filter]",
        ),
        (
            changed("pages:", "notes: {ids: [a]}\n    pages:"),
            "10:12 note_search takes no note ids [remove `notes:`]",
        ),
        (
            detail(""),
            "11:16 note_detail needs notes [add `notes: {found_by: note_search, top: 50, by: \
             liked_count}` or `{ids: […]}`]",
        ),
        (
            detail(", notes: {ids: [a]}, keywords: [brands]"),
            "11:85 note_detail takes no keywords [remove `keywords:`]",
        ),
        (
            detail(", notes: {ids: [a]}, pages: {max: 2}"),
            "11:87 note_detail has no pages [remove `pages:`]",
        ),
        (
            detail(", notes: {ids: [a], top: 3}"),
            "11:62 `top`, `by`, `seen_within` and `not_refreshed_for` choose among notes that were found [remove them, or use `found_by`]",
        ),
        (
            detail(", notes: {ids: [../users]}"),
            "11:69 `../users` is not a note id [write letters and digits, such as 649c46ab000000002702ad36]",
        ),
        (
            detail(", notes: {ids: []}"),
            "11:62 no note is named [add ids, or remove this entry]",
        ),
        (
            detail(", notes: {ids: ['']}"),
            "11:69 `` is not a note id [write letters and digits, such as 649c46ab000000002702ad36]",
        ),
        (
            detail(", notes: {ids: [a], found_by: note_search}"),
            "11:62 `notes` needs exactly one source of notes [give exactly one of `found_by`, `ids` and `file`]",
        ),
        (
            detail(", notes: {found_by: note_serch, top: 1, by: liked_count}"),
            "11:73 unknown note-finding endpoint of this pipeline `note_serch` [did you mean `note_search`?]",
        ),
        (
            detail(", notes: {found_by: note_search, by: liked_count}"),
            "11:62 `top` is missing [add `top: 50`]",
        ),
        (
            detail(", notes: {found_by: note_search, top: 0, by: liked_count}"),
            "11:91 `top` must be at least 1 [write a whole number from 1]",
        ),
        (
            detail(", notes: {found_by: note_search, top: 1}"),
            "11:62 `by` is missing [add `by: liked_count`]",
        ),
        (
            detail(", notes: {found_by: note_search, top: 1, by: liked}"),
            "11:98 unknown count of engagement `liked` [use one of: liked_count, collected_count, comments_count, shared_count, nice_count]",
        ),
    ];
    for (pipeline, told) in cases {
        assert_eq!(mistakes(&pipeline), [told], "{pipeline}");
    }
}

#[test]
fn a_wrong_stop_rule_has_its_place_and_a_hint() {
    let rules = |rules: &str| {
        let stop_when = format!("max: 3, stop_when: {{{rules}}}");
        changed("max: 3", &stop_when)
    };
    let users = |text: &str| rules(text).replace("note_search", "user_search");
    let share = "10:46 `known_share` must be above 0 and at most 1 [write 0.9 to stop where 9 of 10 are known]";
    let older = "10:45 `older_than` needs the newest first: in another order old notes say nothing \
                 about the next page [add `newest` to `filters: {sort: …}`, or remove `older_than`]";
    let cases = [
        (rules("known_share: 0"), share),
        (rules("known_share: -0.5"), share),
        (rules("known_share: 1.01"), share),
        (
            rules("known_within: 7d"),
            "10:47 `known_within` needs `known_share` [add `known_share: 0.9`, or remove it]",
        ),
        (
            rules("recheck: {every: 1d, pages: 2}"),
            "10:42 `recheck` needs `known_share` [add `known_share: 0.9`, or remove it]",
        ),
        (
            rules("known_share: 1, recheck: {every: 0h, pages: 2}"),
            "10:66 `every` must be at least 1s [write a time such as 6h]",
        ),
        (
            rules("known_share: 1, recheck: {every: 1d, pages: 1}"),
            "10:77 `pages` of `recheck` must be at least 2: every search requests page 1 \
             [write a number from 2 to `max`]",
        ),
        (
            rules("known_share: 1, recheck: {every: 1d, pages: 4}"),
            "10:77 a recheck of 4 pages is deeper than `max: 3` [raise `max` to 4, or write fewer \
             `pages`]",
        ),
        (
            rules("short_page: 0"),
            "10:45 `short_page` must be at least 1 [write a whole number from 1]",
        ),
        (rules("older_than: 7d"), older),
        (
            rules("older_than: 7d").replace("pages:", "filters: {sort: popular}\n    pages:"),
            &older.replace("10:", "11:"),
        ),
        (
            users("older_than: 7d"),
            "10:45 this endpoint's items have no publication time [remove `older_than`]",
        ),
    ];
    for (pipeline, told) in cases {
        assert_eq!(mistakes(&pipeline), [told], "{pipeline}");
    }
}

#[test]
fn what_chooses_among_found_notes_needs_found_notes() {
    let told = "11:62 `top`, `by`, `seen_within` and `not_refreshed_for` choose among notes that \
                were found [remove them, or use `found_by`]";
    for rule in [
        "seen_within: 7d",
        "not_refreshed_for: 1d",
        "by: liked_count",
    ] {
        let pipeline = and(&format!(
            "  - {{endpoint: note_detail, source: {{name: xhs_open}}, notes: {{ids: [a], {rule}}}}}\n"
        ));
        assert_eq!(mistakes(&pipeline), [told], "{rule}");
    }
}

#[test]
fn every_endpoint_without_a_price_is_named() {
    let more = "  - {endpoint: user_search, keywords: [brands], pages: {max: 1}}
limits: {cost_per_run: 10}
";
    assert_eq!(
        mistakes(&and(more)),
        [
            "12:24 this budget cannot be enforced: there is no price of note_search, user_search \
          [add `note_search:` to `price:`; 0 if it is free]"
        ]
    );
}

#[test]
fn a_mistake_that_several_entries_share_is_told_once() {
    let pipeline = changed("name: justoneapi", "name: justonapi").replace(
        "extract:\n",
        "extract:\n  - {endpoint: user_search, keywords: [brands], pages: {max: 1}}\n",
    );
    assert_eq!(
        mistakes(&pipeline),
        ["4:16 unknown source `justonapi` [did you mean `justoneapi`?]"]
    );
}

#[test]
fn one_source_has_one_address() {
    let more = "  - endpoint: user_search
    source: {name: justoneapi, base_url: sandbox}
    keywords: [brands]
    pages: {max: 1}
";
    assert_eq!(
        mistakes(&and(more)),
        [
            "12:20 the source `justoneapi` already has another address here \
          [give one source one base_url in a pipeline]"
        ]
    );
}

#[test]
fn nothing_to_extract_is_a_mistake() {
    let (nothing, _) = PIPELINE.split_once("extract:").expect("the key");
    assert_eq!(
        mistakes(&format!("{nothing}extract: []\n")),
        ["3:11 the pipeline extracts nothing [add an entry to `extract:`]"]
    );
}

#[test]
fn mistakes_come_in_the_order_of_the_file() {
    let pipeline = changed("version: 1", "version: 2")
        .replace("max: 3", "max: 0")
        .replace("pipeline: test", "pipeline: ''");
    let mistakes = mistakes(&pipeline);
    let places: Vec<_> = mistakes
        .iter()
        .filter_map(|m| m.split(' ').next())
        .collect();
    assert_eq!(places, ["2:10", "3:11", "10:18"]);
}
