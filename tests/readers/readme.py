"""Runs the code of README.md, so that it is what was checked."""

import re
from pathlib import Path

import duckdb
import polars
import pyarrow.dataset

import rows
from compare import check_rows

README = Path(__file__).with_name("README.md")


def check_code(checks, heading, lake, rows_by_redlake, needed):
    """Each block of code reads one table or view and calls it by its name.

    It may name the columns that it wants; those that are `needed` must be there.
    """
    blocks = code_blocks(heading)
    # One for each reader at least.
    checks.equal(f"README.md has code below {heading!r}", len(blocks) >= 4, True)
    for number, block in enumerate(blocks, 1):
        what = f"block {number} below {heading!r} in README.md"
        found = checks.attempt(what, run, block, lake, rows_by_redlake)
        if found is None:
            continue
        relation, read = found
        missing = sorted(needed[relation] - set(read.column_names))
        checks.equal(f"columns of {relation} missing in {what}", missing, [])
        expected = rows_by_redlake[relation]
        wanted = [name for name in expected.column_names if name in read.column_names]
        expected = expected.select(wanted)
        check_rows(checks, f"{relation} by {what}", read, expected, rows.checksum(expected))


def code_blocks(heading):
    _before, section = README.read_text(encoding="utf-8").split(f"\n### {heading}\n")
    section = re.split(r"^##", section, maxsplit=1, flags=re.MULTILINE)[0]
    return re.findall(r"^```python\n(.*?)^```", section, re.DOTALL | re.MULTILINE)


def run(block, lake, relations):
    """What the block read, by name; it speaks of a lake in the folder `lake`."""
    names = {}
    exec(block.replace("lake/", f"{lake.path}/"), names)
    (relation,) = names.keys() & relations.keys()
    return relation, to_rows(names[relation])


def to_rows(read):
    if isinstance(read, duckdb.DuckDBPyRelation):
        return read.to_arrow_table()
    if isinstance(read, pyarrow.dataset.Dataset):
        return read.to_table()
    if isinstance(read, polars.LazyFrame):
        return read.collect().to_arrow()
    return read
