"""Rows of a table in one form, whoever read them, and what is compared of them.

A row set is a pyarrow.Table with the contract's columns in its order.
"""

import hashlib

import pyarrow
import pyarrow.compute

INSTANT = pyarrow.timestamp("us", tz="UTC")


def in_one_form(rows, names):
    """These columns, their types spelled in one way. Other types stay, to be found different."""
    return pyarrow.table({name: spelled_one_way(rows[name]) for name in names})


def spelled_one_way(column):
    kind = column.type
    if pyarrow.types.is_large_string(kind) or pyarrow.types.is_string_view(kind):
        return column.cast(pyarrow.string())
    if pyarrow.types.is_timestamp(kind) and kind.unit == "us" and kind.tz is not None:
        # The same instant, whatever zone it would be shown in.
        return column.cast(INSTANT)
    return column


def checksum(rows):
    """Of all rows with all their values, in whatever order they are."""
    total = sum(map(hash_of, zip(*map(values, rows.columns))))
    return f"{total % 2**128:032x}"


def hash_of(row):
    # repr() tells null from "", 1 from 1.0, and gives every digit of a float.
    digest = hashlib.blake2b(repr(row).encode("utf-8", "surrogatepass"), digest_size=16)
    return int.from_bytes(digest.digest(), "big")


def values(column):
    if column.type == INSTANT:
        column = column.cast(pyarrow.int64())
    elif column.type == pyarrow.date32():
        column = column.cast(pyarrow.int32())
    return column.to_pylist()


def differing_columns(found, expected):
    """Which columns have other values; none where the same values stand in other rows."""
    return [
        name
        for name in expected.column_names
        if checksum(found.select([name])) != checksum(expected.select([name]))
    ]


def types(schema):
    return {field.name: str(field.type) for field in schema}


# -- a digest: for every column its nulls, its greatest value, and the sum of integers, 0 where all
#    are null. Flags are integers here, and instants microseconds since 1970. Readers make it with
#    their own functions.


def is_summed(kind):
    return kind in (pyarrow.int64(), pyarrow.bool_())


def digest(rows):
    return {name: digest_of(rows[name]) for name in rows.column_names}


def digest_of(column):
    total = None
    if is_summed(column.type):
        column = column.cast(pyarrow.int64())
        total = pyarrow.compute.sum(column).as_py() or 0
    elif column.type == INSTANT:
        column = column.cast(pyarrow.int64())
    return column.null_count, pyarrow.compute.max(column).as_py(), total


def by_column(names, row):
    """Three values a column, in the order of the columns, by name."""
    return {name: tuple(row[3 * i : 3 * i + 3]) for i, name in enumerate(names)}
