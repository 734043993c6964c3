SELECT experiment_id
FROM experiments_v1
WHERE namespace IN (${namespace:sqlstring})
ORDER BY status = 'archived', created_at DESC
