"""The lake through SQLAlchemy and duckdb-engine, which Superset and other tools in Python use."""

import tempfile
from pathlib import Path

import pyarrow
import sqlalchemy

from rows import INSTANT

ABOUT = "about"
TYPES = {
    pyarrow.string(): {"VARCHAR"},
    pyarrow.int64(): {"BIGINT"},
    # Costs are decimals in views; `rows_by_redlake` has them as in files.
    pyarrow.float64(): {"FLOAT", "NUMERIC(18, 6)"},
    pyarrow.bool_(): {"BOOLEAN"},
    pyarrow.date32(): {"DATE"},
    INSTANT: {"TIMESTAMP"},
}


def check_engine(checks, lake, rows_by_redlake):
    """The relations of lake.duckdb, and of an exported file, which is in another folder."""
    stored, _ = lake.relations()
    descriptions = lake.descriptions()
    with tempfile.TemporaryDirectory() as folder:
        exported = Path(folder) / "exported.duckdb"
        lake.redlake("export", "duckdb", "-o", str(exported), "--lake", str(lake.path))
        files = {"lake.duckdb": (lake.path / "lake.duckdb", []), "an export": (exported, stored)}
        for name, (file, tables) in files.items():
            url = f"duckdb:///{file}"
            engine = sqlalchemy.create_engine(url, connect_args={"read_only": True})
            inspector = sqlalchemy.inspect(engine)
            checks.equal(f"tables of {name}", sorted(inspector.get_table_names()), sorted(tables))
            views = sorted(rows_by_redlake.keys() - set(tables) | {ABOUT})
            checks.equal(f"views of {name}", sorted(inspector.get_view_names()), views)
            with engine.connect() as connection:
                for relation, rows in rows_by_redlake.items():
                    what = f"{relation} of {name} by SQLAlchemy"
                    description = descriptions[relation]
                    arguments = (checks, what, inspector, connection, relation, rows, description)
                    checks.attempt(what, check_relation, *arguments)
            engine.dispose()


def check_relation(checks, what, inspector, connection, relation, rows, description):
    comment = inspector.get_table_comment(relation)["text"]
    checks.equal(f"comment on {what}", comment, description)
    columns = inspector.get_columns(relation)
    names = [column["name"] for column in columns]
    checks.equal(f"columns of {what}", names, rows.column_names)
    # The folder of a file has no line in contracts.
    silent = [column["name"] for column in columns if not column["comment"]]
    checks.equal(f"columns without a comment of {what}", set(silent) - {"dt"}, set())
    found = {column["name"]: str(column["type"]) for column in columns}
    wrong = {
        name: found[name]
        for name in rows.column_names
        if found[name] not in TYPES[rows.schema.field(name).type]
    }
    checks.equal(f"columns of another type of {what}", wrong, {})
    first = sqlalchemy.column(names[0])
    table = sqlalchemy.table(relation)
    query = sqlalchemy.select([sqlalchemy.func.count(first)]).select_from(table)
    found = connection.execute(query).scalar()
    checks.equal(f"count of {what}", found, len(rows) - rows[names[0]].null_count)
