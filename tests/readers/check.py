"""Reads every table of a lake with DuckDB, pyarrow and Polars and compares them with redlake.

    python3 check.py REDLAKE_BINARY LAKE

The lake needs two snapshots at least, or engagement_delta is empty. See README.md.
"""

import csv
import io
import subprocess
import sys
from pathlib import Path

import duckdb
import polars
import pyarrow
import pyarrow.compute
import pyarrow.dataset
import pyarrow.parquet

INSTANT = pyarrow.timestamp("us", tz="UTC")
ALLOWED_TYPES = {
    pyarrow.string(),
    pyarrow.int64(),
    pyarrow.float64(),
    pyarrow.bool_(),
    pyarrow.date32(),
    INSTANT,
}
COMMON_COLUMNS = {"run_id", "pipeline", "source", "snapshot_at", "snapshot_date"}
MART_COLUMNS = {"pipeline", "snapshot_date"}
# Counts whose name does not end in _count.
COUNTS = {"count", "requests", "billed_requests", "searches_planned", "searches_done", "rejects"}
DERIVED_VIEWS = ["notes_latest", "users_latest", "engagement_latest", "engagement_delta"]


class Checks:
    """Counts what held and keeps what did not."""

    def __init__(self):
        self.passed = 0
        self.failures = []

    def equal(self, what, found, expected):
        if found == expected:
            self.passed += 1
        else:
            self.failures.append(f"{what}: {found!r}, expected {expected!r}")

    def attempt(self, what, function, *arguments):
        """What the function returns; None, and a failure, if it cannot do its work."""
        try:
            return function(*arguments)
        except Exception as error:  # each library has its own kinds
            reason = " ".join(str(error).split())
            self.failures.append(f"{what}: {type(error).__name__}: {reason}")
            return None

    def finish(self):
        for failure in self.failures:
            print(f"FAILED {failure}")
        print(f"{self.passed} passed, {len(self.failures)} failed")
        return 1 if self.failures else 0


# -- redlake


