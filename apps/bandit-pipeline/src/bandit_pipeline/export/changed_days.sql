-- The days (UTC) of the decisions that something has happened to since a position.
SELECT DISTINCT (decision_time AT TIME ZONE 'UTC')::date AS day
FROM bandit_events
WHERE experiment_id = %(experiment_id)s AND (epoch, seq) > (%(epoch)s, %(seq)s) AND stratum <> 'direct'
ORDER BY day
