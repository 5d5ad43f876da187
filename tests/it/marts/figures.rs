use serde_json::Value;

use super::{WATCH, observe};
use crate::support::{Lake, declared, fail};

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
  timezone(zone, published)::date as published_date, hour(timezone(zone, published)) as published_hour,
  snapshot_at, before_at as previous_snapshot_at, hours,
  liked as liked_count, liked_delta, liked_delta / hours as liked_per_hour,
  collected as collected_count, collected_delta, collected_delta / hours as collected_per_hour,
  comments as comments_count, comments_delta, comments_delta / hours as comments_per_hour,
  shared as shared_count, shared_delta, shared_delta / hours as shared_per_hour,
  age as hours_since_publication,
  liked_delta >= 100 and liked_delta / hours >= 10 and age <= 168 as is_rising, dt
from aged left join (select pipeline, any_value(timezone) as zone from runs group by all)
  using (pipeline) order by dt, pipeline, note_id";

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

const KEYWORD_COSTS: &str = "
hits as (
  select dt, pipeline, keyword_set, keyword, entity_id as note_id from search_results
  where entity = 'note' and keyword is not null),
first_found as (select pipeline, keyword, note_id, min(dt) as first_dt from hits group by all),
new_ones as (
  select dt, pipeline, keyword_set, keyword, count(distinct note_id) as new_notes
  from hits join first_found using (pipeline, keyword, note_id)
  where first_dt = dt group by all),
per_search as (select distinct dt, pipeline, search_id, keyword_set, keyword from searches),
spent as (
  select r.dt, r.pipeline, s.keyword_set, s.keyword, currency, count(*) as calls,
    count_if(billed = 'yes') as billed_calls, count_if(billed = 'unknown') as unknown_calls,
    sum(cost::decimal(18, 6))::double as cost
  from requests r left join per_search s
    on s.dt = r.dt and s.pipeline = r.pipeline and s.search_id = r.search_id
  group by all)
select spent.dt as snapshot_date, spent.pipeline, spent.keyword_set, spent.keyword, currency, calls,
  billed_calls, unknown_calls, cost, coalesce(new_notes, 0) as new_notes,
  cost / nullif(coalesce(new_notes, 0), 0) as cost_per_new_note, spent.dt
from spent left join new_ones n on n.dt = spent.dt and n.pipeline = spent.pipeline
  and n.keyword = spent.keyword and n.keyword_set = spent.keyword_set";

/// The tables, with the Monday of each row as its date.
const BY_WEEK: &str = "
engagement as (from main.engagement select * replace (date_trunc('week', dt)::date as dt)),
notes as (from main.notes select * replace (date_trunc('week', dt)::date as dt)),
note_tags as (from main.note_tags select * replace (date_trunc('week', dt)::date as dt)),
search_results as (from main.search_results select * replace (date_trunc('week', dt)::date as dt)),";

/// The state of the dates from `f.dt` to DAYS later.
const STATE: &str = "
  exists (select 1 from (select pipeline, dt from search_pages union all
      select pipeline, dt from runs) l where l.pipeline = f.pipeline and l.dt > f.dt + DAYS) as is_over,
  (select count(distinct snapshot_at) from search_pages p where p.pipeline = f.pipeline
    and p.dt between f.dt and f.dt + DAYS) as snapshots,
  (select sum(searches_planned) - sum(searches_done) from runs r where r.pipeline = f.pipeline
    and r.dt between f.dt and f.dt + DAYS)::bigint as searches_failed";

