-- Only events up to the positions read before it was asked who needs them. For `unit` see export_partition.sql.
COPY (
    DELETE FROM bandit_events_default AS event
    USING unnest({ids}::text[], {epochs}::bigint[], {seqs}::bigint[]) AS known (id, epoch, seq)
    WHERE event.experiment_id = known.id
        AND (event.epoch, event.seq) <= (known.epoch, known.seq)
        AND event.decision_time < {before}
    RETURNING experiment_id, decision_id, kind, position, decision_time, event_time, event.epoch, event.seq, arm_index,
        stratum, propensity, reward_micro, weights_version, deferred, believed, first_exposure,
        encode(substring(sha256(unit_hash || {salt}::bytea) FOR 16), 'hex') AS unit
) TO STDOUT WITH (FORMAT csv, HEADER)
