-- Which of these experiments have a bucket of decisions whose reward window has ended.
SELECT experiment_id FROM unnest(%(experiment_ids)s::text[], %(windows)s::float8[]) AS wanted (experiment_id, reward_window)
WHERE EXISTS (
    SELECT FROM open_buckets AS open
    WHERE open.experiment_id = wanted.experiment_id
        AND bucket < clock_timestamp() - make_interval(secs => reward_window + greatest(1, reward_window / 100))
)
