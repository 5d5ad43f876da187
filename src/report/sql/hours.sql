-- Notes by local weekday (1 is Monday) and hour of publication.
SELECT isodow(published_date) AS weekday, published_hour AS hour, count(*) AS notes
FROM note_overview, scope
WHERE published_date >= since AND published_hour IS NOT NULL
GROUP BY ALL
ORDER BY weekday, hour
