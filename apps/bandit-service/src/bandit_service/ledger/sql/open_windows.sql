-- Decisions that count and whose window has not been closed yet.
SELECT opened.decision_id, opened.arm_index, (extract(epoch FROM opened.decision_time) * 1000)::bigint AS decision_ms,
    opened.position, opened.segment
FROM bandit_events AS opened
WHERE opened.experiment_id = %(experiment_id)s
    AND opened.stratum = 'bandit'
    AND (opened.kind = 'activation' OR opened.kind = 'decision' AND NOT opened.deferred)
    AND NOT EXISTS (
        SELECT FROM bandit_events AS closed
        WHERE closed.experiment_id = opened.experiment_id
            AND closed.decision_id = opened.decision_id
            AND closed.kind = 'close'
            AND closed.position = opened.position
            AND closed.decision_time = opened.decision_time
    )
