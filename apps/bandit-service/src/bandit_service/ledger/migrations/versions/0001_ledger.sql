-- Amounts are integers in millionths, rounded once where they come in, so that no order of events changes a sum.

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
    status            text NOT NULL CHECK (status IN ('active', 'paused', 'retired')),
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

-- What happened. A row counts once, because its key is unique. Statements that insert many rows sort them by this key,
-- so that two of them cannot deadlock.
CREATE TABLE bandit_events (
    experiment_id    text NOT NULL,
    decision_id      text NOT NULL,
    kind             text NOT NULL CHECK (kind IN ('decision', 'activation', 'reward', 'outcome', 'late')),
    position         smallint NOT NULL DEFAULT 0,  -- in a slate
    part             text NOT NULL DEFAULT '',     -- the metric; '' for the reward itself
    decision_time    timestamptz NOT NULL,
    event_time       timestamptz NOT NULL,         -- when the service received it
    recorded_at      timestamptz NOT NULL DEFAULT now(),
    batch            bigint NOT NULL,              -- (batch, ord) tell a retry of an insert from a rival of it
    ord              int NOT NULL,
    arm_index        int NOT NULL,
    stratum          text NOT NULL CHECK (stratum IN ('bandit', 'holdout', 'paused', 'concluded', 'direct')),
    counted          boolean NOT NULL,             -- whether this row raised arm_totals
    deferred         boolean NOT NULL DEFAULT false,
    filled           boolean NOT NULL DEFAULT false, -- the closing of the window supplied this row
    propensity       double precision,
    weights_version  bigint,
    revision         bigint,                       -- of the definition that was in force
    reward_micro     bigint,
    unit_hash        bytea,
    vector           text,                         -- what the decision was drawn from; null: the published vector
    segment          text,
    slate_propensity double precision,             -- of all positions together
    -- The numbers of the features in their declared order, without names; where none are declared, as it was given. Text
    -- that is not parsed when it is written: jsonb would cost the most of the row.
    context          json,
    settles          boolean NOT NULL DEFAULT false, -- its outcome depends on other events: it leaves a row in `unsettled`
    bucket           timestamptz,                  -- in which it waits for the end of the reward window, if it does
    PRIMARY KEY (experiment_id, decision_id, kind, position, part, decision_time)
) PARTITION BY RANGE (decision_time);
CREATE TABLE bandit_events_default PARTITION OF bandit_events DEFAULT;
CREATE INDEX bandit_events_by_time ON bandit_events (experiment_id, decision_time);
-- Rows lie in the order in which they were recorded, so a summary of each range of blocks is enough.
CREATE INDEX bandit_events_by_recorded_at ON bandit_events USING brin (recorded_at);
-- Linear models read outcomes by the turn in which they were settled; `batch` holds the turn there.
CREATE INDEX bandit_events_by_turn ON bandit_events (experiment_id, batch) WHERE kind = 'outcome';

-- Sums of what bandit_events holds, raised by the statement that inserts the events. `slot` spreads one key over the
-- processes that write it and over time; older slots are merged into slot 0. Segment '' is that of an experiment without
-- segments. `weights_version` is what counted_version() says, or -1 for rewards that `weight_periods` has.
CREATE TABLE arm_totals (
    experiment_id   text NOT NULL,
    arm_index       int NOT NULL,
    stratum         text NOT NULL,
    segment         text NOT NULL,
    weights_version bigint NOT NULL,
    slot            bigint NOT NULL,
    decisions       bigint NOT NULL DEFAULT 0,
    rewards         bigint NOT NULL DEFAULT 0,
    reward_micro    bigint NOT NULL DEFAULT 0,
    square_micro    numeric NOT NULL DEFAULT 0,     -- squares of rewards in millionths, each rounded half up
    -- Slots that are read lie together, apart from what is left of those that were merged.
    PRIMARY KEY (experiment_id, slot, arm_index, stratum, segment, weights_version)
) WITH (fillfactor = 50);

-- Sums of events whose partition was dropped: arm_totals = these + the fold of bandit_events.
CREATE TABLE dropped_totals (LIKE arm_totals INCLUDING ALL);

-- Sums of the events of days that nothing is added to any more, so that comparing totals with events reads later ones
-- only. For comparing alone.
CREATE TABLE folded_days (
    day             date NOT NULL,
    experiment_id   text NOT NULL,
    arm_index       int NOT NULL,
    stratum         text NOT NULL,
    segment         text NOT NULL,
    weights_version bigint NOT NULL,
    decisions       bigint NOT NULL,
    rewards         bigint NOT NULL,
    reward_micro    bigint NOT NULL,
    square_micro    numeric NOT NULL,
    PRIMARY KEY (day, experiment_id, arm_index, stratum, segment, weights_version)
);

