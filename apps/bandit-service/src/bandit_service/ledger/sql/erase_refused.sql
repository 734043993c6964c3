UPDATE refused_events SET event = event || '{"unit_hash": null, "context": null}'
WHERE experiment_id = ANY(%(experiment_ids)s) AND event ->> 'unit_hash' = ANY(%(names)s)
