-- Only new tables: nothing that is in use is locked. (A foreign key would lock `experiments` against its writers.)

-- Units that a sticky experiment has seen in events that retention has dropped since.
CREATE TABLE exposed_units (
    experiment_id text NOT NULL,
    unit_hash     bytea NOT NULL,
    PRIMARY KEY (experiment_id, unit_hash)
);
