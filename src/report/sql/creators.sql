-- Creators worth a contact.
WITH places AS (
  SELECT author_user_id AS user_id, min(rank) AS best_place
  FROM search_results JOIN notes_latest USING (note_id)
  WHERE NOT is_ad AND sort IS DISTINCT FROM 'newest'
  GROUP BY author_user_id
)
SELECT
  user_id,
  nickname,
  red_id,
  profile_url,
  follower_count,
  follower_delta_7d,
  notes,
  engagement,
  engagement_per_note,
  engagement_rate,
  best_place
FROM creator_overview LEFT JOIN places USING (user_id)
WHERE notes >= 2
  AND engagement > 0
  AND official_verified IS NOT TRUE
  AND (follower_count IS NULL OR follower_count >= 1000)
ORDER BY engagement_rate DESC NULLS LAST, engagement_per_note DESC, user_id
LIMIT 10
