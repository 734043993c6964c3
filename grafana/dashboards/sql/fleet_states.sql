SELECT status, count(*) AS experiments
FROM experiments_v1
WHERE namespace IN (${namespace:sqlstring})
GROUP BY status
ORDER BY status
