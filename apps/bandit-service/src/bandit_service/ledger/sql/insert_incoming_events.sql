-- `record` is the array that events/record.py names the places of.
INSERT INTO bandit_events (
    experiment_id, decision_id, kind, position, decision_time, event_time, epoch, seq, arm_index, stratum, propensity,
    reward_micro, weights_version, deferred, believed, unit_hash, first_exposure, vector, segment, slate_propensity,
    context
)
SELECT
    experiment_id,
    record ->> 0,
    kind,
    (record ->> 10)::smallint,
    timestamptz 'epoch' + (record ->> 1)::bigint * interval '1 millisecond',
    timestamptz 'epoch' + (record ->> 2)::bigint * interval '1 millisecond',
    epoch,
    seq,
    (record ->> 3)::int,
    record ->> 4,
    (record ->> 5)::double precision,
    CASE WHEN outcome IS NULL THEN (record ->> 6)::bigint ELSE nullif(outcome, '')::bigint END,
    (record ->> 7)::bigint,
    (record ->> 8)::boolean,
    believed,
    decode(record ->> 9, 'hex'),
    first_exposure,
    nullif(record #>> '{11,0}', 'published'),
    record #>> '{11,1}',
    (record #>> '{11,2}')::double precision,
    coalesce(context, nullif(record #> '{11,3}', 'null'))
FROM incoming_events
ON CONFLICT DO NOTHING
