SELECT changed_at AS time, 'Concluded: ' || why AS text, 'conclusion' AS tags
FROM changes_v1
WHERE experiment_id = ${experiment:sqlstring} AND action = 'conclude' AND $__timeFilter(changed_at)
