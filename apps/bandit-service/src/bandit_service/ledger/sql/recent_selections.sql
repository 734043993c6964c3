-- How often each arm was selected in the recent window and in the one before, in time of decisions.
SELECT
    arm_index,
    count(*) FILTER (WHERE decision_time > to_timestamp(%(now)s) - %(window)s * interval '1 second') AS recent,
    count(*) FILTER (WHERE decision_time <= to_timestamp(%(now)s) - %(window)s * interval '1 second') AS earlier
FROM bandit_events
WHERE experiment_id = %(experiment_id)s
    AND kind = 'decision'
    AND stratum = 'bandit'
    AND decision_time > to_timestamp(%(now)s) - 2 * %(window)s * interval '1 second'
GROUP BY arm_index
