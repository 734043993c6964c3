-- Experiments whose decisions before a moment wait for the end of their window. Those of an archived one are not closed.
SELECT DISTINCT bucket.experiment_id
FROM open_buckets AS bucket
LEFT JOIN experiments ON experiments.id = bucket.experiment_id
WHERE bucket.bucket < %(before)s
    AND NOT coalesce(status = 'archived' AND updated_at < %(now)s - %(grace)s * interval '1 second', false)
ORDER BY 1
