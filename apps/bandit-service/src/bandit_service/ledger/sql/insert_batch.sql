-- Insert a batch of events and raise the totals by what was really inserted. Every stage sorts by its key, and the stages
-- run in one order, so that batches which share keys cannot deadlock.
-- On another timeline than the caller's, after a failover, nothing is written.
WITH given AS (
    SELECT event.*, erased.unit_hash IS NOT NULL AS is_erased
    FROM unnest(
        %(experiment_id)s, %(decision_id)s, %(kind)s, %(decision_time)s, %(event_time)s, %(arm_index)s, %(stratum)s,
        %(counted)s, %(position)s, %(part)s, %(deferred)s, %(propensity)s, %(weights_version)s, %(revision)s,
        %(reward_micro)s, %(unit_hash)s, %(vector)s, %(segment)s, %(slate_propensity)s, %(context)s, %(settles)s,
        %(bucket)s, %(claim)s, %(batch)s, %(ord)s, %(place)s
    ) AS event (
        experiment_id, decision_id, kind, decision_time, event_time, arm_index, stratum, counted, position, part,
        deferred, propensity, weights_version, revision, reward_micro, unit_hash, vector, segment, slate_propensity,
        context, settles, bucket, claim, batch, ord, place
    )
    LEFT JOIN erased_units AS erased ON erased.unit_hash = event.unit_hash
    WHERE ledger_timeline() = %(timeline)s AND event.decision_time >= (SELECT oldest FROM kept_from)
), own AS (
    INSERT INTO own_ids (experiment_id, own_id, decision_time, claim)
    SELECT experiment_id, decision_id, decision_time, claim::jsonb
    FROM given WHERE claim IS NOT NULL
    ORDER BY experiment_id, decision_id, place
    ON CONFLICT DO NOTHING
    RETURNING experiment_id, own_id, decision_time
), inserted AS (
    INSERT INTO bandit_events (
        experiment_id, decision_id, kind, position, part, decision_time, event_time, batch, ord, arm_index, stratum,
        counted, deferred, propensity, weights_version, revision, reward_micro, unit_hash, vector, segment,
        slate_propensity, context, settles, bucket
    )
    SELECT
        given.experiment_id, decision_id, kind, position, part, given.decision_time, event_time, batch, ord,
        arm_index, stratum, counted, deferred, propensity, weights_version, revision, reward_micro,
        CASE WHEN is_erased THEN NULL ELSE unit_hash END, vector, segment, slate_propensity,
        CASE WHEN is_erased THEN NULL ELSE context::json END, settles, bucket
    FROM given
    LEFT JOIN own ON own.experiment_id = given.experiment_id AND own.own_id = given.decision_id
        AND own.decision_time = given.decision_time
    WHERE claim IS NULL OR own.own_id IS NOT NULL
    ORDER BY given.experiment_id, decision_id, kind, position, part, place
    ON CONFLICT DO NOTHING
    RETURNING
        experiment_id, decision_id, kind, decision_time, batch, ord, arm_index, stratum, counted, deferred,
        weights_version, reward_micro, unit_hash, vector, segment, settles, bucket
), exposed AS (
    INSERT INTO exposures (experiment_id, unit_hash, decision_id, decision_time, stratum)
    SELECT DISTINCT ON (experiment_id, unit_hash) experiment_id, unit_hash, decision_id, decision_time, stratum
    FROM inserted
    WHERE kind = 'decision' AND unit_hash IS NOT NULL AND NOT deferred AND stratum IN ('bandit', 'holdout')
    ORDER BY experiment_id, unit_hash, decision_time, decision_id
    ON CONFLICT DO NOTHING
), totals AS (
    INSERT INTO arm_totals AS total (
        experiment_id, arm_index, stratum, segment, weights_version, slot, decisions, rewards, reward_micro,
        square_micro
    )
    SELECT
        experiment_id, arm_index, stratum, coalesce(segment, ''), counted_version(weights_version, vector), %(slot)s,
        count(*) FILTER (WHERE kind IN ('decision', 'activation')),
        count(*) FILTER (WHERE kind IN ('reward', 'outcome')),
        coalesce(sum(reward_micro) FILTER (WHERE kind IN ('reward', 'outcome')), 0),
        coalesce(sum(square_micro(reward_micro)) FILTER (WHERE kind IN ('reward', 'outcome')), 0)
    FROM inserted WHERE counted
    GROUP BY 1, 2, 3, 4, 5
    ORDER BY 1, 2, 3, 4, 5
    ON CONFLICT (experiment_id, arm_index, stratum, segment, weights_version, slot) DO UPDATE SET
        decisions = total.decisions + excluded.decisions,
        rewards = total.rewards + excluded.rewards,
        reward_micro = total.reward_micro + excluded.reward_micro,
        square_micro = total.square_micro + excluded.square_micro
), dependent AS (
    INSERT INTO unsettled (experiment_id, decision_ids, times)
    SELECT experiment_id, array_agg(decision_id), array_agg(decision_time)
    FROM (SELECT DISTINCT experiment_id, decision_id, decision_time FROM inserted WHERE settles) AS decision
    GROUP BY experiment_id
), open AS (
    -- A row of its own for each process and minute: see slots.py.
    INSERT INTO open_buckets AS waiting (experiment_id, bucket, slot, events)
    SELECT experiment_id, bucket, %(slot)s::bigint / 12000 * 1000 + mod(%(slot)s::bigint, 1000), count(*)
    FROM inserted WHERE bucket IS NOT NULL
    GROUP BY 1, 2
    ORDER BY 1, 2
    ON CONFLICT (experiment_id, bucket, slot) DO UPDATE SET events = waiting.events + excluded.events
)
SELECT
    ledger_timeline(),
    (SELECT array_agg(batch) FROM inserted),
    (SELECT array_agg(ord) FROM inserted),
    coalesce((SELECT array_agg(place) FROM given), '{}')
