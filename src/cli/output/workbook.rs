//! Results as Excel workbooks of one sheet: a header, and a row for each row of the result.
//!
//! Excel shows 15 digits of a number, and its dates begin in 1900. Values beyond that are texts, so
//! that nothing is rounded. Texts are never formulas.

use std::io::Write;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, FieldRef, Float64Type, SchemaRef, TimeUnit, TimestampMicrosecondType,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use chrono::DateTime;
use chrono_tz::Tz;
use rust_xlsxwriter::{Format as CellFormat, IgnoreError, Workbook, Worksheet, XlsxError};
use thiserror::Error;
use unicode_width::UnicodeWidthStr;

use crate::plan::money::grouped;

/// Maximum number of rows below the header.
const MOST_ROWS: usize = 1_048_575;
const MOST_COLUMNS: usize = 16_384;
/// Maximum length of a text, in units of UTF-16.
const LONGEST: usize = 32_767;
/// Maximum number of digits that Excel shows.
const DIGITS: usize = 15;
/// Excel's number of 1970-01-01. It counts days from 1899-12-30.
const EPOCH: i64 = 25_569;
/// Excel's numbers of dates from 1900-03-01 to 9999-12-31. Before these, it counts a day that did not
/// exist.
const DATES: std::ops::Range<i64> = 61..2_958_466;
const MICROS_PER_DAY: i64 = 86_400_000_000;
/// Widths of columns, in characters.
const WIDTHS: std::ops::RangeInclusive<usize> = 8..=60;
/// Width of the button of the filter.
const BUTTON: usize = 3;

/// A result that does not fit into a sheet.
#[derive(Debug, Error)]
pub enum WorkbookError {
    #[error("the result has more than {} rows, the maximum of an Excel sheet", grouped(MOST_ROWS as u64))]
    Rows,
    #[error(
        "the result has {} columns; the maximum of an Excel sheet is {}",
        grouped(*.0 as u64),
        grouped(MOST_COLUMNS as u64)
    )]
    Columns(usize),
    #[error(
        "a text of the column {column} has {} characters; the maximum of an Excel cell is {}",
        grouped(*.length as u64),
        grouped(LONGEST as u64)
    )]
    Text { column: String, length: usize },
}

/// Writes a workbook. Rows wait in a temporary file, not in memory. Instants are in their own time zone.
///
/// # Errors
/// A result that does not fit is a [`WorkbookError`].
pub fn write_workbook(
    schema: &SchemaRef,
    batches: impl Iterator<Item = anyhow::Result<RecordBatch>>,
    out: impl Write + Send,
) -> anyhow::Result<()> {
    let mut workbook = Workbook::new();
    let sheet = workbook.add_worksheet_with_constant_memory()?;
    sheet.set_name("result")?;
    write_sheet(sheet, schema, batches)?;
    workbook.save_to_writer(out).map_err(|error| match error {
        XlsxError::IoError(error) => error.into(),
        error => anyhow::Error::new(error),
    })
}

fn write_sheet(
    sheet: &mut Worksheet,
    schema: &SchemaRef,
    batches: impl Iterator<Item = anyhow::Result<RecordBatch>>,
) -> anyhow::Result<()> {
    let fields = schema.fields();
    if fields.len() > MOST_COLUMNS {
        return Err(WorkbookError::Columns(fields.len()).into());
    }
    let columns = (0u16..).zip(fields);
    let mut columns: Vec<SheetColumn> = columns
        .map(|(at, field)| SheetColumn::new(at, field))
        .collect();
    let bold = CellFormat::new().set_bold();
    for column in &mut columns {
        column.fits(&column.name)?;
        sheet.write_string_with_format(0, column.at, &column.name, &bold)?;
    }
    let mut rows = 0;
    for batch in batches {
        let batch = batch?;
        if rows + batch.num_rows() > MOST_ROWS {
            return Err(WorkbookError::Rows.into());
        }
        let cells = batch.columns().iter().map(SheetCells::new);
        let cells: Vec<SheetCells<'_>> = cells.collect::<anyhow::Result<_>>()?;
        for row in 0..batch.num_rows() {
            rows += 1;
            for (column, cells) in columns.iter_mut().zip(&cells) {
                if let Some(value) = cells.value(row)? {
                    column.write(sheet, u32::try_from(rows)?, &value)?;
                }
            }
        }
    }
    for column in &columns {
        let width = column.width.clamp(*WIDTHS.start(), *WIDTHS.end());
        sheet.set_column_width(column.at, u16::try_from(width)?)?;
    }
    sheet.set_freeze_panes(1, 0)?;
    if let Some(last) = columns.last() {
        let rows = u32::try_from(rows)?;
        sheet.autofilter(0, 0, rows, last.at)?;
        // Ids may consist of digits.
        sheet.ignore_error_range(0, 0, rows, last.at, IgnoreError::NumberStoredAsText)?;
    }
    Ok(())
}

