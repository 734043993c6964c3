SELECT experiment_id, record::text, explanation FROM weights WHERE experiment_id = ANY(%(experiment_ids)s::text[])
