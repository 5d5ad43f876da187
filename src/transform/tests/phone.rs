//! Which numbers are taken out of a text, and that nothing else is.

use std::borrow::Cow;

use proptest::prelude::*;

use crate::transform::quality::phone::scrub_phone_numbers;

fn scrubbed(text: &str) -> String {
    scrub_phone_numbers(text).into_owned()
}

#[test]
fn mobile_numbers_are_found_however_they_are_written() {
    let written = [
        "13800138000",
        "19912345678",
        "138 0013 8000",
        "138-0013-8000",
        "1380 013 8000",
        "1 3 8 0 0 1 3 8 0 0 0",
        "138\u{2011}0013\u{2011}8000",
        "138\u{2013}0013\u{2013}8000",
        "138\u{FF0D}0013\u{FF0D}8000",
        "138.0013.8000",
        "138\u{B7}0013\u{B7}8000",
        "138 - 0013 - 8000",
        "138\u{3000}0013\u{A0}8000",
        "138\u{200B}00138000",
        "\u{FF11}\u{FF13}\u{FF18}\u{FF10}\u{FF10}\u{FF11}\u{FF13}\u{FF18}\u{FF10}\u{FF10}\u{FF10}",
        "1\u{FF13}8 0\u{FF10}13-8000",
        "+8613800138000",
        "+86 138 0013 8000",
        "+86-13800138000",
        "\u{FF0B}\u{FF18}\u{FF16} 138 0013 8000",
        "8613800138000",
        "008613800138000",
        "0086 138 0013 8000",
        "1\u{FE0F}\u{20E3}3\u{FE0F}\u{20E3}8\u{20E3}00138000\u{FE0F}\u{20E3}",
        "138<b>0013</b>8000",
        "138&nbsp;0013&nbsp;8000",
        "138<br/>0013<br/>8000",
    ];
    for number in written {
        for (before, after) in [
            ("", ""),
            ("\u{7535}\u{8BDD}", "\u{52A0}\u{6211}"),
            ("tel:", ", or"),
            ("V", "abc"),
            ("5 ", " 7"),
            ("(", ")"),
            ("2024-", "\n8"),
        ] {
            let text = format!("{before}{number}{after}");
            assert_eq!(scrubbed(&text), format!("{before}[phone]{after}"), "{text}");
        }
    }
    assert_eq!(
        scrubbed("13800138000,13900139000 15012345678"),
        "[phone],[phone] [phone]"
    );
}

#[test]
fn other_numbers_stay() {
    for text in [
        "",
        "12800138000",
        "1380013800",
        "138001380001",
        "00013800138000",
        "23800138000",
        "order 202603091380013800",
        "1380 0138 0012 3456",
        "6222021380013800013",
        "4413800138000x",
        "010-8888 6666",
        "400-800-8820",
        "649c46ab000000002702ad36",
        "138\n0013\n8000",
        "138    0013    8000",
        "138,0013,8000",
        "\u{2460}\u{2462}\u{2467}00138000",
        "1\u{4E09}800138000",
        "5138001380001",
    ] {
        assert!(
            matches!(scrub_phone_numbers(text), Cow::Borrowed(same) if same == text),
            "{text} became {}",
            scrubbed(text)
        );
    }
}

/// An account number of eleven digits cannot be told from a telephone number.
#[test]
fn an_account_number_like_a_telephone_number_is_taken_for_one() {
    let text = "\u{5C0F}\u{7EA2}\u{4E66}\u{53F7}:13912345678";
    assert_eq!(scrubbed(text), "\u{5C0F}\u{7EA2}\u{4E66}\u{53F7}:[phone]");
}

#[test]
fn a_tag_without_end_takes_no_time() {
    let text = "1<".repeat(200_000);
    assert_eq!(scrubbed(&text), text);
}

/// The digits of a number, each perhaps full-width, with something or nothing between two.
fn written_number() -> impl Strategy<Value = String> {
    let digit = |values: &'static str| {
        let values: Vec<char> = values.chars().collect();
        (prop::sample::select(values), any::<bool>()).prop_map(|(digit, wide)| {
            if wide {
                char::from_u32(digit as u32 + 0xFEE0).unwrap_or(digit)
            } else {
                digit
            }
        })
    };
    let separator = prop::sample::select(vec![
        "", "", "", " ", "-", "\u{2011}", "\u{2013}", "\u{FF0D}", "\u{3000}", ".",
    ]);
    let country = prop::sample::select(vec!["", "+86 ", "86", "0086-", "\u{FF0B}86"]);
    let rest = prop::collection::vec((separator.clone(), digit("0123456789")), 9);
    (country, digit("1"), separator, digit("3456789"), rest).prop_map(
        |(country, first, gap, second, rest)| {
            let rest: String = rest.into_iter().map(|(s, d)| format!("{s}{d}")).collect();
            format!("{country}{first}{gap}{second}{rest}")
        },
    )
}

/// Whether eleven digits that stand together, and no more of them, are a mobile number.
fn has_plain_number(text: &str) -> bool {
    let half_width = |c: char| match c {
        '\u{FF10}'..='\u{FF19}' => char::from_u32(c as u32 - 0xFEE0).unwrap_or(c),
        c => c,
    };
    let text: String = text.chars().map(half_width).collect();
    let mut runs = text.split(|c: char| !c.is_ascii_digit());
    runs.any(|run| {
        let run = match run.len() {
            13 => run.strip_prefix("86").unwrap_or(run),
            _ => run,
        };
        run.len() == 11 && run.starts_with('1') && run.as_bytes()[1] >= b'3'
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_number_goes_and_the_text_around_it_stays(
        before in "[^0-9\u{FF10}-\u{FF19}+\u{FF0B}]*",
        number in written_number(),
        after in "[^0-9\u{FF10}-\u{FF19}\u{FE0F}\u{20E3}][^0-9\u{FF10}-\u{FF19}]*",
    ) {
        let text = format!("{before}{number}{after}");
        prop_assert_eq!(scrubbed(&text), format!("{before}[phone]{after}"));
    }

    #[test]
    fn none_survives_and_twice_is_once(text in "([0-9]{1,5}|1[3-9][0-9]{9}|[\u{FF10}-\u{FF19}]{3,4}|[-. a+]|86){0,30}") {
        let once = scrubbed(&text);
        prop_assert!(!has_plain_number(&once), "{once}");
        prop_assert_eq!(scrubbed(&once), once);
    }

    #[test]
    fn a_text_with_few_digits_is_not_touched(text in "[^0-9\u{FF10}-\u{FF19}]*[0-9]{0,10}[^0-9\u{FF10}-\u{FF19}]*") {
        prop_assert!(matches!(scrub_phone_numbers(&text), Cow::Borrowed(_)));
    }
}
