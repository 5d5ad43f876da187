"""A lake: its files, and what redlake says is in it."""

import json
import subprocess
import tempfile
from pathlib import Path

import pyarrow
import pyarrow.parquet

from change_contracts import GONE, MORE
from rows import types


class Lake:
    def __init__(self, binary, path, schemas=None):
        self.binary = binary
        self.path = Path(path).resolve()
        self.schemas = ["--schemas", str(schemas)] if schemas else []

    def redlake(self, *arguments):
        command = [self.binary, *arguments, *self.schemas]
        done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
        if done.returncode != 0:
            raise RuntimeError(f"redlake {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def relations(self):
        """The tables, marts among them, and the views that are made of them."""
        listed = json.loads(self.redlake("schema", "list", "--format", "json"))
        tables = [relation["name"] for relation in listed if relation["kind"] != "view"]
        views = [relation["name"] for relation in listed if relation["kind"] == "view"]
        return tables, views

    def descriptions(self):
        listed = json.loads(self.redlake("schema", "list", "--format", "json"))
        return {relation["name"]: relation["description"] for relation in listed}

    def computed_columns(self, table):
        """The columns that views compute and files do not have."""
        shown = json.loads(self.redlake("schema", "show", table, "--format", "json"))
        return [column["name"] for column in shown["columns"] if not column["in_files"]]

    def read(self, relations):
        """The rows of each relation as `redlake query` gives them."""
        with tempfile.TemporaryDirectory() as folder:
            files = {name: Path(folder) / f"{name}.parquet" for name in relations}
            copies = [f"copy (from \"{name}\") to '{file}';" for name, file in files.items()]
            # One process for all of them: starting one takes longer than reading a table.
            script = "\n".join(copies)
            self.redlake("query", "--lake", str(self.path), "--allow-files", script)
            return {
                name: as_in_files(pyarrow.parquet.read_table(file)) for name, file in files.items()
            }

    def folder(self, table):
        mart = self.path / "marts" / table
        return mart if mart.exists() else self.path / "tables" / table


def as_in_files(rows):
    """The rows with costs as files have them: float64. Views show them as decimals."""
    for i, field in enumerate(rows.schema):
        if pyarrow.types.is_decimal(field.type):
            # Python rounds to the nearest float, and reads what redlake wrote as it was.
            costs = [None if cost is None else float(cost) for cost in rows[i].to_pylist()]
            rows = rows.set_column(i, field.name, pyarrow.array(costs, pyarrow.float64()))
    return rows


class Table:
    """The files of a table, and its rows as redlake gives them, which say what the contract has."""

    def __init__(self, name, folder, rows_by_redlake):
        self.name = name
        self.folder = folder
        self.glob = str(folder / "dt=*" / "*.parquet")
        self.files = sorted(folder.glob("dt=*/*.parquet"))
        self.rows = rows_by_redlake
        self.schema = rows_by_redlake.schema
        self.contract = {name: kind for name, kind in types(self.schema).items() if name != "dt"}
        self.types = {file: types(pyarrow.parquet.read_schema(file)) for file in self.files}
        self.changes = set().union(*map(self.changes_since, self.files))
        self.changed_columns = set().union(*map(self.columns_changed_since, self.files))

    def changes_since(self, file):
        """What the contract has other than the file, in the words of change_contracts.py."""
        old = self.types[file]
        changes = {
            f"{old[name]} to {self.contract[name]}" if name in old else MORE
            for name in self.columns_changed_since(file)
        }
        return changes | {GONE} if old.keys() - self.contract.keys() else changes

    def columns_changed_since(self, file):
        """The contract's columns that the file has not, or with another type."""
        old = self.types[file]
        return {name for name, kind in self.contract.items() if old.get(name) != kind}