const DAYS_SEEN: &str = "
  (select count(distinct dt) from search_pages p where p.pipeline = f.pipeline
    and p.dt between f.dt and f.dt + 6) as days,";

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
        "keyword_daily" | "keyword_weekly" => (KEYWORD_DAILY, "keyword_set, keyword"),
        "note_growth" => (NOTE_GROWTH, "note_id"),
        "creator_daily" => (CREATOR_DAILY, "user_id"),
        "hashtag_daily" | "hashtag_weekly" => (HASHTAG_DAILY, "tag"),
        "keyword_costs" => (
            KEYWORD_COSTS,
            "keyword_set nulls first, keyword nulls first, currency",
        ),
        "rank_history" => (RANK_HISTORY, "keyword, sort nulls first, entity, entity_id"),
        other => panic!("{other} is not checked"),
    };
    let more = if select.trim_start().starts_with("select") {
        ""
    } else {
        ","
    };
    let (tables, days, date) = if mart.ends_with("_weekly") {
        (BY_WEEK, "6", "week_start")
    } else {
        ("", "0", "snapshot_date")
    };
    let select = select.replace("as snapshot_date", &format!("as {date}"));
    let state = STATE.replace("DAYS", days);
    let seen = if days == "6" { DAYS_SEEN } else { "" };
    let sql = format!(
        "select f.* exclude (dt), {seen} {state}, f.dt from (with {tables} {COUNTED}{more}{select}) f \
         order by f.dt, pipeline, {keys}"
    );
    (sql, keys)
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
    let first = WATCH.replace("NAME", "first");
    let first = format!("{first}price: {{note_search: 0.1, note_detail: 0.033, currency: CNY}}\n");
    let watch_a = lake.write("first.yaml", &first);
    let second = WATCH.replace("NAME", "second");
    let second = format!("{second}timezone: America/New_York\n");
    let watch_b = lake.write("second.yaml", &second);
    // Two snapshots on a date, dates that are left out, one that is another date in UTC, and one in
    // another week.
    for at in [
        "2026-03-09T04:00:00Z",
        "2026-03-10T03:00:00Z",
        "2026-03-10T09:00:00Z",
        "2026-03-12T17:30:00Z",
        "2026-03-18T04:00:00Z",
    ] {
        observe(&lake, &watch_a, at);
    }
    observe(&lake, &watch_b, "2026-03-10T05:00:00Z");
    // A run that pays in another currency, and that its budget stops before all searches are done.
    let stopped = first.replace("CNY", "USD");
    let stopped = stopped.replace("concurrency: 8", "concurrency: 1, requests_per_run: 5");
    let stopped = lake.write("stopped.yaml", &stopped);
    let stopped = stopped.to_str().expect("UTF-8");
    let (code, _) =
        fail(&mut lake.redlake(&["run", stopped, "--snapshot-at", "2026-03-18T05:00:00Z"]));
    assert_eq!(code, 5);

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
        "note_growth where published_hour <> hour(timezone('UTC', published_at))",
        // Summer time begins in New York on 2026-03-08, and does not reach back to winter.
        "note_growth where pipeline = 'second' and (published_hour + 5) % 24 = hour(timezone('UTC', published_at))",
        "note_growth where pipeline = 'second' and (published_hour + 4) % 24 = hour(timezone('UTC', published_at))",
        "note_growth where pipeline = 'second' and not is_over",
        "creator_daily where dt = '2026-03-09' and is_over and snapshots = 1 and searches_failed = 0",
        "hashtag_daily where dt = '2026-03-10' and snapshots = 2",
        "rank_history where dt = '2026-03-18' and not is_over and searches_failed > 0",
        "keyword_weekly where days = 3 and snapshots = 4 and is_over and new_notes = notes",
        "keyword_weekly where days = 1 and not is_over and new_notes < notes",
        "hashtag_weekly where dt = '2026-03-09' and notes > authors",
        "keyword_costs where keyword is null and cost > 0 and new_notes = 0",
        "keyword_costs where cost_per_new_note > 0",
        "(select keyword from keyword_costs where dt = '2026-03-18' and pipeline = 'first' \
          group by keyword having count(distinct currency) = 2)",
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
    assert_eq!(
        lake.value(dates),
        "2026-03-09 2026-03-10 2026-03-13 2026-03-18"
    );
    let sorted = "select count(*) from (select note_id, lag(note_id) over (partition by filename \
                  order by file_row_number) as before from read_parquet('LAKE/marts/note_growth/dt=*/*.parquet', \
                  filename = true, file_row_number = true) where pipeline = 'first') where note_id < before";
    let sorted = sorted.replace("LAKE", lake.path().to_str().expect("UTF-8"));
    assert_eq!(lake.value(&sorted), 0, "rows of a file are sorted");
}
