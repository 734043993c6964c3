-- The events stay, so that beliefs can be rebuilt to the same numbers; nothing in them leads to the unit any more.
UPDATE bandit_events SET unit_hash = NULL, context = NULL
WHERE experiment_id = %(experiment_id)s AND unit_hash = ANY(%(hashes)s)
