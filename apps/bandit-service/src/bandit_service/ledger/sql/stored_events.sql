SELECT
    wanted.place - 1, event.batch, event.ord, event.filled,
    (extract(epoch FROM event.event_time) * 1000)::bigint, event.arm_index, event.stratum, event.counted,
    event.deferred, event.propensity, event.weights_version, event.revision, event.reward_micro,
    encode(event.unit_hash, 'hex'), event.vector, event.segment, event.slate_propensity, event.context::text
FROM unnest(
    %(experiment_id)s, %(decision_id)s, %(kind)s, %(position)s, %(part)s, %(decision_time)s
) WITH ORDINALITY AS wanted (experiment_id, decision_id, kind, position, part, decision_time, place)
JOIN bandit_events AS event USING (experiment_id, decision_id, kind, position, part, decision_time)
