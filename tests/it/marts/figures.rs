use serde_json::Value;

use super::{observe, watch};
use crate::support::{Lake, declared};

/// A row a note and date with the counts of its last snapshot.
const COUNTED: &str = "
snapshots as (
  select dt, pipeline, note_id, snapshot_at,
    coalesce(max(liked_count) filter (endpoint = 'note_detail'), max(liked_count)) as liked,
    coalesce(max(collected_count) filter (endpoint = 'note_detail'), max(collected_count)) as collected,
    coalesce(max(comments_count) filter (endpoint = 'note_detail'), max(comments_count)) as comments,
    coalesce(max(shared_count) filter (endpoint = 'note_detail'), max(shared_count)) as shared
  from engagement group by all),
counted as (
  select *, (select sum(v) from (values (liked), (collected), (comments), (shared)) as each(v)) as together
  from snapshots s
  where snapshot_at = (select max(snapshot_at) from snapshots t where t.dt = s.dt
    and t.pipeline = s.pipeline and t.note_id = s.note_id)),
told as (
  select dt, pipeline, note_id,
    last(author_user_id order by snapshot_at, endpoint = 'note_detail')
      filter (author_user_id is not null) as author,
    last(published_at order by snapshot_at, endpoint = 'note_detail')
      filter (published_at is not null) as published
  from notes group by all),
first_seen as (select pipeline, note_id, min(dt) as first_dt from notes group by all)";

const KEYWORD_DAILY: &str = "
hits as (
  select dt, pipeline, keyword_set, keyword, entity_id as note_id, is_ad from search_results
  where entity = 'note' and keyword is not null),
first_found as (select pipeline, keyword, note_id, min(dt) as first_dt from hits group by all),
per_keyword as (
  select dt, pipeline, keyword_set, keyword, count(*) as hits, count_if(is_ad) as ad_hits
  from hits group by all),
per_note as (
  select d.*, first_dt = d.dt as is_new, liked, collected, comments, shared, together
  from (select distinct dt, pipeline, keyword_set, keyword, note_id from hits) d
  join first_found using (pipeline, keyword, note_id)
  left join counted using (dt, pipeline, note_id)),
summed as (
  select dt, pipeline, keyword_set, keyword, count(*) as notes, count_if(is_new) as new_notes,
    sum(liked) as liked_sum, median(liked) as liked_median,
    sum(collected) as collected_sum, median(collected) as collected_median,
    sum(comments) as comments_sum, median(comments) as comments_median,
    sum(shared) as shared_sum, median(shared) as shared_median,
    sum(together) as engagement_sum
  from per_note group by all)
select dt as snapshot_date, pipeline, keyword_set, keyword, hits, ad_hits,
  ad_hits / hits as ad_share, notes, new_notes, liked_sum::bigint as liked_sum, liked_median,
  collected_sum::bigint as collected_sum, collected_median,
  comments_sum::bigint as comments_sum, comments_median, shared_sum::bigint as shared_sum,
  shared_median, engagement_sum::bigint as engagement_sum,
  engagement_sum::double / (select sum(engagement_sum) from summed t where t.dt = summed.dt
    and t.pipeline = summed.pipeline and t.keyword_set = summed.keyword_set) as share_of_voice,
  notes::double / (select sum(notes) from summed t where t.dt = summed.dt
    and t.pipeline = summed.pipeline and t.keyword_set = summed.keyword_set) as share_of_notes,
  dt
from summed join per_keyword using (dt, pipeline, keyword_set, keyword)
order by dt, pipeline, keyword_set, keyword";

const NOTE_GROWTH: &str = "
beside as (
  select counted.*, before.snapshot_at as before_at,
    date_diff('microsecond', before.snapshot_at, counted.snapshot_at) / 3600e6 as hours,
    counted.liked - before.liked as liked_delta,
    counted.collected - before.collected as collected_delta,
    counted.comments - before.comments as comments_delta,
    counted.shared - before.shared as shared_delta
  from counted left join lateral (
    select * from counted earlier where earlier.pipeline = counted.pipeline
      and earlier.note_id = counted.note_id and earlier.dt < counted.dt
    order by earlier.dt desc limit 1) before on true),
