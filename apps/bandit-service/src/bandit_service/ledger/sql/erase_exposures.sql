-- The row stays, so that exposed units stay as many as they were.
UPDATE exposures SET unit_hash = uuid_send(gen_random_uuid())
WHERE experiment_id = ANY(%(experiment_ids)s) AND unit_hash = ANY(%(hashes)s)
