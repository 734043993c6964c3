-- The periods of experiments, and how often versions were folded into them: one row of each experiment at least.
SELECT
    wanted.experiment_id, coalesce(leases.folds, 0), first_version, last_version,
    extract(epoch FROM begins)::double precision, extract(epoch FROM ends)::double precision, sums::text
FROM unnest(%(experiment_ids)s::text[]) AS wanted (experiment_id)
LEFT JOIN leases USING (experiment_id)
LEFT JOIN weight_periods USING (experiment_id)
ORDER BY 1, first_version
