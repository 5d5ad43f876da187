"""The job in DuckDB: one `read_json` with a declared schema, then a `COPY` a table.

The forms were compared on 2,000 pages with two threads: one read into a table and the COPYs on
as many connections as threads (this file) 141 MB/s, the COPYs one after the other 105, a
`read_json` for each table 70. With the default `maximum_object_size` all are slower. The
zstd file is not faster than plain text on two threads, and slower on one. DuckDB's own level of zstd
is 3; the form "level 1" has redlake's.
"""

from concurrent.futures import ThreadPoolExecutor

import duckdb

from rival import Clock, arguments, table_file

STREAM = """STRUCT(master_url VARCHAR, width BIGINT, height BIGINT, duration BIGINT, size BIGINT,
    fps DOUBLE)[]"""

# Only what a column comes from; the rest of the answer is skipped.
TABLES_NOTE = f"""STRUCT(
    id VARCHAR, "type" VARCHAR, title VARCHAR, "desc" VARCHAR, abstract_show VARCHAR,
    "timestamp" BIGINT, update_time BIGINT, last_update_time BIGINT,
    has_music BOOLEAN, xsec_token VARCHAR, cover_image_index BIGINT,
    liked_count BIGINT, collected_count BIGINT, comments_count BIGINT, shared_count BIGINT,
    nice_count BIGINT,
    "user" STRUCT(userid VARCHAR, red_id VARCHAR, nickname VARCHAR, images VARCHAR,
        red_official_verified BOOLEAN, red_official_verify_type BIGINT),
    images_list STRUCT(fileid VARCHAR, trace_id VARCHAR, width BIGINT, height BIGINT, url VARCHAR,
        url_size_large VARCHAR, original VARCHAR)[],
    video_info_v2 STRUCT(
        capa STRUCT(duration BIGINT),
        image STRUCT(thumbnail VARCHAR),
        media STRUCT(stream STRUCT(h264 {STREAM}, h265 {STREAM}, av1 {STREAM}, h266 {STREAM}))),
    tag_info STRUCT(title VARCHAR),
    corner_tag_info STRUCT("type" VARCHAR, text VARCHAR, poi_id VARCHAR)[])"""

NOTES_NOTE = """STRUCT(
    id VARCHAR, "type" VARCHAR, title VARCHAR, "desc" VARCHAR,
    "timestamp" BIGINT, update_time BIGINT, last_update_time BIGINT,
    has_music BOOLEAN, xsec_token VARCHAR, cover_image_index BIGINT,
    liked_count BIGINT, collected_count BIGINT, comments_count BIGINT, shared_count BIGINT,
    nice_count BIGINT,
    "user" STRUCT(userid VARCHAR),
    images_list STRUCT(url VARCHAR, url_size_large VARCHAR)[],
    video_info_v2 STRUCT(capa STRUCT(duration BIGINT)))"""

NOTES_COLUMNS = """
    note.id as note_id,
    note.type as note_type,
    nullif(note.title, '') as title,
    note.desc as description,
    make_timestamptz(nullif(note.timestamp, 0) * 1000000) as published_at,
    make_timestamptz(nullif(note.update_time, 0) * 1000) as updated_at,
    make_timestamptz(nullif(note.last_update_time, 0) * 1000000) as last_updated_at,
    note.user.userid as author_user_id,
    coalesce(
        nullif(note.images_list[note.cover_image_index + 1].url, ''),
        nullif(note.images_list[note.cover_image_index + 1].url_size_large, '')) as cover_url,
    len(note.images_list) as image_count,
    note.video_info_v2.capa.duration as video_duration_s,
    note.has_music as has_music,
    'https://www.xiaohongshu.com/explore/' || note.id as note_url,
    note.xsec_token as xsec_token,
    md5(coalesce(note.title, '') || chr(0) || coalesce(note.desc, '')) as content_hash"""

ENGAGEMENT_COLUMNS = """
    note.liked_count as liked_count,
    note.collected_count as collected_count,
    note.comments_count as comments_count,
    note.shared_count as shared_count,
    note.nice_count as nice_count"""

HASHTAG = (
    r"'[#\x{FF03}](?:[^#\x{FF03}\s\p{Z}\[\]]+\[话题\][#\x{FF03}]?|[\p{L}\p{N}\p{M}_·・&+\-]+)'"
)

