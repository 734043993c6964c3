SELECT changes.changed_at AS time, changes.experiment_id || ': ' || changes.why AS text, 'conclusion' AS tags
FROM experiment_changes AS changes
JOIN experiments ON experiments.id = changes.experiment_id
WHERE changes.change ->> 'action' = 'conclude'
    AND experiments.namespace IN (${namespace:sqlstring})
    AND $__timeFilter(changes.changed_at)