aged as (
  select *, date_diff('microsecond', published, snapshot_at) / 3600e6 as age
  from beside left join told using (dt, pipeline, note_id))
select dt as snapshot_date, pipeline, note_id, author as author_user_id, published as published_at,
  snapshot_at, before_at as previous_snapshot_at, hours,
  liked as liked_count, liked_delta, liked_delta / hours as liked_per_hour,
  collected as collected_count, collected_delta, collected_delta / hours as collected_per_hour,
  comments as comments_count, comments_delta, comments_delta / hours as comments_per_hour,
  shared as shared_count, shared_delta, shared_delta / hours as shared_per_hour,
  age as hours_since_publication,
  liked_delta >= 100 and liked_delta / hours >= 10 and age <= 168 as is_rising, dt
from aged order by dt, pipeline, note_id";

const CREATOR_DAILY: &str = "
best as (
  select dt, pipeline, entity_id as note_id, min(rank) as rank from search_results
  where entity = 'note' group by all),
followers as (
  select dt, pipeline, user_id, first(follower_count order by snapshot_at desc, endpoint)
    filter (follower_count is not null) as follower_count
  from user_stats group by all)
select dt as snapshot_date, pipeline, author as user_id, count(*) as notes,
  count_if(first_dt = dt) as new_notes, sum(together)::bigint as engagement_sum,
  median(liked) as liked_median, any_value(follower_count) as follower_count,
  min(rank) as best_rank, dt
from told join first_seen using (pipeline, note_id)
left join counted using (dt, pipeline, note_id)
left join best using (dt, pipeline, note_id)
left join (select *, user_id as author from followers) using (dt, pipeline, author)
where author is not null
group by dt, pipeline, author order by dt, pipeline, author";

const HASHTAG_DAILY: &str = "
select dt as snapshot_date, pipeline, tag, count(distinct note_id) as notes,
  count(distinct author) as authors, count(distinct note_id) filter (first_dt = dt) as new_notes,
  sum(together)::bigint as engagement_sum, dt
from (select distinct dt, pipeline, tag, note_id from note_tags)
left join told using (dt, pipeline, note_id)
left join first_seen using (pipeline, note_id)
left join counted using (dt, pipeline, note_id)
group by dt, pipeline, tag order by dt, pipeline, tag";

const RANK_HISTORY: &str = "
hits as (
  select dt, pipeline, keyword, sort, entity, entity_id, rank, is_ad from search_results
  where entity is not null and keyword is not null
  union all
  select dt, pipeline, keyword, sort, 'creator', author, rank, is_ad
  from search_results
  join (select dt, pipeline, note_id as entity_id, author from told) using (dt, pipeline, entity_id)
  where entity = 'note' and keyword is not null and author is not null)
select dt as snapshot_date, pipeline, keyword, sort, entity, entity_id, count(*) as hits,
  count_if(is_ad) as ad_hits, min(rank) as best_rank,
  min(case when is_ad then null else rank end) as best_organic_rank,
  quantile_cont(rank, 0.5) as median_rank, dt
from hits group by dt, pipeline, keyword, sort, entity, entity_id
order by dt, pipeline, keyword, sort nulls first, entity, entity_id";

/// The figures of a mart as SQL, and the order of its rows within a date and a pipeline.
fn expected(mart: &str) -> (String, &'static str) {
    let (select, keys) = match mart {
        "keyword_daily" => (KEYWORD_DAILY, "keyword_set, keyword"),
        "note_growth" => (NOTE_GROWTH, "note_id"),
        "creator_daily" => (CREATOR_DAILY, "user_id"),
        "hashtag_daily" => (HASHTAG_DAILY, "tag"),
        "rank_history" => (RANK_HISTORY, "keyword, sort nulls first, entity, entity_id"),
        other => panic!("{other} is not checked"),
    };
    let more = if select.trim_start().starts_with("select") {
        ""
    } else {
        ","
    };
    (format!("with {COUNTED}{more}{select}"), keys)
}

