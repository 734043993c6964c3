SELECT changed_at AS time, 'Concluded: ' || why AS text, 'conclusion' AS tags
FROM experiment_changes
WHERE experiment_id = ${experiment:sqlstring} AND change ->> 'action' = 'conclude' AND $__timeFilter(changed_at)
