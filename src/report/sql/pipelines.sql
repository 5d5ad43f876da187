-- The pipelines of the lake, with their time zone.
SELECT pipeline, any_value(timezone) AS timezone
FROM dim_pipeline
GROUP BY pipeline
ORDER BY pipeline
