-- Draws from the published weights, counted by arm and propensity. A unit that returns is no draw: only the decision
-- that was its first exposure counts.
SELECT arm_index, propensity, count(*) AS decisions
FROM bandit_events AS decided
WHERE experiment_id = %(experiment_id)s AND kind = 'decision' AND stratum = 'bandit'
    AND (unit_hash IS NULL OR EXISTS (
        SELECT FROM exposures AS exposure
        WHERE exposure.experiment_id = decided.experiment_id AND exposure.unit_hash = decided.unit_hash
            AND exposure.decision_id = decided.decision_id AND exposure.decision_time = decided.decision_time
    ))
GROUP BY arm_index, propensity
