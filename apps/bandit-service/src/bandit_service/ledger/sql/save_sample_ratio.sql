-- Unless another process has counted the same draws.
INSERT INTO sample_ratios (experiment_id, counted_to, arms)
VALUES (%(experiment_id)s, %(until)s, %(arms)s)
ON CONFLICT (experiment_id) DO UPDATE SET counted_to = excluded.counted_to, arms = excluded.arms
WHERE sample_ratios.counted_to = %(since)s
