SELECT event.decision_id, event.kind, event.position, wanted.decision_ms
FROM unnest(%(decision_ids)s::text[], %(kinds)s::text[], %(positions)s::smallint[], %(decision_ms)s::bigint[])
    AS wanted (decision_id, kind, position, decision_ms)
JOIN bandit_events AS event
    ON event.experiment_id = %(experiment_id)s
    AND event.decision_id = wanted.decision_id
    AND event.kind = wanted.kind
    AND event.position = wanted.position
    AND event.decision_time = timestamptz 'epoch' + wanted.decision_ms * interval '1 millisecond'
