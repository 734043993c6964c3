SELECT
    changes.changed_at AS time,
    changes.experiment_id AS experiment,
    experiments.winner,
    experiments.definition -> 'conclusion' ->> 'outcome' AS outcome,
    changes.who,
    changes.why
FROM experiment_changes AS changes
JOIN experiments ON experiments.id = changes.experiment_id
WHERE changes.change ->> 'action' = 'conclude'
    AND experiments.namespace IN (${namespace:sqlstring})
    AND $__timeFilter(changes.changed_at)
ORDER BY changes.changed_at DESC
LIMIT 200
