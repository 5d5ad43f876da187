//! Texts that were cut in the middle of an emoji.

use proptest::prelude::*;

use crate::transform::page::repair::without_lone_surrogates;

#[test]
fn only_halves_that_stand_alone_are_replaced() {
    let cases = [
        (r#""好""#, None),
        (r#""\ud83d\ude00""#, None),
        // The backslash is escaped: what follows is text.
        (r#""\\ud83d""#, None),
        (r#""a\ud83d""#, Some(r#""a\ufffd""#)),
        (r#""\ude00b""#, Some(r#""\ufffdb""#)),
        (r#""\ud83d\ud83d\ude00""#, Some(r#""\ufffd\ud83d\ude00""#)),
        (r#""\ud83d\n\u597d""#, Some(r#""\ufffd\n\u597d""#)),
        (r#""\ud83d\"#, Some(r#""\ufffd\"#)),
    ];
    for (body, repaired) in cases {
        assert_eq!(without_lone_surrogates(body).as_deref(), repaired, "{body}");
    }
}

proptest! {
    #[test]
    fn what_is_repaired_is_whole(
        parts in prop::collection::vec(
            prop::sample::select(vec!["\\ud83d", "\\ude00", "\\", "\\u", "\\u00e9", "好", "a", "\""]),
            0..12,
        )
    ) {
        let body = parts.concat();
        if let Some(repaired) = without_lone_surrogates(&body) {
            prop_assert_ne!(&repaired, &body);
            prop_assert_eq!(without_lone_surrogates(&repaired), None);
        }
    }
}
