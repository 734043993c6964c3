-- Units get a name that holds within one file alone: its salt is thrown away, so that erasing a unit need not go there.
COPY (
    SELECT experiment_id, decision_id, kind, position, part, decision_time, event_time, arm_index, stratum, counted,
        deferred, filled, propensity, weights_version, revision, reward_micro, vector, segment, slate_propensity,
        context, encode(substring(sha256(unit_hash || {salt}::bytea) FOR 16), 'hex') AS unit
    FROM {events}
    WHERE decision_time < {before}
) TO STDOUT WITH (FORMAT csv, HEADER)
