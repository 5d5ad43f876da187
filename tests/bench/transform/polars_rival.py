"""The job in Polars, in two forms that differ in how JSON is read.

`scan_ndjson` is Polars' reader of such files; `json_decode` reads lines as text and decodes them
as an expression, which takes a third of the time where a line is as long as a page. In both,
the items are held in memory once and the tables are written from there at once: scanning again for
each table takes twice as long. zstd files are slower than plain text.
"""

import os

from rival import Clock, arguments, table_file

ARGS = arguments()
os.environ["POLARS_MAX_THREADS"] = str(ARGS.threads)

import polars as pl  # noqa: E402, it reads the variable when it is imported

INT, TEXT, BOOL, FLOAT = pl.Int64, pl.String, pl.Boolean, pl.Float64
INSTANT = pl.Datetime("us", "UTC")
STREAM = pl.Struct(
    {"master_url": TEXT, "width": INT, "height": INT, "duration": INT, "size": INT, "fps": FLOAT}
)
CODECS = ["h264", "h265", "av1", "h266"]
COUNTS = ["liked_count", "collected_count", "comments_count", "shared_count", "nice_count"]
HASHTAG = (
    r"[#\x{FF03}](?:[^#\x{FF03}\s\[\]]+\[话题\][#\x{FF03}]?|[\p{L}\p{N}\p{M}_·・&+\-]+)"
)

# Only what a column comes from; the rest of the answer is skipped.
FLAT = {
    **{name: TEXT for name in ["id", "type", "title", "desc", "xsec_token"]},
    **{name: INT for name in ["timestamp", "update_time", "last_update_time"]},
    "has_music": BOOL,
    "cover_image_index": INT,
    **{name: INT for name in COUNTS},
}
NOTES_NOTE = {
    **FLAT,
    "user": pl.Struct({"userid": TEXT}),
    "images_list": pl.List(pl.Struct({"url": TEXT, "url_size_large": TEXT})),
    "video_info_v2": pl.Struct({"capa": pl.Struct({"duration": INT})}),
}
TABLES_NOTE = {
    **FLAT,
    "abstract_show": TEXT,
    "user": pl.Struct(
        {
            **{name: TEXT for name in ["userid", "red_id", "nickname", "images"]},
            "red_official_verified": BOOL,
            "red_official_verify_type": INT,
        }
    ),
    "images_list": pl.List(
        pl.Struct(
            {
                **{name: TEXT for name in ["fileid", "trace_id"]},
                **{name: INT for name in ["width", "height"]},
                **{name: TEXT for name in ["url", "url_size_large", "original"]},
            }
        )
    ),
    "video_info_v2": pl.Struct(
        {
            "capa": pl.Struct({"duration": INT}),
            "image": pl.Struct({"thumbnail": TEXT}),
            "media": pl.Struct(
                {"stream": pl.Struct({codec: pl.List(STREAM) for codec in CODECS})}
            ),
        }
    ),
    "tag_info": pl.Struct({"title": TEXT}),
    "corner_tag_info": pl.List(pl.Struct({"type": TEXT, "text": TEXT, "poi_id": TEXT})),
}


def field(*path: str) -> pl.Expr:
    value = pl.col(path[0])
    for name in path[1:]:
        value = value.struct.field(name)
    return value


def filled(text: pl.Expr) -> pl.Expr:
    return pl.when(text != "").then(text)


def instant(number: str, microseconds: int) -> pl.Expr:
    value = pl.col(number)
    return (pl.when(value != 0).then(value) * microseconds).cast(INSTANT)


def indices(values: pl.Expr) -> pl.Expr:
    return pl.int_ranges(0, values.list.len())


def pages_of(path: str, form: str, note: dict) -> pl.LazyFrame:
    item = {
        "model_type": TEXT,
        "note": pl.Struct(note),
        "ads": pl.Struct({"note": pl.Struct(note)}),
    }
    page = {
        "search": pl.Struct({"search_id": TEXT}),
        "page": INT,
        "body": pl.Struct({"data": pl.Struct({"items": pl.List(pl.Struct(item))})}),
    }
    if form == "scan_ndjson":
        return pl.scan_ndjson(path, schema=page)
    lines = pl.scan_lines(path, name="line")
    return lines.select(pl.col("line").str.json_decode(pl.Struct(page))).unnest("line")


def items_of(pages: pl.LazyFrame) -> pl.LazyFrame:
    items = field("body", "data", "items")
    places = pages.select(
        search_id=field("search", "search_id"),
        page="page",
        item=items,
        position=indices(items) + 1,
    ).explode("item", "position")
    is_ad = field("item", "model_type") == "ads"
    return places.select(
        "search_id",
        "page",
        "position",
        model_type=field("item", "model_type"),
        note=pl.when(is_ad).then(field("item", "ads", "note")).otherwise(field("item", "note")),
    )


def notes_of(items: pl.LazyFrame) -> pl.LazyFrame:
    notes = items.filter(pl.col("model_type").is_in(["note", "ads"]))
    return notes.select("note").unnest("note")


def notes_columns() -> dict[str, pl.Expr]:
    cover = pl.col("images_list").list.get(pl.col("cover_image_index"), null_on_oob=True)
    return {
        "note_id": pl.col("id"),
        "note_type": pl.col("type"),
        "title": filled(pl.col("title")),
        "description": pl.col("desc"),
        "published_at": instant("timestamp", 1_000_000),
        "updated_at": instant("update_time", 1_000),
        "last_updated_at": instant("last_update_time", 1_000_000),
        "author_user_id": field("user", "userid"),
        "cover_url": pl.coalesce(
            filled(cover.struct.field("url")), filled(cover.struct.field("url_size_large"))
        ),
        "image_count": pl.col("images_list").list.len().cast(INT),
        "video_duration_s": field("video_info_v2", "capa", "duration"),
        "has_music": pl.col("has_music"),
        "note_url": pl.lit("https://www.xiaohongshu.com/explore/") + pl.col("id"),
        "xsec_token": pl.col("xsec_token"),
        # Polars has no cryptographic hash: 64 bits of another kind.
        "content_hash": pl.struct("title", "desc").hash(),
    }


