-- The notes that grew most in 7 days.
SELECT
  note_id,
  title,
  nickname,
  profile_url,
  note_url,
  published_date::VARCHAR AS published_date,
  keywords,
  best_rank,
  is_paid,
  engagement,
  engagement_delta_7d,
  hours_7d
FROM note_overview, scope
WHERE engagement_delta_7d > 0
  AND status <> 'gone'
  AND (has_all_pipelines OR note_id IN (SELECT note_id FROM notes, scope WHERE list_contains(pipelines, pipeline)))
ORDER BY engagement_delta_7d DESC, note_id
LIMIT 10
