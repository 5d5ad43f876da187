-- What a reader must know of the data, by pipeline.
WITH newest AS (SELECT max(snapshot_date) AS newest_date FROM runs),
of_runs AS (
  SELECT
    pipeline,
    max(snapshot_date) AS last_run,
    count(*) AS runs,
    count(*) FILTER (status <> 'complete') AS runs_not_complete,
    any_value(newest_date) - min(snapshot_date) + 1 - count(DISTINCT snapshot_date) AS days_without_run,
    sum(searches_planned - searches_done)::BIGINT AS searches_failed,
    sum(rejects)::BIGINT AS rejects
  FROM runs, newest, scope
  WHERE snapshot_date >= since
  GROUP BY pipeline
),
of_drift AS (
  SELECT pipeline, count(*) AS drift
  FROM (SELECT DISTINCT pipeline, endpoint, path, kind FROM drift, scope WHERE snapshot_date >= since)
  GROUP BY pipeline
),
of_days AS (
  SELECT
    pipeline,
    max(snapshot_date) AS last_mart,
    count(DISTINCT snapshot_date) FILTER (NOT is_over) AS days_not_over
  FROM keyword_costs, scope
  WHERE snapshot_date >= since
  GROUP BY pipeline
)
SELECT
  pipeline,
  last_run::VARCHAR AS last_run,
  runs,
  runs_not_complete,
  days_without_run,
  searches_failed,
  rejects,
  coalesce(drift, 0) AS drift,
  coalesce(days_not_over, 0) AS days_not_over,
  coalesce(last_mart < last_run, true) AS is_behind
FROM of_runs LEFT JOIN of_drift USING (pipeline) LEFT JOIN of_days USING (pipeline)
ORDER BY pipeline
