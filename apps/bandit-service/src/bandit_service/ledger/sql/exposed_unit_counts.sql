-- Units that were decided for, by whether they are held out: what a split of units should be in proportion to.
SELECT
    count(DISTINCT unit_hash) FILTER (WHERE stratum = 'bandit') AS bandit,
    count(DISTINCT unit_hash) FILTER (WHERE stratum = 'holdout') AS holdout
FROM bandit_events
WHERE experiment_id = %(experiment_id)s AND kind = 'decision' AND unit_hash IS NOT NULL
