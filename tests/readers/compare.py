"""Checks of a table: every reader, in every way to open it, against redlake."""

import pyarrow

import readers
import rows


def check_table(checks, table, expected_checksum):
    """What came of each way to open the table, in a word, by the name of the way."""
    if not table.changes:
        return {way.name: check_way(checks, table, way, expected_checksum) for way in readers.PLAIN}
    outcomes = {}
    for way in readers.MIXED + readers.PLAIN:
        if table.changes & way.refuses:
            outcomes[way.name] = check_refusal(checks, table, way)
        elif way in readers.MIXED:
            outcomes[way.name] = check_way(checks, table, way, expected_checksum)
        else:
            outcomes[way.name] = check_unaware(checks, table, way)
    return outcomes


def check_way(checks, table, way, expected_checksum):
    """A way that reads the table must give what redlake gives."""
    what = f"{table.name} by {way.name}"
    failures_before = len(checks.failures)
    reader = checks.attempt(what, way.open, table)
    if reader is None:
        return "fails"

    count = checks.attempt(f"count of {what}", reader.count)
    checks.equal(f"count of {what}", count, len(table.rows))
    found = checks.attempt(f"rows of {what}", reader.rows)
    if found is not None:
        check_columns(checks, what, found.column_names, table, way)
        check_rows(checks, what, found, table.rows, expected_checksum)
    digest = checks.attempt(f"digest of {what}", reader.digest, table.schema)
    if digest is not None:
        check_digest(checks, what, digest, rows.digest(table.rows))
    column, text, expected = most_common_id(table.rows)
    matches = checks.attempt(f"lookup in {what}", reader.lookup, column, text)
    checks.equal(f"rows of {what} where {column} = {text!r}", matches, expected)
    return "equal" if len(checks.failures) == failures_before else "differs"


def check_columns(checks, what, found, table, way):
    """Those of redlake, in its order unless files differ."""
    if table.changes:
        gone = set().union(*table.types.values()) - set(table.schema.names)
        expected = table.schema.names + list(gone if way.shows_gone else [])
        checks.equal(f"columns of {what}", sorted(found), sorted(expected))
    else:
        checks.equal(f"columns of {what}", found, table.schema.names)


def check_rows(checks, what, found, expected, expected_checksum):
    """Types and values of all columns that are expected."""
    missing = sorted(set(expected.column_names) - set(found.column_names))
    if not checks.equal(f"columns missing in {what}", missing, []):
        return
    found = rows.in_one_form(found, expected.column_names)
    checks.equal(f"types of {what}", rows.types(found.schema), rows.types(expected.schema))
    checks.equal(
        f"checksum of {what}",
        rows.checksum(found),
        expected_checksum,
        explain=lambda: f"columns with other values: {rows.differing_columns(found, expected)}",
    )


def check_digest(checks, what, found, expected):
    for column, values in expected.items():
        checks.equal(f"(nulls, greatest, sum) of {column} of {what}", found[column], values)


def most_common_id(found):
    """Something to look up: a column, a text in it, how many rows have that."""
    texts = [field.name for field in found.schema if field.type == pyarrow.string()]
    column = next((name for name in texts if name.endswith("_id")), texts[0])
    counted = found[column].drop_null().value_counts().to_pylist()
    most = max(counted, key=lambda entry: entry["counts"])
    return column, most["values"], most["counts"]


def check_refusal(checks, table, way):
    """Whoever cannot read the table must say so, and not give other values."""
    changes = ", ".join(sorted(table.changes))
    what = f"{table.name}, whose files have {changes}, by {way.name}"
    refused = checks.refused(what, lambda: way.open(table).rows(), way.error)
    return "refused" if refused else "not refused"


def check_unaware(checks, table, way):
    """Without options the reader takes the columns and types of one file for those of all."""
    what = f"{table.name} by {way.name}"
    found = checks.attempt(what, lambda: way.open(table).rows())
    if found is None:
        return "fails"
    types = rows.types(rows.in_one_form(found, found.column_names).schema)
    del types["dt"]
    of_one_file = types in table.types.values()
    checks.equal(f"{what} has the columns of one file", of_one_file, True)
    return "of one file" if of_one_file else "differs"
