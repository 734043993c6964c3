SELECT encode(unit_hash, 'hex') FROM bandit_events
WHERE experiment_id = %(experiment_id)s AND kind = 'decision' AND stratum = 'bandit' AND unit_hash IS NOT NULL
UNION
SELECT encode(unit_hash, 'hex') FROM exposed_units WHERE experiment_id = %(experiment_id)s
