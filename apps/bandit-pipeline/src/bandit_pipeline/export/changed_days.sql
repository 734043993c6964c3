-- The days (UTC) of the decisions that something has happened to since the last export. A row carries the time at which
-- its transaction began, and is seen once that has committed: 15 minutes of overlap are for transactions in between.
SELECT DISTINCT (decision_time AT TIME ZONE 'UTC')::date AS day
FROM events_v1
WHERE experiment_id = %(experiment_id)s AND stratum <> 'direct'
    AND recorded_at > coalesce(%(since)s::timestamptz - interval '15 minutes', '-infinity')
ORDER BY day
