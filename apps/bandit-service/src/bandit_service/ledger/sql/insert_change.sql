INSERT INTO experiment_changes (experiment_id, revision, changed_at, who, why, change)
VALUES (%(experiment_id)s, %(revision)s, to_timestamp(%(at)s), %(who)s, %(why)s, %(change)s)
