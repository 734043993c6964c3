SELECT epoch, seq, arm_index, state
FROM linear_snapshots
WHERE experiment_id = %(experiment_id)s
    AND (epoch, seq) = (
        SELECT epoch, seq FROM linear_snapshots
        WHERE experiment_id = %(experiment_id)s
        ORDER BY epoch DESC, seq DESC LIMIT 1
    )
