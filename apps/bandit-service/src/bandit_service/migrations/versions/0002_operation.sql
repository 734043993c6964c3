-- Only new tables: nothing that is in use is locked. (A foreign key would lock `experiments` against its writers.)

-- Units that a sticky experiment has seen in events that retention has dropped since.
CREATE TABLE exposed_units (
    experiment_id text NOT NULL,
    unit_hash     bytea NOT NULL,
    PRIMARY KEY (experiment_id, unit_hash)
);

-- Events that the beliefs hold and bandit_events does not, because Postgres was restored to an older state.
CREATE TABLE event_gaps (
    experiment_id text NOT NULL,
    after_epoch   bigint NOT NULL,
    after_seq     bigint NOT NULL,
    until_epoch   bigint NOT NULL,
    until_seq     bigint NOT NULL,
    noticed_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (experiment_id, until_epoch, until_seq)
);
