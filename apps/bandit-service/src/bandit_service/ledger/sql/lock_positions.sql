-- In the order of the ids, so that two writers never wait for each other in a circle.
SELECT experiment_id, epoch, committed_seq FROM event_positions
WHERE experiment_id = ANY(%(experiment_ids)s)
ORDER BY experiment_id
FOR UPDATE
