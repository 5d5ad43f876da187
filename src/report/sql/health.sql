-- What a reader must know of the data, by pipeline.
WITH of_runs AS (
  SELECT
    pipeline,
    count(*) AS runs,
    count(*) FILTER (status <> 'complete') AS runs_not_complete,
    max(snapshot_date) - min(snapshot_date) + 1 - count(DISTINCT snapshot_date) AS days_without_run,
    sum(searches_planned - searches_done)::BIGINT AS searches_failed,
    sum(rejects)::BIGINT AS rejects
  FROM runs, scope
  WHERE list_contains(pipelines, pipeline) AND snapshot_date >= since
  GROUP BY pipeline
),
of_drift AS (
  SELECT pipeline, count(*) AS drift
  FROM (SELECT DISTINCT pipeline, endpoint, path, kind FROM drift, scope WHERE snapshot_date >= since)
  GROUP BY pipeline
),
of_days AS (
  SELECT pipeline, count(DISTINCT snapshot_date) FILTER (NOT is_over) AS days_not_over
  FROM keyword_daily, scope
  WHERE snapshot_date >= since
  GROUP BY pipeline
)
SELECT
  pipeline,
  runs,
  runs_not_complete,
  days_without_run,
  searches_failed,
  rejects,
  coalesce(drift, 0) AS drift,
  coalesce(days_not_over, 0) AS days_not_over
FROM of_runs LEFT JOIN of_drift USING (pipeline) LEFT JOIN of_days USING (pipeline)
ORDER BY pipeline
