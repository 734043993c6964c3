INSERT INTO bandit_events (
    experiment_id, decision_id, kind, position, decision_time, event_time, epoch, seq, arm_index, stratum, propensity,
    reward_micro, weights_version, deferred, believed, unit_hash, first_exposure
)
SELECT
    experiment_id, decision_id, kind, position,
    timestamptz 'epoch' + decision_ms * interval '1 millisecond',
    timestamptz 'epoch' + event_ms * interval '1 millisecond',
    epoch, seq, arm_index, stratum, propensity, reward_micro, weights_version, deferred, believed,
    decode(unit_hash, 'hex'), first_exposure
FROM incoming_events
ON CONFLICT DO NOTHING
