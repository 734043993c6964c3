SELECT weights FROM allocations
WHERE experiment_id = %(experiment_id)s
ORDER BY weights_version DESC LIMIT 1