/// A column of the sheet.
struct SheetColumn {
    at: u16,
    name: String,
    width: usize,
    date: CellFormat,
    instant: CellFormat,
}

impl SheetColumn {
    fn new(at: u16, field: &FieldRef) -> Self {
        SheetColumn {
            at,
            name: field.name().clone(),
            width: field.name().width() + BUTTON,
            date: CellFormat::new().set_num_format("yyyy-mm-dd"),
            instant: CellFormat::new().set_num_format("yyyy-mm-dd hh:mm:ss"),
        }
    }

    /// Checks that a text fits into a cell.
    fn fits(&self, text: &str) -> Result<(), WorkbookError> {
        // A character has at most as many units as bytes.
        if text.len() <= LONGEST {
            return Ok(());
        }
        let length = text.encode_utf16().count();
        let column = self.name.clone();
        let error = WorkbookError::Text { column, length };
        if length > LONGEST { Err(error) } else { Ok(()) }
    }

    fn write(&mut self, sheet: &mut Worksheet, row: u32, value: &CellValue) -> anyhow::Result<()> {
        let width = match value {
            CellValue::Boolean(value) => {
                sheet.write_boolean(row, self.at, *value)?;
                "FALSE".len()
            }
            CellValue::Number(value, width) => {
                sheet.write_number(row, self.at, *value)?;
                *width
            }
            CellValue::Date(value) => {
                sheet.write_number_with_format(row, self.at, *value, &self.date)?;
                "yyyy-mm-dd".len()
            }
            CellValue::Instant(value) => {
                sheet.write_number_with_format(row, self.at, *value, &self.instant)?;
                "yyyy-mm-dd hh:mm:ss".len()
            }
            CellValue::Text(text) => {
                self.fits(text)?;
                sheet.write_string(row, self.at, text)?;
                text.lines().map(UnicodeWidthStr::width).max().unwrap_or(0)
            }
        };
        self.width = self.width.max(width + 1);
        Ok(())
    }
}

/// A value of a cell.
enum CellValue {
    Boolean(bool),
    /// A number, and the width of its text.
    Number(f64, usize),
    Date(f64),
    Instant(f64),
    Text(String),
}

/// The values of a column in a batch.
struct SheetCells<'b> {
    /// Timestamps are in microseconds.
    values: ArrayRef,
    texts: ArrayFormatter<'b>,
}

impl<'b> SheetCells<'b> {
    fn new(column: &'b ArrayRef) -> anyhow::Result<Self> {
        const OPTIONS: FormatOptions<'static> = FormatOptions::new();
        let values = match column.data_type() {
            DataType::Timestamp(_, zone) => {
                let micros = DataType::Timestamp(TimeUnit::Microsecond, zone.clone());
                cast(column, &micros)?
            }
            _ => column.clone(),
        };
        let texts = ArrayFormatter::try_new(column, &OPTIONS)?;
        Ok(SheetCells { values, texts })
    }

    /// Returns the value of a row, `None` for null.
    fn value(&self, row: usize) -> anyhow::Result<Option<CellValue>> {
        // An array of nulls has no mask.
        if self.values.is_null(row) || self.values.data_type().is_null() {
            return Ok(None);
        }
        let typed = match self.values.data_type() {
            DataType::Boolean => Some(CellValue::Boolean(self.values.as_boolean().value(row))),
            DataType::Date32 => {
                let days = self.values.as_primitive::<Date32Type>().value(row);
                date_number(i64::from(days) * MICROS_PER_DAY).map(CellValue::Date)
            }
            DataType::Timestamp(_, zone) => {
                let at = self
                    .values
                    .as_primitive::<TimestampMicrosecondType>()
                    .value(row);
                let local = match zone.as_deref() {
                    Some(zone) => local_micros(at, zone.parse().unwrap_or(Tz::UTC)),
                    None => Some(at),
                };
                local.and_then(date_number).map(CellValue::Instant)
            }
            DataType::Float64 => {
                let number = self.values.as_primitive::<Float64Type>().value(row);
                let width = format!("{number}").len();
                number
                    .is_finite()
                    .then_some(CellValue::Number(number, width))
            }
            other if other.is_numeric() => {
                let text = self.texts.value(row).try_to_string()?;
                exact_number(&text).map(|number| CellValue::Number(number, text.len()))
            }
            _ => None,
        };
        Ok(Some(match typed {
            Some(value) => value,
            None => CellValue::Text(self.texts.value(row).try_to_string()?),
        }))
    }
}