TABLES = {
    "note_images": """
        select note_id, image_index, i.fileid as file_id, i.trace_id as trace_id,
            i.width as width, i.height as height, nullif(i.url, '') as url,
            nullif(i.url_size_large, '') as url_large, nullif(i.original, '') as original_url,
            image_index = cover as is_cover
        from (
            select note.id as note_id, note.cover_image_index as cover,
                unnest(note.images_list) as i,
                generate_subscripts(note.images_list, 1) - 1 as image_index
            from notes)""",
    "note_tags": f"""
        select note_id, tag_index, tag, 'hashtag' as origin
        from (
            select note_id, unnest(tags) as tag, generate_subscripts(tags, 1) - 1 as tag_index
            from (
                select note_id, list_filter(tags, lambda t, n: list_position(tags, t) = n) as tags
                from (
                    select note.id as note_id, list_transform(
                        regexp_extract_all(
                            concat_ws(chr(10), note.title, note.desc, note.abstract_show),
                            {HASHTAG}),
                        lambda t: ltrim(split_part(t, '[话题]', 1), '#' || chr(65283))) as tags
                    from notes)))
        union all
        select note.id, 0, note.tag_info.title, 'tag_info' from notes
        where note.tag_info.title <> ''""",
    "notes": f"select {NOTES_COLUMNS} from notes",
    "note_videos": """
        select note_id, video_index, codec, nullif(s.master_url, '') as url,
            nullif(cover_url, '') as cover_url, s.width as width, s.height as height,
            s.duration * 0.001::DOUBLE as duration_s, s.size as size_bytes, s.fps as fps
        from (
            select note_id, codec, cover_url, unnest(streams) as s,
                generate_subscripts(streams, 1) - 1 as video_index
            from (
                select note.id as note_id, note.video_info_v2.image.thumbnail as cover_url,
                    unnest(['h264', 'h265', 'av1', 'h266']) as codec,
                    unnest([
                        note.video_info_v2.media.stream.h264, note.video_info_v2.media.stream.h265,
                        note.video_info_v2.media.stream.av1, note.video_info_v2.media.stream.h266
                    ]) as streams
                from notes where note.video_info_v2 is not null))""",
    "users": """
        select note.user.userid as user_id, note.user.red_id as red_id,
            note.user.nickname as nickname, nullif(note.user.images, '') as avatar_url,
            note.user.red_official_verified as official_verified,
            note.user.red_official_verify_type as official_verify_type
        from notes""",
    "engagement": f"select note.id as note_id, {ENGAGEMENT_COLUMNS} from notes",
    "note_badges": """
        select note_id, badge_index, b.type as badge_type, nullif(b.text, '') as badge_text,
            nullif(b.poi_id, '') as poi_id
        from (
            select note.id as note_id, unnest(note.corner_tag_info) as b,
                generate_subscripts(note.corner_tag_info, 1) - 1 as badge_index
            from notes)
        where b.type is distinct from 'ubt_sig_token'""",
    "search_results": """
        select search_id, page, position, (page - 1) * 20 + position as rank, model_type,
            case when model_type in ('note', 'ads') then 'note' end as entity,
            note.id as entity_id, coalesce(model_type = 'ads', false) as is_ad
        from items""",
}


def items_of(pages: str, note: str) -> str:
    item = f"STRUCT(model_type VARCHAR, note {note}, ads STRUCT(note {note}))"
    return f"""
        select search_id, page, position, item.model_type as model_type,
            coalesce(item.note, item.ads.note) as note
        from (
            select search.search_id as search_id, page, unnest(body.data.items) as item,
                generate_subscripts(body.data.items, 1) as position
            from read_json('{pages}', format = 'newline_delimited', maximum_object_size = {1 << 20},
                columns = {{
                    search: 'STRUCT(search_id VARCHAR)',
                    page: 'BIGINT',
                    body: 'STRUCT(data STRUCT(items {item}[]))'}}))"""


# DuckDB's own level, and that of the form "level 1".
LEVELS = {"read_json": 3, "level 1": 1}


def copy(
    connection: duckdb.DuckDBPyConnection, out: str, table: str, rows: str, level: int
) -> None:
    target = table_file(out, table)
    connection.execute(
        f"copy ({rows}) to '{target}' (format parquet, compression zstd, compression_level {level})"
    )


def tables(
    connection: duckdb.DuckDBPyConnection, pages: str, out: str, threads: int, level: int
) -> None:
    connection.execute(f"create table items as {items_of(pages, TABLES_NOTE)}")
    connection.execute(
        "create view notes as select note from items where model_type in ('note', 'ads')"
    )
    # The table has one row group, which one thread scans: two COPYs at once use two threads.
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda t: copy(connection.cursor(), out, t, TABLES[t], level), TABLES))


def notes(connection: duckdb.DuckDBPyConnection, pages: str, out: str, level: int) -> None:
    rows = f"""
        select {NOTES_COLUMNS}, {ENGAGEMENT_COLUMNS} from ({items_of(pages, NOTES_NOTE)})
        where model_type in ('note', 'ads')"""
    copy(connection, out, "notes", rows, level)


def main() -> None:
    args = arguments()
    clock = Clock()
    connection = duckdb.connect()
    connection.execute(f"set threads = {args.threads}; set preserve_insertion_order = false")
    if args.job == "tables":
        tables(connection, args.pages, args.out, args.threads, LEVELS[args.form])
    else:
        notes(connection, args.pages, args.out, LEVELS[args.form])
    clock.stop(duckdb.__version__)


main()