/// Numbers that are computed in another order may differ in their last digit.
fn is_same(ours: &Value, theirs: &Value) -> bool {
    match (ours.as_f64(), theirs.as_f64()) {
        (Some(a), Some(b)) => (a - b).abs() <= 1e-12 * a.abs().max(b.abs()),
        _ => ours == theirs,
    }
}

#[test]
fn every_figure_is_what_sql_over_the_tables_gives() {
    let lake = Lake::new();
    let (watch_a, watch_b) = (watch(&lake, "first"), watch(&lake, "second"));
    // Two snapshots on a date, a date that is left out, and one that is another date in UTC.
    for at in [
        "2026-03-09T04:00:00Z",
        "2026-03-10T03:00:00Z",
        "2026-03-10T09:00:00Z",
        "2026-03-12T17:30:00Z",
    ] {
        observe(&lake, &watch_a, at);
    }
    observe(&lake, &watch_b, "2026-03-10T05:00:00Z");

    for mart in declared("marts") {
        let (theirs, keys) = expected(&mart);
        let theirs = lake.query(&theirs);
        // Files are read in any order, rows of a file in theirs.
        let sql = format!("select * from {mart} order by dt, pipeline, {keys}");
        let ours = lake.query(&sql);
        assert_eq!(ours.len(), theirs.len(), "{mart}");
        assert!(ours.len() > 10, "{mart} has only {} rows", ours.len());
        for (ours, theirs) in ours.iter().zip(&theirs) {
            let (row, other) = (ours.as_object(), theirs.as_object());
            let (row, other) = row.zip(other).expect("objects");
            let names: Vec<&String> = row.keys().collect();
            assert_eq!(names, other.keys().collect::<Vec<_>>(), "{mart}");
            for name in names {
                assert!(
                    is_same(&row[name], &other[name]),
                    "{mart}.{name}: {ours}\nis not {theirs}"
                );
            }
        }
    }
    are_worth_comparing(&lake);
}

/// The figures that were compared are not all of the same kind.
fn are_worth_comparing(lake: &Lake) {
    let some = [
        "keyword_daily where new_notes > 0 and new_notes < notes",
        "keyword_daily where ad_hits > 0 and share_of_voice between 0.01 and 0.99",
        "note_growth where is_rising",
        "note_growth where not is_rising",
        "note_growth where is_rising is null",
        "note_growth where hours not in (23, 24, 29) and liked_delta <> 0",
        "creator_daily where follower_count is not null",
        "creator_daily where notes > 1 and best_rank > 1",
        "hashtag_daily where authors < notes and new_notes < notes",
        "rank_history where best_organic_rank is null",
        "rank_history where entity = 'user' and sort is null",
        "rank_history where entity = 'creator' and median_rank <> best_rank",
    ];
    for rows in some {
        let sql = format!("select count(*) from {rows}");
        assert_ne!(lake.value(&sql), 0, "{rows}");
    }
    // The date is the pipeline's own.
    let dates =
        "select string_agg(distinct dt::varchar, ' ' order by dt::varchar) from note_growth";
    assert_eq!(lake.value(dates), "2026-03-09 2026-03-10 2026-03-13");
    let sorted = "select count(*) from (select note_id, lag(note_id) over (partition by filename \
                  order by file_row_number) as before from read_parquet('LAKE/marts/note_growth/dt=*/*.parquet', \
                  filename = true, file_row_number = true) where pipeline = 'first') where note_id < before";
    let sorted = sorted.replace("LAKE", lake.path().to_str().expect("UTF-8"));
    assert_eq!(lake.value(&sorted), 0, "rows of a file are sorted");
}
