"""Writes a copy of schemas/ in which some tables have other columns.

    python3 change_contracts.py FOLDER

Each table that is changed has one kind of change, so that a reader that fails says which.
"""

import shutil
import sys
from pathlib import Path

SCHEMAS = Path(__file__).resolve().parents[2] / "schemas"

# What a file may have other than the contract says.
MORE = "a column more"
GONE = "a column gone"
# Types by the names that Arrow gives them.
TO_FLOAT = "int64 to double"
TO_TEXT = "int64 to string"

CHANGED_TABLES = {
    "notes": {MORE},
    "search_facets": {MORE},
    "users": {GONE},
    "note_images": {TO_FLOAT},
    "engagement": {TO_TEXT},
}

SOURCE = "sources/justoneapi.yaml"
# (file, text, the text that takes its place)
REPLACEMENTS = [
    (
        "tables/notes.yaml",
        "  xsec_token: {",
        "  shown_likes: {type: string, description: The likes as the app shows them.}\n"
        "  xsec_token: {",
    ),
    (
        SOURCE,
        "          xsec_token: /xsec_token\n",
        "          xsec_token: /xsec_token\n          shown_likes: /interaction_area/text\n",
    ),
    (SOURCE, "fields: [interaction_area]", "fields: []"),
    # Required: files that have it say that it is never null, and still it is null in old rows.
    (
        "tables/search_facets.yaml",
        "  option_name: {",
        "  option_index: {type: int64, required: true, description: Its place from 0.}\n"
        "  option_name: {",
    ),
    (
        SOURCE,
        "          option_name: /name\n",
        "          option_name: /name\n          option_index: {index: true}\n",
    ),
    (
        "tables/users.yaml",
        "rows_from: pages\n",
        "rows_from: pages\nremoved: {profile_url: nobody opened it}\n",
    ),
    ("tables/users.yaml", "  profile_url: {", "  # profile_url: {"),
    (SOURCE, "          profile_url: {", "          # profile_url: {"),
    (
        "tables/note_images.yaml",
        "  width: {type: int64,",
        "  width: {type: float64, was: [int64],",
    ),
    (
        "tables/engagement.yaml",
        "  nice_count: {type: int64,",
        "  nice_count: {type: string, was: [int64],",
    ),
]


def replace_once(path, old, new):
    text = path.read_text(encoding="utf-8")
    found = text.count(old)
    if found != 1:
        raise SystemExit(f"{path} has {found} times {old!r}, expected once: adapt {__file__}")
    path.write_text(text.replace(old, new), encoding="utf-8")


def main():
    if len(sys.argv) != 2:
        raise SystemExit("usage: change_contracts.py FOLDER")
    folder = Path(sys.argv[1])
    shutil.copytree(SCHEMAS, folder)
    for file, old, new in REPLACEMENTS:
        replace_once(folder / file, old, new)


if __name__ == "__main__":
    main()
