CREATE TEMPORARY TABLE incoming_events (
    experiment_id  text,
    epoch          bigint,
    seq            bigint,
    kind           text,
    believed       boolean,
    first_exposure boolean,
    outcome        text,
    context        jsonb,
    record         jsonb
) ON COMMIT DROP
