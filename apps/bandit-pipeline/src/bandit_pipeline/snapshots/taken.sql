-- The snapshots of this transaction. Sums of gaussian rewards are no alpha and beta, so there is no mean of them.
SELECT
    snapshot.experiment_id, snapshot.arm, snapshot.taken_at, snapshot.decisions, snapshot.rewards,
    CASE WHEN experiments.definition #>> '{rewards,distribution}' IS DISTINCT FROM 'gaussian'
        THEN alpha_micro::float8 / (alpha_micro + beta_micro)
    END AS mean
FROM posterior_snapshots AS snapshot
JOIN experiments ON experiments.id = snapshot.experiment_id
WHERE snapshot.experiment_id = ANY(%(experiment_ids)s) AND snapshot.taken_at = now()
ORDER BY snapshot.experiment_id, snapshot.arm_index
