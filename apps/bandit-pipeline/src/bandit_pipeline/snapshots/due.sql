SELECT experiment_id, events, new_events
FROM snapshot_progress_v1
JOIN experiments_v1 USING (experiment_id)
WHERE status <> 'archived' AND new_events >= %(min_events)s
ORDER BY experiment_id
