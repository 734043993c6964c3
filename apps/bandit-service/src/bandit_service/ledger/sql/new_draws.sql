-- Draws that are not in the sample ratios of their experiments yet, by arm and propensity, up to the moment before which
-- every process has written what it received; at most an hour of them.
-- A unit that returns is no draw: only its first exposure is one. Whether a deferred decision is that depends on its
-- activation, and so on the arm: those of units are left out. So are slates, whose positions depend on each other.
SELECT
    experiments.id, ratio.arms, span.since, span.until, draw.arm_index, draw.propensity, coalesce(draw.decisions, 0)
FROM experiments
LEFT JOIN sample_ratios AS ratio ON ratio.experiment_id = experiments.id
CROSS JOIN LATERAL (
    SELECT coalesce(ratio.counted_to, experiments.created_at - interval '1 minute') AS since
) AS counted
CROSS JOIN LATERAL (
    SELECT since, least(
        since + interval '1 hour', coalesce((SELECT min(drained_to) FROM producers), clock_timestamp())
    ) AS until
) AS span
LEFT JOIN LATERAL (
    SELECT arm_index, propensity, count(*) AS decisions
    FROM bandit_events AS decided
    WHERE experiment_id = experiments.id AND decision_time > span.since AND decision_time <= span.until
        AND kind = 'decision' AND stratum = 'bandit' AND propensity > 0 AND slate_propensity IS NULL
        AND (unit_hash IS NULL OR NOT deferred AND EXISTS (
            SELECT FROM exposures AS exposure
            WHERE exposure.experiment_id = decided.experiment_id AND exposure.unit_hash = decided.unit_hash
                AND exposure.decision_id = decided.decision_id AND exposure.decision_time = decided.decision_time
        ))
    GROUP BY arm_index, propensity
) AS draw ON true
WHERE experiments.id = ANY(%(experiment_ids)s::text[]) AND ledger_is_whole() AND span.until > span.since
ORDER BY experiments.id
