-- The best place of a note that names an own keyword, in searches for other keywords.
SELECT
  pipeline,
  keyword,
  snapshot_date::VARCHAR AS snapshot_date,
  min(best_organic_rank) AS best_rank
FROM rank_history
JOIN (
  SELECT note_id AS entity_id FROM notes_latest, scope
  WHERE len(list_filter(own, lambda word : contains(lower(concat(title, ' ', description, ' ', content_text)), lower(word)))) > 0
) USING (entity_id), scope
WHERE entity = 'note'
  AND best_organic_rank IS NOT NULL
  AND sort IS DISTINCT FROM 'newest'
  AND NOT list_contains(own, keyword)
  AND list_contains(pipelines, pipeline)
  AND snapshot_date >= since
GROUP BY pipeline, keyword, snapshot_date
ORDER BY pipeline, keyword, snapshot_date
