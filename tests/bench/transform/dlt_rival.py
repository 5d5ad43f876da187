"""The job in dlt: a resource yields what a page holds, and dlt writes Parquet files to a folder.

`nested` yields a note with its images, streams, tags and badges as lists, of which dlt makes child
tables, as it does with any JSON. `rows` yields the rows of every table, made by hand, which leaves
dlt less to do. In both, Python has picked the fields, so dlt sees no column that is not wanted.

Python 3.11 reads no zstd files, so the pages are plain text. dlt's writer has no setting for the
level of zstd: it is pyarrow's own, 1. Threads are the `workers` of the step that turns rows into
Parquet, which are processes, and of the one that brings files to their place.
"""

import hashlib
import os
import re
import shutil
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timezone

from rival import Clock, arguments

ARGS = arguments()
WORK = os.path.abspath(f"{ARGS.out}/work")
LAKE = os.path.abspath(f"{ARGS.out}/lake")
os.environ |= {
    "DLT_DATA_DIR": WORK,
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "RUNTIME__LOG_LEVEL": "ERROR",
    "NORMALIZE__WORKERS": str(ARGS.threads),
    "LOAD__WORKERS": str(ARGS.threads),
    # Several files between the steps, so that several workers have something to do, and plain ones.
    "SOURCES__DATA_WRITER__FILE_MAX_ITEMS": "20000",
    "SOURCES__DATA_WRITER__DISABLE_COMPRESSION": "true",
    "NORMALIZE__DATA_WRITER__DISABLE_COMPRESSION": "true",
    "NORMALIZE__DATA_WRITER__COMPRESSION": "zstd",
}

import dlt  # noqa: E402, it reads the variables when it is imported
import orjson  # noqa: E402
from dlt.destinations import filesystem  # noqa: E402

COUNTS = ["liked_count", "collected_count", "comments_count", "shared_count", "nice_count"]
CHILDREN = ["note_images", "note_videos", "note_tags", "note_badges"]
HASHTAG = re.compile(
    "[#\uff03](?:([^#\uff03\\s\\[\\]]+)\\[话题\\][#\uff03]?|([\\w\u0300-\u036f\ufe00-\ufe0f·\u30fb&+\\-]+))"
)

Row = dict[str, object]


def read(path: str) -> Iterator[dict]:
    with open(path, "rb") as lines:
        yield from map(orjson.loads, lines)


def instant(number: int, per_second: int) -> datetime | None:
    return datetime.fromtimestamp(number / per_second, timezone.utc) if number else None


def note_of(item: dict) -> dict | None:
    match item.get("model_type"):
        case "note":
            return item["note"]
        case "ads":
            return item["ads"]["note"]
    return None


def search_result(page: dict, position: int, item: dict) -> Row:
    note = note_of(item)
    return {
        "search_id": page["search"]["search_id"],
        "page": page["page"],
        "position": position,
        "rank": (page["page"] - 1) * 20 + position,
        "model_type": item.get("model_type"),
        "entity": "note" if note else None,
        "entity_id": note["id"] if note else None,
        "is_ad": item.get("model_type") == "ads",
    }


def note_row(note: dict) -> Row:
    images, at = note["images_list"], note["cover_image_index"]
    cover = images[at] if at < len(images) else None
    video = note.get("video_info_v2")
    text = (note.get("title") or "").encode() + b"\0" + note["desc"].encode()
    return {
        "note_id": note["id"],
        "note_type": note["type"],
        "title": note.get("title") or None,
        "description": note["desc"],
        "published_at": instant(note["timestamp"], 1),
        "updated_at": instant(note["update_time"], 1_000),
        "last_updated_at": instant(note["last_update_time"], 1),
        "author_user_id": note["user"]["userid"],
        "cover_url": (cover["url"] or cover["url_size_large"] or None) if cover else None,
        "image_count": len(images),
        "video_duration_s": video["capa"]["duration"] if video else None,
        "has_music": note["has_music"],
        "note_url": "https://www.xiaohongshu.com/explore/" + note["id"],
        "xsec_token": note["xsec_token"],
        "content_hash": hashlib.md5(text).hexdigest(),
    }


def counts(note: dict) -> Row:
    return {name: note[name] for name in COUNTS}


