mod texts;

use chrono::{DateTime, Utc};
use proptest::prelude::*;

use crate::spec::source::{Form, Mapping, Unit};
use crate::spec::table::ColumnType;
use crate::transform::page::captures::Scalar;
use crate::transform::program::coerce::{Convert, hashtags};
use crate::transform::program::value::{BadReason, Cell};

fn text(text: &str) -> Scalar<'_> {
    Scalar::Text(text)
}

/// What becomes of a value on its way to a column of this type.
fn converted<'a>(
    kind: ColumnType,
    mapping: Mapping,
    value: Scalar<'a>,
) -> Result<Option<Cell<'a>>, BadReason> {
    let convert = Convert::compile(&mapping, kind).expect("a mapping that makes sense");
    let cell = convert.apply(value, None)?;
    Ok(cell.map(Cell::into_owned))
}

fn plain(kind: ColumnType, value: Scalar<'_>) -> Result<Option<Cell<'_>>, BadReason> {
    converted(kind, Mapping::default(), value)
}

fn count(value: Scalar<'_>) -> Result<Option<Cell<'_>>, BadReason> {
    let form = Some(Form::Count);
    converted(
        ColumnType::Int64,
        Mapping {
            form,
            ..Mapping::default()
        },
        value,
    )
}

#[test]
fn a_shortened_count_is_exact() {
    let cases = [
        ("0", 0),
        ("15", 15),
        ("1,234", 1_234),
        ("1,234,567", 1_234_567),
        ("999+", 999),
        ("1.2万", 12_000),
        ("1.2 万", 12_000),
        ("1.2w", 12_000),
        ("1.2W", 12_000),
        // As floats these are 24.199999… and 3.8999999….
        ("24.2万", 242_000),
        ("3.9万", 39_000),
        ("10万+", 100_000),
        ("1.2345万", 12_345),
        ("1.2300000万", 12_300),
        ("1.5千", 1_500),
        ("2k", 2_000),
        ("3.14159265亿", 314_159_265),
        ("1\u{FF0C}234", 1_234),
        ("\u{FF11}.\u{FF12}万", 12_000),
        ("\u{FF11}\u{FF0E}\u{FF12}万\u{FF0B}", 12_000),
        ("9223372036854775807", i64::MAX),
    ];
    for (written, meant) in cases {
        assert_eq!(
            count(text(written)),
            Ok(Some(Cell::Int(meant))),
            "{written}"
        );
    }
    assert_eq!(count(Scalar::Int(7)), Ok(Some(Cell::Int(7))));
    assert_eq!(count(Scalar::Absent), Ok(None));
}

#[test]
fn what_is_no_whole_count_is_bad() {
    let texts = [
        "",
        "+",
        "万",
        ".5",
        "0.5",
        "1.23456万",
        "1.2345k",
        "-3",
        "1e3",
        "1.2.3万",
        "万1",
        "12人",
        "十",
        "1万亿",
        "1++",
    ];
    for written in texts {
        assert_eq!(count(text(written)), Err("not a count"), "{written}");
    }
    for written in [
        "99999999999亿",
        "9223372036854775808",
        "1234567890123456789万+",
    ] {
        assert_eq!(count(text(written)), Err("larger than int64"), "{written}");
    }
    assert_eq!(count(Scalar::Float(2.9)), Err("not a whole number"));
    assert_eq!(count(Scalar::Bool(true)), Err("not a whole number"));
}

const NOT_EXACT: &str = "an integer beyond 2^53, which float64 does not hold exactly";

#[test]
fn a_whole_number_is_never_rounded() {
    let cases = [
        (Scalar::Int(-5), Ok(-5)),
        (Scalar::Int(i64::MIN), Ok(i64::MIN)),
        (text("5"), Ok(5)),
        (text(" 5 "), Ok(5)),
        (text("-5"), Ok(-5)),
        (Scalar::Float(1e3), Ok(1_000)),
        (Scalar::Float(-0.0), Ok(0)),
        (
            Scalar::Float(9_007_199_254_740_991.0),
            Ok(9_007_199_254_740_991),
        ),
        // It may have been 2^53 + 1.
        (Scalar::Float(9_007_199_254_740_992.0), Err(NOT_EXACT)),
        (Scalar::Float(2.9), Err("not a whole number")),
        (Scalar::Float(1e300), Err("larger than int64")),
        (Scalar::Float(-1e300), Err("smaller than int64")),
        (Scalar::Number("1e3"), Ok(1_000)),
        (Scalar::Number("-1.25E+2"), Ok(-125)),
        (Scalar::Number("120e-1"), Ok(12)),
        (Scalar::Number("-0"), Ok(0)),
        (Scalar::Number("0.0e400"), Ok(0)),
        (
            Scalar::Number("9007199254740993.0"),
            Ok(9_007_199_254_740_993),
        ),
        (Scalar::Number("-9.223372036854775808e18"), Ok(i64::MIN)),
        (
            Scalar::Number("9.223372036854775808e18"),
            Err("larger than int64"),
        ),
        (
            Scalar::Number("12345678901234567890123"),
            Err("larger than int64"),
        ),
        (
            Scalar::Number("-12345678901234567890123"),
            Err("smaller than int64"),
        ),
        (Scalar::Number("1e400"), Err("larger than int64")),
        (Scalar::Number("-1e400"), Err("smaller than int64")),
        (
            Scalar::Number("1e99999999999999999999"),
            Err("larger than int64"),
        ),
        (Scalar::Number("2.50"), Err("not a whole number")),
        (Scalar::Number("1e-400"), Err("not a whole number")),
        (
            Scalar::Number("1e-99999999999999999999"),
            Err("not a whole number"),
        ),
        (Scalar::Uint(u64::MAX), Err("larger than int64")),
        (text("5.0"), Err("not a whole number")),
        (text("1,234"), Err("not a whole number")),
        (text("9223372036854775808"), Err("larger than int64")),
        (text("-9223372036854775809"), Err("smaller than int64")),
        (text("99999999999999999999x"), Err("not a whole number")),
        (text(""), Err("not a whole number")),
        (Scalar::Bool(true), Err("not a whole number")),
        (Scalar::Nested("array"), Err("not a whole number")),
    ];
    for (value, expected) in cases {
        let expected = expected.map(|number| Some(Cell::Int(number)));
        assert_eq!(plain(ColumnType::Int64, value), expected, "{value:?}");
    }
}

#[test]
fn a_number_may_be_written_as_text_and_scaled() {
    let cases = [
        (Scalar::Int(3), Ok(3.0)),
        (Scalar::Uint(u64::MAX), Err(NOT_EXACT)),
        (Scalar::Int(i64::MAX), Err(NOT_EXACT)),
        (Scalar::Number("12345678901234567890123"), Err(NOT_EXACT)),
        (Scalar::Number("2.50"), Ok(2.5)),
        (Scalar::Number("1e400"), Err("larger than float64")),
        (Scalar::Number("-1e400"), Err("smaller than float64")),
        (Scalar::Float(31.2304), Ok(31.2304)),
        (text(" -0.5 "), Ok(-0.5)),
        (text("1e3"), Ok(1_000.0)),
        (text("NaN"), Err("not a number")),
        (text("inf"), Err("not a number")),
        (text("1e999"), Err("larger than float64")),
        (text("12 km"), Err("not a number")),
        (Scalar::Bool(false), Err("not a number")),
    ];
    for (value, expected) in cases {
        let expected = expected.map(|number| Some(Cell::Float(number)));
        assert_eq!(plain(ColumnType::Float64, value), expected, "{value:?}");
    }
    let scale = Some(0.001);
    let scaled = converted(
        ColumnType::Float64,
        Mapping {
            scale,
            ..Mapping::default()
        },
        Scalar::Int(61_500),
    );
    assert_eq!(scaled, Ok(Some(Cell::Float(61.5))));
}

#[test]
fn truth_is_written_in_few_ways() {
    let cases = [
        (Scalar::Bool(true), Ok(true)),
        (Scalar::Int(0), Ok(false)),
        (Scalar::Int(1), Ok(true)),
        (text("true"), Ok(true)),
        (text("false"), Ok(false)),
        (Scalar::Int(2), Err("not a truth value")),
        (text("yes"), Err("not a truth value")),
        (text(""), Err("not a truth value")),
        (Scalar::Float(1.0), Err("not a truth value")),
    ];
    for (value, expected) in cases {
        let expected = expected.map(|truth| Some(Cell::Bool(truth)));
        assert_eq!(plain(ColumnType::Bool, value), expected, "{value:?}");
    }
}

#[test]
fn an_instant_is_read_in_its_unit_and_only_from_1990_to_2100() {
    let range = Err("not a time from 1990 to 2099");
    let iso = Err("not an ISO 8601 time with offset");
    let march = 1_772_861_202;
    let cases = [
        (Unit::S, Scalar::Int(march), Ok(march * 1_000_000)),
        (Unit::S, text("1772861202"), Ok(march * 1_000_000)),
        (
            Unit::Ms,
            Scalar::Int(1_772_963_261_123),
            Ok(1_772_963_261_123_000),
        ),
        // Seconds taken for milliseconds, and the other way round.
        (Unit::Ms, Scalar::Int(march), range),
        (Unit::S, Scalar::Int(march * 1_000), range),
        (Unit::S, Scalar::Int(0), range),
        (Unit::S, Scalar::Int(631_151_999), range),
        (Unit::S, Scalar::Int(631_152_000), Ok(631_152_000_000_000)),
        (
            Unit::S,
            Scalar::Int(4_102_444_799),
            Ok(4_102_444_799_000_000),
        ),
        (Unit::S, Scalar::Int(4_102_444_800), range),
        (Unit::S, Scalar::Int(i64::MAX), range),
        (Unit::Ms, Scalar::Int(i64::MIN), range),
        (Unit::S, Scalar::Float(0.5), Err("not a whole number")),
        (Unit::S, text("yesterday"), Err("not a whole number")),
        (
            Unit::Iso8601,
            text("2026-03-07T13:26:42+08:00"),
            Ok(march * 1_000_000),
        ),
        (
            Unit::Iso8601,
            text("2026-03-07T05:26:42.000001Z"),
            Ok(march * 1_000_000 + 1),
        ),
        (Unit::Iso8601, text("2026-03-07T05:26:42"), iso),
        (Unit::Iso8601, text("2026-02-30T05:26:42Z"), iso),
        (Unit::Iso8601, text("1969-12-31T00:00:00Z"), range),
        (Unit::Iso8601, Scalar::Int(march), iso),
    ];
    for (unit, value, expected) in cases {
        let mapping = Mapping {
            unit: Some(unit),
            ..Mapping::default()
        };
        let expected = expected.map(|micros| Some(Cell::Instant(micros)));
        let instant = converted(ColumnType::Timestamp, mapping, value);
        assert_eq!(instant, expected, "{unit:?} {value:?}");
    }
}

#[test]
fn zero_is_null_and_empty_is_null_where_the_contract_says_so() {
    let mapping = |zero_is_null, empty_is_null| Mapping {
        unit: Some(Unit::S),
        zero_is_null,
        empty_is_null,
        ..Mapping::default()
    };
    let zeros = [Scalar::Int(0), text("0"), Scalar::Float(0.0)];
    for value in zeros {
        for empty_is_null in [false, true] {
            let null = mapping(true, empty_is_null);
            assert_eq!(converted(ColumnType::Timestamp, null, value), Ok(None));
        }
        let kept = converted(ColumnType::Timestamp, mapping(false, true), value);
        assert_eq!(kept, Err("not a time from 1990 to 2099"), "{value:?}");
    }
    let string =
        |empty_is_null| converted(ColumnType::String, mapping(false, empty_is_null), text(""));
    assert_eq!(string(true), Ok(None));
    assert_eq!(string(false), Ok(Some(Cell::Text("".into()))));
    let blank = converted(ColumnType::String, mapping(true, true), text(" "));
    assert_eq!(blank, Ok(None));
}

#[test]
fn a_window_has_a_beginning_that_belongs_to_it() {
    let mapping = Mapping {
        unit: Some(Unit::S),
        within_window: true,
        ..Mapping::default()
    };
    let within = Convert::compile(&mapping, ColumnType::Bool).expect("a mapping");
    let begin: DateTime<Utc> = "2026-03-07T05:26:42Z".parse().expect("a time");
    let at = |seconds| within.apply(Scalar::Int(seconds), Some(begin));
    assert_eq!(at(1_772_861_202), Ok(Some(Cell::Bool(true))));
    assert_eq!(at(1_772_861_201), Ok(Some(Cell::Bool(false))));
    assert_eq!(at(7), Err("not a time from 1990 to 2099"));
    assert_eq!(within.apply(Scalar::Int(7), None), Ok(None));
    assert_eq!(within.apply(Scalar::Absent, Some(begin)), Ok(None));
}

#[test]
fn a_mapping_that_makes_no_sense_is_refused() {
    let pattern = |pattern: &str| Mapping {
        pattern: Some(pattern.to_owned()),
        ..Mapping::default()
    };
    let within = Mapping {
        within_window: true,
        ..Mapping::default()
    };
    let cases = [
        (pattern("("), ColumnType::String, "the pattern is wrong: "),
        (
            pattern("a(?<other>b)"),
            ColumnType::String,
            "the pattern has no group (?<value>…)",
        ),
        (
            Mapping::default(),
            ColumnType::Timestamp,
            "an instant needs `unit: s`, `ms` or `iso8601`",
        ),
        (
            within,
            ColumnType::Bool,
            "`within_window` makes a bool of an instant with a `unit`",
        ),
    ];
    for (mapping, kind, message) in cases {
        let error = Convert::compile(&mapping, kind).expect_err(message);
        assert!(error.starts_with(message), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_shortened_count_is_its_decimals_times_ten_thousand(whole in 0_i64..1_000_000, tenths in 0_i64..10) {
        let written = format!("{whole}.{tenths}万");
        prop_assert_eq!(count(text(&written)), Ok(Some(Cell::Int(whole * 10_000 + tenths * 1_000))));
    }

    #[test]
    fn no_text_panics(written in any::<String>()) {
        for kind in [ColumnType::String, ColumnType::Int64, ColumnType::Float64, ColumnType::Bool] {
            let _ = plain(kind, text(&written));
        }
        let _ = count(text(&written));
        let form = Some(Form::HtmlText);
        let _ = converted(ColumnType::String, Mapping { form, ..Mapping::default() }, text(&written));
        prop_assert!(hashtags(&written).all(|tag| !tag.is_empty() && !tag.contains('#')));
    }
}
