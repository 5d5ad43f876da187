-- Creators worth a contact.
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
  best_rank
FROM creator_overview, scope
WHERE notes > 0
  AND engagement > 0
  AND official_verified IS NOT TRUE
  AND (follower_count IS NULL OR follower_count >= 1000)
  AND (has_all_pipelines OR user_id IN (
    SELECT author_user_id FROM notes, scope WHERE list_contains(pipelines, pipeline)))
ORDER BY engagement_rate DESC NULLS LAST, engagement_per_note DESC, user_id
LIMIT 10