-- The first decision shown to a unit.
CREATE TABLE exposures (
    experiment_id text NOT NULL,
    unit_hash     bytea NOT NULL,
    decision_id   text NOT NULL,
    decision_time timestamptz NOT NULL,
    stratum       text NOT NULL,
    -- Units of an experiment are counted by stratum from the index alone.
    PRIMARY KEY (experiment_id, unit_hash) INCLUDE (stratum)
);

-- Decisions, and direct rewards, under ids of their callers.
CREATE TABLE own_ids (
    experiment_id text NOT NULL,
    own_id        text NOT NULL,
    decision_time timestamptz NOT NULL,
    claim         jsonb NOT NULL,        -- what was answered
    PRIMARY KEY (experiment_id, own_id)
);

-- Decisions whose outcome depends on several events, one row a batch and experiment. Whoever holds the lease reads the
-- rows, writes the outcomes that are complete, and deletes exactly the rows it has read.
CREATE TABLE unsettled (
    id            bigint GENERATED ALWAYS AS IDENTITY,
    experiment_id text NOT NULL,
    decision_ids  text[] NOT NULL,
    times         timestamptz[] NOT NULL,
    recorded_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (experiment_id, id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

-- How many events of decisions of a bucket of time wait for the end of their reward window. A bucket is deleted only if
-- its count is the one that was closed.
CREATE TABLE open_buckets (
    experiment_id text NOT NULL,
    bucket        timestamptz NOT NULL,
    slot          bigint NOT NULL,
    events        bigint NOT NULL,
    PRIMARY KEY (experiment_id, bucket, slot)
) WITH (fillfactor = 50);

-- Processes of the service. `drained_to`: every event the process received before it is in bandit_events.
CREATE TABLE producers (
    name         text PRIMARY KEY,
    slot         smallint NOT NULL,
    started_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    heartbeat_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    drained_to   timestamptz NOT NULL DEFAULT clock_timestamp(),
    timeline     text NOT NULL,          -- on which it has written again what a failover may have lost
    dead         boolean NOT NULL DEFAULT false
) WITH (fillfactor = 50);

-- Timelines of Postgres that processes have seen. A process that registered in the part of the log that a failover lost
-- is unknown until it beats again: before `settled_at` nothing closes, settles, or is decided.
CREATE TABLE timelines (
    timeline   text PRIMARY KEY,
    settled_at timestamptz NOT NULL
);

-- Who computes the weights of an experiment. The holder keeps it by its heartbeat in `producers`. A change of holder
-- raises the token; transactions of the holder check it, so that a former holder cannot commit.
CREATE TABLE leases (
    experiment_id text PRIMARY KEY REFERENCES experiments (id),
    holder        text,
    token         bigint NOT NULL DEFAULT 0,
    turn          bigint NOT NULL DEFAULT 0,  -- of settling: gapless, since it is raised under the row's lock
    folds         bigint NOT NULL DEFAULT 0   -- rises whenever the rows of weight_periods change
) WITH (fillfactor = 50);

-- The weights in force, and the state of linear models at a turn.
CREATE TABLE weights (
    experiment_id text PRIMARY KEY REFERENCES experiments (id),
    version       bigint NOT NULL,
    published_at  timestamptz NOT NULL,
    record        jsonb NOT NULL,
    explanation   jsonb NOT NULL,
    summary       text NOT NULL,
    assessment    jsonb NOT NULL         -- of each arm and of the stopping rule, as computed with the weights
);
CREATE INDEX weights_by_time ON weights (published_at);
CREATE TABLE linear_checkpoints (
    experiment_id text PRIMARY KEY REFERENCES experiments (id),
    turn          bigint NOT NULL,
    taken_at      timestamptz NOT NULL,
    state         bytea NOT NULL
);

-- Every version of the weights, with its explanation.
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
    holdout         double precision NOT NULL DEFAULT 0,  -- the share of units that always got the control
    PRIMARY KEY (experiment_id, weights_version)
);
CREATE INDEX allocations_by_time ON allocations (experiment_id, published_at);

-- Rewards by version of the weights, versions that are over merged with their neighbours in time. `sums` has, as exact
-- integers, the sums of bandit_core.adaptive.period_sums: those of the arms by index, and those of bandit and holdout.
-- The rows of arm_totals that they were taken from are merged into version -1.
CREATE TABLE weight_periods (
    experiment_id text NOT NULL REFERENCES experiments (id),
    first_version bigint NOT NULL,
    last_version  bigint NOT NULL,
    begins        timestamptz NOT NULL,
    ends          timestamptz NOT NULL,
    sums          jsonb NOT NULL,
    PRIMARY KEY (experiment_id, first_version)
);

-- The posterior of every arm at a moment. Nothing is rebuilt from it: it is for pictures and notebooks.
CREATE TABLE posterior_snapshots (
    experiment_id        text NOT NULL REFERENCES experiments (id),
    taken_at             timestamptz NOT NULL,
    arm_index            int NOT NULL,
    arm                  text NOT NULL,
    alpha_micro          bigint NOT NULL,
    beta_micro           bigint NOT NULL,
    decisions            bigint NOT NULL,
    rewards              bigint NOT NULL,
    holdout_decisions    bigint NOT NULL DEFAULT 0,
    holdout_rewards      bigint NOT NULL DEFAULT 0,
    holdout_reward_micro bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (experiment_id, taken_at, arm_index)
);

-- Events that are kept but never counted: too old, unreadable, or the loser of an own id.
CREATE TABLE refused_events (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    recorded_at   timestamptz NOT NULL DEFAULT now(),
    experiment_id text NOT NULL,
    reason        text NOT NULL,
    event         jsonb NOT NULL
);

-- Units that were erased: a batch that still names one loses the name.
CREATE TABLE erased_units (
    unit_hash bytea PRIMARY KEY,
    erased_at timestamptz NOT NULL DEFAULT now()
);

-- Events of decisions before `oldest` are refused, because their partition was dropped: they would count twice.
CREATE TABLE kept_from (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    oldest   timestamptz NOT NULL
);
INSERT INTO kept_from (oldest) VALUES ('-infinity');

-- Whether arms are drawn with the propensities that are logged. Each decision enters once: `counted_to` is the time of
-- decisions up to which they have. `arms` has the state of bandit_core.sample_ratio by arm index.
CREATE TABLE sample_ratios (
    experiment_id text PRIMARY KEY REFERENCES experiments (id),
    counted_to    timestamptz NOT NULL,
    arms          jsonb NOT NULL
);

-- What policies would have earned, estimated from logs. One evaluation per experiment and data set: the newest. The
-- experiment need not be one of this service: a public data set is kept under an id of its own.
CREATE TABLE ope_results (
    experiment_id       text NOT NULL,
    dataset             text NOT NULL,
    behavior_policy     text NOT NULL,    -- which policy made the log
    evaluation_policy   text NOT NULL,    -- which policy is evaluated
    method              text NOT NULL,
    estimate            double precision NOT NULL,
    std_error           double precision,
    low                 double precision, -- the interval of 95%
    high                double precision,
    n                   bigint NOT NULL,
    ess                 double precision NOT NULL,
    coverage            double precision NOT NULL,
    on_policy_value     double precision, -- what it really earned, where that is known
    on_policy_std_error double precision,
    relative_error      double precision,
    warnings            text NOT NULL,
    digest              text NOT NULL,    -- of the log
    evaluated_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (experiment_id, dataset, behavior_policy, evaluation_policy, method)
);

-- The part of the write-ahead log's name that a promotion changes. An error on a server that is not the primary.
CREATE FUNCTION ledger_timeline() RETURNS text LANGUAGE sql STABLE
    RETURN substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8);

