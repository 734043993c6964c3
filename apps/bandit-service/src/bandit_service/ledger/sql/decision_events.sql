-- All events of decisions; of those with an activation or a reward only, unless `alone` asks for the others as well. The
-- bounds leave out partitions, which the times of the single decisions do not. OFFSET 0 and LIMIT keep to one look into
-- the index for each decision: a join by time would read everything between the bounds.
SELECT
    event.decision_id, event.kind, (extract(epoch FROM event.decision_time) * 1000)::bigint AS decision_ms,
    (extract(epoch FROM event.event_time) * 1000)::bigint AS event_ms, event.arm_index, event.stratum, event.counted,
    event.position, event.part, event.deferred, event.propensity, event.weights_version, event.revision,
    event.reward_micro, event.vector, event.segment,
    CASE WHEN %(with_context)s THEN event.context::text END AS context
FROM unnest(%(decision_id)s, %(decision_time)s) AS wanted (decision_id, decision_time)
LEFT JOIN LATERAL (
    SELECT true AS is_there FROM bandit_events
    WHERE experiment_id = %(experiment_id)s
        AND decision_id = wanted.decision_id
        AND kind IN ('activation', 'reward')
        AND decision_time = wanted.decision_time
        AND decision_time >= timestamptz 'epoch' + %(first_ms)s * interval '1 millisecond'
        AND decision_time <= timestamptz 'epoch' + %(last_ms)s * interval '1 millisecond'
    LIMIT 1
) AS news ON NOT %(alone)s
CROSS JOIN LATERAL (
    SELECT * FROM bandit_events
    WHERE experiment_id = %(experiment_id)s
        AND decision_id = wanted.decision_id
        AND decision_time = wanted.decision_time
        AND decision_time >= timestamptz 'epoch' + %(first_ms)s * interval '1 millisecond'
        AND decision_time <= timestamptz 'epoch' + %(last_ms)s * interval '1 millisecond'
    OFFSET 0
) AS event
WHERE %(alone)s OR news.is_there
