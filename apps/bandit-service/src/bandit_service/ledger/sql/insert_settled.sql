-- Insert outcomes, and what closing supplies, and raise the totals by what was really inserted: as insert_batch.sql.
WITH inserted AS (
    INSERT INTO bandit_events (
        experiment_id, decision_id, kind, position, part, decision_time, event_time, batch, ord, arm_index, stratum,
        counted, deferred, filled, propensity, weights_version, revision, reward_micro, vector, segment
    )
    SELECT
        %(experiment_id)s, decision_id, kind, position, part, decision_time, event_time, %(turn)s, ord, arm_index,
        stratum, counted, deferred, kind <> 'outcome', propensity, weights_version, revision, reward_micro, vector,
        segment
    FROM unnest(
        %(decision_id)s, %(kind)s, %(position)s, %(part)s, %(decision_time)s, %(event_time)s, %(ord)s, %(arm_index)s,
        %(stratum)s, %(counted)s, %(deferred)s, %(propensity)s, %(weights_version)s, %(revision)s, %(reward_micro)s,
        %(vector)s, %(segment)s
    ) AS event (
        decision_id, kind, position, part, decision_time, event_time, ord, arm_index, stratum, counted, deferred,
        propensity, weights_version, revision, reward_micro, vector, segment
    )
    WHERE decision_time >= (SELECT oldest FROM kept_from)
    ORDER BY decision_id, kind, position, part
    ON CONFLICT DO NOTHING
    RETURNING kind, ord, arm_index, stratum, counted, weights_version, reward_micro, vector, segment
), totals AS (
    INSERT INTO arm_totals AS total (
        experiment_id, arm_index, stratum, segment, weights_version, slot, decisions, rewards, reward_micro,
        square_micro
    )
    SELECT
        %(experiment_id)s, arm_index, stratum, coalesce(segment, ''), counted_version(weights_version, vector), %(slot)s,
        count(*) FILTER (WHERE kind IN ('decision', 'activation')),
        count(*) FILTER (WHERE kind IN ('reward', 'outcome')),
        coalesce(sum(reward_micro) FILTER (WHERE kind IN ('reward', 'outcome')), 0),
        coalesce(sum(square_micro(reward_micro)) FILTER (WHERE kind IN ('reward', 'outcome')), 0)
    FROM inserted WHERE counted
    GROUP BY 2, 3, 4, 5
    ORDER BY 2, 3, 4, 5
    ON CONFLICT (experiment_id, arm_index, stratum, segment, weights_version, slot) DO UPDATE SET
        decisions = total.decisions + excluded.decisions,
        rewards = total.rewards + excluded.rewards,
        reward_micro = total.reward_micro + excluded.reward_micro,
        square_micro = total.square_micro + excluded.square_micro
)
SELECT coalesce(array_agg(ord), '{}') FROM inserted