INSERT INTO timelines VALUES (ledger_timeline(), now());

-- Whether the ledger has everything again that a failover may have lost: every process that is not marked dead has
-- written its part. Until then the first event of a key may not be the first that was answered.
CREATE FUNCTION ledger_is_whole() RETURNS boolean LANGUAGE sql STABLE
    RETURN EXISTS (SELECT FROM timelines WHERE timeline = ledger_timeline() AND settled_at <= clock_timestamp())
        AND NOT EXISTS (SELECT FROM producers WHERE NOT dead AND timeline <> ledger_timeline());

-- The least fencing token and, plus one, version of weights on this timeline: what a failover may have lost is not used again.
CREATE FUNCTION timeline_base() RETURNS bigint LANGUAGE sql STABLE
    RETURN (('x' || ledger_timeline())::bit(32)::bigint - 1) * 1000000000;

-- The square of a number of millionths in millionths, rounded half up. The quotient of two numerics has 16 digits or so;
-- div() is exact.
CREATE FUNCTION square_micro(micro bigint) RETURNS numeric LANGUAGE sql IMMUTABLE
    RETURN div(micro::numeric * micro + 500000, 1000000);

-- The version of the weights under which an event is counted: the one whose weights it was drawn with. 0 if it was drawn
-- from a vector of its own, or was not drawn at all.
CREATE FUNCTION counted_version(weights_version bigint, vector text) RETURNS bigint LANGUAGE sql IMMUTABLE
    RETURN CASE WHEN vector IS NULL THEN coalesce(weights_version, 0) ELSE 0 END;

