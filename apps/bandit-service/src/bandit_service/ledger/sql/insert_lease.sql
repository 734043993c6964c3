INSERT INTO leases (experiment_id) VALUES (%(experiment_id)s) ON CONFLICT DO NOTHING
