//! Results for Excel: workbooks, and CSV with `--excel`.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use calamine::{Data, Reader, Xlsx, open_workbook};
use zip::ZipArchive;

use crate::support::{Lake, fail, succeed};
use crate::upkeep::lake_with_runs;

/// Returns the rows of a workbook's only sheet, with its header.
fn rows(path: &Path) -> Vec<Vec<Data>> {
    let mut workbook: Xlsx<_> = open_workbook(path).expect("a workbook");
    assert_eq!(workbook.sheet_names(), ["result"]);
    let sheet = workbook.worksheet_range("result").expect("a sheet");
    sheet.rows().map(<[Data]>::to_vec).collect()
}

/// Returns a part of a workbook.
fn part(path: &Path, name: &str) -> String {
    let mut archive = ZipArchive::new(File::open(path).expect("the file")).expect("an archive");
    let mut text = String::new();
    let mut part = archive.by_name(name).expect("the part");
    part.read_to_string(&mut text).expect("UTF-8");
    text
}

fn write_result(lake: &Lake, sql: &str, name: &str, more: &[&str]) -> std::path::PathBuf {
    let path = lake.path().with_file_name(name);
    let args = ["query", sql, "--timezone", "Asia/Shanghai"];
    succeed(lake.redlake(&args).arg("-o").arg(&path).args(more));
    path
}

#[test]
fn a_workbook_has_typed_values_and_nothing_is_rounded() {
    let (lake, _) = lake_with_runs(&[(8, 1)]);
    let sql = "select 7 as whole, 999999999999999 as most, 9007199254740993 as large, \
               1.25::decimal(10,2) as money, 1234567890123456.5::decimal(30,1) as fine, \
               0.1 + 0.2::double as ratio, 'nan'::double as none, true as flag, \
               date '2026-02-20' as day, date '1899-12-31' as old, \
               timestamptz '2026-02-19 22:00:00+00' as seen_at, timestamp '2026-02-20 06:00:00' as local, \
               null as nothing, '=1+1' as formula, '00123' as code, E'_x0041_\\x01' as control, \
               [1, 2] as list, sum(2) as total, '' as empty from range(3)";
    let path = write_result(&lake, sql, "typed.xlsx", &[]);
    let rows = rows(&path);
    let names = rows[0].iter().map(ToString::to_string);
    let names: Vec<String> = names.collect();
    assert_eq!(names[..4], ["whole", "most", "large", "money"]);
    let value = |name: &str| {
        let at = names.iter().position(|n| n == name).expect("a column");
        &rows[1][at]
    };
    let number = |name: &str| match value(name) {
        Data::Float(number) => *number,
        Data::Int(number) => *number as f64,
        other => panic!("{name} is {other:?}"),
    };
    assert_eq!(number("whole"), 7.0);
    assert_eq!(number("most"), 999_999_999_999_999.0);
    assert_eq!(number("money"), 1.25);
    assert_eq!(number("ratio"), 0.1 + 0.2);
    assert_eq!(number("total"), 6.0);
    assert_eq!(value("flag"), &Data::Bool(true));
    for (name, text) in [
        ("large", "9007199254740993"),
        ("fine", "1234567890123456.5"),
        ("none", "NaN"),
        ("old", "1899-12-31"),
        ("formula", "=1+1"),
        ("code", "00123"),
        ("control", "_x0041_\u{1}"),
        ("list", "[1, 2]"),
    ] {
        assert_eq!(value(name), &Data::String(text.to_owned()), "{name}");
    }
    // The instant is in the zone of the query.
    for (name, days) in [
        ("day", 46_073.0),
        ("seen_at", 46_073.25),
        ("local", 46_073.25),
    ] {
        let Data::DateTime(at) = value(name) else {
            panic!("{name} is {:?}", value(name))
        };
        assert_eq!(at.as_f64(), days, "{name}");
    }
    for name in ["nothing", "empty"] {
        let is_empty =
            matches!(value(name), Data::Empty) || value(name) == &Data::String(String::new());
        assert!(is_empty, "{name} is {:?}", value(name));
    }
    let sheet = part(&path, "xl/worksheets/sheet1.xml");
    assert!(!sheet.contains("<f>"), "{sheet}");
    assert!(sheet.contains("<autoFilter ref=\"A1:S2\"/>"), "{sheet}");
    assert!(sheet.contains("topLeftCell=\"A2\""), "{sheet}");
    assert!(part(&path, "xl/styles.xml").contains("<b/>"));

    let path = write_result(&lake, "select 1 as i where false", "none.xlsx", &[]);
    assert_eq!(rows_of_names(&path), [["i"]]);
}

fn rows_of_names(path: &Path) -> Vec<Vec<String>> {
    let texts = |row: Vec<Data>| row.iter().map(ToString::to_string).collect();
    rows(path).into_iter().map(texts).collect()
}

#[test]
fn a_result_that_does_not_fit_leaves_the_workbook_as_it_was() {
    let (lake, _) = lake_with_runs(&[(8, 1)]);
    let path = lake.write("long.xlsx", "yesterday's");
    let sql = "select repeat('长', 32768) as content";
    let args = ["query", sql, "-o", path.to_str().expect("UTF-8")];
    let (code, error) = fail(&mut lake.redlake(&args));
    assert_eq!(
        (code, error.as_str()),
        (
            2,
            "error: a text of the column content has 32,768 characters; the maximum of an Excel cell is \
             32,767\n  hint: cut it in the SQL, such as with left(content, 10000), or write a .csv or \
             .parquet file\n"
        )
    );
    assert_eq!(fs::read_to_string(&path).expect("the file"), "yesterday's");
    let path = write_result(
        &lake,
        "select repeat('长', 32767) as content",
        "fits.xlsx",
        &[],
    );
    assert_eq!(rows_of_names(&path)[1][0].chars().count(), 32_767);
    for command in [&["query", "select 1"][..], &["runs"]] {
        let (code, error) = fail(&mut lake.redlake(&[command, &["--format", "xlsx"]].concat()));
        assert_eq!(code, 2);
        assert!(
            error.starts_with("error: cannot print an Excel workbook\n  hint: write the"),
            "{error}"
        );
    }
}

#[test]
fn csv_for_excel_has_a_mark_and_local_times() {
    let (lake, _) = lake_with_runs(&[(8, 1)]);
    let sql = "select '防晒' as keyword, timestamptz '2026-02-19 22:00:00+00' as seen_at, E'a\\nb' as text";
    let expected = "\u{feff}keyword,seen_at,text\r\n防晒,2026-02-20 06:00:00,\"a\nb\"\r\n";
    let args = [
        "query",
        sql,
        "--excel",
        "--format",
        "csv",
        "--timezone",
        "Asia/Shanghai",
    ];
    let printed = succeed(&mut lake.redlake(&args)).stdout;
    assert_eq!(String::from_utf8(printed).expect("UTF-8"), expected);
    let path = write_result(&lake, sql, "excel.csv", &["--excel"]);
    assert_eq!(fs::read_to_string(path).expect("the file"), expected);

    for more in [&["--format", "json"][..], &["-o", "result.xlsx"], &[]] {
        let args = [&["query", "select 1", "--excel"], more].concat();
        let (code, error) = fail(&mut lake.redlake(&args));
        assert_eq!(code, 2);
        let expected = "error: --excel is for CSV\n  hint: add --format csv or -o FILE.csv; .xlsx files do not \
                        need it\n";
        assert_eq!(error, expected);
    }
}
