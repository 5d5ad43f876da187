-- The tags whose notes became more or fewer from the week before to the week.
WITH weeks AS (
  SELECT pipeline, tag, week_start, notes, days
  FROM hashtag_weekly, scope
  WHERE list_contains(pipelines, pipeline) AND week_start IN (week, week - 7)
),
compared AS (
  SELECT pipeline, max(days) FILTER (week_start = week) AS days, max(days) FILTER (week_start = week - 7) AS days_before
  FROM weeks, scope
  GROUP BY pipeline
  HAVING days > 0 AND days_before > 0
),
changes AS (
  SELECT
    pipeline,
    tag,
    coalesce(any_value(notes) FILTER (week_start = week), 0) AS notes,
    coalesce(any_value(notes) FILTER (week_start = week - 7), 0) AS notes_before
  FROM weeks, scope
  GROUP BY pipeline, tag
)
SELECT pipeline, tag, notes, notes_before, notes - notes_before AS change, days, days_before
FROM changes JOIN compared USING (pipeline)
WHERE notes <> notes_before
QUALIFY row_number() OVER (PARTITION BY pipeline, notes > notes_before ORDER BY abs(notes - notes_before) DESC, tag) <= 8
ORDER BY pipeline, change DESC, tag
