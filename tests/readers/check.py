"""Reads every table of a lake with DuckDB, pyarrow, Polars and chDB and compares them with redlake.

    python3 check.py REDLAKE_BINARY LAKE [--schemas DIR] [--expect STATE]... [--checksums FILE]

The lake needs two snapshots at least, or engagement_delta is empty. See README.md.
"""

import argparse
import json
import sys
from pathlib import Path

import duckdb

import readers
import rows
from change_contracts import CHANGED_TABLES, GONE
from checks import Checks
from compare import check_rows, check_table
from engine import check_engine
from files import check_single_file
from lake import Lake, Table, as_in_files
from readme import check_code

# What a lake must be like, or equal readers would prove less than they seem to.
SAME_COLUMNS = "same-columns"
MIXED_COLUMNS = "mixed-columns"
COMPACTED = "compacted"


# The view that tells what lake.duckdb is. It is not in the contracts.
ABOUT = "about"

# A view of what happens rarely. Most lakes of this check are too short for it.
MAY_BE_EMPTY = {"note_edits"}


def check_state(checks, state, tables):
    if state == SAME_COLUMNS:
        checks.equal("how files differ from the contract", changes_by_table(tables), {})
    elif state == MIXED_COLUMNS:
        checks.equal("how files differ from the contract", changes_by_table(tables), CHANGED_TABLES)
    elif state == COMPACTED:
        put_together = any(is_compacted(file) for table in tables for file in table.files)
        checks.equal("there are files that were put together", put_together, True)
        for table in tables:
            check_compacted(checks, table)


def is_compacted(file):
    return file.name.startswith("compact-")


def changes_by_table(tables):
    return {table.name: table.changes for table in tables if table.changes}


def check_compacted(checks, table):
    days = [file.parent.name for file in table.files]
    checks.equal(f"days of {table.name}, one for each file", days, sorted(set(days)))
    for file in table.files:
        if is_compacted(file):
            # It is as the contract says, but for old columns, which it keeps.
            what = f"how the compacted file of {table.name} differs from the contract"
            checks.equal(what, table.changes_since(file), table.changes & {GONE})


def check_checksums(checks, file, checksums):
    """Against those of an earlier state of the lake; the first time they are kept."""
    if not file.exists():
        file.write_text(json.dumps(checksums))
        return
    earlier = json.loads(file.read_text())
    for relation in sorted(checksums.keys() | earlier.keys()):
        what = f"checksum of {relation} by redlake, against an earlier state of the lake"
        checks.equal(what, checksums.get(relation), earlier.get(relation))


def check_catalog(checks, lake, rows_by_redlake, checksums):
    """Every view of lake.duckdb, opened by another DuckDB than the one that wrote it."""
    with duckdb.connect(str(lake.path / "lake.duckdb"), read_only=True) as catalog:
        sql = "select view_name from duckdb_views() where not internal"
        views = sorted(name for (name,) in catalog.execute(sql).fetchall())
        checks.equal("views in lake.duckdb", views, sorted([*rows_by_redlake, ABOUT]))
        for view in sorted(views & rows_by_redlake.keys()):
            what = f"the view {view} in lake.duckdb"
            found = checks.attempt(what, rows_of_view, catalog, view)
            if found is not None:
                check_rows(checks, what, found, rows_by_redlake[view], checksums[view])


def rows_of_view(catalog, view):
    return as_in_files(catalog.sql(f'from "{view}"').to_arrow_table())


def check_made_up_zeros(checks, tables):
    """Why README.md says that chDB needs a second setting: a required column is 0 in old rows."""
    (table,) = [table for table in tables if table.name == "search_facets"]
    by_redlake = table.rows["option_index"].null_count
    checks.equal("search_facets has rows without option_index", by_redlake > 0, True)
    by_chdb = readers.chdb_union_only(table).rows()["option_index"].null_count
    checks.equal("rows without option_index by chdb with one setting", by_chdb, 0)


def check_files(checks, lake, table):
    for file in table.files:
        what = f"{file.relative_to(lake.path)} by pyarrow"
        checks.attempt(what, check_single_file, checks, lake, file)
    if not table.files:
        what = f"rows of {table.name}, which has no files, by redlake"
        checks.equal(what, len(table.rows), 0)


def print_outcomes(title, ways, outcomes):
    if outcomes:
        print(f"{title:<30}{'rows':>6}  " + " ".join(f"{way.name:<14}" for way in ways).rstrip())
        for table, by_way in outcomes.items():
            cells = " ".join(f"{by_way[way.name]:<14}" for way in ways).rstrip()
            print(f"{table.name:<30}{len(table.rows):>6}  {cells}")
        print()


def check_lake(checks, lake, states, checksums_file):
    table_names, view_names = lake.relations()
    rows_by_redlake = lake.read(table_names + view_names)
    checksums = {name: rows.checksum(found) for name, found in rows_by_redlake.items()}
    for name in view_names:
        # Equal rows of nothing would prove nothing.
        if name not in MAY_BE_EMPTY:
            checks.equal(f"the view {name} has rows", len(rows_by_redlake[name]) > 0, True)

    in_files = {
        name: rows_by_redlake[name].drop_columns(lake.computed_columns(name))
        for name in table_names
    }
    tables = [Table(name, lake.folder(name), in_files[name]) for name in table_names]
    checks.equal("the lake has files", any(table.files for table in tables), True)
    same, mixed = {}, {}
    for table in tables:
        check_files(checks, lake, table)
        if table.files:
            outcomes = mixed if table.changes else same
            outcomes[table] = check_table(checks, table, rows.checksum(table.rows))
    print_outcomes("the same columns in all files", readers.PLAIN, same)
    print_outcomes("files with other columns", readers.MIXED, mixed)
    print_outcomes("the same without options", readers.PLAIN, mixed)

    check_catalog(checks, lake, rows_by_redlake, checksums)
    if COMPACTED not in states:
        checks.attempt("SQLAlchemy", check_engine, checks, lake, rows_by_redlake)
    for state in states:
        check_state(checks, state, tables)
    if SAME_COLUMNS in states:
        of_each = rows_by_redlake | in_files
        needed = {name: set(found.column_names) for name, found in of_each.items()}
        check_code(checks, "The same columns in all files", lake, rows_by_redlake, needed)
    if MIXED_COLUMNS in states:
        needed = {table.name: table.changed_columns for table in tables}
        check_code(checks, "Files with other columns", lake, rows_by_redlake, needed)
        # A compacted file says that the column may be null, which chDB may or may not heed.
        if COMPACTED not in states:
            check_made_up_zeros(checks, tables)
    if checksums_file:
        check_checksums(checks, checksums_file, checksums)


def parse_arguments():
    parser = argparse.ArgumentParser(description="Compare what readers of Parquet see of a lake.")
    parser.add_argument("redlake", help="the binary")
    parser.add_argument("lake", help="folder of the lake")
    parser.add_argument("--schemas", help="folder of contracts, if not the built-in ones")
    parser.add_argument(
        "--expect",
        action="append",
        default=[],
        choices=[SAME_COLUMNS, MIXED_COLUMNS, COMPACTED],
        help="what the lake must be like; mixed-columns is for lakes that check.sh makes",
    )
    parser.add_argument(
        "--checksums",
        type=Path,
        help="file with the checksums of an earlier state; written if missing, else compared",
    )
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    lake = Lake(arguments.redlake, arguments.lake, arguments.schemas)
    print(readers.versions() + "\n")
    checks = Checks()
    what = "check the lake"
    checks.attempt(what, check_lake, checks, lake, arguments.expect, arguments.checksums)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
