SELECT progress FROM stopping_v1 WHERE experiment_id = ${experiment:sqlstring}
