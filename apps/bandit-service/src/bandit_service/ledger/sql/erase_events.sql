-- The events stay, so that the sums stay theirs; nothing in them leads to the unit any more.
UPDATE {events} SET unit_hash = NULL, context = NULL
WHERE experiment_id = ANY(%(experiment_ids)s) AND unit_hash = ANY(%(hashes)s)
