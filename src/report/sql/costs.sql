-- Calls, cost and new notes, by week and currency.
SELECT
  date_trunc('week', snapshot_date)::DATE::VARCHAR AS week_start,
  currency,
  sum(calls)::BIGINT AS calls,
  sum(billed_calls)::BIGINT AS billed_calls,
  sum(unknown_calls)::BIGINT AS unknown_calls,
  sum(round(cost * 1e6)::HUGEINT)::DOUBLE / 1e6 AS cost,
  sum(new_notes)::BIGINT AS new_notes,
  sum(round(cost * 1e6)::HUGEINT)::DOUBLE / 1e6 / nullif(sum(new_notes), 0) AS cost_per_new_note
FROM keyword_costs, scope
WHERE list_contains(pipelines, pipeline) AND snapshot_date >= date_trunc('week', since)
GROUP BY ALL
ORDER BY week_start, currency
