SELECT experiment_id, epoch, committed_seq AS seq FROM event_positions
WHERE committed_seq > 0
ORDER BY experiment_id
