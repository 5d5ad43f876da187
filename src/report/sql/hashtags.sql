-- The tags whose notes became more or fewer from the week before to the week.
WITH changes AS (
  SELECT
    pipeline,
    tag,
    coalesce(any_value(notes) FILTER (week_start = week), 0) AS notes,
    coalesce(any_value(notes) FILTER (week_start = week - 7), 0) AS notes_before
  FROM hashtag_weekly JOIN compared USING (pipeline)
  WHERE week_start IN (week, week - 7) AND has_before
  GROUP BY pipeline, tag
)
SELECT pipeline, tag, notes, notes_before, notes - notes_before AS change
FROM changes
WHERE notes <> notes_before
QUALIFY row_number() OVER (PARTITION BY pipeline, notes > notes_before ORDER BY abs(notes - notes_before) DESC, tag) <= 8
ORDER BY pipeline, change DESC, tag
