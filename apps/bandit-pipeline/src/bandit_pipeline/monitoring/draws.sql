-- Draws from the published weights, counted by arm and propensity. A unit that returns is no draw: only its first counts.
SELECT arm_index, propensity, count(*) AS decisions
FROM bandit_events
WHERE experiment_id = %(experiment_id)s AND kind = 'decision' AND stratum = 'bandit' AND first_exposure IS NOT FALSE
GROUP BY arm_index, propensity
