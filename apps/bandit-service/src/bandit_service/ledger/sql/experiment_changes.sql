SELECT revision, changed_at, who, why, change FROM experiment_changes
WHERE experiment_id = %(experiment_id)s AND (%(before)s::bigint IS NULL OR revision < %(before)s)
ORDER BY revision DESC
LIMIT %(limit)s
