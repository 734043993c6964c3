SELECT changed_at AS time, revision, who, action, why
FROM changes_v1
WHERE experiment_id = ${experiment:sqlstring} AND $__timeFilter(changed_at)
ORDER BY changed_at DESC
LIMIT 200
