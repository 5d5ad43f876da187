-- The keywords with the label `own`, and all others.
SELECT DISTINCT keyword, coalesce(label = 'own', false) AS is_own
FROM dim_keyword, scope
WHERE list_contains(pipelines, pipeline)
ORDER BY keyword, is_own DESC
