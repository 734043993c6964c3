-- The first schema. Numbers of beliefs are integers in millionths, as in Redis, so that a fold of events is exact.

CREATE TABLE namespaces (
    name       text PRIMARY KEY,
    unit_salt  bytea NOT NULL,          -- unit ids are stored only as a hash keyed by this
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE api_keys (
    id         text PRIMARY KEY,
    hash       bytea NOT NULL UNIQUE,   -- SHA-256 of the key; the key itself is shown once, at creation
    name       text NOT NULL,
    role       text NOT NULL CHECK (role IN ('reader', 'writer', 'admin')),
    namespace  text NOT NULL,           -- '*' for every namespace
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);

-- The truth about an experiment. `definition` is the whole typed document; the columns beside it are what queries need.
CREATE TABLE experiments (
    id         text PRIMARY KEY,
    namespace  text NOT NULL REFERENCES namespaces (name),
    status     text NOT NULL CHECK (status IN ('running', 'paused', 'concluded', 'archived')),
    revision   bigint NOT NULL,
    winner     text,
    definition jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX experiments_by_namespace ON experiments (namespace, id);

CREATE TABLE experiment_arms (
    experiment_id     text NOT NULL REFERENCES experiments (id),
    arm_index         int NOT NULL,
    arm               text NOT NULL,
    prior_alpha_micro bigint NOT NULL CHECK (prior_alpha_micro > 0),
    prior_beta_micro  bigint NOT NULL CHECK (prior_beta_micro > 0),
    status            text NOT NULL CHECK (status IN ('active', 'retired')),
    PRIMARY KEY (experiment_id, arm_index),
    UNIQUE (experiment_id, arm)
);

CREATE TABLE experiment_changes (
    experiment_id text NOT NULL REFERENCES experiments (id),
    revision      bigint NOT NULL,
    changed_at    timestamptz NOT NULL DEFAULT now(),
    who           text NOT NULL,
    why           text NOT NULL,
    change        jsonb NOT NULL,
    PRIMARY KEY (experiment_id, revision)
);

-- How far the stream of each experiment has come into bandit_events. The row is also the fence: a refill raises `epoch`
-- under the row's lock, so a writer that still holds an older stream can no longer commit.
CREATE TABLE event_positions (
    experiment_id text PRIMARY KEY REFERENCES experiments (id),
    epoch         bigint NOT NULL DEFAULT 0,
    committed_seq bigint NOT NULL DEFAULT 0,
    committed_at  timestamptz
);

CREATE TABLE bandit_events (
    experiment_id   text NOT NULL,
    decision_id     text NOT NULL,
    kind            text NOT NULL CHECK (kind IN ('decision', 'activation', 'reward', 'close', 'late')),
    position        smallint NOT NULL DEFAULT 0,
    decision_time   timestamptz NOT NULL,
    event_time      timestamptz NOT NULL,
    epoch           bigint NOT NULL,
    seq             bigint NOT NULL,
    arm_index       int NOT NULL,
    stratum         text NOT NULL CHECK (stratum IN ('bandit', 'holdout', 'paused', 'concluded', 'direct')),
    propensity      double precision,
    reward_micro    bigint,
    weights_version bigint,
    deferred        boolean NOT NULL DEFAULT false,
    believed        boolean NOT NULL DEFAULT false, -- whether this event changed the posterior
    unit_hash       bytea,
    first_exposure  boolean,
    context         jsonb,
    PRIMARY KEY (experiment_id, decision_id, kind, position, decision_time)
) PARTITION BY RANGE (decision_time);
CREATE TABLE bandit_events_default PARTITION OF bandit_events DEFAULT;
CREATE INDEX bandit_events_by_seq ON bandit_events (experiment_id, epoch, seq);
CREATE INDEX bandit_events_by_time ON bandit_events (experiment_id, decision_time);

-- One row per arm and snapshot: the fold of every event up to (epoch, seq). A refill starts from the newest.
CREATE TABLE posterior_snapshots (
    experiment_id   text NOT NULL REFERENCES experiments (id),
    epoch           bigint NOT NULL,
    seq             bigint NOT NULL,
    arm_index       int NOT NULL,
    arm             text NOT NULL,
    taken_at        timestamptz NOT NULL,
    alpha_micro     bigint NOT NULL,
    beta_micro      bigint NOT NULL,
    decisions       bigint NOT NULL,
    rewards         bigint NOT NULL,
    holdout_decisions    bigint NOT NULL DEFAULT 0,
    holdout_rewards      bigint NOT NULL DEFAULT 0,
    holdout_reward_micro bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (experiment_id, epoch, seq, arm_index)
);
CREATE INDEX posterior_snapshots_by_time ON posterior_snapshots (experiment_id, taken_at);

-- Material changes of the published weights, with their explanation.
CREATE TABLE allocations (
    experiment_id   text NOT NULL REFERENCES experiments (id),
    weights_version bigint NOT NULL,
    published_at    timestamptz NOT NULL,
    revision        bigint NOT NULL,
    weights         jsonb NOT NULL,
    prob_best       jsonb NOT NULL,
    expected_loss   jsonb NOT NULL,
    explanation     jsonb NOT NULL,
    summary         text NOT NULL,
    PRIMARY KEY (experiment_id, weights_version)
);
CREATE INDEX allocations_by_time ON allocations (experiment_id, published_at);
