SELECT changed_at AS time, experiment_id || ': ' || why AS text, 'conclusion' AS tags
FROM changes_v1
WHERE action = 'conclude' AND namespace IN (${namespace:sqlstring}) AND $__timeFilter(changed_at)
