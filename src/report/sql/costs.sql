-- Calls and cost by week and currency, and the new notes of the week. A new note has a price where all
-- calls of the week are in one currency.
WITH found AS (
  SELECT date_trunc('week', snapshot_date)::DATE AS week_start, sum(new_notes)::BIGINT AS new_notes
  FROM keyword_daily
  GROUP BY ALL
),
spent AS (
  SELECT
    date_trunc('week', snapshot_date)::DATE AS week_start,
    currency,
    sum(calls)::BIGINT AS calls,
    sum(billed_calls)::BIGINT AS billed_calls,
    sum(unknown_calls)::BIGINT AS unknown_calls,
    sum(round(cost * 1e6)::HUGEINT)::DOUBLE / 1e6 AS cost
  FROM keyword_costs, scope
  WHERE snapshot_date >= since
  GROUP BY ALL
)
SELECT
  week_start::VARCHAR AS week_start,
  currency,
  calls,
  billed_calls,
  unknown_calls,
  cost,
  coalesce(new_notes, 0) AS new_notes,
  CASE WHEN count(*) OVER (PARTITION BY week_start) = 1 THEN cost / nullif(new_notes, 0) END AS cost_per_new_note
FROM spent LEFT JOIN found USING (week_start)
ORDER BY week_start, currency
