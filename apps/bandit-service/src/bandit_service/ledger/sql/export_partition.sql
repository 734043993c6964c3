-- Units get a name that holds within one file alone: its salt is thrown away, so that erasing a unit need not go there.
COPY (
    SELECT experiment_id, decision_id, kind, position, decision_time, event_time, epoch, seq, arm_index, stratum,
        propensity, reward_micro, weights_version, deferred, believed, first_exposure,
        vector, segment, slate_propensity, context,
        encode(substring(sha256(unit_hash || {salt}::bytea) FOR 16), 'hex') AS unit
    FROM {events}
) TO STDOUT WITH (FORMAT csv, HEADER)
