CREATE TEMPORARY TABLE incoming_events (
    experiment_id   text,
    decision_id     text,
    kind            text,
    position        smallint,
    decision_ms     bigint,
    event_ms        bigint,
    epoch           bigint,
    seq             bigint,
    arm_index       int,
    stratum         text,
    propensity      double precision,
    reward_micro    bigint,
    weights_version bigint,
    deferred        boolean,
    believed        boolean,
    unit_hash       text,
    first_exposure  boolean
) ON COMMIT DROP
