"""DuckDB, pyarrow, Polars and chDB: how each opens a table, and what it says of it.

Each reader has the same methods: `count`, `rows` (as a pyarrow.Table), `digest` (see rows.py) and
`lookup` (how many rows have a text in a column). README.md tells users of the same ways to open a
table.
"""

from collections.abc import Callable
from dataclasses import dataclass

import chdb
import duckdb
import polars
import pyarrow
import pyarrow.dataset
import pyarrow.parquet

from change_contracts import GONE, MORE, TO_FLOAT, TO_TEXT
from rows import INSTANT, by_column, digest, in_one_form, is_summed


def versions():
    libraries = (duckdb, pyarrow, polars, chdb)
    return ", ".join(f"{library.__name__} {library.__version__}" for library in libraries)


def quote(text):
    return "'" + text.replace("'", "''") + "'"


class Sql:
    """What DuckDB and chDB have in common; `source` is a table function with its arguments."""

    def __init__(self, source):
        self.source = source

    def values(self, select):
        rows = self.run(f"select {select} from {self.source}")
        return [column[0].as_py() for column in rows.columns]

    def count(self):
        return self.values("count(*)")[0]

    def rows(self):
        return self.run(f"select * from {self.source}")

    def digest(self, schema):
        parts = []
        for field in schema:
            name, total = f'"{field.name}"', "null"
            if is_summed(field.type):
                name = self.integer(name)
                total = self.integer(f"coalesce(sum({name}), 0)")
            elif field.type == INSTANT:
                name = self.microseconds(name)
            parts += [f"count(*) - count({name})", f"max({name})", total]
        return by_column(schema.names, self.values(", ".join(parts)))

    def lookup(self, column, text):
        where = f'"{column}" = {self.parameter}'
        return self.run(f"select count(*) from {self.source} where {where}", text)[0][0].as_py()


class DuckDB(Sql):
    parameter = "$text"

    def run(self, sql, text=None):
        parameters = {} if text is None else {"text": text}
        return duckdb.sql(sql, params=parameters).to_arrow_table()

    def integer(self, name):
        return f"{name}::bigint"

    def microseconds(self, name):
        return f"epoch_us({name})"


class ChDB(Sql):
    parameter = "{text:String}"

    def __init__(self, source, settings=""):
        super().__init__(source)
        self.settings = settings

    def run(self, sql, text=None):
        parameters = {} if text is None else {"text": text}
        return chdb.query(f"{sql} {self.settings}", "ArrowTable", params=parameters)

    def integer(self, name):
        return f"toInt64({name})"

    def microseconds(self, name):
        return f"toUnixTimestamp64Micro({name})"


class Pyarrow:
    def __init__(self, dataset):
        self.dataset = dataset

    def count(self):
        return self.dataset.count_rows()

    def rows(self):
        return self.dataset.to_table()

    def digest(self, schema):
        return digest(in_one_form(self.rows(), schema.names))

    def lookup(self, column, text):
        return self.dataset.count_rows(filter=pyarrow.dataset.field(column) == text)


class Polars:
    def __init__(self, frame):
        self.frame = frame

    def count(self):
        return self.frame.select(polars.len()).collect().item()

    def rows(self):
        return self.frame.collect().to_arrow()

    def digest(self, schema):
        parts = []
        for field in schema:
            column, total = polars.col(field.name), polars.lit(None)
            if is_summed(field.type):
                column = column.cast(polars.Int64)
                total = column.sum()
            elif field.type == INSTANT:
                column = column.dt.epoch("us")
            parts += [column.null_count(), column.max(), total]
        named = [part.alias(str(number)) for number, part in enumerate(parts)]
        return by_column(schema.names, self.frame.select(named).collect().row(0))

    def lookup(self, column, text):
        found = self.frame.filter(polars.col(column) == text)
        return found.select(polars.len()).collect().item()


# -- where all files have the same columns


def duckdb_plain(table):
    return DuckDB(f"read_parquet({quote(table.glob)}, hive_partitioning = true)")


