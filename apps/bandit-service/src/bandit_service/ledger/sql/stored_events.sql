-- The events that have these keys. For the bounds and OFFSET 0 see decision_events.sql: where there are many partitions,
-- planning the statement without bounds takes longer than executing it.
SELECT
    wanted.place - 1, event.batch, event.ord, event.filled,
    (extract(epoch FROM event.event_time) * 1000)::bigint, event.arm_index, event.stratum, event.counted,
    event.deferred, event.propensity, event.weights_version, event.revision, event.reward_micro,
    encode(event.unit_hash, 'hex'), event.vector, event.segment, event.slate_propensity, event.context::text,
    event.settles, (extract(epoch FROM event.bucket) * 1000)::bigint
FROM unnest(
    %(experiment_id)s, %(decision_id)s, %(kind)s, %(position)s, %(part)s, %(decision_time)s
) WITH ORDINALITY AS wanted (experiment_id, decision_id, kind, position, part, decision_time, place)
CROSS JOIN LATERAL (
    SELECT * FROM bandit_events
    WHERE experiment_id = wanted.experiment_id
        AND decision_id = wanted.decision_id
        AND kind = wanted.kind
        AND position = wanted.position
        AND part = wanted.part
        AND decision_time = wanted.decision_time
        AND decision_time >= timestamptz 'epoch' + %(first_ms)s * interval '1 millisecond'
        AND decision_time <= timestamptz 'epoch' + %(last_ms)s * interval '1 millisecond'
    OFFSET 0
) AS event