def redlake(binary, *arguments):
    done = subprocess.run([binary, *arguments], capture_output=True, text=True, encoding="utf-8")
    if done.returncode != 0:
        raise RuntimeError(f"redlake {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def tables_of(binary):
    lines = redlake(binary, "schema", "list").splitlines()
    # Views stand below their table, indented.
    return [line.split()[0] for line in lines if line and not line.startswith(" ")]


def count_by_redlake(binary, lake, relation):
    sql = f'select count(*) from "{relation}"'
    answer = redlake(binary, "query", "--lake", str(lake), "--format", "csv", sql)
    _header, (count,) = csv.reader(io.StringIO(answer))
    return int(count)


# -- the readers; each function reads all files of a table at once


def folder_of(lake, table):
    mart = lake / "marts" / table
    return mart if mart.exists() else lake / "tables" / table


def glob_of(lake, table):
    return str(folder_of(lake, table) / "*" / "*.parquet")


def files_of(lake, table):
    return sorted(folder_of(lake, table).glob("*/*.parquet"))


def query_duckdb(select, lake, table):
    sql = f"select {select} from read_parquet(?, hive_partitioning = true)"
    return duckdb.connect().execute(sql, [glob_of(lake, table)])


def open_pyarrow(lake, table):
    return pyarrow.dataset.dataset(folder_of(lake, table), format="parquet", partitioning="hive")


def open_polars(lake, table):
    return polars.scan_parquet(glob_of(lake, table), hive_partitioning=True)


def count_by_duckdb(lake, table):
    return query_duckdb("count(*)", lake, table).fetchall()[0][0]


def count_by_pyarrow(lake, table):
    return open_pyarrow(lake, table).count_rows()


def count_by_polars(lake, table):
    return open_polars(lake, table).select(polars.len()).collect().item()


def columns_by_duckdb(lake, table):
    return [column[0] for column in query_duckdb("*", lake, table).description]


def columns_by_pyarrow(lake, table):
    return open_pyarrow(lake, table).schema.names


def columns_by_polars(lake, table):
    return open_polars(lake, table).collect_schema().names()


# -- a digest of a table: for every column its nulls and one value that depends on the data:
#    a sum of integers and flags, else the greatest value, instants as microseconds since 1970


def is_summed(kind):
    return kind in (pyarrow.int64(), pyarrow.bool_())


def digest_by_duckdb(lake, table, schema):
    parts = []
    for field in schema:
        name = f'"{field.name}"'
        if is_summed(field.type):
            value = f"coalesce(sum({name}::bigint), 0)::bigint"
        elif field.type == INSTANT:
            value = f"max(epoch_us({name}))"
        else:
            value = f"max({name})"
        parts += [f"count(*) - count({name})", value]
    row = query_duckdb(", ".join(parts), lake, table).fetchall()[0]
    return pair_up(schema, row)


def digest_by_pyarrow(lake, table, schema):
    rows = open_pyarrow(lake, table).to_table()
    row = []
    for field in schema:
        column = rows[field.name]
        if is_summed(field.type):
            value = pyarrow.compute.sum(column.cast(pyarrow.int64())).as_py() or 0
        elif field.type == INSTANT:
            value = pyarrow.compute.max(column.cast(pyarrow.int64())).as_py()
        else:
            value = pyarrow.compute.max(column).as_py()
        row += [column.null_count, value]
    return pair_up(schema, row)


def digest_by_polars(lake, table, schema):
    parts = []
    for field in schema:
        column = polars.col(field.name)
        if is_summed(field.type):
            value = column.cast(polars.Int64).sum()
        elif field.type == INSTANT:
            value = column.dt.epoch("us").max()
        else:
            value = column.max()
        parts += [
            column.null_count().alias(f"{field.name} nulls"),
            value.alias(f"{field.name} value"),
        ]
    return pair_up(schema, open_polars(lake, table).select(parts).collect().row(0))


def pair_up(schema, row):
    """Two values a column, in the order of the schema, by column name."""
    return {name: (row[2 * i], row[2 * i + 1]) for i, name in enumerate(schema.names)}


# What each reader is asked: the rows, the columns and the digest of a table.
READERS = {
    "duckdb": (count_by_duckdb, columns_by_duckdb, digest_by_duckdb),
    "pyarrow": (count_by_pyarrow, columns_by_pyarrow, digest_by_pyarrow),
    "polars": (count_by_polars, columns_by_polars, digest_by_polars),
}


# -- checks


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
    if name == "snapshot_date":
        return pyarrow.date32()
    return None


def check_types(checks, where, schema):
    for field in schema:
        what = f"type of {field.name} in {where}"
        promised = promised_type(field.name)
        if promised is not None:
            checks.equal(what, str(field.type), str(promised))
        else:
            # No dictionary, view or nested types.
            checks.equal(f"{what} ({field.type}) is a plain one", field.type in ALLOWED_TYPES, True)


def check_single_file(checks, lake, file):
    """A tool that opens one file sees no folders: the date has to be in the file too."""
    where = file.relative_to(lake).as_posix()
    rows = pyarrow.parquet.ParquetFile(file).read()
    check_types(checks, where, rows.schema)
    common = MART_COLUMNS if where.startswith("marts/") else COMMON_COLUMNS
    missing = sorted(common - set(rows.column_names))
    checks.equal(f"common columns missing in {where}", missing, [])
    checks.equal(f"dt as a column inside {where}", "dt" in rows.column_names, False)
    if "snapshot_date" in rows.column_names:
        folder = file.parent.name.removeprefix("dt=")
        dates = [str(value) for value in rows["snapshot_date"].unique().to_pylist()]
        checks.equal(f"dates in {where}", dates, [folder])


def check_digests(checks, table, digests):
    """Every reader against the first one that could make a digest."""
    first, *others = digests
    for reader in others:
        for column, expected in digests[first].items():
            what = f"(nulls, value) of {table}.{column} by {reader}, against {first}"
            checks.equal(what, digests[reader][column], expected)


def check_table(checks, binary, lake, table):
    """Returns the rows by reader; a table without files has none to read."""
    counts = {"redlake": count_by_redlake(binary, lake, table)}
    files = files_of(lake, table)
    if not files:
        checks.equal(f"rows of {table}, which has no files, by redlake", counts["redlake"], 0)
        return counts

    for file in files:
        what = f"{file.relative_to(lake)} by pyarrow"
        checks.attempt(what, check_single_file, checks, lake, file)
    schema = pyarrow.parquet.read_schema(files[0])
    digests = {}
    for reader, (count, columns, digest) in READERS.items():
        what = f"rows of {table} by {reader}"
        counts[reader] = checks.attempt(what, count, lake, table)
        if counts[reader] is not None:
            checks.equal(what, counts[reader], counts["redlake"])

        what = f"columns of {table} by {reader}"
        found = checks.attempt(what, columns, lake, table)
        if found is not None:
            checks.equal(what, found, [*schema.names, "dt"])

        found = checks.attempt(f"values of {table} by {reader}", digest, lake, table, schema)
        if found is not None:
            digests[reader] = found
    if digests:
        check_digests(checks, table, digests)
    return counts


def count_in_catalog(catalog, view):
    return catalog.execute(f'select count(*) from "{view}"').fetchall()[0][0]


def check_catalog(checks, binary, lake, tables):
    """Counts every view of lake.duckdb, opened by another DuckDB than the one that wrote it."""
    counts = {}
    with duckdb.connect(str(lake / "lake.duckdb"), read_only=True) as catalog:
        sql = "select view_name from duckdb_views() where not internal"
        views = sorted(name for (name,) in catalog.execute(sql).fetchall())
        missing = sorted(set(tables + DERIVED_VIEWS) - set(views))
        checks.equal("views missing in lake.duckdb", missing, [])
        for view in views:
            what = f"rows of the view {view} in lake.duckdb"
            expected = count_by_redlake(binary, lake, view)
            rows = checks.attempt(what, count_in_catalog, catalog, view)
            if rows is not None:
                checks.equal(what, rows, expected)
            counts[view] = {"redlake": expected, "lake.duckdb": rows}
    for view in DERIVED_VIEWS:
        # Equal counts of nothing would prove nothing.
        if view in counts:
            checks.equal(f"the view {view} has rows", counts[view]["redlake"] > 0, True)
    return counts


# -- output


def print_counts(title, readers, counts):
    print(f"{title:<20}" + "".join(f"{reader:>13}" for reader in readers))
    for name, by_reader in counts.items():
        cells = ["-" if by_reader.get(reader) is None else by_reader[reader] for reader in readers]
        print(f"{name:<20}" + "".join(f"{cell:>13}" for cell in cells))
    print()


def print_versions():
    libraries = (duckdb, pyarrow, polars)
    print(", ".join(f"{library.__name__} {library.__version__}" for library in libraries) + "\n")


def check_lake(checks, binary, lake):
    tables = tables_of(binary)
    counts = {table: check_table(checks, binary, lake, table) for table in tables}
    print_counts("table", ["redlake", *READERS], counts)
    checks.equal("the lake has files", any(files_of(lake, table) for table in tables), True)

    views = check_catalog(checks, binary, lake, tables)
    print_counts("view", ["redlake", "lake.duckdb"], views)


def main():
    if len(sys.argv) != 3:
        raise SystemExit("usage: check.py REDLAKE_BINARY LAKE")
    binary, lake = sys.argv[1], Path(sys.argv[2]).resolve()
    print_versions()
    checks = Checks()
    checks.attempt("check the lake", check_lake, checks, binary, lake)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