def pyarrow_plain(table):
    # partitioning="hive" alone takes the date for a text.
    dt = pyarrow.dataset.partitioning(pyarrow.schema([("dt", pyarrow.date32())]), flavor="hive")
    return Pyarrow(pyarrow.dataset.dataset(table.folder, format="parquet", partitioning=dt))


def polars_plain(table):
    return Polars(polars.scan_parquet(table.glob, hive_partitioning=True))


def chdb_plain(table):
    return ChDB(f"file({quote(table.glob)}, Parquet)")


# -- where files have other columns or types


def duckdb_union(table):
    options = "hive_partitioning = true, union_by_name = true"
    return DuckDB(f"read_parquet({quote(table.glob)}, {options})")


def pyarrow_schema(table):
    newest = pyarrow.parquet.read_schema(table.files[-1])
    schema = newest.append(pyarrow.field("dt", pyarrow.date32()))
    return Pyarrow(
        pyarrow.dataset.dataset(table.folder, schema=schema, format="parquet", partitioning="hive")
    )


def polars_schema(table):
    frame = polars.scan_parquet(
        table.glob,
        hive_partitioning=True,
        schema=polars.read_parquet_schema(table.files[-1]),
        missing_columns="insert",
        extra_columns="ignore",
        cast_options=polars.ScanCastOptions(integer_cast="allow-float"),
    )
    return Polars(frame)


def polars_concat(table):
    frames = [polars.scan_parquet(file, hive_partitioning=True) for file in table.files]
    return Polars(polars.concat(frames, how="diagonal_relaxed"))


def chdb_union(table):
    return chdb_settings(
        table, "schema_inference_mode = 'union', schema_inference_make_columns_nullable = 1"
    )


def chdb_union_only(table):
    """Wrong: a column that is never null in the files that have it is 0 or '' in other files."""
    return chdb_settings(table, "schema_inference_mode = 'union'")


def chdb_settings(table, settings):
    return ChDB(f"file({quote(table.glob)}, Parquet)", f"settings {settings}")


CHDB_TYPES = {
    pyarrow.string(): "Nullable(String)",
    pyarrow.int64(): "Nullable(Int64)",
    pyarrow.float64(): "Nullable(Float64)",
    pyarrow.bool_(): "Nullable(Bool)",
    pyarrow.date32(): "Nullable(Date32)",
    INSTANT: "Nullable(DateTime64(6, 'UTC'))",
}


def chdb_structure(table):
    columns = [
        f"{field.name} {CHDB_TYPES[field.type]}" for field in table.schema if field.name != "dt"
    ]
    structure = ", ".join([*columns, "dt Date"])
    return ChDB(f"file({quote(table.glob)}, Parquet, {quote(structure)})")


@dataclass
class Way:
    """A way to open a table, and what it must answer with an error."""

    name: str
    open: Callable
    # Differences of files from the contract, as in Table.changes.
    refuses: frozenset = frozenset()
    # A pattern in the error.
    error: str = ""
    # Whether columns that the contract no longer has are among those that it shows.
    shows_gone: bool = False


PLAIN = [
    Way("duckdb", duckdb_plain, refuses=frozenset({GONE}), error="schema mismatch in glob"),
    Way("pyarrow", pyarrow_plain),
    Way(
        "polars",
        polars_plain,
        refuses=frozenset({MORE, GONE, TO_FLOAT, TO_TEXT}),
        error="extra column|did not find column|data type mismatch",
    ),
    Way("chdb", chdb_plain),
]
MIXED = [
    Way("duckdb union", duckdb_union, shows_gone=True),
    Way("pyarrow schema", pyarrow_schema),
    Way(
        "polars schema",
        polars_schema,
        refuses=frozenset({TO_TEXT}),
        error="data type mismatch",
    ),
    Way("polars concat", polars_concat, shows_gone=True),
    Way(
        "chdb union",
        chdb_union,
        refuses=frozenset({TO_FLOAT, TO_TEXT}),
        error="TYPE_MISMATCH",
        shows_gone=True,
    ),
    Way("chdb structure", chdb_structure),
]
