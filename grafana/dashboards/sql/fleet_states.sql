SELECT status, count(*) AS experiments
FROM experiments
WHERE namespace IN (${namespace:sqlstring})
GROUP BY status
ORDER BY status
