"""Checks of each file by itself."""

import pyarrow
import pyarrow.compute
import pyarrow.parquet

from rows import INSTANT

ALLOWED_TYPES = {
    pyarrow.string(),
    pyarrow.int64(),
    pyarrow.float64(),
    pyarrow.bool_(),
    pyarrow.date32(),
    INSTANT,
}
COMMON_COLUMNS = {"run_id", "pipeline", "source", "snapshot_at", "snapshot_date"}
# The column with the date of the folder, and of a weekly mart with its Monday.
DATE, MONDAY = "snapshot_date", "week_start"
# Counts whose name does not end in _count.
COUNTS = {"count", "requests", "billed_requests", "searches_planned", "searches_done", "rejects"}


def promised_type(name):
    """What the name of a column says about its type; None if it says nothing."""
    if name.endswith("_id"):
        return pyarrow.string()
    if name.endswith(("_count", "_index")) or name in COUNTS:
        return pyarrow.int64()
    if name.endswith("_at"):
        return INSTANT
    if name.startswith(("is_", "has_")):
        return pyarrow.bool_()
    if name in (DATE, MONDAY):
        return pyarrow.date32()
    return None


def check_types(checks, where, schema, built_in):
    for field in schema:
        what = f"type of {field.name} in {where}"
        promised = promised_type(field.name) if built_in else None
        if promised is not None:
            checks.equal(what, str(field.type), str(promised))
        else:
            # No dictionary, view or nested types.
            checks.equal(f"{what} ({field.type}) is a plain one", field.type in ALLOWED_TYPES, True)


def check_statistics(checks, where, file):
    """Readers skip row groups by them, and so lose rows if they are wrong."""
    for number in range(file.num_row_groups):
        values = file.read_row_group(number)
        group = file.metadata.row_group(number)
        for place, column in enumerate(values.columns):
            name = values.column_names[place]
            right = are_right(group.column(place).statistics, column)
            checks.equal(f"statistics of {name} in row group {number} of {where}", right, True)


def are_right(statistics, column):
    if statistics.null_count != column.null_count:
        return False
    if column.null_count == len(column):
        return True
    # Long texts are cut, so that the limits may lie outside the values.
    bounds = pyarrow.compute.min_max(column).as_py()
    return statistics.min <= bounds["min"] and bounds["max"] <= statistics.max


def check_single_file(checks, lake, file):
    """A tool that opens one file sees no folders: the date has to be in the file too."""
    where = file.relative_to(lake.path).as_posix()
    opened = pyarrow.parquet.ParquetFile(file)
    found = opened.read()
    check_types(checks, where, found.schema, built_in=not lake.schemas)
    is_mart = where.startswith("marts/")
    date = MONDAY if is_mart and file.parent.parent.name.endswith("_weekly") else DATE
    common = {"pipeline", date} if is_mart else COMMON_COLUMNS
    missing = sorted(common - set(found.column_names))
    checks.equal(f"common columns missing in {where}", missing, [])
    checks.equal(f"dt as a column inside {where}", "dt" in found.column_names, False)
    if date in found.column_names:
        folder = file.parent.name.removeprefix("dt=")
        dates = [str(value) for value in found[date].unique().to_pylist()]
        checks.equal(f"dates in {where}", dates, [folder])
    check_statistics(checks, where, opened)
