SELECT
    id AS experiment_id, definition ->> 'missing_reward' AS missing_reward,
    coalesce((definition ->> 'reward_window')::float8, 86400) AS reward_window
FROM experiments WHERE status = 'running' ORDER BY id
