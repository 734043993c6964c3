-- Units that were shown a decision, by whether they are held out: what a split of units should be in proportion to.
SELECT count(*) FILTER (WHERE stratum = 'bandit'), count(*) FILTER (WHERE stratum = 'holdout')
FROM exposures
WHERE experiment_id = %(experiment_id)s
