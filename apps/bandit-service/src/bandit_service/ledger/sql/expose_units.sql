-- Expose the units of deferred decisions that were activated, the earlier decision first where a unit has several.
-- For OFFSET 0 see decision_events.sql.
INSERT INTO exposures (experiment_id, unit_hash, decision_id, decision_time, stratum)
SELECT DISTINCT ON (decision.unit_hash)
    decision.experiment_id, decision.unit_hash, decision.decision_id, decision.decision_time, decision.stratum
FROM unnest(%(decision_id)s, %(decision_time)s) AS shown (decision_id, decision_time)
CROSS JOIN LATERAL (
    SELECT experiment_id, unit_hash, decision_id, decision_time, stratum FROM bandit_events
    WHERE experiment_id = %(experiment_id)s
        AND decision_id = shown.decision_id
        AND decision_time = shown.decision_time
        AND decision_time >= timestamptz 'epoch' + %(first_ms)s * interval '1 millisecond'
        AND decision_time <= timestamptz 'epoch' + %(last_ms)s * interval '1 millisecond'
        AND kind = 'decision'
        AND unit_hash IS NOT NULL
    OFFSET 0
) AS decision
WHERE NOT EXISTS (SELECT FROM erased_units WHERE erased_units.unit_hash = decision.unit_hash)
ORDER BY decision.unit_hash, decision.decision_time, decision.decision_id
ON CONFLICT DO NOTHING
