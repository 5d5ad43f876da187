-- The best place of a note that names an own keyword, in searches for other keywords.
WITH named AS (
  SELECT DISTINCT own.pipeline AS pipeline, note_id AS entity_id
  FROM notes_latest_by_pipeline notes
  JOIN own_keywords own
    ON own.pipeline = notes.pipeline
    AND contains(lower(concat(title, ' ', description, ' ', content_text)), lower(own.keyword))
)
SELECT
  pipeline,
  keyword,
  snapshot_date::VARCHAR AS snapshot_date,
  min(best_organic_rank) AS best_place
FROM rank_history JOIN named USING (pipeline, entity_id), scope
WHERE entity = 'note'
  AND best_organic_rank IS NOT NULL
  AND sort IS DISTINCT FROM 'newest'
  AND (pipeline, keyword) NOT IN (SELECT (pipeline, keyword) FROM own_keywords)
  AND snapshot_date >= since
GROUP BY pipeline, keyword, snapshot_date
ORDER BY pipeline, keyword, snapshot_date
