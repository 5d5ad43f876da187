-- Share of voice by week.
SELECT
  pipeline,
  keyword_set,
  keyword,
  (pipeline, keyword) IN (SELECT (pipeline, keyword) FROM own_keywords) AS is_own,
  week_start::VARCHAR AS week_start,
  share_of_voice,
  engagement_sum,
  notes,
  new_notes,
  days,
  is_over
FROM keyword_weekly, scope
WHERE week_start >= since
ORDER BY pipeline, keyword_set, keyword, week_start
