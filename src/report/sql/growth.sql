-- The interactions of the rising notes, by snapshot, in the 7 days up to the newest snapshot. The
-- oldest snapshot of a note is known from the changes since it.
WITH grown AS (
  SELECT
    note_id,
    previous_snapshot_at,
    snapshot_at,
    (liked_count::HUGEINT + collected_count + comments_count + shared_count)::DOUBLE AS engagement,
    (liked_delta::HUGEINT + collected_delta + comments_delta + shared_delta)::DOUBLE AS change
  FROM engagement_delta, scope
  WHERE list_contains(rising_notes, note_id)
    AND previous_snapshot_at >= (SELECT max(snapshot_at) FROM engagement) - INTERVAL 169 HOUR
),
seen AS (
  SELECT note_id, snapshot_at, engagement FROM grown
  UNION ALL
  SELECT note_id, min(previous_snapshot_at), arg_min(engagement - change, previous_snapshot_at)
  FROM grown
  GROUP BY note_id
)
SELECT note_id, epoch(snapshot_at) AS seconds, engagement
FROM seen
WHERE engagement IS NOT NULL
ORDER BY note_id, seconds