def user(note: dict) -> Row:
    author = note["user"]
    return {
        "user_id": author["userid"],
        "red_id": author["red_id"],
        "nickname": author["nickname"],
        "avatar_url": author["images"] or None,
        "official_verified": author["red_official_verified"],
        "official_verify_type": author["red_official_verify_type"],
    }


def images(note: dict) -> list[Row]:
    return [
        {
            "note_id": note["id"],
            "image_index": index,
            "file_id": image["fileid"],
            "trace_id": image["trace_id"],
            "width": image["width"],
            "height": image["height"],
            "url": image["url"] or None,
            "url_large": image["url_size_large"] or None,
            "original_url": image["original"] or None,
            "is_cover": index == note["cover_image_index"],
        }
        for index, image in enumerate(note["images_list"])
    ]


def videos(note: dict) -> list[Row]:
    video = note.get("video_info_v2")
    if not video:
        return []
    return [
        {
            "note_id": note["id"],
            "video_index": index,
            "codec": codec,
            "url": stream["master_url"] or None,
            "cover_url": video["image"]["thumbnail"] or None,
            "width": stream["width"],
            "height": stream["height"],
            "duration_s": stream["duration"] * 0.001,
            "size_bytes": stream["size"],
            "fps": float(stream["fps"]),
        }
        for codec, streams in video["media"]["stream"].items()
        for index, stream in enumerate(streams)
    ]


def tags(note: dict) -> list[Row]:
    texts = (note.get(name) for name in ["title", "desc", "abstract_show"])
    found = HASHTAG.findall("\n".join(text for text in texts if text))
    hashtags = enumerate(dict.fromkeys(linked or bare for linked, bare in found))
    rows = [
        {"note_id": note["id"], "tag_index": index, "tag": tag, "origin": "hashtag"}
        for index, tag in hashtags
    ]
    if tag := note["tag_info"]["title"]:
        rows.append({"note_id": note["id"], "tag_index": 0, "tag": tag, "origin": "tag_info"})
    return rows


def badges(note: dict) -> list[Row]:
    return [
        {
            "note_id": note["id"],
            "badge_index": index,
            "badge_type": badge["type"],
            "badge_text": badge.get("text") or None,
            "poi_id": badge.get("poi_id") or None,
        }
        for index, badge in enumerate(note["corner_tag_info"])
        if badge["type"] != "ubt_sig_token"
    ]


def tables_of(page: dict) -> dict[str, list[Row]]:
    rows = defaultdict(list)
    for position, item in enumerate(page["body"]["data"]["items"], 1):
        rows["search_results"].append(search_result(page, position, item))
        if not (note := note_of(item)):
            continue
        row = note_row(note)
        rows["notes"].append(row)
        rows["engagement"].append({"note_id": note["id"], **counts(note)})
        rows["users"].append(user(note))
        for table, children in zip(CHILDREN, (f(note) for f in (images, videos, tags, badges))):
            if ARGS.form == "nested":
                row[table] = children
            else:
                rows[table] += children
    return rows


def notes_of(page: dict) -> dict[str, list[Row]]:
    notes = filter(None, map(note_of, page["body"]["data"]["items"]))
    return {"notes": [note_row(note) | counts(note) for note in notes]}


@dlt.resource
def items():
    of = tables_of if ARGS.job == "tables" else notes_of
    for page in read(ARGS.pages):
        for table, rows in of(page).items():
            yield dlt.mark.with_table_name(rows, table)


def lay_out(out: str) -> None:
    """A folder for each table, under its name: a child table is called after its parent."""
    for table in os.listdir(f"{LAKE}/bench"):
        if not table.startswith("_"):
            os.rename(f"{LAKE}/bench/{table}", f"{out}/{table.removeprefix('notes__')}")
    shutil.rmtree(LAKE)
    shutil.rmtree(WORK)


def main() -> None:
    clock = Clock()
    target = filesystem(f"file://{LAKE}")
    pipeline = dlt.pipeline("bench", destination=target, dataset_name="bench", pipelines_dir=WORK)
    pipeline.run(items(), loader_file_format="parquet")
    clock.stop(dlt.__version__)
    lay_out(ARGS.out)


# Its worker processes import this file.
if __name__ == "__main__":
    main()
