SELECT
    changes.changed_at AS time,
    experiment_id AS experiment,
    experiments.winner,
    experiments.outcome,
    changes.who,
    changes.why
FROM changes_v1 AS changes
JOIN experiments_v1 AS experiments USING (experiment_id)
WHERE changes.action = 'conclude'
    AND changes.namespace IN (${namespace:sqlstring})
    AND $__timeFilter(changes.changed_at)
ORDER BY changes.changed_at DESC
LIMIT 200
