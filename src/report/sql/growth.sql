-- The engagement of the rising notes, by snapshot, in the 7 days up to the newest snapshot.
SELECT
  note_id,
  strftime(snapshot_at AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%SZ') AS snapshot_at,
  (liked_count::HUGEINT + collected_count + comments_count + shared_count)::DOUBLE AS engagement
FROM engagement_delta, scope
WHERE list_contains(rising_notes, note_id)
  AND snapshot_at >= (SELECT max(snapshot_at) FROM engagement) - INTERVAL 168 HOUR
ORDER BY note_id, snapshot_at
