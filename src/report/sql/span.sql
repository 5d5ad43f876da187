-- The dates and the newest snapshot of the report, and the week that it compares: the newest one
-- that is over, or the newest one.
SELECT
  (SELECT min(snapshot_date) FROM runs, scope
    WHERE list_contains(pipelines, pipeline) AND snapshot_date >= since)::VARCHAR AS first_date,
  (SELECT max(snapshot_date) FROM runs, scope WHERE list_contains(pipelines, pipeline))::VARCHAR AS last_date,
  coalesce(
    (SELECT max(week_start) FILTER (is_over) FROM keyword_weekly, scope WHERE list_contains(pipelines, pipeline)),
    (SELECT max(week_start) FROM keyword_weekly, scope WHERE list_contains(pipelines, pipeline))
  )::VARCHAR AS week
