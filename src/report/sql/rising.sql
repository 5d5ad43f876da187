-- The notes that grew most in the 7 days up to the newest snapshot.
WITH places AS (
  SELECT entity_id AS note_id, min(rank) AS best_place
  FROM search_results
  WHERE entity = 'note' AND NOT is_ad AND sort IS DISTINCT FROM 'newest'
  GROUP BY entity_id
)
SELECT
  note_id,
  title,
  nickname,
  profile_url,
  note_url,
  published_date::VARCHAR AS published_date,
  keywords,
  best_place,
  is_paid,
  engagement,
  engagement_delta_7d,
  hours_7d
FROM note_overview LEFT JOIN places USING (note_id)
WHERE engagement_delta_7d > 0 AND status <> 'gone'
ORDER BY engagement_delta_7d DESC, note_id
LIMIT 10
