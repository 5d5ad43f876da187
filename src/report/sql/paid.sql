-- The share of paid placements among the hits, by week and keyword set.
SELECT
  pipeline,
  keyword_set,
  week_start::VARCHAR AS week_start,
  sum(ad_hits)::BIGINT AS ad_hits,
  sum(hits)::BIGINT AS hits,
  sum(ad_hits) / sum(hits) AS ad_share
FROM keyword_weekly, scope
WHERE week_start >= since
GROUP BY pipeline, keyword_set, week_start
ORDER BY pipeline, keyword_set, week_start
