-- The pipelines of the report, with their time zones and the dates of their runs.
SELECT
  pipeline,
  any_value(zones.timezone) AS timezone,
  min(snapshot_date)::VARCHAR AS first_date,
  max(snapshot_date)::VARCHAR AS last_date
FROM runs
LEFT JOIN (SELECT pipeline, timezone FROM dim_pipeline) zones USING (pipeline)
GROUP BY pipeline
ORDER BY pipeline
