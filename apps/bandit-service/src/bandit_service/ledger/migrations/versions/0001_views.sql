-- What readers outside the service may use: the pipeline, Grafana and notebooks. grafana/reader.sql makes their role.
-- The name of a view ends in its version. As long as a view exists, its columns keep their names and their meaning. A
-- later migration adds columns at the end, or a view of the next version beside it.
-- Rewards are in the units they were sent in. No view shows a unit, or the salt that units are hashed with.

-- What an amount in rewards as they were sent is divided by before it is stored.
CREATE FUNCTION reward_unit(definition jsonb) RETURNS double precision LANGUAGE sql IMMUTABLE
    RETURN CASE WHEN definition #>> '{rewards,distribution}' = 'gaussian'
        THEN coalesce((definition #>> '{rewards,unit}')::double precision, 1) ELSE 1
    END;

CREATE VIEW experiments_v1 AS
SELECT
    id AS experiment_id, namespace, status, revision, created_at, updated_at,
    definition #>> '{policy,name}' AS policy,
    coalesce(definition #>> '{rewards,distribution}', 'bernoulli') AS reward_distribution,
    (definition ->> 'reward_window')::double precision AS reward_window,        -- in seconds
    definition ->> 'missing_reward' AS missing_reward,                          -- ignore or zero
    winner,
    definition #>> '{conclusion,outcome}' AS outcome,
    definition #>> '{conclusion,why}' AS conclusion,
    nullif(definition #> '{context,features}', 'null') AS features     -- names of a context's numbers, if they have any
FROM experiments;

CREATE VIEW arms_v1 AS
SELECT experiment_id, arm_index, arm, status FROM experiment_arms;

-- Who changed an experiment, and why.
CREATE VIEW changes_v1 AS
SELECT changes.experiment_id, namespace, changes.revision, changed_at, change ->> 'action' AS action, who, why
FROM experiment_changes AS changes
JOIN experiments ON experiments.id = changes.experiment_id;

-- When something happened to a decision: a row for each event of the log, without its content.
CREATE VIEW events_v1 AS
SELECT
    experiment_id, decision_id, position, kind, decision_time, event_time AS received_at, recorded_at, stratum,
    filled                              -- the closing of the reward window supplied this event
FROM bandit_events;

-- Decisions, and what came of each so far. What the closing of a window filled in is no reward: `closed` says that the
-- outcome counted, so `reward` is null where a missing reward counted as zero.
CREATE VIEW decisions_v1 AS
SELECT
    decided.experiment_id, decided.decision_id, decided.position, decided.decision_time,
    arm.arm, decided.arm_index, decided.stratum, decided.propensity, decided.weights_version,
    CASE WHEN decided.unit_hash IS NOT NULL
        THEN (exposure.decision_id, exposure.decision_time) IS NOT DISTINCT FROM (decided.decision_id, decided.decision_time)
    END AS first_exposure,              -- null for a decision without a unit
    decided.context,                    -- where features are declared, their numbers in that order
    NOT decided.deferred OR decided.activated AS active,
    decided.reward_micro / 1e6::double precision * reward_unit(definition) AS reward,
    decided.reward_time,
    decided.late_micro / 1e6::double precision * reward_unit(definition) AS late_reward,
    decided.closed
FROM (
    -- One pass over the events of a range of time: conditions on the experiment and on decision_time are applied below
    -- the grouping.
    SELECT
        experiment_id, decision_id, position, decision_time,
        max(arm_index) FILTER (WHERE kind = 'decision') AS arm_index,
        max(stratum) FILTER (WHERE kind = 'decision') AS stratum,
        max(propensity) FILTER (WHERE kind = 'decision') AS propensity,
        max(weights_version) FILTER (WHERE kind = 'decision') AS weights_version,
        (array_agg(unit_hash) FILTER (WHERE kind = 'decision'))[1] AS unit_hash,
        (array_agg(context) FILTER (WHERE kind = 'decision'))[1] AS context,
        bool_or(deferred) FILTER (WHERE kind = 'decision') AS deferred,
        bool_or(kind = 'activation' AND NOT filled) AS activated,
        max(reward_micro) FILTER (WHERE kind = 'reward' AND NOT filled) AS reward_micro,
        max(event_time) FILTER (WHERE kind = 'reward' AND NOT filled) AS reward_time,
        max(reward_micro) FILTER (WHERE kind = 'late') AS late_micro,
        bool_or(kind = 'outcome') AS closed
    FROM bandit_events
    WHERE part = ''
    GROUP BY experiment_id, decision_id, position, decision_time
    HAVING bool_or(kind = 'decision')
) AS decided
JOIN experiments ON experiments.id = decided.experiment_id
JOIN experiment_arms AS arm ON arm.experiment_id = decided.experiment_id AND arm.arm_index = decided.arm_index
LEFT JOIN exposures AS exposure
    ON exposure.experiment_id = decided.experiment_id AND exposure.unit_hash = decided.unit_hash;

-- Rewards as they were received, those that were too late included. Metrics of a composed reward are left out.
CREATE VIEW rewards_v1 AS
SELECT
    experiment_id, decision_id, position, decision_time, arm.arm, event.arm_index, stratum,
    event_time AS received_at, kind = 'late' AS late,
    reward_micro / 1e6::double precision * reward_unit(definition) AS reward
FROM bandit_events AS event
JOIN experiment_arms AS arm USING (experiment_id, arm_index)
JOIN experiments ON experiments.id = experiment_id
WHERE kind IN ('reward', 'late') AND part = '' AND NOT filled AND reward_micro IS NOT NULL;

-- What counted: rewards that count by themselves, and outcomes that the service put together from several events.
-- Beliefs are made of those of the strata bandit and direct.
CREATE VIEW outcomes_v1 AS
SELECT
    experiment_id, decision_id, position, decision_time, arm.arm, event.arm_index, stratum, segment, weights_version,
    event_time AS counted_at,
    reward_micro / 1e6::double precision * reward_unit(definition) AS reward
FROM bandit_events AS event
JOIN experiment_arms AS arm USING (experiment_id, arm_index)
JOIN experiments ON experiments.id = experiment_id
WHERE counted AND kind IN ('reward', 'outcome');

-- Every version of the weights, with its explanation.
CREATE VIEW allocations_v1 AS
SELECT
    experiment_id, weights_version, published_at, revision, summary, weights, prob_best, expected_loss, explanation
FROM allocations;

-- Each arm now. Counts are those of the log. Beliefs and the weight are those that the service published last, at
-- `as_of`. The density of the mean reward x is
--   Beta:      exp(log_norm + (alpha - 1) ln x + (beta - 1) ln(1 - x))
--   Student t: exp(log_norm - (freedom + 1) / 2 ln(1 + ((x - location) / scale)² / freedom)), for gaussian rewards.
CREATE VIEW posteriors_v1 AS
SELECT
    posterior.experiment_id, posterior.arm_index, posterior.arm, posterior.status,
    posterior.decisions, posterior.rewards,
    posterior.reward_micro / 1e6::double precision * reward_unit(definition) AS reward_sum,
    published_at AS as_of, version AS weights_version,
    assessed.mean, assessed.low, assessed.high,      -- the ends of the equal-tailed 95% credible interval
    assessed.prob_best, assessed.expected_loss,      -- null for an arm that cannot be served
    assessed.weight,
    (density ->> 'alpha')::double precision AS alpha,
    (density ->> 'beta')::double precision AS beta,
    (density ->> 'location')::double precision AS location,
    (density ->> 'scale')::double precision AS scale,
    (density ->> 'freedom')::double precision AS freedom,
    (density ->> 'log_norm')::double precision AS log_norm
FROM arm_posteriors AS posterior
JOIN experiments ON experiments.id = posterior.experiment_id
LEFT JOIN weights ON weights.experiment_id = posterior.experiment_id
LEFT JOIN LATERAL jsonb_to_recordset(assessment -> 'arms') AS assessed (
    arm_index int, mean double precision, low double precision, high double precision, prob_best double precision,
    expected_loss double precision, weight double precision, density jsonb
) ON assessed.arm_index = posterior.arm_index;

-- What the stopping rule of each experiment that has one said at `as_of`; or what was concluded.
CREATE VIEW stopping_v1 AS
SELECT
    experiments.id AS experiment_id, published_at AS as_of,
    is_over OR (verdict ->> 'stop')::boolean AS stop,
    CASE WHEN is_over THEN definition #>> '{conclusion,outcome}' ELSE verdict ->> 'outcome' END AS outcome,
    CASE WHEN is_over THEN winner ELSE verdict ->> 'arm' END AS arm,
    CASE WHEN is_over THEN definition #>> '{conclusion,why}' ELSE verdict ->> 'sentence' END AS sentence,
    CASE WHEN is_over THEN 1 ELSE (verdict ->> 'progress')::double precision END AS progress
FROM experiments
JOIN weights ON weights.experiment_id = experiments.id
CROSS JOIN LATERAL (
    SELECT assessment -> 'verdict' AS verdict, coalesce(jsonb_typeof(definition -> 'conclusion') = 'object', false) AS is_over
) AS said
WHERE jsonb_typeof(verdict) = 'object';

-- The conditions of each stopping rule at `as_of`, in the order of `place`. `progress` is 1 exactly where one holds.
CREATE VIEW stopping_conditions_v1 AS
SELECT
    experiment_id, published_at AS as_of, place, condition ->> 'name' AS name, condition ->> 'arm' AS arm,
    (condition ->> 'value')::double precision AS value, (condition ->> 'threshold')::double precision AS threshold,
    (condition ->> 'holds')::boolean AS holds, (condition ->> 'progress')::double precision AS progress
FROM weights
CROSS JOIN jsonb_array_elements(
    CASE WHEN jsonb_typeof(assessment -> 'verdict') = 'object' THEN assessment #> '{verdict,conditions}' END
) WITH ORDINALITY AS listed (condition, place);

-- Posteriors of a moment. Gaussian rewards have no alpha, beta and mean there: they are in posteriors_v1.
CREATE VIEW posterior_snapshots_v1 AS
SELECT
    experiment_id, taken_at, snapshot.arm_index, snapshot.arm,
    CASE WHEN NOT is_gaussian THEN alpha_micro / 1e6::double precision END AS alpha,
    CASE WHEN NOT is_gaussian THEN beta_micro / 1e6::double precision END AS beta,
    CASE WHEN NOT is_gaussian THEN alpha_micro::double precision / (alpha_micro + beta_micro) END AS mean,
    decisions, rewards,
    (alpha_micro - CASE WHEN is_gaussian THEN 0 ELSE arm.prior_alpha_micro END) / 1e6::double precision
        * reward_unit(definition) AS reward_sum,
    holdout_decisions, holdout_rewards,
    holdout_reward_micro / 1e6::double precision * reward_unit(definition) AS holdout_reward_sum
FROM posterior_snapshots AS snapshot
JOIN experiment_arms AS arm USING (experiment_id, arm_index)
JOIN experiments ON experiments.id = experiment_id
CROSS JOIN LATERAL (
    SELECT coalesce(definition #>> '{rewards,distribution}', '') = 'gaussian' AS is_gaussian
) AS kind;

-- How far the totals of each experiment have moved since its newest snapshot. They move back where a failover of
-- Postgres lost events that are being written again.
CREATE VIEW snapshot_progress_v1 AS
SELECT
    total.experiment_id, total.events, abs(total.events - coalesce(newest.events, 0)) AS new_events, newest.taken_at
FROM (
    SELECT experiment_id, sum(decisions + rewards + holdout_decisions + holdout_rewards)::bigint AS events
    FROM arm_posteriors GROUP BY experiment_id
) AS total
LEFT JOIN LATERAL (
    SELECT taken_at, sum(decisions + rewards + holdout_decisions + holdout_rewards)::bigint AS events
    FROM posterior_snapshots
    WHERE experiment_id = total.experiment_id
        AND taken_at = (SELECT max(taken_at) FROM posterior_snapshots WHERE experiment_id = total.experiment_id)
    GROUP BY taken_at
) AS newest ON true;

-- Whether arms are drawn with the propensities that are logged, of decisions before `counted_to`. `represented` is the
-- sum of the inverse propensities of an arm's draws, and is expected to be `draws`, those of all arms. `p_value` is valid
-- at any time, and small where the arm is drawn more often than its propensities say.
CREATE VIEW sample_ratios_v1 AS
SELECT
    experiment_id, counted_to, arm.arm, ratio.arm_index, ratio.draws AS arm_draws,
    sum(ratio.draws) OVER (PARTITION BY experiment_id)::bigint AS draws, ratio.represented, ratio.p_value
FROM sample_ratios
CROSS JOIN jsonb_to_recordset(arms) AS ratio (
    arm_index int, draws bigint, represented double precision, p_value double precision
)
JOIN experiment_arms AS arm USING (experiment_id, arm_index);

-- What policies would have earned, estimated from logs: the newest evaluation of each data set.
CREATE VIEW ope_results_v1 AS
SELECT
    experiment_id, dataset, behavior_policy, evaluation_policy, method, estimate, std_error, low, high, n, ess, coverage,
    on_policy_value, on_policy_std_error, relative_error, warnings, digest, evaluated_at
FROM ope_results;
