-- The week of each pipeline that is compared with the one before: the newest one that is over and has a
-- week before it, or else the newest one.
WITH weeks AS (
  SELECT pipeline, week_start, any_value(days) AS days, bool_and(is_over) AS is_over
  FROM keyword_weekly, scope
  WHERE week_start >= since
  GROUP BY pipeline, week_start
)
SELECT
  this.pipeline AS pipeline,
  this.week_start::VARCHAR AS week,
  this.days AS days,
  this.is_over AS is_over,
  before.days AS days_before
FROM weeks this
LEFT JOIN weeks before ON before.pipeline = this.pipeline AND before.week_start = this.week_start - 7
QUALIFY row_number() OVER (
  PARTITION BY this.pipeline
  ORDER BY this.is_over AND before.days IS NOT NULL DESC, this.week_start DESC) = 1
ORDER BY this.pipeline
