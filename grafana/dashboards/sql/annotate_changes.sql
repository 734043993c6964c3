SELECT changed_at AS time, (change ->> 'action') || ' by ' || who || ': ' || why AS text, change ->> 'action' AS tags
FROM experiment_changes
WHERE experiment_id = ${experiment:sqlstring} AND change ->> 'action' <> 'conclude' AND $__timeFilter(changed_at)
