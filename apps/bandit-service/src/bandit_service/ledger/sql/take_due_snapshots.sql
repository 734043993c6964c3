-- Snapshots of experiments whose totals have moved since their last snapshot.
SELECT experiment_id, take_posterior_snapshot(experiment_id)
FROM snapshot_progress_v1
WHERE experiment_id = ANY(%(experiment_ids)s::text[])
    AND new_events >= %(min_events)s
    AND (taken_at IS NULL OR taken_at < clock_timestamp() - %(every)s * interval '1 second')
