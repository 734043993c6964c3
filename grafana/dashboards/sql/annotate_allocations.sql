SELECT published_at AS time, summary AS text, 'allocation' AS tags
FROM allocations_v1
WHERE experiment_id = ${experiment:sqlstring} AND $__timeFilter(published_at)
ORDER BY published_at DESC
LIMIT 200
