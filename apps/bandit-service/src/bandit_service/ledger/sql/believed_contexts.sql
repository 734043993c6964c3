-- What a linear model learns from, in the order of the stream.
SELECT epoch, seq, arm_index, reward_micro, (extract(epoch FROM event_time) * 1000)::bigint AS event_ms, context::text
FROM bandit_events
WHERE experiment_id = %(experiment_id)s
    AND believed
    AND context IS NOT NULL
    AND (epoch, seq) > (%(epoch)s, %(seq)s)
    AND seq <= %(committed)s
ORDER BY epoch, seq
