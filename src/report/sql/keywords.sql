-- The keywords of each pipeline, and whether they have the label `own`.
SELECT pipeline, keyword, bool_or(coalesce(label = 'own', false)) AS is_own
FROM dim_keyword
GROUP BY pipeline, keyword
ORDER BY pipeline, keyword
