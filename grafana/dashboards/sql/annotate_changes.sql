SELECT changed_at AS time, action || ' by ' || who || ': ' || why AS text, action AS tags
FROM changes_v1
WHERE experiment_id = ${experiment:sqlstring} AND action <> 'conclude' AND $__timeFilter(changed_at)
