INSERT INTO event_positions (experiment_id) VALUES (%(experiment_id)s)
