-- Only additions: nullable columns and new tables, so nothing that runs has to wait for more than a moment's lock.
ALTER TABLE bandit_events
    ADD COLUMN vector           text,             -- what the decision was drawn from; null: the published vector
    ADD COLUMN segment          text,             -- of the decision's context
    ADD COLUMN slate_propensity double precision; -- of all positions together

-- The counts of segments, beside the arm's row in posterior_snapshots.
CREATE TABLE segment_snapshots (
    experiment_id text NOT NULL,
    epoch         bigint NOT NULL,
    seq           bigint NOT NULL,
    segment       text NOT NULL,
    arm_index     int NOT NULL,
    rewards       bigint NOT NULL,
    reward_micro  bigint NOT NULL,
    PRIMARY KEY (experiment_id, epoch, seq, segment, arm_index)
);

-- Linear models as the fold of every event up to (epoch, seq), bit by bit.
CREATE TABLE linear_snapshots (
    experiment_id text NOT NULL,
    epoch         bigint NOT NULL,
    seq           bigint NOT NULL,
    arm_index     int NOT NULL,
    taken_at      timestamptz NOT NULL,
    state         bytea NOT NULL,
    PRIMARY KEY (experiment_id, epoch, seq, arm_index)
);
