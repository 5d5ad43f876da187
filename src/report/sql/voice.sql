-- Share of voice by week.
SELECT
  pipeline,
  keyword_set,
  keyword,
  list_contains(own, keyword) AS is_own,
  week_start::VARCHAR AS week_start,
  share_of_voice,
  engagement_sum,
  notes,
  new_notes,
  days,
  is_over
FROM keyword_weekly, scope
WHERE list_contains(pipelines, pipeline) AND week_start >= date_trunc('week', since)
ORDER BY pipeline, keyword_set, keyword, week_start