-- What a fold of the events gives for arm_totals, all slots together, before versions are folded into periods.
CREATE VIEW folded_events AS
SELECT
    experiment_id, arm_index, stratum, coalesce(segment, '') AS segment,
    counted_version(weights_version, vector) AS weights_version,
    count(*) FILTER (WHERE kind IN ('decision', 'activation')) AS decisions,
    count(*) FILTER (WHERE kind IN ('reward', 'outcome')) AS rewards,
    coalesce(sum(reward_micro) FILTER (WHERE kind IN ('reward', 'outcome')), 0)::bigint AS reward_micro,
    coalesce(sum(square_micro(reward_micro)) FILTER (WHERE kind IN ('reward', 'outcome')), 0) AS square_micro
FROM bandit_events
WHERE counted
GROUP BY 1, 2, 3, 4, 5;

-- The posterior of every arm, as exact integers. `alpha_micro` and `beta_micro` of gaussian arms are the sum of the
-- rewards and of their squares.
CREATE VIEW arm_posteriors AS
SELECT
    arm.experiment_id, arm.arm_index, arm.arm, arm.status,
    CASE WHEN gaussian THEN 0 ELSE arm.prior_alpha_micro END + coalesce(total.reward_micro, 0) AS alpha_micro,
    CASE WHEN gaussian THEN coalesce(total.square_micro, 0)
        ELSE arm.prior_beta_micro + coalesce(total.rewards, 0) * 1000000 - coalesce(total.reward_micro, 0)
    END::bigint AS beta_micro,
    coalesce(total.decisions, 0) AS decisions,
    coalesce(total.rewards, 0) AS rewards,
    coalesce(total.holdout_decisions, 0) AS holdout_decisions,
    coalesce(total.holdout_rewards, 0) AS holdout_rewards,
    coalesce(total.holdout_reward_micro, 0) AS holdout_reward_micro,
    coalesce(total.reward_micro, 0) AS reward_micro
FROM experiment_arms AS arm
JOIN experiments ON experiments.id = arm.experiment_id
CROSS JOIN LATERAL (
    SELECT coalesce(experiments.definition #>> '{rewards,distribution}', '') = 'gaussian' AS gaussian
) AS kind
LEFT JOIN LATERAL (
    SELECT
        sum(decisions) FILTER (WHERE stratum = 'bandit')::bigint AS decisions,
        sum(rewards) FILTER (WHERE stratum IN ('bandit', 'direct'))::bigint AS rewards,
        sum(reward_micro) FILTER (WHERE stratum IN ('bandit', 'direct'))::bigint AS reward_micro,
        sum(square_micro) FILTER (WHERE stratum IN ('bandit', 'direct')) AS square_micro,
        sum(decisions) FILTER (WHERE stratum = 'holdout')::bigint AS holdout_decisions,
        sum(rewards) FILTER (WHERE stratum = 'holdout')::bigint AS holdout_rewards,
        sum(reward_micro) FILTER (WHERE stratum = 'holdout')::bigint AS holdout_reward_micro
    FROM arm_totals
    WHERE arm_totals.experiment_id = arm.experiment_id AND arm_totals.arm_index = arm.arm_index
) AS total ON true;

-- Keep the posterior of an experiment as a snapshot of this moment; return how many arms it has.
CREATE FUNCTION take_posterior_snapshot(id text, at timestamptz DEFAULT clock_timestamp()) RETURNS bigint
LANGUAGE sql AS $$
    WITH taken AS (
        INSERT INTO posterior_snapshots (
            experiment_id, taken_at, arm_index, arm, alpha_micro, beta_micro, decisions, rewards, holdout_decisions,
            holdout_rewards, holdout_reward_micro
        )
        SELECT
            experiment_id, at, arm_index, arm, alpha_micro, beta_micro, decisions, rewards, holdout_decisions,
            holdout_rewards, holdout_reward_micro
        FROM arm_posteriors WHERE experiment_id = id
        RETURNING 1
    )
    SELECT count(*) FROM taken
$$;