/// Returns the time of day in a zone at an instant, as microseconds from 1970-01-01 00:00.
fn local_micros(at: i64, zone: Tz) -> Option<i64> {
    let local = DateTime::from_timestamp_micros(at)?.with_timezone(&zone);
    Some(local.naive_local().and_utc().timestamp_micros())
}

/// Returns Excel's number of a date and a time of day, which is in microseconds from 1970-01-01 00:00.
fn date_number(micros: i64) -> Option<f64> {
    let day = micros.div_euclid(MICROS_PER_DAY) + EPOCH;
    let time = micros.rem_euclid(MICROS_PER_DAY) as f64 / MICROS_PER_DAY as f64;
    DATES.contains(&day).then_some(day as f64 + time)
}

/// Returns a decimal number that Excel shows with all its digits.
fn exact_number(text: &str) -> Option<f64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{whole}{}", fraction.trim_end_matches('0'));
    let digits = digits.trim_start_matches(['-', '0']);
    let is_decimal = digits.bytes().all(|byte| byte.is_ascii_digit());
    (is_decimal && digits.len() <= DIGITS)
        .then(|| text.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::NullArray;
    use arrow::datatypes::{Field, Schema};

    use super::*;

    /// Writes a workbook of columns without values.
    fn written(columns: usize, rows: usize) -> anyhow::Result<()> {
        let field = |at| Field::new(format!("c{at}"), DataType::Null, true);
        let schema = Arc::new(Schema::new((0..columns).map(field).collect::<Vec<_>>()));
        let nulls = Arc::new(NullArray::new(rows)) as ArrayRef;
        let batch = RecordBatch::try_new(schema.clone(), vec![nulls; columns])?;
        write_workbook(&schema, std::iter::once(Ok(batch)), Vec::new())
    }

    #[test]
    fn a_sheet_has_limits() {
        let told = |columns, rows| written(columns, rows).map_err(|error| error.to_string());
        assert_eq!(told(1, MOST_ROWS), Ok(()));
        assert_eq!(
            told(1, MOST_ROWS + 1),
            Err(
                "the result has more than 1,048,575 rows, the maximum of an Excel sheet".to_owned()
            )
        );
        assert_eq!(told(MOST_COLUMNS, 1), Ok(()));
        assert_eq!(
            told(MOST_COLUMNS + 1, 1),
            Err(
                "the result has 16,385 columns; the maximum of an Excel sheet is 16,384".to_owned()
            )
        );
    }

    #[test]
    fn numbers_have_at_most_15_digits() {
        for (text, number) in [
            ("0", Some(0.0)),
            ("-999999999999999", Some(-999_999_999_999_999.0)),
            ("1000000000000000", None),
            ("0.000123456789012345", Some(0.000_123_456_789_012_345)),
            ("12.34500000000000000000", Some(12.345)),
            ("1234567890.1234567", None),
            ("NaN", None),
        ] {
            assert_eq!(exact_number(text), number, "{text}");
        }
    }

    #[test]
    fn dates_are_days_since_the_end_of_1899() {
        let number = |text: &str| {
            let at: DateTime<chrono::Utc> = text.parse().expect("a time");
            date_number(at.timestamp_micros())
        };
        assert_eq!(number("2026-02-20T06:00:00Z"), Some(46_073.25));
        assert_eq!(number("1900-03-01T00:00:00Z"), Some(61.0));
        assert_eq!(number("1900-02-28T23:59:59Z"), None);
        assert_eq!(number("9999-12-31T00:00:00Z"), Some(2_958_465.0));
        assert_eq!(number("+10000-01-01T00:00:00Z"), None);
    }
}