def search_results(items: pl.LazyFrame) -> pl.LazyFrame:
    is_note = pl.col("model_type").is_in(["note", "ads"])
    return items.select(
        "search_id",
        "page",
        "position",
        "model_type",
        rank=(pl.col("page") - 1) * 20 + pl.col("position"),
        entity=pl.when(is_note).then(pl.lit("note")),
        entity_id=field("note", "id"),
        is_ad=(pl.col("model_type") == "ads").fill_null(False),
    )


def users(notes: pl.LazyFrame) -> pl.LazyFrame:
    return notes.select(
        user_id=field("user", "userid"),
        red_id=field("user", "red_id"),
        nickname=field("user", "nickname"),
        avatar_url=filled(field("user", "images")),
        official_verified=field("user", "red_official_verified"),
        official_verify_type=field("user", "red_official_verify_type"),
    )


def note_images(notes: pl.LazyFrame) -> pl.LazyFrame:
    images = notes.select(
        note_id="id",
        cover="cover_image_index",
        i="images_list",
        image_index=indices(pl.col("images_list")),
    )
    return images.explode("i", "image_index", empty_as_null=False).select(
        "note_id",
        "image_index",
        file_id=field("i", "fileid"),
        trace_id=field("i", "trace_id"),
        width=field("i", "width"),
        height=field("i", "height"),
        url=filled(field("i", "url")),
        url_large=filled(field("i", "url_size_large")),
        original_url=filled(field("i", "original")),
        is_cover=pl.col("image_index") == pl.col("cover"),
    )


def note_videos(notes: pl.LazyFrame) -> pl.LazyFrame:
    def of(codec: str) -> pl.LazyFrame:
        streams = field("video_info_v2", "media", "stream", codec)
        rows = notes.filter(streams.list.len() > 0).select(
            note_id="id",
            codec=pl.lit(codec),
            cover_url=filled(field("video_info_v2", "image", "thumbnail")),
            s=streams,
            video_index=indices(streams),
        )
        return rows.explode("s", "video_index").select(
            "note_id",
            "video_index",
            "codec",
            "cover_url",
            url=filled(field("s", "master_url")),
            width=field("s", "width"),
            height=field("s", "height"),
            duration_s=field("s", "duration") * 0.001,
            size_bytes=field("s", "size"),
            fps=field("s", "fps"),
        )

    return pl.concat([of(codec) for codec in CODECS])


def note_tags(notes: pl.LazyFrame) -> pl.LazyFrame:
    text = pl.concat_str("title", "desc", "abstract_show", separator="\n", ignore_nulls=True)
    bare = pl.element().str.replace(r"\[话题\].*", "").str.strip_chars_start("#\uff03")
    tags = text.str.extract_all(HASHTAG).list.eval(bare).list.unique(maintain_order=True)
    hashtags = (
        notes.select(note_id="id", tag=tags)
        .with_columns(tag_index=indices(pl.col("tag")))
        .explode("tag", "tag_index", empty_as_null=False)
        .select("note_id", "tag_index", "tag", origin=pl.lit("hashtag"))
    )
    title = field("tag_info", "title")
    single = notes.filter(title != "").select(
        note_id="id", tag_index=pl.lit(0, INT), tag=title, origin=pl.lit("tag_info")
    )
    return pl.concat([hashtags, single])


def note_badges(notes: pl.LazyFrame) -> pl.LazyFrame:
    badges = notes.select(
        note_id="id", b="corner_tag_info", badge_index=indices(pl.col("corner_tag_info"))
    )
    return (
        badges.explode("b", "badge_index", empty_as_null=False)
        .filter(field("b", "type").ne_missing("ubt_sig_token"))
        .select(
            "note_id",
            "badge_index",
            badge_type=field("b", "type"),
            badge_text=filled(field("b", "text")),
            poi_id=filled(field("b", "poi_id")),
        )
    )


def sink(out: str, table: str, rows: pl.LazyFrame) -> pl.LazyFrame:
    target = table_file(out, table)
    return rows.sink_parquet(target, compression="zstd", compression_level=3, lazy=True)


def tables(pages: str, form: str, out: str) -> None:
    items = items_of(pages_of(pages, form, TABLES_NOTE)).collect(engine="streaming").lazy()
    notes = notes_of(items).collect().lazy()
    rows = {
        "search_results": search_results(items),
        "notes": notes.select(**notes_columns()),
        "engagement": notes.select("id", *COUNTS).rename({"id": "note_id"}),
        "users": users(notes),
        "note_images": note_images(notes),
        "note_videos": note_videos(notes),
        "note_tags": note_tags(notes),
        "note_badges": note_badges(notes),
    }
    pl.collect_all([sink(out, table, rows[table]) for table in rows], engine="streaming")


def notes(pages: str, form: str, out: str) -> None:
    rows = notes_of(items_of(pages_of(pages, form, NOTES_NOTE)))
    sink(out, "notes", rows.select(*COUNTS, **notes_columns())).collect(engine="streaming")


def main() -> None:
    clock = Clock()
    job = tables if ARGS.job == "tables" else notes
    job(ARGS.pages, ARGS.form, ARGS.out)
    clock.stop(pl.__version__)


main()
