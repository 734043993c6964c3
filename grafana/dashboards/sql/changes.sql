SELECT changed_at AS time, revision, who, change ->> 'action' AS action, why
FROM experiment_changes
WHERE experiment_id = ${experiment:sqlstring} AND $__timeFilter(changed_at)
ORDER BY changed_at DESC
LIMIT 200
