-- Experiments that still take rewards for decisions before a moment, or recognise their repetition (for an hour longer).
SELECT id FROM experiments
WHERE status <> 'archived'
    AND {before}::timestamptz + ((definition ->> 'reward_window')::double precision + 3600) * interval '1 second' > {now}
ORDER BY id
