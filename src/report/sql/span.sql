-- The dates of the report, and the week that it compares with the one before: the newest week that is
-- over, if the lake has the week before it, or else the newest week.
SELECT
  (SELECT min(snapshot_date) FROM runs, scope
    WHERE list_contains(pipelines, pipeline) AND snapshot_date >= since)::VARCHAR AS first_date,
  (SELECT max(snapshot_date) FROM runs, scope WHERE list_contains(pipelines, pipeline))::VARCHAR AS last_date,
  coalesce(
    (SELECT max(this.week_start) FROM keyword_weekly this, scope
      WHERE list_contains(pipelines, this.pipeline) AND this.is_over
        AND EXISTS (FROM keyword_weekly before
          WHERE before.pipeline = this.pipeline AND before.week_start = this.week_start - 7)),
    (SELECT max(week_start) FROM keyword_weekly, scope WHERE list_contains(pipelines, pipeline))
  )::VARCHAR AS week
