"""What an engine wrote, as numbers that must be equal for all: per table the rows, and per column
how many values there are and a sum over their hashes, which any change of a value changes.

    check.py JOB FOLDER    FOLDER has a folder of Parquet files for each table, at any depth
"""

import json
import sys

import duckdb

TABLES = {
    "search_results": "search_id page position rank model_type entity entity_id is_ad",
    "notes": "note_id note_type title description published_at updated_at last_updated_at"
    " author_user_id cover_url image_count video_duration_s has_music note_url xsec_token"
    " content_hash",
    "engagement": "note_id liked_count collected_count comments_count shared_count nice_count",
    "users": "user_id red_id nickname avatar_url official_verified official_verify_type",
    "note_images": "note_id image_index file_id trace_id width height url url_large original_url"
    " is_cover",
    "note_videos": "note_id video_index codec url cover_url width height duration_s size_bytes fps",
    "note_tags": "note_id tag_index tag origin",
    "note_badges": "note_id badge_index badge_type badge_text poi_id",
}


def source(folder: str, table: str) -> str:
    return f"read_parquet('{folder}/{table}/**/*.parquet', union_by_name = true) as {table}"


def tables(folder: str) -> dict[str, tuple[str, list[str]]]:
    return {
        table: (f"from {source(folder, table)}", columns.split())
        for table, columns in TABLES.items()
    }


def notes(folder: str, job: str) -> dict[str, tuple[str, list[str]]]:
    """The counts of a note stand in its own row, or in redlake's table of them."""
    rows = f"from {source(folder, 'notes')}"
    if job == "joined":
        rows += f" join {source(folder, 'engagement')} using (note_id)"
    columns = dict.fromkeys((TABLES["notes"] + " " + TABLES["engagement"]).split())
    return {"notes": (rows, list(columns))}


def digest(connection: duckdb.DuckDBPyConnection, rows: str, columns: list[str]) -> dict:
    described = connection.execute(f"describe select * {rows}").fetchall()
    kinds = {name: kind for name, kind, *_ in described}
    measures = ", ".join(measure(column, kinds.get(column)) for column in columns)
    count, *values = connection.execute(f"select count(*), {measures} {rows}").fetchone()
    pairs = zip(values[::2], values[1::2])
    return {"rows": count} | {
        column: f"{filled} values, {total}" for column, (filled, total) in zip(columns, pairs)
    }


def measure(column: str, kind: str | None) -> str:
    if kind is None:
        # dlt writes no column that has no value.
        return "0, 0"
    if column == "content_hash":
        # Each engine has another hash: only what it tells apart can be equal.
        return f"count({column}), count(distinct {column})"
    # In one form, whatever the width of the type.
    value = f"epoch_us({column})" if kind.startswith("TIMESTAMP") else column
    hashes = f"sum(hash({value}::varchar)) filter ({column} is not null)"
    return f"count({column}), coalesce({hashes}, 0)"


def main() -> None:
    job, folder = sys.argv[1:]
    connection = duckdb.connect()
    # So that an instant is read the same wherever this runs.
    connection.execute("set timezone = 'UTC'")
    of = tables(folder) if job == "tables" else notes(folder, job)
    print(json.dumps({table: digest(connection, *parts) for table, parts in of.items()}))


main()
